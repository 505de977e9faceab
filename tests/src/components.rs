//! The arguments of a cluster's components.

use std::{
    fs,
    net::{IpAddr, Ipv4Addr},
    path::{Path, PathBuf},
};

use anyhow::Result;

use crate::{
    pki::{Authority, KeyPair},
    ports::free_port,
};

/// Requests a second that the controller manager and the schedulers of every cluster may send.
pub(crate) const QPS: u32 = 1000;
/// Requests that they may send at once.
pub(crate) const BURST: u32 = 2000;
/// Services' addresses. Where nodes are fake nothing routes them; they are only given out.
pub(crate) const SERVICE_CIDR: &str = "10.96.0.0/16";
/// The `kubernetes` Service's address, the first of [`SERVICE_CIDR`].
const KUBERNETES_SERVICE: &str = "10.96.0.1";

/// The address of the cluster's name server, where nodes are real.
pub(crate) const DNS_SERVICE: &str = "10.96.0.10";

/// The ports of one cluster.
pub(crate) struct Ports {
    pub etcd: u16,
    pub etcd_peer: u16,
    pub apiserver: u16,
    pub controller_manager: u16,
    pub kwok: u16,
}

impl Ports {
    pub fn new() -> Result<Self> {
        Ok(Self {
            etcd: free_port()?,
            etcd_peer: free_port()?,
            apiserver: free_port()?,
            controller_manager: free_port()?,
            kwok: free_port()?,
        })
    }

    /// The ports that everybody expects, where a cluster has a network of its own.
    pub fn usual() -> Self {
        Self {
            etcd: 2379,
            etcd_peer: 2380,
            apiserver: 6443,
            controller_manager: 10257,
            kwok: 10247,
        }
    }
}

/// A cluster's certificate files, in one folder.
pub(crate) struct Certificates {
    dir: PathBuf,
    /// Signs servers', clients' and the CSR API's certificates.
    pub authority: Authority,
}

impl Certificates {
    /// `address` is where the API server is reached from outside.
    pub fn write(cluster: &str, address: IpAddr, dir: PathBuf) -> Result<Self> {
        fs::create_dir_all(&dir)?;
        let authority = Authority::new(&format!("{cluster}-ca"))?;
        let front_proxy = Authority::new(&format!("{cluster}-front-proxy-ca"))?;
        let address = address.to_string();
        let hosts = [
            &address,
            "127.0.0.1",
            "localhost",
            KUBERNETES_SERVICE,
            "kubernetes",
            "kubernetes.default",
            "kubernetes.default.svc",
            "kubernetes.default.svc.cluster.local",
        ];
        let kubelet_client = authority.client("kube-apiserver-kubelet-client", Some("system:masters"))?;
        // Not to sign certificates, but tokens: the API server reads the public key from the certificate.
        let service_accounts = Authority::new(&format!("{cluster}-service-accounts"))?;
        let pairs: [(&str, &KeyPair); 7] = [
            ("ca", authority.pair()),
            ("apiserver", &authority.server("kube-apiserver", &hosts)?),
            ("kwok", &authority.server("kwok", &["127.0.0.1", "localhost"])?),
            ("kubelet-client", &kubelet_client),
            ("service-accounts", service_accounts.pair()),
            ("front-proxy-ca", front_proxy.pair()),
            ("front-proxy-client", &front_proxy.client("front-proxy-client", None)?),
        ];
        for (name, pair) in pairs {
            pair.write(&dir, name)?;
        }
        Ok(Self { dir, authority })
    }

    fn path(&self, file: &str) -> String {
        self.dir.join(file).display().to_string()
    }
}

pub(crate) fn etcd(client_port: u16, peer_port: u16, data: &Path) -> Vec<String> {
    let client = format!("http://127.0.0.1:{client_port}");
    let peer = format!("http://127.0.0.1:{peer_port}");
    vec![
        "--name=testbed".into(),
        format!("--data-dir={}", data.display()),
        format!("--listen-client-urls={client}"),
        format!("--advertise-client-urls={client}"),
        format!("--listen-peer-urls={peer}"),
        format!("--initial-advertise-peer-urls={peer}"),
        format!("--initial-cluster=testbed={peer}"),
        "--unsafe-no-fsync".into(),
        "--log-level=warn".into(),
    ]
}

