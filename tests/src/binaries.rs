//! The programs and their data files: from the build cache, or from a folder that the user names.

use std::{
    env, fmt, fs,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, bail};

use crate::build::{Data, GoModule};

/// The variable with a folder of ready programs; nothing is built then.
pub(crate) const BIN_DIR: &str = "TESTBED_BIN_DIR";

/// kwok's stages: what a fake kubelet does with its node and pods.
const KWOK_STAGES: &str = "kwok-stages";
/// cert-manager's custom resource definitions, as Helm templates.
const CERT_MANAGER_CRDS: &str = "cert-manager-crds";
/// external-dns's DNSEndpoint.
const DNS_ENDPOINT_CRDS: &str = "external-dns-crds";
/// The Gateway API's GatewayClass, Gateway and HTTPRoute.
const GATEWAY_CRDS: &str = "gateway-crds";
/// The Multi-Cluster Services API's ServiceExport and ServiceImport.
const MULTI_CLUSTER_SERVICES_CRDS: &str = "multi-cluster-services-crds";

/// What every cluster needs.
const CLUSTERS: [GoModule; 3] = [
    GoModule {
        name: "kubernetes",
        upstream: "k8s.io/kubernetes",
        version_packages: &["k8s.io/component-base/version", "k8s.io/client-go/pkg/version"],
        programs: &[
            ("server", "etcd"),
            ("kube-apiserver", "kube-apiserver"),
            ("kube-controller-manager", "kube-controller-manager"),
            ("kube-scheduler", "kube-scheduler"),
            ("kubectl", "kubectl"),
        ],
        data: &[],
        c_tags: None,
    },
    GoModule {
        name: "kwok",
        upstream: "sigs.k8s.io/kwok",
        version_packages: &[],
        programs: &[("kwok", "kwok")],
        data: &[
            kwok_stages("kustomize/stage/node/fast"),
            kwok_stages("kustomize/stage/node/heartbeat-with-lease"),
            kwok_stages("kustomize/stage/pod/fast"),
        ],
        c_tags: None,
    },
    GoModule {
        name: "cert-manager",
        upstream: "github.com/cert-manager/cert-manager",
        version_packages: &[],
        programs: &[
            ("cainjector", "cert-manager-cainjector"),
            ("controller", "cert-manager-controller"),
            ("webhook", "cert-manager-webhook"),
        ],
        data: &[Data {
            module: "github.com/cert-manager/cert-manager",
            folder: "deploy/crds",
            files: &[],
            name: CERT_MANAGER_CRDS,
        }],
        c_tags: None,
    },
];

/// What only tests of names and routes need: see [`Binaries::with_dns`].
const DNS: [GoModule; 3] = [
    COREDNS,
    GoModule {
        name: "external-dns",
        upstream: "sigs.k8s.io/external-dns",
        version_packages: &[],
        programs: &[("external-dns", "external-dns")],
        data: &[Data {
            module: "sigs.k8s.io/external-dns",
            folder: "config/crd/standard",
            files: &[],
            name: DNS_ENDPOINT_CRDS,
        }],
        c_tags: None,
    },
    GoModule {
        name: "definitions",
        upstream: "sigs.k8s.io/gateway-api",
        version_packages: &[],
        programs: &[],
        data: &[
            Data {
                module: "sigs.k8s.io/gateway-api",
                folder: "config/crd/standard",
                files: &["_gatewayclasses.yaml", "_gateways.yaml", "_httproutes.yaml"],
                name: GATEWAY_CRDS,
            },
            Data {
                module: "sigs.k8s.io/mcs-api",
                folder: "config/crd",
                files: &[],
                name: MULTI_CLUSTER_SERVICES_CRDS,
            },
        ],
        c_tags: None,
    },
];

/// Helm, to install the chart with: see [`Binaries::with_helm`].
const HELM: [GoModule; 1] = [GoModule {
    name: "helm",
    upstream: "helm.sh/helm/v4",
    version_packages: &[],
    programs: &[("helm", "helm")],
    data: &[],
    c_tags: None,
}];

/// The usual source of the metrics API: see [`Binaries::with_metrics_server`].
const METRICS_SERVER: [GoModule; 1] = [GoModule {
    name: "metrics-server",
    upstream: "sigs.k8s.io/metrics-server",
    version_packages: &[],
    programs: &[("metrics-server", "metrics-server")],
    data: &[],
    c_tags: None,
}];

/// What real nodes need, besides CoreDNS: see [`Binaries::with_nodes`].
const NODES: [GoModule; 4] = [
    GoModule {
        name: "kubelet",
        upstream: "k8s.io/kubernetes",
        version_packages: &["k8s.io/component-base/version", "k8s.io/client-go/pkg/version"],
        programs: &[("kubelet", "kubelet"), ("kube-proxy", "kube-proxy")],
        data: &[],
        c_tags: None,
    },
    GoModule {
        name: "containerd",
        upstream: "github.com/containerd/containerd/v2",
        version_packages: &[],
        programs: &[
            ("containerd", "containerd"),
            ("containerd-shim-runc-v2", "containerd-shim-runc-v2"),
            ("ctr", "ctr"),
        ],
        data: &[],
        c_tags: None,
    },
    GoModule {
        name: "runc",
        upstream: "github.com/opencontainers/runc",
        version_packages: &[],
        programs: &[("runc", "runc")],
        data: &[],
        c_tags: Some("seccomp"),
    },
    COREDNS,
];

