//! One cluster with the product's components.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result};
use parking_lot::Mutex;

use super::authproxy::Authproxy;
use super::install::{self, Role};
use super::replicas::{Replica, Replicas};
use super::{NAMESPACE, Programs};
use crate::balancer::Balancer;
use crate::{Cluster, ClusterOptions, Process, Testbed, eventually, free_port};

/// How long a component may take to be ready, on a machine that is busy otherwise.
const READY: Duration = Duration::from_secs(60);
const AGENT: &str = "multicluster-agent";
const LOG_LEVEL: &str = "info,kube_client::client::builder=off,multicluster_agent=debug,multicluster_extender=debug";

/// One cluster with the product's components, as processes.
pub struct Seat {
    /// The agent.
    pub agent: Replicas,
    /// What only a source has.
    pub front: Option<Front>,
    /// What only a target has that believes others' identities: see [`Seat::start_authproxy`].
    pub authproxy: Option<Authproxy>,
    /// The cluster.
    pub cluster: Cluster,
    /// What it is to the product.
    pub role: Role,
    programs: Programs,
    dir: PathBuf,
    extra: Mutex<Vec<Process>>,
}

/// What only a source has.
pub struct Front {
    /// The second scheduler.
    pub scheduler: Process,
    /// The webhook.
    pub webhook: Replicas,
    /// The extender.
    pub extender: Replicas,
    /// The port that webhooks are called on: the webhook's, or that of the balancer before its replicas.
    pub webhook_port: u16,
    /// The same of the extender.
    pub extender_port: u16,
    /// Admin ports of webhook and extender, of the first replicas.
    pub admin_ports: (u16, u16),
    /// The scheduler's client certificate.
    pub scheduler_tls: PathBuf,
    /// The extender's and the webhook's serving certificates.
    pub serving_tls: (PathBuf, PathBuf),
    _balancers: Vec<Balancer>,
}

impl Seat {
    /// Start a cluster, install the product with so many replicas of each component, and wait until they are ready.
    pub async fn start(
        testbed: &Testbed,
        mut options: ClusterOptions,
        role: Role,
        programs: &Programs,
        replicas: usize,
    ) -> Result<Self> {
        options.crds.extend(install::crds());
        options.cert_manager |= role.is_source();
        let name = options.name.clone();
        let cluster = Cluster::start(testbed, options).await?;
        Self::install(cluster, role, programs, replicas)
            .await
            .with_context(|| format!("installing in cluster {name}"))
    }

    async fn install(cluster: Cluster, role: Role, programs: &Programs, replicas: usize) -> Result<Self> {
        let webhook_port = role.is_source().then(free_port).transpose()?;
        install::apply_overlay(&cluster, role.overlay(), webhook_port).await?;
        Self::sit_down(cluster, role, programs, replicas, webhook_port).await
    }

    /// Start the components in a cluster where the product is installed already. Webhooks are called on the port, which
    /// their configurations name.
    pub async fn sit_down(
        cluster: Cluster,
        role: Role,
        programs: &Programs,
        replicas: usize,
        webhook_port: Option<u16>,
    ) -> Result<Self> {
        let dir = cluster.log_dir().to_owned();
        let front = match webhook_port {
            Some(port) => Some(Self::start_front(&cluster, programs, port, replicas).await?),
            None => None,
        };
        let agent = Self::start_agent(&cluster, role, programs, replicas).await?;
        let seat = Self {
            agent,
            front,
            authproxy: None,
            role,
            programs: programs.clone(),
            dir,
            extra: Mutex::default(),
            cluster,
        };
        seat.wait_ready().await?;
        Ok(seat)
    }

    async fn start_agent(cluster: &Cluster, role: Role, programs: &Programs, replicas: usize) -> Result<Replicas> {
        let kubeconfig = identity(cluster, AGENT).await?;
        let mut env = vec![
            ("ROLES", role.roles().to_owned()),
            ("KUBECONFIG", kubeconfig.display().to_string()),
            ("CLUSTER_NAME", cluster.name().to_owned()),
        ];
        let mut ports = vec![0; replicas];
        if role.is_source() {
            // Each replica serves the virtual nodes' kubelet API on a port of its own.
            env.push(("POD_IP", "127.0.0.1".to_owned()));
            ports = (0..replicas).map(|_| free_port()).collect::<Result<_>>()?;
        }
        spawn_all(cluster, programs, AGENT, &env, &ports)
    }

