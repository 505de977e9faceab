//! The programs and their data files: from the build cache, or from a folder that the user names.

use std::{
    env, fmt, fs,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, bail};

use crate::build::GoModule;

/// The variable with a folder of ready programs; nothing is built then.
const BIN_DIR: &str = "TESTBED_BIN_DIR";

/// kwok's stages: what a fake kubelet does with its node and pods.
const KWOK_STAGES: &str = "kwok-stages";
/// cert-manager's custom resource definitions, as Helm templates.
const CERT_MANAGER_CRDS: &str = "cert-manager-crds";

const MODULES: [GoModule; 3] = [
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
    },
    GoModule {
        name: "kwok",
        upstream: "sigs.k8s.io/kwok",
        version_packages: &[],
        programs: &[("kwok", "kwok")],
        data: &[
            ("kustomize/stage/node/fast", KWOK_STAGES),
            ("kustomize/stage/node/heartbeat-with-lease", KWOK_STAGES),
            ("kustomize/stage/pod/fast", KWOK_STAGES),
        ],
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
        data: &[("deploy/crds", CERT_MANAGER_CRDS)],
    },
];

/// The folders with the programs.
#[derive(Clone, Debug)]
pub struct Binaries {
    folders: Vec<PathBuf>,
}

impl Binaries {
    /// Finds all programs, after building those that are missing.
    ///
    /// They are cached in `${XDG_CACHE_HOME:-~/.cache}/multicluster-scheduler/testbed`. `TESTBED_BIN_DIR` names a folder
    /// with ready ones instead, under the names that `testbed build` gives them.
    pub async fn ensure() -> Result<Self> {
        let folders = match env::var_os(BIN_DIR).filter(|value| !value.is_empty()) {
            Some(folder) => vec![fs::canonicalize(&folder).with_context(|| format!("{BIN_DIR}={}", folder.display()))?],
            None => {
                let mut folders = Vec::new();
                for module in &MODULES {
                    folders.push(module.ensure().await?);
                }
                folders
            }
        };
        let binaries = Self { folders };
        for (_, program) in MODULES.iter().flat_map(|module| module.programs) {
            binaries.find(program)?;
        }
        for (_, data) in MODULES.iter().flat_map(|module| module.data) {
            binaries.find(data)?;
        }
        Ok(binaries)
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
