//! A certificate authority for tests and for trying things by hand. Its key never leaves the process.

use std::path::Path;
use std::sync::Arc;

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DistinguishedName, DnType, Error, ExtendedKeyUsagePurpose,
    IsCa, KeyPair, KeyUsagePurpose,
};
use rustls::crypto::ring;
use rustls::{ClientConfig, RootCertStore};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};

use crate::ServingArgs;

/// A certificate authority that lives as long as the process.
pub struct DevCa(CertifiedIssuer<'static, KeyPair>);

/// A certificate and its key, both PEM. Has no `Debug`, because it holds the key.
#[derive(Clone)]
pub struct CertKeyPem {
    /// The certificate.
    pub cert: String,
    /// Its private key.
    pub key: String,
}

impl DevCa {
    /// A new authority with a new key.
    pub fn new() -> Result<Self, Error> {
        let mut params = named("multicluster development CA", vec![])?;
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        Ok(Self(CertifiedIssuer::self_signed(params, KeyPair::generate()?)?))
    }

    /// The authority's certificate, PEM: what the other side must trust.
    pub fn pem(&self) -> String {
        self.0.pem()
    }

    /// A serving certificate for these DNS names and IP addresses.
    pub fn server(&self, names: &[&str]) -> Result<CertKeyPem, Error> {
        let sans = names.iter().map(|name| (*name).to_owned()).collect();
        let params = named(names.first().copied().unwrap_or("server"), sans)?;
        self.sign(params, ExtendedKeyUsagePurpose::ServerAuth)
    }

    /// A client certificate with this common name.
    pub fn client(&self, common_name: &str) -> Result<CertKeyPem, Error> {
        self.sign(named(common_name, vec![])?, ExtendedKeyUsagePurpose::ClientAuth)
    }

    /// What a client needs that trusts this authority, and shows a certificate if it is given one.
    pub fn client_config(&self, identity: Option<&CertKeyPem>) -> Result<Arc<ClientConfig>, rustls::Error> {
        let unreadable = |error| rustls::Error::General(format!("{error}"));
        let mut roots = RootCertStore::empty();
        roots.add(self.0.der().clone())?;
        let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()?
            .with_root_certificates(roots);
        Ok(Arc::new(match identity {
            None => config.with_no_client_auth(),
            Some(CertKeyPem { cert, key }) => config.with_client_auth_cert(
                vec![CertificateDer::from_pem_slice(cert.as_bytes()).map_err(unreadable)?],
                PrivateKeyDer::from_pem_slice(key.as_bytes()).map_err(unreadable)?,
            )?,
        }))
    }

    fn sign(&self, mut params: CertificateParams, usage: ExtendedKeyUsagePurpose) -> Result<CertKeyPem, Error> {
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![usage];
        params.use_authority_key_identifier_extension = true;
        let key = KeyPair::generate()?;
        Ok(CertKeyPem {
            cert: params.signed_by(&key, &self.0)?.pem(),
            key: key.serialize_pem(),
        })
    }
}

fn named(common_name: &str, sans: Vec<String>) -> Result<CertificateParams, Error> {
    let mut params = CertificateParams::new(sans)?;
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, common_name);
    Ok(params)
}

impl CertKeyPem {
    /// Write `tls.crt` and `tls.key` into `folder`, as a Secret's mount has them, and give the flags that name them.
    pub fn write_to(&self, folder: &Path) -> std::io::Result<ServingArgs> {
        let args = ServingArgs {
            tls_cert_file: folder.join("tls.crt"),
            tls_private_key_file: folder.join("tls.key"),
            ..ServingArgs::default()
        };
        std::fs::write(&args.tls_cert_file, &self.cert)?;
        std::fs::write(&args.tls_private_key_file, &self.key)?;
        Ok(args)
    }
}
