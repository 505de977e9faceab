//! The clusters that all tests share.
//!
//! | context | cluster | what it has |
//! |---|---|---|
//! | management | source | no nodes |
//! | us | us | 2 nodes, and the authenticating proxy |
//! | eu | eu | 2 nodes |
//! | nowhere | none | an address where nobody listens |

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Deref;
use std::path::PathBuf;
use std::process::Stdio;

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use testbed::product::{Product, Role};
use testbed::{Cluster, ClusterOptions, NodePool, Testbed, eventually};
use tokio::process::Command;

use super::clusters;
pub use super::clusters::SOON;

/// What `connect` makes, and what controllers make for it.
const KINDS: &str = "targets.multicluster.admiralty.io,clustertargets,kubeconfigs,sources,clustersources,\
    trustedidentityproviders,secrets,serviceaccounts,rolebindings,clusterrolebindings,namespaces,nodes";

/// A test in this world.
pub type Test = super::harness::Test<World>;

/// The clusters that all tests share.
pub struct World {
    clusters: clusters::World,
    /// The kubeconfig with all contexts.
    pub kubeconfig: PathBuf,
}

/// How a command ended.
pub struct Ended {
    /// Exit code.
    pub code: i32,
    /// Standard output.
    pub out: String,
    /// Standard error.
    pub err: String,
}

impl Ended {
    /// The output as JSON, of a command that ended with this code.
    pub fn json(&self, code: i32) -> Result<Value> {
        self.expect(code)?;
        serde_json::from_str(&self.out).with_context(|| format!("no JSON: {}", self.out))
    }

    /// An error if it ended otherwise.
    pub fn expect(&self, code: i32) -> Result<&Self> {
        ensure!(
            self.code == code,
            "ended with {}, not {code}: {}{}",
            self.code,
            self.out,
            self.err
        );
        Ok(self)
    }

    /// An error if standard error does not say this.
    pub fn says(&self, text: &str) -> Result<&Self> {
        ensure!(self.err.contains(text), "no {text:?} in {}", self.err);
        Ok(self)
    }
}

impl World {
    /// Start the clusters. Nothing is connected yet.
    pub async fn start(testbed: Testbed) -> Result<Self> {
        let mut targets = vec![];
        for name in ["us", "eu"] {
            let pool = NodePool::new(name, 2).label("topology.kubernetes.io/region", name);
            let mut options = ClusterOptions::new(name, [pool]);
            options.cert_manager = name == "us";
            targets.push(options);
        }
        let mut product = Product::start(&testbed, ClusterOptions::new("source", []), Role::Source, targets).await?;
        let us = product.targets.get_mut("us").context("us")?;
        us.start_authproxy(1, None).await?;
        let kubeconfig = testbed.dir().join("all.kubeconfig");
        std::fs::write(&kubeconfig, merged(&product)?.to_string())?;
        let links = BTreeMap::new();
        Ok(Self {
            clusters: clusters::World { product, links },
            kubeconfig,
        })
    }

    /// Run the command to its end.
    pub async fn cli(&self, args: &[&str]) -> Result<Ended> {
        let output = self.command(args).output().await?;
        Ok(Ended {
            code: output.status.code().unwrap_or(-1),
            out: String::from_utf8(output.stdout)?,
            err: String::from_utf8(output.stderr)?,
        })
    }

    /// The command, not yet started.
    pub fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(self.product.source.programs().find("kubectl-multicluster"));
        command
            .args(args)
            .env("KUBECONFIG", &self.kubeconfig)
            .env_remove("NO_COLOR");
        command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true);
        command
    }

    /// `connect` from the source, for a namespace.
    pub async fn connect(&self, namespace: &str, target: &str, more: &[&str]) -> Result<Ended> {
        let args = [
            "connect",
            "--source",
            "management",
            "--target",
            target,
            "--namespace",
            namespace,
            "--timeout",
            "60s",
        ];
        self.cli(&[&args, more].concat()).await
    }

    /// A namespace in all clusters, which the webhook does not serve yet.
    pub async fn namespace(&self, name: &str) -> Result<()> {
        let yaml = format!("{{apiVersion: v1, kind: Namespace, metadata: {{name: {name}}}}}");
        for cluster in self.all() {
            cluster.apply_yaml(&yaml).await?;
        }
        Ok(())
    }

    fn all(&self) -> impl Iterator<Item = &Cluster> {
        self.product.seats().map(|seat| &seat.cluster)
    }

    /// The names of all that `connect` may have made.
    pub async fn objects(&self) -> Result<BTreeSet<String>> {
        let mut found = BTreeSet::new();
        for cluster in self.all() {
            let columns = "custom-columns=KIND:.kind,NAMESPACE:.metadata.namespace,NAME:.metadata.name";
            let lines = cluster
                .kubectl(&["get", KINDS, "-A", "--no-headers", "-o", columns])
                .await?;
            found.extend(lines.lines().map(|line| format!("{} {line}", cluster.name())));
        }
        Ok(found)
    }

    /// Wait until there is what there was.
    pub async fn nothing_new(&self, before: &BTreeSet<String>) -> Result<()> {
        eventually("nothing to be left behind", SOON, async || {
            let now = self.objects().await?;
            // A new namespace gets its own ServiceAccount; nothing of these tests' goes.
            let new: Vec<_> = now.difference(before).collect();
            let gone: Vec<_> = before.difference(&now).collect();
            ensure!(new.is_empty() && gone.is_empty(), "new: {new:?}; gone: {gone:?}");
            Ok(Some(()))
        })
        .await
    }
}

/// One kubeconfig with a context for each cluster, and one that leads nowhere.
fn merged(product: &Product) -> Result<Value> {
    let mut all = json!({
        "apiVersion": "v1", "kind": "Config", "current-context": "management",
        "clusters": [], "users": [], "contexts": [],
    });
    let mut add = |context: &str, cluster: Value, user: Value| {
        for (list, entry) in [
            ("clusters", json!({ "name": context, "cluster": cluster })),
            ("users", json!({ "name": context, "user": user })),
            (
                "contexts",
                json!({ "name": context, "context": { "cluster": context, "user": context } }),
            ),
        ] {
            if let Some(list) = all[list].as_array_mut() {
                list.push(entry);
            }
        }
    };
    for seat in product.seats() {
        let text = std::fs::read_to_string(seat.cluster.kubeconfig())?;
        let config: Value = serde_saphyr::from_str(&text)?;
        let context = match seat.cluster.name() {
            "source" => "management",
            name => name,
        };
        let (cluster, user) = (
            config["clusters"][0]["cluster"].clone(),
            config["users"][0]["user"].clone(),
        );
        if context == "eu" {
            let mut nowhere = cluster.clone();
            nowhere["server"] = json!("https://127.0.0.1:1");
            add("nowhere", nowhere, user.clone());
        }
        add(context, cluster, user);
    }
    Ok(all)
}

impl Deref for World {
    type Target = clusters::World;

    fn deref(&self) -> &Self::Target {
        &self.clusters
    }
}
