//! One cluster: a stock control plane and kwok, as processes.

use std::{
    collections::BTreeMap,
    ffi::OsString,
    fs,
    net::{IpAddr, Ipv4Addr},
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use anyhow::{Context, Result};
use futures::{StreamExt, TryStreamExt, stream};
use k8s_openapi::api::core::v1::{Node, ServiceAccount};
use kube::{
    Api,
    api::{ListParams, PostParams},
};
use parking_lot::Mutex;

use crate::{
    Authority, KeyPair, NodePool, Process, Scheduler, Testbed,
    components::{self, Certificates, Ports},
    kubeconfig::{self, Server},
    nodes,
    ports::free_port,
    scheduler, wait,
    wait::eventually,
    wire::Door,
};

/// How long a cluster may take to start, on a machine that is busy otherwise.
const START: Duration = Duration::from_secs(120);

/// Who issues tokens of ServiceAccounts, where nobody else has to reach it: what most clusters write.
const ISSUER: &str = "https://kubernetes.default.svc.cluster.local";
/// Anybody may ask for the issuer's keys, as clouds have it.
const DISCOVERY: &str = r#"
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRoleBinding
metadata: {name: anybody-may-ask-for-the-keys-of-tokens}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: "system:service-account-issuer-discovery"}
subjects: [{apiGroup: rbac.authorization.k8s.io, kind: Group, name: "system:unauthenticated"}]
"#;

/// What a cluster is made of.
#[derive(Clone, Debug)]
pub struct ClusterOptions {
    /// Names the cluster's folder, its kubeconfig contexts and its authority.
    pub name: String,
    /// Nodes to begin with; see also [`Cluster::add_nodes`].
    pub nodes: Vec<NodePool>,
    /// The kube-scheduler to begin with.
    pub scheduler: Scheduler,
    /// Custom resource definitions (files or folders). They are applied before the controller manager starts, so that its
    /// garbage collector knows them at once.
    pub crds: Vec<PathBuf>,
    /// Whether cert-manager runs.
    pub cert_manager: bool,
    /// Further documents of kwok's configuration (YAML): Stages, ClusterLogs, ClusterExecs and so on.
    pub kwok_config: Vec<String>,
    /// Whether tokens of its ServiceAccounts name the API server's own URL as their issuer, so that other clusters can ask
    /// there for its keys; and whether it tells them to anybody.
    pub open_issuer: bool,
    /// Further arguments of the API server; the last one of a name wins.
    pub apiserver_args: Vec<String>,
    /// Further arguments of the controller manager, e.g. `--node-monitor-grace-period=10s`.
    pub controller_manager_args: Vec<String>,
    /// Where its processes run, if not beside this program: in a network namespace, where nodes are real.
    pub(crate) place: Option<Place>,
}

/// A network namespace that a cluster has for itself.
#[derive(Clone, Debug)]
pub(crate) struct Place {
    /// The namespace's file.
    pub namespace: PathBuf,
    /// The address that clusters and this program reach it by.
    pub address: Ipv4Addr,
}

impl Place {
    /// What starts a program there. It becomes that program, so ids and signals are the program's.
    pub fn enter(&self) -> [OsString; 3] {
        let mut net = OsString::from("--net=");
        net.push(&self.namespace);
        ["nsenter".into(), net, "--".into()]
    }
}

impl ClusterOptions {
    /// A stock control plane with these nodes.
    pub fn new(name: &str, nodes: impl Into<Vec<NodePool>>) -> Self {
        Self {
            name: name.to_owned(),
            nodes: nodes.into(),
            scheduler: Scheduler::Default,
            crds: Vec::new(),
            cert_manager: false,
            kwok_config: Vec::new(),
            open_issuer: false,
            apiserver_args: Vec::new(),
            controller_manager_args: Vec::new(),
            place: None,
        }
    }
}

