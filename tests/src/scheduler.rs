//! kube-scheduler's configuration.

use std::path::Path;

use anyhow::{Context, Result};
use serde_json::{Value, json};

use crate::components::{BURST, QPS};

/// Which kube-scheduler a cluster starts with.
#[derive(Clone, Debug, Default)]
pub enum Scheduler {
    /// The stock one, with its default configuration.
    #[default]
    Default,
    /// The stock one with this KubeSchedulerConfiguration (YAML); the kubeconfig, the client's rate limits and
    /// `leaderElect: false` are filled in.
    Config(String),
    /// None; see [`Cluster::start_scheduler`](crate::Cluster::start_scheduler).
    None,
}

impl Scheduler {
    /// The configuration file's content, or nothing if there is to be no scheduler.
    pub(crate) fn config(&self, kubeconfig: &Path) -> Result<Option<String>> {
        match self {
            Self::Default => complete("{}", kubeconfig).map(Some),
            Self::Config(yaml) => complete(yaml, kubeconfig).map(Some),
            Self::None => Ok(None),
        }
    }
}

/// Fills in what every scheduler of the testbed has in common; what the caller wrote stays.
pub(crate) fn complete(yaml: &str, kubeconfig: &Path) -> Result<String> {
    let mut config: Value = serde_saphyr::from_str(yaml).context("KubeSchedulerConfiguration")?;
    let common = json!({
        "apiVersion": "kubescheduler.config.k8s.io/v1",
        "kind": "KubeSchedulerConfiguration",
        // Every cluster's scheduler has the same limits, so that benchmarks compare like with like.
        "clientConnection": { "qps": QPS, "burst": BURST },
        "leaderElection": { "leaderElect": false },
    });
    fill_in(&mut config, common);
    config["clientConnection"]["kubeconfig"] = json!(kubeconfig);
    Ok(serde_json::to_string_pretty(&config)?)
}

fn fill_in(value: &mut Value, defaults: Value) {
    match (value, defaults) {
        (Value::Object(value), Value::Object(defaults)) => {
            for (key, default) in defaults {
                fill_in(value.entry(key).or_insert(Value::Null), default);
            }
        }
        (value @ Value::Null, default) => *value = default,
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keeps_what_the_caller_wrote() {
        let yaml = "leaderElection: {leaderElect: true}\nprofiles: [{schedulerName: mine}]\nclientConnection: {qps: 5}";
        let config: Value = serde_json::from_str(&complete(yaml, Path::new("/k")).unwrap()).unwrap();
        assert_eq!(config["leaderElection"]["leaderElect"], true);
        assert_eq!(config["profiles"][0]["schedulerName"], "mine");
        assert_eq!(
            config["clientConnection"],
            json!({ "qps": 5, "burst": BURST, "kubeconfig": "/k" })
        );
        assert_eq!(config["kind"], "KubeSchedulerConfiguration");
    }
}
