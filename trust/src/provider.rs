//! A TrustedIdentityProvider, parsed as input from outside.

use std::collections::BTreeSet;

use multicluster_api::TrustedIdentityProvider;
use rustls_pki_types::CertificateDer;

use crate::identity::Identity;
use crate::prefix::{InvalidPrefix, Prefix};

/// Which TrustedIdentityProvider.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ProviderRef {
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// Its UID: one that was made again under the same name is another one.
    pub uid: String,
}

/// A TrustedIdentityProvider that makes sense by itself. Whether it is believed, [`crate::decide`] says.
#[derive(Clone, Debug, PartialEq)]
pub struct Provider {
    /// Which.
    pub reference: ProviderRef,
    /// What its users' names begin with here.
    pub prefix: Prefix,
    /// How it proves who a caller is.
    pub proof: Proof,
    /// Identities that may call besides those that Sources name.
    pub identities: BTreeSet<Identity>,
    /// Groups that are let through, without the prefix.
    pub groups: BTreeSet<String>,
}

/// How a provider proves who a caller is.
#[derive(Clone, Debug, PartialEq)]
pub enum Proof {
    /// By client certificates of these authorities.
    Certificates(Vec<CertificateDer<'static>>),
    /// By tokens.
    Tokens(Issuer),
}

/// Who issues tokens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Issuer {
    /// The claim `iss`.
    pub issuer: String,
    /// One of which must be in the claim `aud`.
    pub audiences: BTreeSet<String>,
    /// Where its keys come from.
    pub keys: KeySource,
}

/// Where an issuer's keys come from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KeySource {
    /// They are in the TrustedIdentityProvider: a JSON Web Key Set.
    Inline(String),
    /// They are fetched.
    Discovery {
        /// URL of the discovery document, https.
        url: String,
        /// The authorities of the server, DER; empty for those that browsers know.
        authorities: Vec<CertificateDer<'static>>,
    },
}

/// What is wrong with a TrustedIdentityProvider. The text says what to write instead.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidProvider {
    /// The prefix.
    #[error(transparent)]
    Prefix(#[from] InvalidPrefix),
    /// Anything else; the text begins with the field's path.
    #[error("{0}")]
    Field(String),
}

impl Provider {
    /// Read a TrustedIdentityProvider.
    pub fn read(_object: &TrustedIdentityProvider) -> Result<Self, InvalidProvider> {
        Err(InvalidProvider::Field("not implemented yet".into()))
    }
}