/// NOTE: no `--enable-aggregator-routing`. Without it a webhook's Service of type ExternalName resolves to that name and the
/// port in the webhook configuration, and the certificate is still verified for `<service>.<namespace>.svc`
/// (k8s.io/apiserver, pkg/util/proxy, `ResolveCluster`): see [`Cluster::expose_local`](crate::Cluster::expose_local).
pub(crate) fn apiserver(ports: &Ports, certificates: &Certificates, issuer: &str) -> Vec<String> {
    let path = |file| certificates.path(file);
    vec![
        "--bind-address=127.0.0.1".into(),
        "--advertise-address=127.0.0.1".into(),
        format!("--secure-port={}", ports.apiserver),
        format!("--etcd-servers=http://127.0.0.1:{}", ports.etcd),
        // The kubernetes Service gets no endpoint: a loopback address is not a valid one.
        "--endpoint-reconciler-type=none".into(),
        format!("--service-cluster-ip-range={SERVICE_CIDR}"),
        "--authorization-mode=Node,RBAC".into(),
        "--enable-admission-plugins=NodeRestriction".into(),
        "--max-requests-inflight=2000".into(),
        "--max-mutating-requests-inflight=1000".into(),
        format!("--client-ca-file={}", path("ca.crt")),
        format!("--tls-cert-file={}", path("apiserver.crt")),
        format!("--tls-private-key-file={}", path("apiserver.key")),
        format!("--kubelet-client-certificate={}", path("kubelet-client.crt")),
        format!("--kubelet-client-key={}", path("kubelet-client.key")),
        "--kubelet-preferred-address-types=InternalIP,Hostname".into(),
        format!("--service-account-issuer={issuer}"),
        format!("--service-account-key-file={}", path("service-accounts.crt")),
        format!("--service-account-signing-key-file={}", path("service-accounts.key")),
        format!("--requestheader-client-ca-file={}", path("front-proxy-ca.crt")),
        "--requestheader-allowed-names=front-proxy-client".into(),
        "--requestheader-extra-headers-prefix=X-Remote-Extra-".into(),
        "--requestheader-group-headers=X-Remote-Group".into(),
        "--requestheader-username-headers=X-Remote-User".into(),
        format!("--proxy-client-cert-file={}", path("front-proxy-client.crt")),
        format!("--proxy-client-key-file={}", path("front-proxy-client.key")),
    ]
}

/// What changes where other machines reach the API server, and it reaches pods. For [`apiserver`]: of two the last wins.
pub(crate) fn reachable_apiserver(address: Ipv4Addr, certificates: &Certificates) -> Vec<String> {
    vec![
        "--bind-address=0.0.0.0".into(),
        format!("--advertise-address={address}"),
        "--endpoint-reconciler-type=lease".into(),
        "--enable-aggregator-routing=true".into(),
        "--allow-privileged=true".into(),
        format!("--kubelet-certificate-authority={}", certificates.path("ca.crt")),
    ]
}

pub(crate) fn controller_manager(ports: &Ports, certificates: &Certificates, kubeconfig: &Path) -> Vec<String> {
    let path = |file| certificates.path(file);
    let kubeconfig = kubeconfig.display();
    vec![
        "--bind-address=127.0.0.1".into(),
        format!("--secure-port={}", ports.controller_manager),
        format!("--kubeconfig={kubeconfig}"),
        format!("--authentication-kubeconfig={kubeconfig}"),
        format!("--authorization-kubeconfig={kubeconfig}"),
        "--leader-elect=false".into(),
        "--controllers=*".into(),
        "--use-service-account-credentials=true".into(),
        format!("--service-account-private-key-file={}", path("service-accounts.key")),
        format!("--root-ca-file={}", path("ca.crt")),
        format!("--cluster-signing-cert-file={}", path("ca.crt")),
        format!("--cluster-signing-key-file={}", path("ca.key")),
        format!("--kube-api-qps={QPS}"),
        format!("--kube-api-burst={BURST}"),
        "--node-monitor-period=2s".into(),
    ]
}

pub(crate) fn scheduler(port: u16, config: &Path, kubeconfig: &Path) -> Vec<String> {
    vec![
        "--bind-address=127.0.0.1".into(),
        format!("--secure-port={port}"),
        format!("--config={}", config.display()),
        format!("--authentication-kubeconfig={}", kubeconfig.display()),
        format!("--authorization-kubeconfig={}", kubeconfig.display()),
    ]
}

pub(crate) fn kwok(ports: &Ports, certificates: &Certificates, kubeconfig: &Path, config: &[PathBuf]) -> Vec<String> {
    let (annotation, value) = crate::nodes::KWOK_NODE;
    let mut args = vec![
        format!("--kubeconfig={}", kubeconfig.display()),
        format!("--manage-nodes-with-annotation-selector={annotation}={value}"),
        "--node-ip=127.0.0.1".into(),
        format!("--node-port={}", ports.kwok),
        format!("--server-address=127.0.0.1:{}", ports.kwok),
        format!("--tls-cert-file={}", certificates.path("kwok.crt")),
        format!("--tls-private-key-file={}", certificates.path("kwok.key")),
        "--cidr=10.244.0.0/16".into(),
        "--node-lease-duration-seconds=40".into(),
    ];
    args.extend(config.iter().map(|file| format!("--config={}", file.display())));
    args
}
