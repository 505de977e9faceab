//! A TrustedIdentityProvider, parsed as input from outside.

use std::collections::BTreeSet;

use multicluster_api::TrustedIdentityProvider;
use multicluster_api::trusted_identity_provider::{OpenIdConnect, TrustedIdentityProviderSpec};
use rustls_pki_types::CertificateDer;

use crate::identity::Identity;
use crate::prefix::{InvalidPrefix, Prefix};
use crate::tokens::KeySet;
use crate::{pem, urls};

/// Longest audience, in bytes.
const MAX_AUDIENCE: usize = 1024;
/// Longest name of a group, in bytes.
const MAX_GROUP: usize = 253;

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

impl ProviderRef {
    /// That of this object.
    pub fn of(object: &TrustedIdentityProvider) -> Self {
        let metadata = &object.metadata;
        Self {
            namespace: metadata.namespace.clone().unwrap_or_default(),
            name: metadata.name.clone().unwrap_or_default(),
            uid: metadata.uid.clone().unwrap_or_default(),
        }
    }
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

/// What is wrong with a TrustedIdentityProvider. The text says what to write instead, and quotes nothing.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidProvider {
    /// The prefix.
    #[error(transparent)]
    Prefix(#[from] InvalidPrefix),
    /// Anything else; the text begins with the field's path.
    #[error("{0}")]
    Field(String),
    /// Several of these.
    #[error("{}", texts(.0).join("; "))]
    Several(Vec<InvalidProvider>),
}

impl InvalidProvider {
    /// Each wrong thing by itself.
    pub fn texts(&self) -> Vec<String> {
        match self {
            Self::Several(wrong) => texts(wrong),
            one => vec![one.to_string()],
        }
    }
}

fn texts(wrong: &[InvalidProvider]) -> Vec<String> {
    wrong.iter().map(ToString::to_string).collect()
}

impl Provider {
    /// Read a TrustedIdentityProvider. The error says all that is wrong at once.
    pub fn read(object: &TrustedIdentityProvider) -> Result<Self, InvalidProvider> {
        Self::of_spec(ProviderRef::of(object), &object.spec)
    }

    /// The same of a spec alone, as the webhook sees it.
    pub fn of_spec(reference: ProviderRef, spec: &TrustedIdentityProviderSpec) -> Result<Self, InvalidProvider> {
        let mut wrong = Wrong::default();
        let prefix = wrong.unless(Prefix::parse(&spec.prefix).map_err(InvalidProvider::from));
        let proof = read_proof(&mut wrong, spec);
        let identities = spec.identities.iter().enumerate().filter_map(|(number, text)| {
            let field =
                |e| format!("spec.identities[{number}] is {e}, as the caller's cluster has it, without the prefix");
            wrong.unless_text(Identity::parse(text).map_err(field))
        });
        let identities = identities.collect();
        for (number, group) in spec.groups.iter().enumerate() {
            if !is_group(group) {
                wrong.text(format!(
                    "spec.groups[{number}] cannot be used: write 1 to {MAX_GROUP} letters, digits and . _ - : /, without the prefix"
                ));
            }
        }
        match (prefix, proof) {
            (Some(prefix), Some(proof)) if wrong.0.is_empty() => Ok(Self {
                reference,
                prefix,
                proof,
                identities,
                groups: spec.groups.iter().cloned().collect(),
            }),
            _ => Err(wrong.into_error()),
        }
    }
}

/// What has been found wrong so far.
#[derive(Default)]
struct Wrong(Vec<InvalidProvider>);

impl Wrong {
    fn text(&mut self, text: String) {
        self.0.push(InvalidProvider::Field(text));
    }

    fn unless<T>(&mut self, result: Result<T, InvalidProvider>) -> Option<T> {
        result.map_err(|error| self.0.push(error)).ok()
    }

    fn unless_text<T>(&mut self, result: Result<T, String>) -> Option<T> {
        self.unless(result.map_err(InvalidProvider::Field))
    }

