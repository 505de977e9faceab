//! From files to a TLS configuration.

use std::path::Path;
use std::sync::Arc;

use rustls::crypto::{CryptoProvider, ring};
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::ClientCertVerifier;
use rustls::{RootCertStore, ServerConfig};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use x509_parser::prelude::{FromDer, X509Certificate};

use crate::client_names::NamedClients;
use crate::judged::{ClientCertificates, JudgedLater, resume_nothing};
use crate::{CertError, ServingArgs};

/// The contents of the files. Compared to see whether anything changed; has no `Debug`, because it holds the key.
#[derive(PartialEq, Eq)]
pub(crate) struct Material {
    cert: Vec<u8>,
    key: Vec<u8>,
    client_ca: Option<Vec<u8>>,
}

/// A configuration and what is worth knowing about it.
pub(crate) struct Loaded {
    pub(crate) config: Arc<ServerConfig>,
    /// When the first certificate of the served chain to expire does so, in seconds since 1970.
    pub(crate) not_after: i64,
}

/// HTTP/2 as TLS clients ask for it (RFC 9113).
pub const HTTP2: &[u8] = b"h2";
const CERT_FLAG: &str = "--tls-cert-file";
const KEY_FLAG: &str = "--tls-private-key-file";
const CA_FLAG: &str = "--client-ca-file";
const WANTED_CERTS: &str = "one or more PEM blocks BEGIN CERTIFICATE";
const WANTED_KEY: &str = "one PEM block BEGIN PRIVATE KEY";

impl Material {
    /// Read the files that the flags name.
    pub(crate) fn read(args: &ServingArgs) -> Result<Self, CertError> {
        Ok(Self {
            cert: read(CERT_FLAG, &args.tls_cert_file)?,
            key: read(KEY_FLAG, &args.tls_private_key_file)?,
            client_ca: args
                .client_ca_file
                .as_deref()
                .map(|file| read(CA_FLAG, file))
                .transpose()?,
        })
    }

    /// What is in no file, PEM.
    pub(crate) fn of(certificate: &str, key: &str) -> Self {
        Self {
            cert: certificate.into(),
            key: key.into(),
            client_ca: None,
        }
    }

    /// A configuration from these contents. Each has ticket keys of its own: what was agreed under an old certificate
    /// or client CA cannot be resumed under a new one.
    pub(crate) fn load(&self, args: &ServingArgs, clients: ClientCertificates) -> Result<Loaded, CertError> {
        let provider = Arc::new(ring::default_provider());
        let chain = certificates(CERT_FLAG, &args.tls_cert_file, &self.cert)?;
        let not_after = not_after(&args.tls_cert_file, &chain)?;
        // The parser's own words might quote the file.
        let key = PrivateKeyDer::from_pem_slice(&self.key).map_err(|_| CertError::Contents {
            flag: KEY_FLAG,
            file: args.tls_private_key_file.clone(),
            reason: "no private key".into(),
            wanted: WANTED_KEY,
        })?;
        let verifier = match clients {
            ClientCertificates::Checked => self.client_verifier(args, provider.clone())?,
            ClientCertificates::Judged => Arc::new(JudgedLater::new(&provider)),
        };
        let mut config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .with_client_cert_verifier(verifier)
            .with_single_cert(chain, key)
            .map_err(|error| CertError::Pair {
                cert: args.tls_cert_file.clone(),
                key: args.tls_private_key_file.clone(),
                error,
            })?;
        config.alpn_protocols = vec![HTTP2.to_vec(), b"http/1.1".to_vec()];
        match clients {
            ClientCertificates::Checked => config.ticketer = ring::Ticketer::new()?,
            ClientCertificates::Judged => resume_nothing(&mut config),
        }
        Ok(Loaded {
            config: Arc::new(config),
            not_after,
        })
    }

    fn client_verifier(
        &self,
        args: &ServingArgs,
        provider: Arc<CryptoProvider>,
    ) -> Result<Arc<dyn ClientCertVerifier>, CertError> {
        let (Some(file), Some(pem)) = (&args.client_ca_file, &self.client_ca) else {
            return match args.allowed_client_names.is_empty() {
                true => Ok(WebPkiClientVerifier::no_client_auth()),
                false => Err(CertError::NamesWithoutClientCa),
            };
        };
        let invalid = |reason: String| CertError::Contents {
            flag: CA_FLAG,
            file: file.clone(),
            reason,
            wanted: WANTED_CERTS,
        };
        let mut roots = RootCertStore::empty();
        for certificate in certificates(CA_FLAG, file, pem)? {
            roots.add(certificate).map_err(|error| invalid(error.to_string()))?;
        }
        let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider)
            .build()
            .map_err(|error| invalid(error.to_string()))?;
        Ok(match args.allowed_client_names.as_slice() {
            [] => verifier,
            names => Arc::new(NamedClients::new(verifier, names.to_vec())),
        })
    }
}

fn read(flag: &'static str, file: &Path) -> Result<Vec<u8>, CertError> {
    std::fs::read(file).map_err(|error| CertError::Read {
        flag,
        file: file.to_owned(),
        error,
    })
}

fn certificates(flag: &'static str, file: &Path, pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, CertError> {
    let invalid = |reason: &str| CertError::Contents {
        flag,
        file: file.to_owned(),
        reason: reason.into(),
        wanted: WANTED_CERTS,
    };
    let chain: Vec<_> = CertificateDer::pem_slice_iter(pem)
        .collect::<Result<_, _>>()
        .map_err(|_| invalid("not PEM"))?;
    match chain.is_empty() {
        true => Err(invalid("no certificate")),
        false => Ok(chain),
    }
}

fn not_after(file: &Path, chain: &[CertificateDer<'_>]) -> Result<i64, CertError> {
    let expiries = chain.iter().map(|der| match X509Certificate::from_der(der) {
        Ok((_, certificate)) => Ok(certificate.validity().not_after.timestamp()),
        Err(error) => Err(CertError::Contents {
            flag: CERT_FLAG,
            file: file.to_owned(),
            reason: error.to_string(),
            wanted: WANTED_CERTS,
        }),
    });
    expiries.reduce(|a, b| Ok(a?.min(b?))).unwrap_or(Ok(0))
}