const COREDNS: GoModule = GoModule {
    name: "coredns",
    upstream: "github.com/coredns/coredns",
    version_packages: &[],
    programs: &[("coredns", "coredns")],
    data: &[],
    c_tags: None,
};

const fn kwok_stages(folder: &'static str) -> Data {
    Data {
        module: "sigs.k8s.io/kwok",
        folder,
        files: &[],
        name: KWOK_STAGES,
    }
}

/// The folders with the programs.
#[derive(Clone, Debug)]
pub struct Binaries {
    folders: Vec<PathBuf>,
}

impl Binaries {
    /// Finds the programs that every cluster needs, after building those that are missing.
    ///
    /// They are cached in `${XDG_CACHE_HOME:-~/.cache}/multicluster-scheduler/testbed`. `TESTBED_BIN_DIR` names a folder
    /// with ready ones instead, under the names that `testbed build` gives them.
    pub async fn ensure() -> Result<Self> {
        Self { folders: Vec::new() }.with(&CLUSTERS).await
    }

    /// Besides, CoreDNS, external-dns, and definitions of custom resources. They take minutes to build, so nobody waits for
    /// them who does not use them.
    pub async fn with_dns(&self) -> Result<Self> {
        self.clone().with(&DNS).await
    }

    /// Besides, `helm`.
    pub async fn with_helm(&self) -> Result<Self> {
        self.clone().with(&HELM).await
    }

    /// `helm` alone, for who needs no cluster.
    pub async fn helm() -> Result<PathBuf> {
        Self { folders: Vec::new() }.with(&HELM).await?.find("helm")
    }

    /// Besides, `metrics-server`.
    pub async fn with_metrics_server(&self) -> Result<Self> {
        self.clone().with(&METRICS_SERVER).await
    }

    /// Besides, what runs containers: `kubelet`, `kube-proxy`, `containerd`, its shim and `ctr`, `runc`, `coredns`.
    ///
    /// `runc` needs a C compiler and libseccomp's headers.
    pub async fn with_nodes(&self) -> Result<Self> {
        self.clone().with(&NODES).await
    }

    async fn with(mut self, modules: &[GoModule]) -> Result<Self> {
        match env::var_os(BIN_DIR).filter(|value| !value.is_empty()) {
            Some(folder) => {
                self.folders =
                    vec![fs::canonicalize(&folder).with_context(|| format!("{BIN_DIR}={}", folder.display()))?];
            }
            None => {
                for module in modules {
                    self.folders.push(module.ensure().await?);
                }
            }
        }
        for (_, program) in modules.iter().flat_map(|module| module.programs) {
            self.find(program)?;
        }
        for data in modules.iter().flat_map(|module| module.data) {
            self.find(data.name)?;
        }
        Ok(self)
    }

    /// The path of a program: `etcd`, `kube-apiserver`, `kubectl`, `kwok`, `cert-manager-controller` and so on.
    pub fn find(&self, name: &str) -> Result<PathBuf> {
        match self
            .folders
            .iter()
            .map(|folder| folder.join(name))
            .find(|path| path.exists())
        {
            Some(path) => Ok(path),
            None => bail!("there is no {name} in {self} (the folder comes from {BIN_DIR} or the build cache)"),
        }
    }

    /// kwok's stage files.
    pub(crate) fn kwok_stages(&self) -> Result<Vec<PathBuf>> {
        yaml_files(&self.find(KWOK_STAGES)?)
    }

    /// cert-manager's custom resource definitions.
    pub(crate) fn cert_manager_crds(&self) -> Result<Vec<PathBuf>> {
        yaml_files(&self.find(CERT_MANAGER_CRDS)?)
    }

    /// The definition of external-dns's DNSEndpoint; needs [`with_dns`](Self::with_dns).
    pub fn dns_endpoint_crds(&self) -> Result<Vec<PathBuf>> {
        yaml_files(&self.find(DNS_ENDPOINT_CRDS)?)
    }

    /// The definitions of the Gateway API's GatewayClass, Gateway and HTTPRoute; needs [`with_dns`](Self::with_dns).
    pub fn gateway_crds(&self) -> Result<Vec<PathBuf>> {
        yaml_files(&self.find(GATEWAY_CRDS)?)
    }

    /// The definitions of ServiceExport and ServiceImport; needs [`with_dns`](Self::with_dns).
    pub fn multi_cluster_services_crds(&self) -> Result<Vec<PathBuf>> {
        yaml_files(&self.find(MULTI_CLUSTER_SERVICES_CRDS)?)
    }
}

impl fmt::Display for Binaries {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let folders: Vec<String> = self.folders.iter().map(|folder| folder.display().to_string()).collect();
        f.write_str(&folders.join(":"))
    }
}

fn yaml_files(folder: &Path) -> Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).with_context(|| folder.display().to_string())? {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "yaml") {
            files.push(path);
        }
    }
    files.sort();
    Ok(files)
}