/// A process of a cluster.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Component {
    /// etcd.
    Etcd,
    /// kube-apiserver.
    ApiServer,
    /// kube-controller-manager.
    ControllerManager,
    /// The kube-scheduler that [`ClusterOptions::scheduler`] asks for.
    Scheduler,
    /// kwok.
    Kwok,
    /// cert-manager's controller.
    CertManager,
    /// cert-manager's cainjector.
    CaInjector,
}

impl Component {
    /// All of them. A cluster has those that its options ask for.
    pub const ALL: [Self; 7] = [
        Self::Etcd,
        Self::ApiServer,
        Self::ControllerManager,
        Self::Scheduler,
        Self::Kwok,
        Self::CertManager,
        Self::CaInjector,
    ];
}

/// A running cluster. Dropped, its processes are killed.
pub struct Cluster {
    name: String,
    dir: PathBuf,
    url: String,
    certificates: Certificates,
    ports: Ports,
    client: kube::Client,
    processes: Mutex<BTreeMap<Component, Arc<Process>>>,
    place: Option<Place>,
    // Last, so that the folder is removed after the processes have ended.
    testbed: Testbed,
}

impl Cluster {
    /// Starts a cluster; returns when it is ready for use: nodes are Ready and `default` has its service account.
    ///
    /// Start several at once with `tokio::try_join!` (the future is not `Send`).
    pub async fn start(testbed: &Testbed, options: ClusterOptions) -> Result<Self> {
        let name = options.name.clone();
        let dir = testbed.dir().join(&name);
        let started = Self::start_in(testbed, options, dir.clone()).await;
        started
            .inspect_err(|_| wait::keep_logs())
            .with_context(|| format!("cluster {name}, logs in {}", dir.display()))
    }

    async fn start_in(testbed: &Testbed, options: ClusterOptions, dir: PathBuf) -> Result<Self> {
        fs::create_dir_all(&dir)?;
        let (ports, address) = match &options.place {
            Some(place) => (Ports::usual(), place.address),
            None => (Ports::new()?, Ipv4Addr::LOCALHOST),
        };
        let certificates = Certificates::write(&options.name, IpAddr::V4(address), dir.join("pki"))?;
        let url = format!("https://{address}:{}", ports.apiserver);
        let admin = certificates
            .authority
            .client("kubernetes-admin", Some("system:masters"))?;
        let server = Server {
            cluster: &options.name,
            url: &url,
            ca: &certificates.authority.pair().certificate,
        };
        let client = kubeconfig::client(&server.with_certificate("kubernetes-admin", &admin)?).await?;
        let cluster = Self {
            name: options.name.clone(),
            dir,
            url,
            certificates,
            ports,
            client,
            processes: Mutex::default(),
            place: options.place.clone(),
            testbed: testbed.clone(),
        };
        cluster.start_api(&options).await?;
        cluster.start_controllers(&options)?;
        let nodes = async {
            for pool in &options.nodes {
                cluster.add_nodes(pool.clone()).await?;
            }
            Ok(())
        };
        let cert_manager = async {
            if options.cert_manager {
                cluster.install_cert_manager().await
            } else {
                Ok(())
            }
        };
        tokio::try_join!(nodes, cert_manager, cluster.default_service_account("default"))?;
        Ok(cluster)
    }

    /// etcd, the API server and the custom resource definitions.
    async fn start_api(&self, options: &ClusterOptions) -> Result<()> {
        self.write_kubeconfig("kubernetes-admin", Some("system:masters"))?;
        self.launch(
            Component::Etcd,
            "etcd",
            components::etcd(self.ports.etcd, self.ports.etcd_peer, &self.dir.join("etcd")),
        )?;
        let issuer = if options.open_issuer { &self.url } else { ISSUER };
        let mut args = components::apiserver(&self.ports, &self.certificates, issuer);
        if let Some(place) = &self.place {
            args.extend(components::reachable_apiserver(place.address, &self.certificates));
        }
        args.extend(options.apiserver_args.clone());
        self.launch(Component::ApiServer, "kube-apiserver", args)?;
        self.wait_ready(START).await?;
        if options.open_issuer {
            self.apply_yaml(DISCOVERY).await?;
        }
        self.apply_crds(&options.crds).await
    }

