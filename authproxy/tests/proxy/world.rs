//! A proxy, an API server behind it, and those who are trusted.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use clap::Parser;
use multicluster_api::trusted_identity_provider::OpenIdConnect;
use multicluster_api::{ClusterSource, Source, TrustedIdentityProvider, TrustedIdentityProviderSpec};
use multicluster_authproxy::args::Args;
use multicluster_authproxy::events::Events;
use multicluster_authproxy::flights::Flights;
use multicluster_authproxy::knowledge::{Change, Knowledge};
use multicluster_authproxy::metrics::Metrics;
use multicluster_authproxy::proxy::Proxy;
use multicluster_authproxy::run::{limits, parts};
use multicluster_certs::dev::{CertKeyPem, DevCa};
use multicluster_certs::{CertMetrics, ClientCertificates, ServingTls, serve};
use multicluster_runtime::health::Liveness;
use multicluster_trust::ProviderRef;
use multicluster_upstream::Upstream;
use prometheus_client::registry::Registry;
use tokio::net::TcpListener;
use tokio_util::sync::{CancellationToken, DropGuard};

use crate::server::ApiServer;

/// The identity that may call.
pub(crate) const IDENTITY: &str = "ns/default/id/default";
/// As which user.
pub(crate) const USER: &str = "spiffe://management/ns/default/id/default";
pub(crate) const AUDIENCE: &str = "multicluster.admiralty.io/target.example.com:443";
pub(crate) const ISSUER: &str = "https://issuer.example.com";

pub(crate) struct World {
    pub(crate) api: ApiServer,
    pub(crate) addr: SocketAddr,
    /// Signs the proxy's certificate.
    pub(crate) serving: DevCa,
    /// Signs clients' certificates, and is believed.
    pub(crate) ca: DevCa,
    pub(crate) knowledge: Arc<Knowledge>,
    pub(crate) flights: Flights,
    pub(crate) shutdown: CancellationToken,
    events: Arc<Written>,
    registry: Registry,
    silent: Arc<AtomicBool>,
    _end: DropGuard,
}

/// Events, as they would have been written.
#[derive(Default)]
struct Written(Mutex<Vec<(String, String)>>);

impl Events for Written {
    fn warn(&self, provider: &ProviderRef, reason: &'static str, _action: &'static str, note: String) {
        let about = format!("{reason} {}/{}", provider.namespace, provider.name);
        self.0.lock().unwrap().push((about, note));
    }
}

impl World {
    pub(crate) async fn new() -> Self {
        Self::with(&[]).await
    }

    /// With these flags besides.
    pub(crate) async fn with(flags: &[&str]) -> Self {
        let (serving, ca) = (DevCa::new().unwrap(), DevCa::new().unwrap());
        let folder = tempfile::tempdir().unwrap();
        let certificate = serving.server(&["localhost"]).unwrap();
        let files = certificate.write_to(folder.path()).unwrap();
        let cert = format!("--tls-cert-file={}", files.tls_cert_file.display());
        let key = format!("--tls-private-key-file={}", files.tls_private_key_file.display());
        let mut words = vec!["proxy", &cert, &key];
        words.extend(flags);
        let args = Args::parse_from(words);

        let (stop, shutdown) = (CancellationToken::new(), CancellationToken::new());
        let api = ApiServer::start().await;
        let config = kube::Config::new(format!("http://{}", api.addr).parse().unwrap());
        let (knowledge, events, metrics) = (
            Arc::new(Knowledge::new(args.stale_after)),
            Arc::<Written>::default(),
            Metrics::default(),
        );
        let (parts, revoker) = parts(
            &args,
            knowledge.clone(),
            Upstream::new(&config).unwrap(),
            events.clone(),
            metrics.clone(),
        );
        let flights = parts.flights.clone();
        let pulse = Liveness::default().pulse("revocation", Duration::from_secs(60));
        tokio::spawn(revoker.run(pulse, stop.clone()));
        let tls = ServingTls::start_with(
            &args.serving(),
            ClientCertificates::Judged,
            Duration::from_secs(5),
            stop.clone(),
        );
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let addr = listener.local_addr().unwrap();
        tokio::spawn(serve(
            listener,
            tls.unwrap(),
            Proxy::new(parts),
            limits(&args),
            shutdown.clone(),
        ));
        let mut registry = Registry::default();
        metrics.register(
            &mut registry,
            &CertMetrics::default(),
            knowledge.clone(),
            flights.clone(),
        );

        let world = Self {
            api,
            addr,
            serving,
            ca,
            knowledge,
            flights,
            shutdown,
            events,
            registry,
            silent: Arc::default(),
            _end: stop.drop_guard(),
        };
        world.trust(vec![world.provider()]).await;
        world.heartbeat();
        world
    }