    async fn start_front(cluster: &Cluster, programs: &Programs, webhook_port: u16, replicas: usize) -> Result<Front> {
        let dir = cluster.log_dir();
        let tls = |secret: &str| dir.join(secret);
        let secrets = [
            "multicluster-webhook-tls",
            "multicluster-extender-tls",
            "multicluster-scheduler-client-tls",
        ];
        for secret in secrets {
            cluster.secret_to_dir(NAMESPACE, secret, &tls(secret)).await?;
        }
        cluster
            .expose_local(NAMESPACE, "multicluster-webhook", webhook_port)
            .await?;
        let extender_port = free_port()?;
        let ports = |port: u16| match replicas {
            1 => Ok(vec![port]),
            _ => (0..replicas).map(|_| free_port()).collect::<Result<Vec<_>>>(),
        };
        let env = webhook_env(&tls(secrets[0]), replicas);
        let webhook = spawn_all(cluster, programs, "multicluster-webhook", &env, &ports(webhook_port)?)?;
        let kubeconfig = identity(cluster, "multicluster-extender").await?;
        let mut env = serving_env(&tls(secrets[1]), replicas);
        env.extend([
            ("KUBECONFIG", kubeconfig.display().to_string()),
            ("CLIENT_CA_FILE", tls(secrets[1]).join("ca.crt").display().to_string()),
            ("ALLOWED_CLIENT_NAMES", "multicluster-scheduler".to_owned()),
            ("CLUSTER_NAME", cluster.name().to_owned()),
        ]);
        let extender = spawn_all(cluster, programs, "multicluster-extender", &env, &ports(extender_port)?)?;
        let mut balancers = Vec::new();
        if replicas > 1 {
            for (port, component) in [(webhook_port, &webhook), (extender_port, &extender)] {
                balancers.push(Balancer::start(port, &component.endpoints()).await?);
            }
        }
        let kubeconfig = identity(cluster, "multicluster-kube-scheduler").await?;
        let config = install::scheduler_config(extender_port, &tls(secrets[2]))?;
        let scheduler = cluster
            .start_scheduler_as("multicluster-kube-scheduler", &config, &kubeconfig)
            .await?;
        install::wait_for_ca(cluster).await?;
        Ok(Front {
            admin_ports: (webhook.all()[0].admin_port, extender.all()[0].admin_port),
            scheduler,
            webhook,
            extender,
            webhook_port,
            extender_port,
            scheduler_tls: tls(secrets[2]),
            serving_tls: (tls(secrets[1]), tls(secrets[0])),
            _balancers: balancers,
        })
    }

    /// Wait until all components say that they are ready.
    pub async fn wait_ready(&self) -> Result<()> {
        self.agent.wait_ready().await?;
        if let Some(front) = &self.front {
            front.webhook.wait_ready().await?;
            front.extender.wait_ready().await?;
        }
        Ok(())
    }

    /// What only a source has.
    pub fn front(&self) -> Result<&Front> {
        self.front.as_ref().context("this cluster is no source")
    }

    /// Our programs.
    pub fn programs(&self) -> &Programs {
        &self.programs
    }

    /// The folder for files of this cluster.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// Metrics of the first agent.
    pub async fn agent_metrics(&self) -> Result<String> {
        admin_get(self.agent.all()[0].admin_port, "/metrics").await
    }

    /// Metrics of all components, by their names.
    pub async fn metrics(&self) -> Result<Vec<(&'static str, String)>> {
        let mut all = vec![("agent", self.agent_metrics().await?)];
        if let Some(front) = &self.front {
            all.push(("webhook", admin_get(front.admin_ports.0, "/metrics").await?));
            all.push(("extender", admin_get(front.admin_ports.1, "/metrics").await?));
        }
        if let Some(proxy) = &self.authproxy {
            all.push(("authproxy", proxy.metrics().await?));
        }
        Ok(all)
    }

