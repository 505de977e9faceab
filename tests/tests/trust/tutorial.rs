//! The tutorial's "Configuration" as it is written there, and its Deployments.

use anyhow::{Result, ensure};
use kube::Api;
use multicluster_api::Kubeconfig;
use serde_json::json;
use testbed::eventually;
use testbed::product::Proof;

use super::fixtures::Template;
use super::harness::{Test, test};
use super::world::{REGION, SOON, World};

/// The tutorial's namespace.
pub const DEFAULT: &str = "default";
/// The targets with proxies, and what they believe.
pub const TARGETS: [(&str, Proof); 2] = [("us", Proof::Certificate), ("eu", Proof::Token)];

impl World {
    /// Configure the source and both targets as the tutorial does, in its namespace. Returns the virtual nodes, which are Ready.
    pub async fn tutorial(&self) -> Result<Vec<String>> {
        let mut nodes = Vec::new();
        for (target, proof) in TARGETS {
            nodes.push(self.product.trust(target, DEFAULT, proof).await?);
        }
        let label = [
            "label",
            "namespace",
            "--overwrite",
            DEFAULT,
            "multicluster-scheduler=enabled",
        ];
        self.source().kubectl(&label).await?;
        Ok(nodes)
    }

    /// A Kubeconfig of the source.
    pub async fn kubeconfig_object(&self, namespace: &str, name: &str) -> Result<Kubeconfig> {
        Ok(Api::namespaced(self.source().client(), namespace).get(name).await?)
    }
}

/// A Deployment of the tutorial's, for one target.
pub fn regional(target: &str, name: &str) -> serde_json::Value {
    Template::elected()
        .annotation(multicluster_api::names::NO_RESERVATION, "")
        .annotation(multicluster_api::names::USE_CONSTRAINTS_FROM_SPEC, "")
        .spec("nodeSelector", json!({ REGION: target }))
        .deployment(DEFAULT, name, 4)
}

pub fn tests() -> Vec<Test> {
    vec![test("the_tutorials_configuration", async |world| {
        world.tutorial().await?;
        for (target, _) in TARGETS {
            world.apply(&regional(target, &format!("hello-world-{target}"))).await?;
        }
        for (target, proof) in TARGETS {
            eventually(&format!("4 delegates to run in {target}"), SOON, async || {
                let delegates = world.delegates(target, DEFAULT).await?;
                let running = delegates.iter().filter(|pod| super::world::is_running(pod)).count();
                ensure!(running == 4, "{}", super::world::describe(&delegates));
                Ok(Some(()))
            })
            .await?;
            let status = world
                .kubeconfig_object(DEFAULT, target)
                .await?
                .status
                .unwrap_or_default();
            ensure!(
                status.identity.as_deref() == Some("ns/default/id/default"),
                "{target}, {proof:?}: {status:?}"
            );
            ensure!(
                status.not_after.is_some() && status.renewal_time.is_some(),
                "{target}: {status:?}"
            );
            // The target's audit log names the source's identity, not the proxy's.
            let user = format!("{}ns/default/id/default", testbed::product::PREFIX);
            let created = world.audits[target].events("/namespaces/default/podchaperons")?;
            let created: Vec<_> = created.iter().filter(|event| event["verb"] == "create").collect();
            ensure!(!created.is_empty(), "no chaperon was made in {target}");
            for event in created {
                ensure!(event["impersonatedUser"]["username"] == user, "{event}");
                ensure!(
                    event["user"]["username"] == "system:serviceaccount:multicluster-scheduler:multicluster-authproxy",
                    "{event}"
                );
            }
        }
        for (target, _) in TARGETS {
            let name = format!("hello-world-{target}");
            world
                .source()
                .kubectl(&["delete", "deployment", "-n", DEFAULT, &name])
                .await?;
        }
        Ok(())
    })]
}