    fn start_controllers(&self, options: &ClusterOptions) -> Result<()> {
        let kubeconfig = self.write_kubeconfig("system:kube-controller-manager", None)?;
        let mut args = components::controller_manager(&self.ports, &self.certificates, &kubeconfig);
        args.extend(options.controller_manager_args.clone());
        self.launch(Component::ControllerManager, "kube-controller-manager", args)?;

        // Real nodes need none.
        if self.place.is_none() {
            self.start_kwok(options)?;
        }

        let kubeconfig = self.write_kubeconfig("system:kube-scheduler", None)?;
        if let Some(config) = options.scheduler.config(&kubeconfig)? {
            let args = self.scheduler_args("kube-scheduler", &config, &kubeconfig)?;
            self.launch(Component::Scheduler, "kube-scheduler", args)?;
        }
        Ok(())
    }

    fn start_kwok(&self, options: &ClusterOptions) -> Result<()> {
        let mut config = self.testbed.binaries().kwok_stages()?;
        for (index, document) in options.kwok_config.iter().enumerate() {
            let path = self.dir.join(format!("kwok-{index}.yaml"));
            fs::write(&path, document)?;
            config.push(path);
        }
        let kubeconfig = self.write_kubeconfig("kwok", Some("system:masters"))?;
        let args = components::kwok(&self.ports, &self.certificates, &kubeconfig, &config);
        self.launch(Component::Kwok, "kwok", args)
    }

    /// The cluster's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// A client with all rights, for the test itself.
    pub fn client(&self) -> kube::Client {
        self.client.clone()
    }

    /// A kubeconfig file with all rights.
    pub fn kubeconfig(&self) -> PathBuf {
        self.kubeconfig_path("kubernetes-admin")
    }

    /// The API server's URL.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// The API server, called with this certificate.
    pub fn door(&self, certificate: Option<&KeyPair>) -> Result<Door> {
        let authority = &self.certificates.authority.pair().certificate;
        Door::new(self.ports.apiserver, "127.0.0.1", authority, certificate)
    }

    /// The authority that signed the API server's certificate, and that it accepts client certificates from.
    pub fn authority(&self) -> &Authority {
        &self.certificates.authority
    }

    /// The folder with the cluster's logs, one file per process.
    pub fn log_dir(&self) -> &Path {
        &self.dir
    }

    /// A process of the cluster, for signals. An error if this cluster has none.
    pub fn component(&self, component: Component) -> Result<Arc<Process>> {
        let processes = self.processes.lock();
        processes
            .get(&component)
            .cloned()
            .with_context(|| format!("cluster {} has no {component:?}", self.name))
    }

    /// Starts one more stock kube-scheduler; the configuration is completed as in [`Scheduler::Config`].
    pub async fn start_scheduler(&self, name: &str, config: &str) -> Result<Process> {
        let kubeconfig = self.kubeconfig_path("system:kube-scheduler");
        self.start_scheduler_as(name, config, &kubeconfig).await
    }

    /// [`start_scheduler`](Self::start_scheduler), with the identity of this kubeconfig file.
    pub async fn start_scheduler_as(&self, name: &str, config: &str, kubeconfig: &Path) -> Result<Process> {
        let config = scheduler::complete(config, kubeconfig)?;
        let args = self.scheduler_args(name, &config, kubeconfig)?;
        self.spawn(name, "kube-scheduler", args)
    }

    fn scheduler_args(&self, name: &str, config: &str, kubeconfig: &Path) -> Result<Vec<String>> {
        let file = self.dir.join(format!("{name}.config.yaml"));
        fs::write(&file, config)?;
        Ok(components::scheduler(free_port()?, &file, kubeconfig))
    }