    /// An authority for clients' certificates.
    pub(crate) fn authority() -> DevCa {
        DevCa::new().unwrap()
    }

    /// The provider that believes [`Self::ca`].
    pub(crate) fn provider(&self) -> TrustedIdentityProvider {
        provider(&self.ca)
    }

    /// One that believes tokens.
    pub(crate) fn issuer(&self, jwks: String) -> TrustedIdentityProvider {
        let mut provider = TrustedIdentityProvider::new(
            "tokens",
            TrustedIdentityProviderSpec {
                prefix: "tokens:".into(),
                oidc: Some(OpenIdConnect {
                    issuer: ISSUER.into(),
                    audiences: vec![AUDIENCE.into()],
                    jwks: Some(jwks),
                    ..Default::default()
                }),
                identities: vec![IDENTITY.into()],
                ..Default::default()
            },
        );
        provider.metadata.namespace = Some("default".into());
        provider.metadata.uid = Some("uid-tokens".into());
        provider
    }

    /// These are believed from now on. Returns when that is known.
    pub(crate) async fn trust(&self, providers: Vec<TrustedIdentityProvider>) {
        self.knowledge.heard(Change::Listed(providers));
        self.knowledge.heard(Change::<Source>::Quiet);
        self.knowledge.heard(Change::<ClusterSource>::Quiet);
        tokio::time::sleep(Duration::from_millis(20)).await;
    }

    /// The API server tells that nothing has changed, until [`Self::falls_silent`].
    fn heartbeat(&self) {
        let (knowledge, silent) = (self.knowledge.clone(), self.silent.clone());
        tokio::spawn(async move {
            while !silent.load(Ordering::SeqCst) {
                knowledge.heard(Change::<TrustedIdentityProvider>::Quiet);
                knowledge.heard(Change::<Source>::Quiet);
                knowledge.heard(Change::<ClusterSource>::Quiet);
                tokio::time::sleep(Duration::from_millis(200)).await;
            }
        });
    }

    pub(crate) fn falls_silent(&self) {
        self.silent.store(true, Ordering::SeqCst);
    }

    pub(crate) fn speaks_again(&self) {
        self.silent.store(false, Ordering::SeqCst);
        self.heartbeat();
    }

    /// The certificate of the identity that may call.
    pub(crate) fn identity(&self) -> CertKeyPem {
        self.ca.client(IDENTITY).unwrap()
    }

    /// Events: reason and object, and what they say.
    pub(crate) fn events(&self) -> Vec<(String, String)> {
        self.events.0.lock().unwrap().clone()
    }

    pub(crate) fn metrics(&self) -> String {
        let mut text = String::new();
        prometheus_client::encoding::text::encode(&mut text, &self.registry).unwrap();
        text
    }
}

/// A provider that believes this authority, and lets one identity in.
pub(crate) fn provider(ca: &DevCa) -> TrustedIdentityProvider {
    let mut provider = TrustedIdentityProvider::new(
        "management",
        TrustedIdentityProviderSpec {
            prefix: "spiffe://management/".into(),
            certificate_authority_data: Some(STANDARD.encode(ca.pem())),
            identities: vec![IDENTITY.into()],
            ..Default::default()
        },
    );
    provider.metadata.namespace = Some("default".into());
    provider.metadata.uid = Some("uid-management".into());
    provider
}

/// Returns when this holds; fails after five seconds.
pub(crate) async fn until(what: &str, holds: impl Fn() -> bool) {
    let deadline = tokio::time::Instant::now() + Duration::from_secs(5);
    while !holds() {
        assert!(tokio::time::Instant::now() < deadline, "{what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}
