//! The programs that cannot run here: kind and docker. Each says whether it knows what it is asked for, and the tests have made
//! that before: clusters with real nodes, images in them.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use serde_json::{Map, Value, json};
use testbed::real::Cluster;

const KIND: &str = r#"#!/usr/bin/env bash
# Stands in for kind.
set -euo pipefail
here=$(dirname "$0")
known() { grep -qxF -- "$2" "$here/$1" || { echo "kind (stand-in): $2 is not in $1" >&2; exit 1; }; }
case "$*" in
  "create cluster --name "* | "delete cluster --name "*) known clusters "$4" ;;
  "load docker-image "*" --name "*) known images "$3"; known clusters "$5" ;;
  *) echo "kind (stand-in): cannot $*" >&2; exit 1 ;;
esac
"#;

const DOCKER: &str = r#"#!/usr/bin/env bash
# Stands in for docker.
set -euo pipefail
here=$(dirname "$0")
case "$1" in
  build)
    while [ "$1" != --tag ]; do shift; done
    grep -qxF -- "$2" "$here/images" || { echo "docker (stand-in): $2 was not built" >&2; exit 1; }
    ;;
  inspect) cat "$here/${!#}.address" ;;
  *) echo "docker (stand-in): cannot $*" >&2; exit 1 ;;
esac
"#;

/// A folder for `PATH`, and the kubeconfig that kind would have written.
pub struct StandIns {
    /// The folder.
    pub folder: PathBuf,
    /// With a context `kind-NAME` for each cluster.
    pub kubeconfig: PathBuf,
}

impl StandIns {
    /// For these clusters, all of which have these images. The other programs are this machine's.
    pub fn new(folder: PathBuf, clusters: &[&Cluster], images: &[&str], programs: &[PathBuf]) -> Result<Self> {
        fs::create_dir_all(&folder)?;
        for (name, text) in [("kind", KIND), ("docker", DOCKER)] {
            let path = folder.join(name);
            fs::write(&path, text)?;
            fs::set_permissions(&path, fs::Permissions::from_mode(0o755))?;
        }
        for program in programs {
            let name = program.file_name().context("no name")?;
            std::os::unix::fs::symlink(program, folder.join(name))?;
        }
        let names: Vec<&str> = clusters.iter().map(|cluster| cluster.name()).collect();
        fs::write(folder.join("clusters"), names.join("\n"))?;
        fs::write(folder.join("images"), images.join("\n"))?;
        for cluster in clusters {
            let file = folder.join(format!("{}-control-plane.address", cluster.name()));
            fs::write(file, cluster.address().to_string())?;
        }
        let kubeconfig = folder.join("kubeconfig");
        fs::write(&kubeconfig, kubeconfig_of(clusters)?)?;
        Ok(Self { folder, kubeconfig })
    }
}

fn kubeconfig_of(clusters: &[&Cluster]) -> Result<String> {
    let mut whole = Map::from_iter([
        ("apiVersion".to_owned(), json!("v1")),
        ("kind".to_owned(), json!("Config")),
    ]);
    let (mut servers, mut users, mut contexts) = (vec![], vec![], vec![]);
    for cluster in clusters {
        let name = format!("kind-{}", cluster.name());
        let one = read(&cluster.kubeconfig())?;
        let part = |list: &str, key: &str| one[list][0][key].clone();
        servers.push(json!({ "name": name, "cluster": part("clusters", "cluster") }));
        users.push(json!({ "name": name, "user": part("users", "user") }));
        contexts.push(json!({ "name": name, "context": { "cluster": name, "user": name } }));
        whole.insert("current-context".into(), json!(name));
    }
    whole.extend([
        ("clusters".to_owned(), json!(servers)),
        ("users".to_owned(), json!(users)),
        ("contexts".to_owned(), json!(contexts)),
    ]);
    Ok(serde_json::to_string_pretty(&whole)?)
}

/// The testbed's kubeconfigs are JSON.
fn read(path: &Path) -> Result<Value> {
    Ok(serde_json::from_str(&fs::read_to_string(path)?)?)
}