    fn into_error(mut self) -> InvalidProvider {
        match self.0.len() {
            1 => self.0.remove(0),
            _ => InvalidProvider::Several(self.0),
        }
    }
}

fn read_proof(wrong: &mut Wrong, spec: &TrustedIdentityProviderSpec) -> Option<Proof> {
    match (&spec.certificate_authority_data, &spec.oidc) {
        (Some(data), None) => {
            let authorities = pem::authorities("spec.certificateAuthorityData", data);
            wrong.unless_text(authorities).map(Proof::Certificates)
        }
        (None, Some(oidc)) => read_issuer(wrong, oidc).map(Proof::Tokens),
        _ => {
            wrong.text(
                "write either spec.certificateAuthorityData (the PEM certificate of an authority, in base64) or spec.oidc: \
                 {issuer: ..., audiences: [...]}, not both and not neither"
                    .into(),
            );
            None
        }
    }
}

fn read_issuer(wrong: &mut Wrong, oidc: &OpenIdConnect) -> Option<Issuer> {
    wrong.unless_text(urls::https("spec.oidc.issuer", &oidc.issuer));
    if oidc.audiences.is_empty() {
        wrong.text(
            "spec.oidc.audiences is empty: write the audience of the tokens that are meant for this cluster".into(),
        );
    }
    for (number, audience) in oidc.audiences.iter().enumerate() {
        let field = format!("spec.oidc.audiences[{number}]");
        if audience.is_empty() || audience.len() > MAX_AUDIENCE || !audience.bytes().all(|c| c.is_ascii_graphic()) {
            wrong.text(format!(
                "{field} cannot be used: write the audience of its tokens, without spaces"
            ));
        } else if is_of_every_pod(audience, &oidc.issuer) {
            wrong.text(format!(
                "{field} is the audience of the issuer's own API server, for which every pod there has a token: write one that is \
                 for this cluster alone, and in the token's request, too"
            ));
        }
    }
    let keys = read_key_source(wrong, oidc)?;
    Some(Issuer {
        issuer: oidc.issuer.clone(),
        audiences: oidc.audiences.iter().cloned().collect(),
        keys,
    })
}

fn read_key_source(wrong: &mut Wrong, oidc: &OpenIdConnect) -> Option<KeySource> {
    let authorities = oidc.certificate_authority_data.as_deref();
    if let Some(keys) = &oidc.jwks {
        if oidc.discovery_url.is_some() || authorities.is_some() {
            wrong.text(
                "write either spec.oidc.jwks or where to fetch the keys (spec.oidc.discoveryURL, \
                 spec.oidc.certificateAuthorityData), not both"
                    .into(),
            );
        }
        let parsed = KeySet::parse(keys.as_bytes()).map_err(|error| format!("spec.oidc.jwks is {error}"));
        return wrong.unless_text(parsed).map(|_| KeySource::Inline(keys.clone()));
    }
    let url = match &oidc.discovery_url {
        Some(url) => wrong
            .unless_text(urls::https("spec.oidc.discoveryURL", url))
            .map(|_| url.clone()),
        None => Some(format!(
            "{}/.well-known/openid-configuration",
            oidc.issuer.trim_end_matches('/')
        )),
    };
    let field = "spec.oidc.certificateAuthorityData";
    let authorities = match authorities {
        Some(data) => wrong.unless_text(pem::certificates(field, data)),
        None => Some(Vec::new()),
    };
    Some(KeySource::Discovery {
        url: url?,
        authorities: authorities?,
    })
}

/// API servers take their issuer for their audience, if they are not told another; EKS takes `https://kubernetes.default.svc`.
/// Each pod's own token is for that audience: whoever reads one would be let in here.
fn is_of_every_pod(audience: &str, issuer: &str) -> bool {
    let audience = audience.trim_end_matches('/');
    audience == issuer.trim_end_matches('/') || audience.starts_with("https://kubernetes.default.svc")
}

fn is_group(group: &str) -> bool {
    let plain = |c: char| c.is_ascii_alphanumeric() || "._:/-".contains(c);
    (1..=MAX_GROUP).contains(&group.len()) && group.chars().all(plain)
}

#[cfg(test)]
mod tests;
