//! The authority of the cluster's client certificates, as its API server publishes it.

use std::sync::Arc;

use arc_swap::ArcSwapOption;
use futures::StreamExt;
use k8s_openapi::api::core::v1::ConfigMap;
use kube::runtime::WatchStreamExt;
use kube::runtime::watcher::{DefaultBackoff, watch_object};
use kube::{Api, Client};
use rustls::RootCertStore;
use rustls::crypto::ring;
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::ClientCertVerifier;
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, UnixTime};

use crate::caller::Caller;

/// Where the API server says whom it believes.
const CONFIG_MAP: (&str, &str) = ("kube-system", "extension-apiserver-authentication");
const KEY: &str = "client-ca-file";

/// Whom certificates are believed of; nobody, before that is known. Clones share it.
#[derive(Clone, Default)]
pub struct ClientCa(Arc<ArcSwapOption<Trusted>>);

struct Trusted {
    pem: String,
    verifier: Arc<dyn ClientCertVerifier>,
}

impl ClientCa {
    /// Follow what the API server says, for ever. What was known stays while nothing can be heard.
    pub async fn follow(self, client: Client) {
        let config_maps = Api::<ConfigMap>::namespaced(client, CONFIG_MAP.0);
        let changes = watch_object(config_maps, CONFIG_MAP.1).backoff(DefaultBackoff::default());
        let mut changes = std::pin::pin!(changes);
        while let Some(change) = changes.next().await {
            match change {
                Ok(config_map) => {
                    let data = config_map.and_then(|config_map| config_map.data);
                    let pem = data.and_then(|mut data| data.remove(KEY)).unwrap_or_default();
                    self.learn(pem);
                }
                Err(error) => tracing::warn!(%error, "reading the authority of client certificates"),
            }
        }
    }

    /// Believe these authorities from now on.
    pub fn learn(&self, pem: String) {
        if self.0.load().as_ref().is_some_and(|known| known.pem == pem) {
            return;
        }
        match verifier(&pem) {
            Ok(verifier) => {
                tracing::info!(
                    known = verifier.is_some(),
                    "authority of client certificates of the kubelet API"
                );
                let trusted = verifier.map(|verifier| Arc::new(Trusted { pem, verifier }));
                self.0.store(trusted);
            }
            Err(error) => tracing::error!(error, "the authority of client certificates cannot be read"),
        }
    }

    /// Who has shown these certificates, if they are in order now.
    pub fn judge(&self, chain: &[CertificateDer<'_>]) -> Result<Caller, String> {
        let (leaf, intermediates) = chain.split_first().ok_or("no client certificate")?;
        let trusted = self.0.load_full();
        let trusted = trusted.ok_or("the authority of client certificates is not known yet")?;
        trusted
            .verifier
            .verify_client_cert(leaf, intermediates, UnixTime::now())
            .map_err(|error| format!("the client certificate is not accepted: {error}"))?;
        Caller::of_certificate(leaf).ok_or_else(|| "the client certificate names no user".into())
    }
}

fn verifier(pem: &str) -> Result<Option<Arc<dyn ClientCertVerifier>>, String> {
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(pem.as_bytes()) {
        let certificate = certificate.map_err(|_| "not PEM".to_owned())?;
        roots.add(certificate).map_err(|error| error.to_string())?;
    }
    if roots.is_empty() {
        return Ok(None);
    }
    let provider = Arc::new(ring::default_provider());
    let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider).build();
    verifier.map(Some).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests;
