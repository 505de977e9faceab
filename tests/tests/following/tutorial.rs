//! The tutorial of multi-region services, as written (with the Ingress of networking.k8s.io/v1).

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Instant;

use anyhow::{Result, ensure};
use k8s_openapi::api::core::v1::Event;
use kube::{Api, ResourceExt};
use multicluster_api::names;
use serde_json::{Value, json};
use testbed::dns::Zone;
use testbed::load_balancers::{Front, NAMED};
use testbed::{Network, eventually};

use super::harness::alone;
use super::objects::{self, Ingress, Service, list};
use super::rule::{LAG, Rule};
use super::web::{annotated, in_region};
use super::world::{REGIONS, Test, World, node_of};

const APP: &str = "hello-world";

/// The two Deployments, the Service and the Ingress of the tutorial.
fn objects(ns: &str, host: &str) -> Vec<Value> {
    let mut all: Vec<_> = REGIONS.iter().map(|(_, region)| deployment(ns, region)).collect();
    let (port, selector) = (json!([{ "port": 80, "targetPort": 80 }]), json!({ "app": APP }));
    let spec = json!({ "ports": port, "selector": selector });
    all.push(Service.object(ns, APP, json!({ "spec": spec })));
    let backend = json!({ "service": { "name": APP, "port": { "number": 80 } } });
    let paths = json!([{ "path": "/*", "pathType": "ImplementationSpecific", "backend": backend }]);
    let annotations = json!({
        "kubernetes.io/ingress.class": NAMED,
        "alb.ingress.kubernetes.io/scheme": "internet-facing",
        "alb.ingress.kubernetes.io/target-type": "ip",
    });
    let spec = json!({ "rules": [{ "host": host, "http": { "paths": paths } }] });
    all.push(Ingress.object(
        ns,
        APP,
        json!({ "metadata": { "annotations": annotations }, "spec": spec }),
    ));
    all
}

fn deployment(ns: &str, region: &str) -> Value {
    let template = in_region(region).annotation(names::NO_RESERVATION, "");
    let mut object = template.deployment(ns, &format!("{APP}-{region}"), 4);
    let labels = json!({ "app": APP, "region": region });
    object["spec"]["selector"]["matchLabels"] = labels.clone();
    object["spec"]["template"]["metadata"]["labels"] = labels;
    let container = json!({
        "image": "adamgolab/hello-world", "name": APP, "ports": [{ "containerPort": 80 }],
        "env": [
            { "name": "PORT", "value": "80" },
            { "name": "WORLD", "valueFrom": { "fieldRef": { "fieldPath": "spec.nodeName" } } },
        ],
    });
    object["spec"]["template"]["spec"]["containers"] = json!([container]);
    object
}

impl World {
    /// Wait until a name leads to these targets, all of them and no others. Weights make answers differ, so several are
    /// taken together. How long it took.
    pub async fn leads_to(&self, host: &str, targets: &[&str]) -> Result<std::time::Duration> {
        let start = Instant::now();
        let wanted: BTreeSet<_> = targets.iter().copied().collect();
        eventually(&format!("{host} to lead to {targets:?}"), 3 * LAG, async || {
            let mut found = BTreeSet::new();
            for _ in 0..10 {
                for address in self.dns.resolver.addresses(host).await? {
                    let own = REGIONS.iter().find(|(target, _)| self.addresses(target).has(address));
                    found.insert(own.map_or("nobody's address", |(target, _)| target));
                }
            }
            ensure!(found == wanted, "it leads to {found:?}");
            Ok(Some(()))
        })
        .await?;
        self.dns.check()?;
        Ok(start.elapsed())
    }
}

/// The tutorial, for a name. `annotations` are those that its author did not write.
async fn tutorial(world: Arc<World>, ns: &'static str, host: String, annotations: &[(&str, &str)]) -> Result<()> {
    world.namespace(ns).await?;
    let rule = Rule::watch(&world, ns, &host);
    let mut all = objects(ns, &host);
    let ingress = all.pop().unwrap();
    all.push(annotated(ingress, annotations));
    world.apply(&list(&all)).await?;

    for pod in world.running(ns, 8).await? {
        let region = pod.labels()["region"].clone();
        let (target, _) = REGIONS.iter().find(|(_, own)| *own == region).unwrap();
        ensure!(node_of(&pod) == format!("admiralty-{target}"));
    }
    for (target, _) in REGIONS {
        let service = world.arrives(target, Service, ns, APP).await?;
        ensure!(
            service["spec"]["selector"] == json!({ "multicluster.admiralty.io/app": APP }),
            "{service:#}"
        );
        let ingress = world.arrives(target, Ingress, ns, APP).await?;
        ensure!(objects::annotation(&ingress, "alb.ingress.kubernetes.io/target-type") == Some("ip"));
    }
    world.leads_to(&host, &["us", "eu"]).await?;

    let scaled = format!("{APP}-us-west-2");
    world.scale(ns, &scaled, 0).await?;
    let took = world.leads_to(&host, &["eu"]).await?;
    ensure!(took < LAG, "a region without pods was named for {took:?}");
    world.scale(ns, &scaled, 4).await?;
    world.running(ns, 8).await?;
    let took = world.leads_to(&host, &["us", "eu"]).await?;
    ensure!(took < LAG, "a region with pods was not named for {took:?}");

    // Nobody's fault, and nobody tells the pods' controllers: the other region serves meanwhile.
    world.link("eu").set(Network::Dropping);
    rule.cut("eu");
    let took = world.leads_to(&host, &["us"]).await;
    world.link("eu").set(Network::Up);
    rule.healed("eu");
    let took = took?;
    ensure!(took < LAG, "a target that was cut off was named for {took:?}");
    world.leads_to(&host, &["us", "eu"]).await?;
    world.product.wait_node_ready("admiralty-eu").await?;
    rule.check()?;
    no_complaints(&world, ns).await
}

/// Nothing that the tutorial says made the product warn about its objects.
async fn no_complaints(world: &World, ns: &str) -> Result<()> {
    let events = Api::<Event>::namespaced(world.source().client(), ns);
    for event in events.list(&Default::default()).await? {
        let about = event.involved_object.kind.clone().unwrap_or_default();
        let warned = event.type_.as_deref() == Some("Warning") && ["Service", "Ingress"].contains(&about.as_str());
        ensure!(!warned, "{about}: {:?}", event.message);
    }
    Ok(())
}

pub fn tests() -> Vec<Test> {
    vec![
        alone("the_tutorial_serves_from_both_regions", async |world| {
            let host = Zone::Weighted.host(APP);
            tutorial(world, "tutorial", host, &[]).await
        }),
        alone(
            "the_tutorial_works_with_a_simple_dns_provider",
            async |world: Arc<World>| {
                let ns = "tutorial-simple";
                // Its class gives addresses: a name of one record cannot be an alias of two load balancers.
                let annotations = [(names::DNS_POLICY, "simple"), ("kubernetes.io/ingress.class", "nginx")];
                let host = Zone::Simple.host(APP);
                tutorial(world.clone(), ns, host.clone(), &annotations).await?;
                let (us, eu) = (
                    world.addresses("us").v4(Front::Ingress),
                    world.addresses("eu").v4(Front::Ingress),
                );
                ensure!(world.dns.resolver.addresses(&host).await? == [us, eu].into());
                Ok(())
            },
        ),
    ]
}