    /// Waits until the API server says that it is ready, e.g. after a restart.
    pub async fn wait_ready(&self, timeout: Duration) -> Result<()> {
        let (etcd, apiserver) = (self.component(Component::Etcd)?, self.component(Component::ApiServer)?);
        eventually("the API server to be ready", timeout, async || {
            etcd.check()?;
            apiserver.check()?;
            Ok(self.get("/readyz").await.is_ok().then_some(()))
        })
        .await
    }

    /// The API server's metrics, in Prometheus' text format.
    pub async fn metrics(&self) -> Result<String> {
        self.get("/metrics").await
    }

    /// GETs a path of the API server.
    pub async fn get(&self, path: &str) -> Result<String> {
        Ok(self
            .client
            .request_text(http::Request::get(path).body(Vec::new())?)
            .await?)
    }

    /// Adds fake nodes and waits until they are Ready.
    pub async fn add_nodes(&self, pool: NodePool) -> Result<()> {
        let nodes: Api<Node> = Api::all(self.client());
        let names: Vec<String> = stream::iter(pool.nodes())
            .map(async |node| anyhow::Ok(nodes.create(&PostParams::default(), &node).await?.metadata.name))
            .buffer_unordered(20)
            .try_filter_map(async |name| Ok(name))
            .try_collect()
            .await?;
        let (kwok, controllers) = (
            self.component(Component::Kwok)?,
            self.component(Component::ControllerManager)?,
        );
        eventually(
            &format!("{} nodes {} to be ready", pool.count, pool.prefix),
            START,
            async || {
                kwok.check()?;
                controllers.check()?;
                let list = nodes.list(&ListParams::default()).await?;
                let ready: Vec<_> = list.iter().filter(|node| nodes::is_ready(node)).collect();
                let all = names
                    .iter()
                    .all(|name| ready.iter().any(|node| node.metadata.name.as_ref() == Some(name)));
                Ok(all.then_some(()))
            },
        )
        .await
    }

    /// Waits until a namespace has its service account `default`, without which no pod can be made there.
    ///
    /// Not at once when the API server was away: the stock controllers' watches pause up to a minute then (client-go's
    /// reflector).
    pub async fn default_service_account(&self, namespace: &str) -> Result<()> {
        let accounts: Api<ServiceAccount> = Api::namespaced(self.client(), namespace);
        let what = format!("the default service account of {namespace} in cluster {}", self.name);
        eventually(&what, START, async || {
            Ok(accounts.get_opt("default").await?.map(|_| ()))
        })
        .await
    }

    /// Starts a component and keeps it.
    pub(crate) fn launch(&self, component: Component, program: &str, args: Vec<String>) -> Result<()> {
        let process = self.spawn(program, program, args)?;
        self.processes.lock().insert(component, Arc::new(process));
        Ok(())
    }

    fn spawn(&self, name: &str, program: &str, args: Vec<String>) -> Result<Process> {
        let log = self.dir.join(format!("{name}.log"));
        let program = self.testbed.binaries().find(program)?;
        let name = format!("{name} of cluster {}", self.name);
        let enter = self.place.iter().flat_map(Place::enter);
        Process::spawn_within(&name, enter, &program, args, [], log)
    }

    /// Writes a kubeconfig with a client certificate of its own.
    pub(crate) fn write_kubeconfig(&self, user: &str, group: Option<&str>) -> Result<PathBuf> {
        let pair = self.certificates.authority.client(user, group)?;
        let path = self.kubeconfig_path(user);
        fs::write(&path, self.server().with_certificate(user, &pair)?)?;
        Ok(path)
    }

    fn kubeconfig_path(&self, user: &str) -> PathBuf {
        self.dir.join(format!("{}.kubeconfig", user.replace(':', "-")))
    }

    pub(crate) fn server(&self) -> Server<'_> {
        Server {
            cluster: &self.name,
            url: &self.url,
            ca: &self.certificates.authority.pair().certificate,
        }
    }

    /// The run that this cluster belongs to.
    pub fn testbed(&self) -> &Testbed {
        &self.testbed
    }
}
