//! Certificates in base64 and PEM, as kubeconfigs and our kinds hold them.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::{PemObject, SectionKind};
use x509_parser::prelude::{FromDer, X509Certificate};

/// Most certificates that one field may hold.
const MAX_CERTIFICATES: usize = 16;

/// Base64 without its line breaks: `base64` writes some, and Kubernetes takes them.
pub(crate) fn one_line(data: &str) -> String {
    data.chars().filter(|c| !c.is_ascii_whitespace()).collect()
}

/// The certificates in a field. The error names the field and quotes nothing: who writes a private key there shall not find it
/// in an event.
pub(crate) fn certificates(field: &str, data: &str) -> Result<Vec<CertificateDer<'static>>, String> {
    let pem = STANDARD
        .decode(one_line(data))
        .map_err(|_| format!("{field} is not base64: write PEM certificates in base64, on one line"))?;
    let mut found = Vec::new();
    for section in <(SectionKind, Vec<u8>)>::pem_slice_iter(&pem) {
        let (kind, der) = section.map_err(|_| {
            format!("{field} is not PEM: write blocks -----BEGIN CERTIFICATE-----, all of it in base64")
        })?;
        match kind {
            SectionKind::Certificate => found.push(CertificateDer::from(der)),
            SectionKind::PrivateKey | SectionKind::RsaPrivateKey | SectionKind::EcPrivateKey => {
                return Err(format!(
                    "{field} holds a private key: write certificates alone, and count that key as known to others"
                ));
            }
            _ => {
                return Err(format!(
                    "{field} holds something else than certificates: write certificates alone"
                ));
            }
        }
    }
    match found.len() {
        0 => Err(format!(
            "{field} holds no certificate: write PEM certificates in base64"
        )),
        1..=MAX_CERTIFICATES => Ok(()),
        _ => Err(format!(
            "{field} holds more than {MAX_CERTIFICATES} certificates: write those that are needed"
        )),
    }?;
    for (number, der) in found.iter().enumerate() {
        if !matches!(X509Certificate::from_der(der), Ok((rest, _)) if rest.is_empty()) {
            return Err(format!(
                "certificate {} of {field} is none: write it as the authority gave it",
                number + 1
            ));
        }
    }
    Ok(found)
}

/// The same, and each is an authority's.
pub(crate) fn authorities(field: &str, data: &str) -> Result<Vec<CertificateDer<'static>>, String> {
    let found = certificates(field, data)?;
    for (number, der) in found.iter().enumerate() {
        if webpki::anchor_from_trusted_cert(der).is_err() {
            return Err(format!(
                "certificate {} of {field} cannot be used as an authority: write an X.509 certificate of \
                 version 3",
                number + 1
            ));
        }
        if !is_authority(der) {
            return Err(format!(
                "certificate {} of {field} is not an authority's (basicConstraints CA:TRUE): write that of the authority \
                 that signs client certificates",
                number + 1
            ));
        }
    }
    Ok(found)
}

/// The bits of a certificate's public key, without the algorithm before them: that can be written in several ways.
pub(crate) fn public_key(der: &CertificateDer<'_>) -> Option<Vec<u8>> {
    let (_, certificate) = X509Certificate::from_der(der).ok()?;
    Some(certificate.public_key().subject_public_key.data.to_vec())
}

fn is_authority(der: &[u8]) -> bool {
    X509Certificate::from_der(der).is_ok_and(|(_, certificate)| certificate.is_ca())
}
