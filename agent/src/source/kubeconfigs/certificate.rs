//! A key, a request for a certificate, and whether the certificate that came is the one that was asked for. Pure.

use jiff::Timestamp;
use multicluster_trust::Identity;
use rcgen::{CertificateParams, DistinguishedName, DnType, KeyPair, PKCS_ECDSA_P256_SHA256, PublicKeyData};
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject;
use secrecy::SecretString;
use x509_parser::prelude::{FromDer, X509Certificate};

use super::content::{Credentials, Proof};
use super::decide::SHORTEST;
use super::problem::{Problem, issuer};

/// Largest chain that is taken, in bytes.
const MAX_CHAIN: usize = 64 * 1024;

/// A private key that waits for its certificate. It is kept in memory alone.
pub struct Key(KeyPair);

impl Key {
    /// A new one, ECDSA P-256.
    pub fn generate() -> Result<Self, Problem> {
        let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256);
        key.map(Self)
            .map_err(|_| Problem::new("KeyGenerationFailed", "no private key could be made"))
    }

    /// A request for a certificate of this identity, PEM (RFC 2986). The common name is all that it says.
    pub fn request(&self, identity: &Identity) -> Result<String, Problem> {
        let mut params = CertificateParams::default();
        params.distinguished_name = DistinguishedName::new();
        params.distinguished_name.push(DnType::CommonName, identity.to_string());
        let request = params.serialize_request(&self.0).and_then(|request| request.pem());
        request.map_err(|_| Problem::new("KeyGenerationFailed", "no certificate request could be made"))
    }

    /// Take the certificate that was issued, if it is for this key and this identity and not about to expire. `authority` is
    /// the issuer's own certificate, if that is known: what it signs is good no longer than itself.
    pub fn accept(
        &self,
        chain: &[u8],
        authority: Option<&[u8]>,
        identity: &Identity,
        now: Timestamp,
    ) -> Result<Credentials, Problem> {
        let certificates = certificates(chain)?;
        let authority = authority
            .and_then(|pem| self::certificates(pem).ok())
            .unwrap_or_default();
        let parsed: Vec<_> = certificates.iter().map(parse).collect::<Result<_, _>>()?;
        let authorities = authority.iter().filter_map(|certificate| parse(certificate).ok());
        let [leaf, ..] = parsed.as_slice() else {
            return Err(wrong("is none"));
        };
        if leaf.public_key().raw != self.0.subject_public_key_info() {
            return Err(wrong("is for another key"));
        }
        let mut names = leaf.subject().iter_common_name().map(|name| name.as_str());
        if !matches!((names.next(), names.next()), (Some(Ok(name)), None) if *name == identity.to_string()) {
            return Err(wrong("is for another name"));
        }
        let usage = leaf.extended_key_usage().ok().flatten();
        if !usage.is_some_and(|usage| usage.value.client_auth) {
            return Err(wrong("is not for client authentication"));
        }
        let ends = parsed
            .iter()
            .map(ends)
            .chain(authorities.map(|authority| ends(&authority)));
        let expires = ends.min().unwrap_or(now);
        if expires.duration_since(now) < SHORTEST.try_into().unwrap_or_default() {
            return Err(wrong(&format!(
                "expires at {expires}, and it is {now} already: see the authority's own certificate and the clocks"
            )));
        }
        let chain = std::str::from_utf8(chain).map_err(|_| wrong("is not PEM"))?.to_owned();
        let key = SecretString::from(self.0.serialize_pem());
        Ok(Credentials {
            proof: Proof::Certificate { chain, key },
            expires,
        })
    }
}

fn certificates(pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, Problem> {
    if pem.len() > MAX_CHAIN {
        return Err(wrong("is too long"));
    }
    let certificates: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
    certificates.map_err(|_| wrong("is not PEM"))
}

fn parse<'a>(certificate: &'a CertificateDer<'_>) -> Result<X509Certificate<'a>, Problem> {
    match X509Certificate::from_der(certificate) {
        Ok(([], certificate)) => Ok(certificate),
        _ => Err(wrong("cannot be read")),
    }
}

/// When a certificate expires. RFC 5280's "never" is later than the last time that we know.
fn ends(certificate: &X509Certificate<'_>) -> Timestamp {
    Timestamp::from_second(certificate.validity().not_after.timestamp()).unwrap_or(Timestamp::MAX)
}

fn wrong(what: &str) -> Problem {
    Problem::not_ours(format!("the certificate that {} issued {what}", issuer()))
}

#[cfg(test)]
#[path = "tests/certificate.rs"]
mod tests;