    /// GET a path of the agent's admin port.
    pub async fn agent_admin(&self, path: &str) -> Result<String> {
        admin_get(self.agent.all()[0].admin_port, path).await
    }

    /// Keep a process for as long as this cluster.
    pub fn keep(&self, process: Process) {
        self.extra.lock().push(process);
    }
}

/// GET a path of an admin port.
pub async fn admin_get(port: u16, path: &str) -> Result<String> {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let mut stream = tokio::net::TcpStream::connect(("127.0.0.1", port)).await?;
    stream
        .write_all(format!("GET {path} HTTP/1.0\r\n\r\n").as_bytes())
        .await?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await?;
    let (head, body) = answer.split_once("\r\n\r\n").context("no HTTP answer")?;
    anyhow::ensure!(
        head.contains(" 200 "),
        "{path}: {} {body}",
        head.lines().next().unwrap_or_default()
    );
    Ok(body.to_owned())
}

pub(super) async fn wait_for_admin(process: &Process, port: u16) -> Result<()> {
    eventually(&format!("{} to be ready", process.name()), READY, async || {
        process.check()?;
        Ok(admin_get(port, "/readyz").await.ok())
    })
    .await
    .map(drop)
}

/// A kubeconfig file with the token of one of the product's ServiceAccounts.
pub(super) async fn identity(cluster: &Cluster, account: &str) -> Result<PathBuf> {
    let path = cluster.log_dir().join(format!("{account}.kubeconfig"));
    std::fs::write(&path, cluster.service_account_kubeconfig(NAMESPACE, account).await?)?;
    Ok(path)
}

/// With several replicas, one that stops is given the time in which the balancer notices.
pub(super) fn serving_env(tls: &Path, replicas: usize) -> Vec<(&'static str, String)> {
    let delay = if replicas > 1 { "1" } else { "0" };
    vec![
        ("TLS_CERT_FILE", tls.join("tls.crt").display().to_string()),
        ("TLS_PRIVATE_KEY_FILE", tls.join("tls.key").display().to_string()),
        ("SHUTDOWN_DELAY_SECONDS", delay.to_owned()),
    ]
}

fn webhook_env(tls: &Path, replicas: usize) -> Vec<(&'static str, String)> {
    let mut env = serving_env(tls, replicas);
    // As the Deployment has them.
    env.push(("MALLOC_ARENA_MAX", "1".to_owned()));
    env.push(("MALLOC_TRIM_THRESHOLD_", "65536".to_owned()));
    env
}

/// A replica for each port; 0 for programs that serve nothing.
pub(super) fn spawn_all(
    cluster: &Cluster,
    programs: &Programs,
    program: &str,
    env: &[(&'static str, String)],
    ports: &[u16],
) -> Result<Replicas> {
    let replicas = ports.iter().enumerate().map(|(number, port)| {
        let admin_port = free_port()?;
        let mut env = env.to_vec();
        env.push(("ADMIN_ADDR", format!("127.0.0.1:{admin_port}")));
        if *port > 0 {
            let flag = if program == AGENT {
                "KUBELET_BIND_ADDR"
            } else {
                "LISTEN_ADDR"
            };
            env.push((flag, format!("127.0.0.1:{port}")));
        }
        let name = match number {
            0 => program.to_owned(),
            _ => format!("{program}-{number}"),
        };
        Ok(Replica {
            process: spawn(cluster, programs, program, &name, env)?,
            port: *port,
            admin_port,
        })
    });
    Ok(Replicas(replicas.collect::<Result<_>>()?))
}

fn spawn(
    cluster: &Cluster,
    programs: &Programs,
    program: &str,
    name: &str,
    env: Vec<(&'static str, String)>,
) -> Result<Process> {
    let common = [("LOG_LEVEL", LOG_LEVEL.to_owned()), ("LOG_FORMAT", "plain".to_owned())];
    let env = common
        .into_iter()
        .chain(env)
        .chain(programs.env().iter().cloned())
        .map(|(key, value)| (key.to_owned(), value));
    let log = cluster.log_dir().join(format!("{name}.log"));
    let name = format!("{name} of cluster {}", cluster.name());
    Process::spawn(&name, &programs.find(program), [""; 0], env, log)
}
