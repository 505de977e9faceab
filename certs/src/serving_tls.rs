//! The TLS configuration in use, and how it follows its files.

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use arc_swap::ArcSwap;
use rustls::ServerConfig;
use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;

use crate::material::{Loaded, Material};
use crate::{CertError, CertMetrics, ClientCertificates, ServingArgs};

/// How often files are looked at. A renewed Secret takes the kubelet up to a minute to mount; this adds little.
pub const RELOAD_INTERVAL: Duration = Duration::from_secs(5);

/// The configuration that new connections get. Clones share it.
#[derive(Clone)]
pub struct ServingTls {
    args: Arc<ServingArgs>,
    clients: ClientCertificates,
    config: Arc<ArcSwap<ServerConfig>>,
    metrics: CertMetrics,
}

impl ServingTls {
    /// Read the files that the flags name, and follow them until `shutdown`: new contents are used from the next
    /// handshake on, broken ones are logged, counted and not used. Must be called within a tokio runtime.
    pub fn start(args: &ServingArgs, interval: Duration, shutdown: CancellationToken) -> Result<Self, CertError> {
        Self::start_with(args, ClientCertificates::Checked, interval, shutdown)
    }

    /// As [`Self::start`], and says what is asked of client certificates.
    pub fn start_with(
        args: &ServingArgs,
        clients: ClientCertificates,
        interval: Duration,
        shutdown: CancellationToken,
    ) -> Result<Self, CertError> {
        let material = Material::read(args)?;
        let Loaded { config, not_after } = material.load(args, clients)?;
        let tls = Self {
            args: Arc::new(args.clone()),
            clients,
            config: Arc::new(ArcSwap::new(config)),
            metrics: CertMetrics::default(),
        };
        tls.metrics.expiry.set(not_after);
        let follower = tls.clone();
        tokio::spawn(async move { shutdown.run_until_cancelled(follower.follow(material, interval)).await });
        Ok(tls)
    }

    /// Serve this certificate and key, PEM, until others are [installed](Self::install). Client certificates are
    /// [judged](ClientCertificates::Judged) by who answers requests.
    pub fn in_memory(certificate: &str, key: &str) -> Result<Self, CertError> {
        // Errors name what there is instead of files.
        let args = ServingArgs {
            tls_cert_file: "(in memory)".into(),
            tls_private_key_file: "(in memory)".into(),
            ..ServingArgs::default()
        };
        let clients = ClientCertificates::Judged;
        let Loaded { config, not_after } = Material::of(certificate, key).load(&args, clients)?;
        let tls = Self {
            args: Arc::new(args),
            clients,
            config: Arc::new(ArcSwap::new(config)),
            metrics: CertMetrics::default(),
        };
        tls.metrics.expiry.set(not_after);
        Ok(tls)
    }

    /// Serve this certificate and key, PEM, from the next handshake on. Connections that are open stay.
    pub fn install(&self, certificate: &str, key: &str) -> Result<(), CertError> {
        let Loaded { config, not_after } = Material::of(certificate, key).load(&self.args, self.clients)?;
        self.config.store(config);
        self.metrics.expiry.set(not_after);
        self.metrics.reloads.inc();
        Ok(())
    }

    /// The configuration for a new connection.
    pub fn current(&self) -> Arc<ServerConfig> {
        self.config.load_full()
    }

    /// Metrics, to be registered.
    pub fn metrics(&self) -> &CertMetrics {
        &self.metrics
    }

    /// For a probe: has the served certificate not expired? Nobody who looks at it would go on afterwards.
    pub fn check_expiry(&self) -> Result<(), String> {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        match u64::try_from(self.not_after()).is_ok_and(|end| now.as_secs() < end) {
            true => Ok(()),
            false => Err("expired".into()),
        }
    }

    /// When the served certificate expires, in seconds since 1970.
    pub fn not_after(&self) -> i64 {
        self.metrics.expiry.get()
    }

    /// Contents are compared, because a Secret's mount swaps symbolic links, which file notifications miss.
    async fn follow(self, mut seen: Material, interval: Duration) {
        let mut ticks = tokio::time::interval(interval);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut unreadable = false;
        loop {
            ticks.tick().await;
            let args = self.args.clone();
            let Ok(read) = tokio::task::spawn_blocking(move || Material::read(&args)).await else {
                return; // the runtime is going away
            };
            match read {
                Ok(material) => {
                    unreadable = false;
                    if material != seen {
                        self.swap(&material);
                        // Also when it is broken: the log says so once, not every few seconds.
                        seen = material;
                    }
                }
                Err(error) if !unreadable => {
                    unreadable = true;
                    self.refuse(&error);
                }
                Err(_) => {}
            }
        }
    }

    fn swap(&self, material: &Material) {
        match material.load(&self.args, self.clients) {
            Ok(Loaded { config, not_after }) => {
                self.config.store(config);
                self.metrics.expiry.set(not_after);
                self.metrics.reloads.inc();
                tracing::info!(not_after, "new serving certificate in use");
            }
            Err(error) => self.refuse(&error),
        }
    }

    fn refuse(&self, error: &CertError) {
        self.metrics.reload_failures.inc();
        tracing::error!(%error, "changed certificate files are broken, the old ones stay in use");
    }
}

#[cfg(test)]
mod tests {
    use tokio::net::{TcpListener, TcpStream};
    use tokio_rustls::{TlsAcceptor, TlsConnector};

    use super::*;
    use crate::dev::DevCa;

    /// Is a certificate of this authority shown?
    async fn shows(tls: &ServingTls, ca: &DevCa) -> bool {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let (server, _) = listener.accept().await.unwrap();
        let accept = TlsAcceptor::from(tls.current()).accept(server);
        let connector = TlsConnector::from(ca.client_config(None).unwrap());
        let connect = connector.connect("localhost".try_into().unwrap(), client);
        let (connected, _) = tokio::join!(connect, accept);
        connected.is_ok()
    }

    #[tokio::test]
    async fn what_is_installed_is_shown_from_the_next_handshake_on() {
        let (old, new) = (DevCa::new().unwrap(), DevCa::new().unwrap());
        let [first, second] = [&old, &new].map(|ca| ca.server(&["localhost"]).unwrap());
        let tls = ServingTls::in_memory(&first.cert, &first.key).unwrap();
        assert!(shows(&tls, &old).await && !shows(&tls, &new).await);
        // What does not fit together changes nothing.
        assert!(tls.install(&second.cert, &first.key).is_err());
        assert!(shows(&tls, &old).await);
        tls.install(&second.cert, &second.key).unwrap();
        assert!(!shows(&tls, &old).await && shows(&tls, &new).await);
    }
}
