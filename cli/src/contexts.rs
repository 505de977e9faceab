//! The kubeconfig, and clients for its contexts.

use std::path::Path;
use std::time::Duration;

use jiff::Timestamp;
use kube::config::{Cluster as ClusterEntry, KubeConfigOptions, Kubeconfig};
use kube::{Client, Config};

use crate::args::Global;
use crate::failure::{Failure, problem};

/// How long a connection may take.
const CONNECT: Duration = Duration::from_secs(5);
/// How long an answer may take.
const ANSWER: Duration = Duration::from_secs(15);

/// The kubeconfig of whoever typed the command.
pub struct Contexts {
    kubeconfig: Kubeconfig,
}

/// A cluster, by way of a context.
#[derive(Clone)]
pub struct Cluster {
    /// The context's name.
    pub context: String,
    /// URL of the API server.
    pub server: String,
    /// The context's namespace.
    pub namespace: String,
    /// How the kubeconfig describes it.
    pub entry: ClusterEntry,
    /// A client with the credentials of the context.
    pub client: Client,
}

impl Contexts {
    /// Read what kubectl would.
    pub fn read(global: &Global) -> Result<Self, Failure> {
        let read = match &global.kubeconfig {
            Some(path) => Kubeconfig::read_from(path).map_err(|error| {
                format!(
                    "--kubeconfig {}: {error}; name a file that kubectl can read",
                    path.display()
                )
            }),
            None => Kubeconfig::read().map_err(|error| {
                format!("no kubeconfig: {error}; write --kubeconfig FILE, or set KUBECONFIG as for kubectl")
            }),
        };
        match read {
            Ok(kubeconfig) => Ok(Self { kubeconfig }),
            Err(text) => Err(Failure::Usage(text)),
        }
    }

    /// The names of all contexts.
    pub fn names(&self) -> Vec<&str> {
        self.kubeconfig
            .contexts
            .iter()
            .map(|named| named.name.as_str())
            .collect()
    }

    /// A client for a context; for the current one where none is named.
    pub async fn cluster(&self, name: Option<&str>) -> Result<Cluster, Failure> {
        let context = name.or(self
            .kubeconfig
            .current_context
            .as_deref()
            .filter(|name| !name.is_empty()));
        let context = context.ok_or_else(|| {
            Failure::Usage(format!(
                "the kubeconfig has no current context: name one of {}",
                self.list()
            ))
        })?;
        if !self.names().contains(&context) {
            return Err(Failure::Usage(format!(
                "the kubeconfig has no context {context:?}: write one of {}",
                self.list()
            )));
        }
        let options = KubeConfigOptions {
            context: Some(context.to_owned()),
            ..Default::default()
        };
        let config = Config::from_custom_kubeconfig(self.kubeconfig.clone(), &options).await;
        let mut config = config.map_err(|error| {
            problem(format!(
                "context {context} cannot be used: {error}; does kubectl --context {context} work?"
            ))
        })?;
        config.connect_timeout = Some(CONNECT);
        config.read_timeout = Some(ANSWER);
        let (server, namespace) = (
            config.cluster_url.to_string().trim_end_matches('/').to_owned(),
            config.default_namespace.clone(),
        );
        let client = Client::try_from(config).map_err(|error| {
            problem(format!(
                "context {context} cannot be used: {error}; does kubectl --context {context} work?"
            ))
        })?;
        Ok(Cluster {
            context: context.to_owned(),
            server,
            namespace,
            entry: self.entry(context).unwrap_or_default(),
            client,
        })
    }

    fn entry(&self, context: &str) -> Option<ClusterEntry> {
        let context = self
            .kubeconfig
            .contexts
            .iter()
            .find(|named| named.name == context)?
            .context
            .as_ref()?;
        let cluster = self
            .kubeconfig
            .clusters
            .iter()
            .find(|named| named.name == context.cluster)?;
        cluster.cluster.clone()
    }

    fn list(&self) -> String {
        match self.names() {
            names if names.is_empty() => "… there are none in it".into(),
            names => names.join(", "),
        }
    }
}

/// The authority in a kubeconfig's cluster, PEM in base64, wherever it is kept. `None` for those that browsers know.
pub fn authority(entry: &ClusterEntry) -> Result<Option<String>, Failure> {
    if let Some(data) = &entry.certificate_authority_data {
        return Ok(Some(data.clone()));
    }
    entry
        .certificate_authority
        .as_deref()
        .map(|path| base64_of(Path::new(path)))
        .transpose()
}

/// A file in base64.
pub fn base64_of(path: &Path) -> Result<String, Failure> {
    let pem = std::fs::read(path).map_err(|error| {
        Failure::Usage(format!(
            "{}: {error}; name a file with PEM certificates",
            path.display()
        ))
    })?;
    Ok(base64(pem))
}

/// Bytes as Kubernetes writes them in JSON.
pub fn base64(bytes: Vec<u8>) -> String {
    let value = serde_json::to_value(k8s_openapi::ByteString(bytes));
    value
        .ok()
        .and_then(|value| value.as_str().map(str::to_owned))
        .unwrap_or_default()
}

impl Cluster {
    /// What a failed request means.
    pub fn words(&self, error: &kube::Error) -> String {
        crate::words::words(self, error)
    }

    /// The same, as the end of a command.
    pub fn problem(&self, error: &kube::Error) -> Failure {
        problem(self.words(error))
    }

    /// How far the API server's clock is ahead of ours, in seconds; by the header `Date`, so to a second at best.
    pub async fn clock_ahead(&self) -> Option<i64> {
        let request = http::Request::get("/version").body(kube::client::Body::empty()).ok()?;
        let answer = self.client.send(request).await.ok()?;
        let now = Timestamp::now();
        let date = answer.headers().get(http::header::DATE)?.to_str().ok()?;
        let date = jiff::fmt::rfc2822::parse(date).ok()?.timestamp();
        Some(date.as_second() - now.as_second())
    }
}
