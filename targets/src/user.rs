//! Whom the credentials in a kubeconfig are of, as far as that can be told without asking anybody. Nothing is verified:
//! they are our own credentials, and the target is the judge of them.

use std::collections::BTreeSet;
use std::fmt;

use base64::Engine;
use base64::prelude::{BASE64_STANDARD, BASE64_URL_SAFE_NO_PAD};
use kube::config::AuthInfo;
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject;
use secrecy::ExposeSecret;
use serde::Deserialize;
use x509_parser::prelude::{FromDer, X509Certificate};

/// Longest token that is looked into, in bytes.
const MAX_TOKEN: usize = 16 * 1024;

/// A user: equal ones are the same in any cluster.
#[derive(Clone, PartialEq, Eq)]
pub(crate) enum User {
    /// Subject and issuer of a client certificate, DER.
    Certificate { subject: Vec<u8>, issuer: Vec<u8> },
    /// Claims of a token. A cluster may give users of one issuer different names by the audience.
    Token {
        issuer: String,
        subject: String,
        audiences: BTreeSet<String>,
    },
}

/// Who they are is nobody's business in a log.
impl fmt::Debug for User {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Certificate { .. } => "Certificate",
            Self::Token { .. } => "Token",
        })
    }
}

/// The user of these credentials; `None` where only the target can tell.
pub(crate) fn user(credentials: &AuthInfo) -> Option<User> {
    let certificate = credentials.client_certificate_data.as_deref();
    let token = credentials.token.as_ref().map(|token| token.expose_secret());
    // Somebody else's name, or two proofs, of which the target chooses one.
    let plain = credentials.impersonate.is_none()
        && credentials.impersonate_uid.is_none()
        && credentials.impersonate_groups.is_none()
        && credentials.impersonate_user_extra.is_none()
        && credentials.username.is_none()
        && credentials.password.is_none();
    match (plain, certificate, token) {
        (true, Some(certificate), None) => of_certificate(certificate),
        (true, None, Some(token)) => of_token(token),
        _ => None,
    }
}

fn of_certificate(data: &str) -> Option<User> {
    let pem = BASE64_STANDARD.decode(data).ok()?;
    let first = CertificateDer::from_pem_slice(&pem).ok()?;
    let (_, certificate) = X509Certificate::from_der(&first).ok()?;
    Some(User::Certificate {
        subject: certificate.subject().as_raw().to_vec(),
        issuer: certificate.issuer().as_raw().to_vec(),
    })
}

#[derive(Deserialize)]
struct Claims {
    iss: String,
    sub: String,
    #[serde(default)]
    aud: Audiences,
}

#[derive(Default, Deserialize)]
#[serde(untagged)]
enum Audiences {
    #[default]
    None,
    One(String),
    Many(BTreeSet<String>),
}

fn of_token(token: &str) -> Option<User> {
    let mut parts = token.split('.');
    let (_, payload, _) = (parts.next()?, parts.next()?, parts.next()?);
    if parts.next().is_some() || token.len() > MAX_TOKEN {
        return None;
    }
    let claims = BASE64_URL_SAFE_NO_PAD.decode(payload).ok()?;
    let Claims { iss, sub, aud } = serde_json::from_slice(&claims).ok()?;
    Some(User::Token {
        issuer: iss,
        subject: sub,
        audiences: match aud {
            Audiences::None => BTreeSet::new(),
            Audiences::One(audience) => BTreeSet::from([audience]),
            Audiences::Many(audiences) => audiences,
        },
    })
}

#[cfg(test)]
#[path = "tests/user.rs"]
mod tests;
