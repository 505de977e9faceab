//! Who calls, or why not.

use std::time::SystemTime;

use crate::decide::Trust;
use crate::identity::Identity;
use crate::provider::ProviderRef;

/// Who somebody has proved to be. Whether they may call is another question: [`Trust::admit`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Proven {
    /// Whose word it is.
    pub provider: ProviderRef,
    /// Who.
    pub identity: Identity,
    /// Groups that the proof names, without the prefix, let through or not.
    pub groups: Vec<String>,
    /// When the proof expires.
    pub expires: SystemTime,
}

/// Who calls: what the API server is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Caller {
    /// Whose word it is.
    pub provider: ProviderRef,
    /// Who, without the prefix.
    pub identity: Identity,
    /// User name, with the prefix.
    pub user: String,
    /// Groups, with the prefix, in order.
    pub groups: Vec<String>,
    /// When the proof expires.
    pub expires: SystemTime,
}

/// Why somebody is not let in. The texts are for the log and for the caller: they name no secret.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Denied {
    /// Neither a certificate nor a token.
    #[error("no client certificate and no bearer token")]
    NoCredentials,
    /// Both a certificate that somebody here believes and a token: which of them is meant?
    #[error("a client certificate and a bearer token: show one of them")]
    TwoCredentials,
    /// The proof is none; the text says why.
    #[error("{0}")]
    Unproven(String),
    /// A token names a key that its issuer is not known to have. It may have a new one.
    #[error("the token's key is not among its issuer's keys")]
    UnknownKey(ProviderRef),
    /// It is known who calls, and nobody lets them in.
    #[error("{user} may not call: no Source names it, nor the TrustedIdentityProvider {}/{}", provider.namespace, provider.name)]
    NotAdmitted {
        /// Whose word it is.
        provider: ProviderRef,
        /// User name, with the prefix.
        user: String,
    },
}

impl Denied {
    /// HTTP status: 401 where it is not known who calls, else 403.
    pub fn status(&self) -> u16 {
        match self {
            Self::NotAdmitted { .. } => 403,
            _ => 401,
        }
    }

    /// One word for metrics and logs, in the style of event reasons.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::NoCredentials => "NoCredentials",
            Self::TwoCredentials => "TwoCredentials",
            Self::Unproven(_) => "Unproven",
            Self::UnknownKey(_) => "UnknownKey",
            Self::NotAdmitted { .. } => "NotAdmitted",
        }
    }
}

impl Trust {
    /// May they call, and as whom?
    pub fn admit(&self, proven: &Proven) -> Result<Caller, Denied> {
        let Some(Ok(trusted)) = self.providers.get(&proven.provider) else {
            return Err(Denied::Unproven("its provider is not trusted any more".into()));
        };
        let prefix = &trusted.provider.prefix;
        let user = prefix.user(&proven.identity);
        if !trusted.admitted.contains(&proven.identity) {
            let provider = proven.provider.clone();
            return Err(Denied::NotAdmitted { provider, user });
        }
        let known = |group: &&String| trusted.provider.groups.contains(*group);
        let groups = proven.groups.iter().filter(known).map(|group| prefix.group(group));
        Ok(Caller {
            provider: proven.provider.clone(),
            identity: proven.identity.clone(),
            user,
            groups: groups.collect(),
            expires: proven.expires,
        })
    }

    /// Is somebody who was let in before still let in, under the same name, with the same groups, by the same proof?
    /// `false` cuts open streams off.
    pub fn still_admits(&self, caller: &Caller) -> bool {
        let proven = Proven {
            provider: caller.provider.clone(),
            identity: caller.identity.clone(),
            groups: Vec::new(),
            expires: caller.expires,
        };
        let Some(Ok(trusted)) = self.providers.get(&caller.provider) else {
            return false;
        };
        let groups = trusted.groups();
        self.admit(&proven).is_ok_and(|now| now.user == caller.user)
            && caller.groups.iter().all(|group| groups.contains(group))
    }
}
