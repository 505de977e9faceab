//! An application as users write it: regional Deployments, a Service, an Ingress.

use std::collections::BTreeMap;

use anyhow::Result;
use multicluster_api::names;
use serde_json::{Value, json};

use super::fixtures::Template;
use super::objects::{self, Ingress, Service, list};
use super::world::{REGION, World};

/// A pod template for one region.
pub fn in_region(region: &str) -> Template {
    Template::elected()
        .annotation(names::USE_CONSTRAINTS_FROM_SPEC, "")
        .spec("nodeSelector", json!({ REGION: region }))
}

/// A pod template for one target.
pub fn only_in(target: &str) -> Template {
    Template::elected().on_virtual_nodes(names::CLUSTER_TARGET_NAME, target)
}

/// A Deployment in each target, called `web-TARGET`, with so many replicas; their pods have the label `app: APP`.
pub fn deployments(namespace: &str, app: &str, replicas: &[(&str, usize)]) -> Vec<Value> {
    let of = |(target, count): &(&str, usize)| {
        let mut object = only_in(target).deployment(namespace, &format!("{app}-{target}"), *count);
        let labels = json!({ "app": app, "target": target });
        object["spec"]["selector"]["matchLabels"] = labels.clone();
        object["spec"]["template"]["metadata"]["labels"] = labels;
        object
    };
    replicas.iter().map(of).collect()
}

/// A Service of the pods with the label `app: APP`, with more of a spec.
pub fn service(namespace: &str, app: &str, spec: Value) -> Value {
    let mut object = Service.object(
        namespace,
        app,
        json!({ "spec": { "selector": { "app": app }, "ports": [{ "port": 80 }] } }),
    );
    objects::merge(&mut object["spec"], spec);
    object
}

/// An Ingress of a class, that routes these hosts to the Service of the same name.
pub fn ingress(namespace: &str, app: &str, class: &str, hosts: &[&str]) -> Value {
    let backend = json!({ "service": { "name": app, "port": { "number": 80 } } });
    let rule = |host: &&str| {
        let paths = json!([{ "path": "/", "pathType": "Prefix", "backend": backend }]);
        json!({ "host": host, "http": { "paths": paths } })
    };
    let rules: Vec<_> = hosts.iter().map(rule).collect();
    Ingress.object(
        namespace,
        app,
        json!({ "spec": { "ingressClassName": class, "rules": rules } }),
    )
}

/// Sets annotations.
pub fn annotated(mut object: Value, annotations: &[(&str, &str)]) -> Value {
    let annotations: BTreeMap<_, _> = annotations.iter().copied().collect();
    objects::merge(&mut object, json!({ "metadata": { "annotations": annotations } }));
    object
}

impl World {
    /// Start an application: pods in the targets, a Service, and what else is given; wait until all pods run.
    pub async fn web(&self, ns: &str, app: &str, replicas: &[(&str, usize)], more: &[Value]) -> Result<()> {
        let mut all = deployments(ns, app, replicas);
        all.push(service(ns, app, json!({})));
        all.extend(more.iter().cloned());
        self.apply(&list(&all)).await?;
        let count = replicas.iter().map(|(_, count)| count).sum();
        self.running_of(ns, app, count).await.map(drop)
    }
}
