//! Objects that tests create.

use multicluster_api::names;
use serde_json::{Value, json};

use super::world::World;
use crate::product::Product;

/// Make a namespace of its own for a test.
pub async fn namespace(world: &World, name: &'static str) -> anyhow::Result<&'static str> {
    Product::namespace(&world.product, name).await?;
    Ok(name)
}

/// A pod template that asks to run in a target.
#[derive(Clone)]
pub struct Template(Value);

impl Template {
    /// Elected, with one small container.
    pub fn elected() -> Self {
        Self::ordinary().annotation(names::ELECT, "")
    }

    /// An ordinary pod.
    pub fn ordinary() -> Self {
        Self(json!({
            "metadata": { "labels": {}, "annotations": {} },
            "spec": {
                "containers": [{
                    "name": "main", "image": "none",
                    "resources": { "requests": { "cpu": "10m", "memory": "10Mi" } },
                }],
            },
        }))
    }

    /// Add an annotation.
    pub fn annotation(mut self, key: &str, value: &str) -> Self {
        self.0["metadata"]["annotations"][key] = json!(value);
        self
    }

    /// Add a label.
    pub fn label(mut self, key: &str, value: &str) -> Self {
        self.0["metadata"]["labels"][key] = json!(value);
        self
    }

    /// Request this of a resource. Extended resources need a limit, too.
    pub fn request(mut self, resource: &str, amount: &str) -> Self {
        let resources = &mut self.0["spec"]["containers"][0]["resources"];
        resources["requests"][resource] = json!(amount);
        if resource.contains('/') {
            resources["limits"][resource] = json!(amount);
        }
        self
    }

    /// Set a field of the spec.
    pub fn spec(mut self, field: &str, value: Value) -> Self {
        self.0["spec"][field] = value;
        self
    }

    /// The proxy pod may only go to virtual nodes with this label.
    pub fn on_virtual_nodes(self, key: &str, value: &str) -> Self {
        let yaml = format!("nodeSelector: {{\"{key}\": \"{value}\"}}");
        self.annotation(names::PROXY_POD_SCHEDULING_CONSTRAINTS, &yaml)
    }

    /// As many pods of `app` in each target as in the others.
    pub fn evenly_over_targets(self, app: &str) -> Self {
        let spread = json!({
            "topologyKey": names::CLUSTER, "maxSkew": 1, "whenUnsatisfiable": "DoNotSchedule",
            "labelSelector": {"matchLabels": {"app": app}},
        });
        let constraints = json!({"topologySpreadConstraints": [spread]});
        self.annotation(names::PROXY_POD_SCHEDULING_CONSTRAINTS, &constraints.to_string())
    }

    fn with_app(&self, app: &str) -> Value {
        self.clone().label("app", app).0
    }

    /// A bare pod.
    pub fn pod(&self, namespace: &str, name: &str) -> Value {
        let mut pod = self.with_app(name);
        pod["apiVersion"] = json!("v1");
        pod["kind"] = json!("Pod");
        pod["metadata"]["name"] = json!(name);
        pod["metadata"]["namespace"] = json!(namespace);
        pod
    }

    /// A Deployment.
    pub fn deployment(&self, namespace: &str, name: &str, replicas: usize) -> Value {
        json!({
            "apiVersion": "apps/v1", "kind": "Deployment",
            "metadata": { "name": name, "namespace": namespace },
            "spec": {
                "replicas": replicas,
                "selector": { "matchLabels": { "app": name } },
                "template": self.with_app(name),
            },
        })
    }

    /// A StatefulSet.
    pub fn stateful_set(&self, namespace: &str, name: &str, replicas: usize) -> Value {
        let mut set = self.deployment(namespace, name, replicas);
        set["kind"] = json!("StatefulSet");
        set["spec"]["serviceName"] = json!(name);
        set
    }

    /// A Job whose pods end by themselves.
    pub fn job(&self, namespace: &str, name: &str, completions: usize) -> Value {
        let template = self
            .clone()
            .annotation(crate::ENDS, "true")
            .spec("restartPolicy", json!("Never"));
        json!({
            "apiVersion": "batch/v1", "kind": "Job",
            "metadata": { "name": name, "namespace": namespace },
            "spec": { "completions": completions, "parallelism": completions, "template": template.with_app(name) },
        })
    }
}
