//! Who calls, or why not.
//!
//! Proving ([`crate::certificates::prove`], [`crate::tokens::prove`]) says who somebody is, [`Trust::admit`] whether they may
//! call. What was admitted holds until its proof expires, and until the trust changes. Then:
//!
//! * [`Trust::still_admits`] is `true`: nothing changed for this caller. New authorities, audiences, users and groups beside
//!   its own leave it alone, so that a rotation cuts nobody off.
//! * It is `false`: prove again, if that can be done (a certificate stays with its connection), and admit again. If the result is
//!   the same user with at least the same groups ([`Caller::covers`]), what is open may stay open. Else, and for tokens, which
//!   nobody keeps, cut it off: who still has a good proof comes back with it.

use std::collections::BTreeSet;
use std::time::SystemTime;

use rustls_pki_types::CertificateDer;
use sha2::{Digest, Sha256};

use crate::decide::Trust;
use crate::identity::Identity;
use crate::provider::{Issuer, KeySource, Proof, ProviderRef};

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
    /// What of the provider it rests on.
    pub evidence: Evidence,
}

/// What of a provider a proof rests on. When that goes, the proof goes with it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Evidence {
    /// The certificate of the authority that the chain leads to.
    Authority(CertificateDer<'static>),
    /// What a token was good by.
    Issuer {
        /// Its issuer.
        issuer: String,
        /// The provider's audiences that it is for.
        audiences: BTreeSet<String>,
        /// Where the key is from.
        keys: KeyOrigin,
    },
}

/// Where an issuer's keys are from. A key that its issuer has given up ends with the tokens that it has signed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KeyOrigin {
    /// SHA-256 of the key set in the TrustedIdentityProvider.
    Inline([u8; 32]),
    /// URL of the discovery document.
    Discovery(String),
}

impl From<&KeySource> for KeyOrigin {
    fn from(source: &KeySource) -> Self {
        match source {
            KeySource::Inline(keys) => Self::Inline(Sha256::digest(keys).into()),
            KeySource::Discovery { url, .. } => Self::Discovery(url.clone()),
        }
    }
}

impl Evidence {
    /// Is it still what the provider says?
    fn holds(&self, proof: &Proof) -> bool {
        match (self, proof) {
            (Self::Authority(authority), Proof::Certificates(authorities)) => authorities.contains(authority),
            (
                Self::Issuer {
                    issuer,
                    audiences,
                    keys,
                },
                Proof::Tokens(now),
            ) => *issuer == now.issuer && !audiences.is_disjoint(&now.audiences) && *keys == KeyOrigin::from(&now.keys),
            _ => false,
        }
    }

    /// That of a token for these audiences.
    pub(crate) fn of_token(issuer: &Issuer, audiences: &[String]) -> Self {
        Self::Issuer {
            issuer: issuer.issuer.clone(),
            audiences: issuer
                .audiences
                .iter()
                .filter(|a| audiences.contains(a))
                .cloned()
                .collect(),
            keys: KeyOrigin::from(&issuer.keys),
        }
    }
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
    /// What of the provider the proof rests on.
    pub evidence: Evidence,
}

impl Caller {
    /// May what `old` has opened stay open for this one? It is the same user, with at least the same groups.
    pub fn covers(&self, old: &Caller) -> bool {
        self.provider == old.provider
            && self.user == old.user
            && old.groups.iter().all(|group| self.groups.contains(group))
    }
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

    pub(crate) fn unproven(text: impl Into<String>) -> Self {
        Self::Unproven(text.into())
    }
}

impl Trust {
    /// May they call, and as whom?
    pub fn admit(&self, proven: &Proven) -> Result<Caller, Denied> {
        let Some(Ok(trusted)) = self.providers.get(&proven.provider) else {
            return Err(Denied::unproven("its provider is not trusted any more"));
        };
        // It may have been proved a moment ago, by what has changed since.
        if !proven.evidence.holds(&trusted.provider.proof) {
            return Err(Denied::unproven("its proof does not hold any more"));
        }
        let prefix = &trusted.provider.prefix;
        let user = prefix.user(&proven.identity);
        if !trusted.admitted.contains(&proven.identity) {
            let provider = proven.provider.clone();
            return Err(Denied::NotAdmitted { provider, user });
        }
        let groups: BTreeSet<_> = proven.groups.iter().collect();
        let known = |group: &&String| trusted.provider.groups.contains(*group);
        let groups = groups.into_iter().filter(known).map(|group| prefix.group(group));
        Ok(Caller {
            provider: proven.provider.clone(),
            identity: proven.identity.clone(),
            user,
            groups: groups.collect(),
            expires: proven.expires,
            evidence: proven.evidence.clone(),
        })
    }

    /// Is somebody who was let in before still let in, under the same name, with the same groups, by the same proof? What to do
    /// when not, the module says.
    pub fn still_admits(&self, caller: &Caller) -> bool {
        let proven = Proven {
            provider: caller.provider.clone(),
            identity: caller.identity.clone(),
            groups: Vec::new(),
            expires: caller.expires,
            evidence: caller.evidence.clone(),
        };
        let Some(Ok(trusted)) = self.providers.get(&caller.provider) else {
            return false;
        };
        let groups = trusted.groups();
        self.admit(&proven).is_ok_and(|now| now.user == caller.user)
            && caller.groups.iter().all(|group| groups.contains(group))
    }
}

#[cfg(test)]
mod tests;
