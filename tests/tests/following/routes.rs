//! Ingresses and HTTPRoutes follow the Services that they route to, with the Secrets that they name.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use multicluster_api::names;
use serde_json::{Value, json};
use testbed::dns::Zone;
use testbed::load_balancers::Front;

use super::harness::{alone, test};
use super::objects::{ConfigMap, Gateway, HttpRoute, Ingress, Secret, Service, annotation, label, list, merge};
use super::web::{annotated, ingress, only_in, service};
use super::world::{Test, World};

/// A certificate that nobody checks: the API server wants only its entries.
fn tls(ns: &str, name: &str) -> Value {
    let data = json!({ "tls.crt": "", "tls.key": "" });
    Secret.object(ns, name, json!({ "type": "kubernetes.io/tls", "stringData": data }))
}

/// An HTTPRoute behind the Gateway `front`.
pub fn http_route(ns: &str, app: &str, hosts: &[&str]) -> Value {
    let rules = json!([{
        "matches": [{ "path": { "type": "PathPrefix", "value": "/" } }],
        "backendRefs": [{ "name": app, "port": 80 }],
    }]);
    let spec = json!({ "parentRefs": [{ "name": "front" }], "hostnames": hosts, "rules": rules });
    HttpRoute.object(ns, app, json!({ "spec": spec }))
}

/// The Gateway `front`; its class is of the testbed's load balancers.
pub fn gateway(ns: &str, class: &str) -> Value {
    let listeners = json!([{ "name": "http", "port": 80, "protocol": "HTTP" }]);
    Gateway.object(
        ns,
        "front",
        json!({ "spec": { "gatewayClassName": class, "listeners": listeners } }),
    )
}

async fn ingress_follows(world: &World) -> Result<()> {
    let ns = world.namespace("ingress").await?;
    let host = Zone::Weighted.host("ingress");
    let mut routed = annotated(ingress(ns, "web", "nginx", &[&host]), &[("example.com/rewrite", "/")]);
    routed["spec"]["tls"] = json!([{ "hosts": [host], "secretName": "certificate" }]);
    routed["metadata"]["labels"] = json!({ "team": "web" });
    let unrelated = ingress(ns, "unrelated", "nginx", &["unrelated.example"]);
    for object in [tls(ns, "certificate"), tls(ns, "unused"), unrelated] {
        world.apply(&object).await?;
    }
    world.web(ns, "web", &[("us", 1)], &[routed]).await?;
    let original = world.find("source", Ingress, ns, "web").await?.unwrap();
    let copy = world.arrives("us", Ingress, ns, "web").await?;
    ensure!(copy["spec"] == original["spec"], "{copy:#}");
    ensure!(label(&copy, "team") == Some("web") && annotation(&copy, "example.com/rewrite") == Some("/"));
    let secret = world.arrives("us", Secret, ns, "certificate").await?;
    ensure!(secret["type"] == "kubernetes.io/tls", "{secret:#}");
    for (kind, name) in [(Secret, "unused"), (Ingress, "unrelated")] {
        ensure!(world.find("us", kind, ns, name).await?.is_none(), "{name} has followed");
    }
    ensure!(
        world.find("eu", Ingress, ns, "web").await?.is_none(),
        "it is where no pod is"
    );
    // What the target's controller writes, and what its people add, survives an update.
    let address = json!([{ "ip": world.addresses("us").v4(Front::Ingress) }]);
    let served = |copy: &Value| copy["status"]["loadBalancer"]["ingress"] == address;
    world.becomes("us", Ingress, ns, "web", served).await?;
    let theirs = json!({ "metadata": { "annotations": { "theirs": "yes" }, "finalizers": ["example.com/theirs"] } });
    world.patch("us", Ingress, ns, "web", theirs).await?;
    let change = json!({ "metadata": { "annotations": { "example.com/rewrite": "/new" } } });
    world.patch("source", Ingress, ns, "web", change).await?;
    let changed = |copy: &Value| annotation(copy, "example.com/rewrite") == Some("/new");
    let copy = world.becomes("us", Ingress, ns, "web", changed).await?;
    ensure!(served(&copy) && annotation(&copy, "theirs") == Some("yes"), "{copy:#}");
    ensure!(
        copy["metadata"]["finalizers"] == json!(["example.com/theirs"]),
        "{copy:#}"
    );
    world
        .patch("us", Ingress, ns, "web", json!({ "metadata": { "finalizers": null } }))
        .await?;
    // It goes, and the Secret that only it needs with it.
    world.remove("source", Ingress, ns, "web").await?;
    world.leaves("us", Ingress, ns, "web").await?;
    world.leaves("us", Secret, ns, "certificate").await
}

/// An Ingress without a class gets the target's default one, which survives updates.
async fn default_class(world: &World) -> Result<()> {
    let ns = world.namespace("default-class").await?;
    let class = json!({
        "apiVersion": "networking.k8s.io/v1", "kind": "IngressClass",
        "metadata": { "name": "house", "annotations": { "ingressclass.kubernetes.io/is-default-class": "true" } },
        "spec": { "controller": "example.com/house" },
    });
    world.target("us").apply_yaml(&class.to_string()).await?;
    let mut routed = ingress(ns, "web", "", &["default.example"]);
    routed["spec"].as_object_mut().unwrap().remove("ingressClassName");
    world.web(ns, "web", &[("us", 1), ("eu", 1)], &[routed]).await?;
    let has_class = |copy: &Value| copy["spec"]["ingressClassName"] == "house";
    world.becomes("us", Ingress, ns, "web", has_class).await?;
    let copy = world.arrives("eu", Ingress, ns, "web").await?;
    ensure!(copy["spec"]["ingressClassName"].is_null(), "{copy:#}");
    let rules = json!({ "spec": { "rules": [{ "host": "changed.example" }] } });
    let mut changed = world.find("source", Ingress, ns, "web").await?.unwrap();
    merge(&mut changed, rules.clone());
    let backend = json!({ "spec": { "defaultBackend": { "service": { "name": "web", "port": { "number": 80 } } } } });
    world.patch("source", Ingress, ns, "web", backend).await?;
    let changed = |copy: &Value| copy["spec"]["defaultBackend"]["service"]["name"] == "web";
    let copy = world.becomes("us", Ingress, ns, "web", changed).await?;
    ensure!(has_class(&copy), "the target's default was taken away: {copy:#}");
    world
        .target("us")
        .kubectl(&["delete", "ingressclass", "house"])
        .await
        .map(drop)
}

async fn http_route_follows(world: &World) -> Result<()> {
    let ns = world.namespace("http-route").await?;
    let host = Zone::Weighted.host("http-route");
    let route = http_route(ns, "web", &[&host]);
    world.web(ns, "web", &[("us", 1), ("eu", 1)], &[route]).await?;
    let original = world.find("source", HttpRoute, ns, "web").await?.unwrap();
    for target in ["us", "eu"] {
        let copy = world.arrives(target, HttpRoute, ns, "web").await?;
        ensure!(copy["spec"] == original["spec"], "{copy:#}");
        ensure!(label(&copy, names::PARENT_CLUSTER_NAME) == Some("source"), "{copy:#}");
        // The Gateway is the target's own.
        ensure!(world.find(target, Gateway, ns, "front").await?.is_none());
    }
    world.scale(ns, "web-eu", 0).await?;
    testbed::eventually("the HTTPRoute to leave eu", 3 * super::world::SOON, async || {
        Ok(world.find("eu", HttpRoute, ns, "web").await?.is_none().then_some(()))
    })
    .await?;
    world.arrives("us", HttpRoute, ns, "web").await.map(drop)
}

/// One target knows no HTTPRoutes: all else goes on, and when it does know them, they come.
async fn no_definition(world: &World) -> Result<()> {
    let ns = world.namespace("no-definition").await?;
    let definition = "httproutes.gateway.networking.k8s.io";
    world.target("eu").kubectl(&["delete", "crd", definition]).await?;
    let route = http_route(ns, "web", &["definition.example"]);
    let file = super::files::config_map(ns, "settings", "one");
    world.apply(&file).await?;
    let checked = async {
        world.web(ns, "web", &[("us", 1), ("eu", 1)], &[route]).await?;
        let volumes = json!([{ "name": "files", "configMap": { "name": "settings" } }]);
        world
            .apply(&only_in("eu").spec("volumes", volumes).pod(ns, "more"))
            .await?;
        world.arrives("us", HttpRoute, ns, "web").await?;
        world.warned(ns, "HTTPRoute", "web", &["eu", definition]).await?;
        world.arrives("eu", Service, ns, "web").await?;
        world.arrives("eu", ConfigMap, ns, "settings").await
    };
    let checked = checked.await;
    let crds = world.product.testbed.binaries().with_dns().await?.gateway_crds()?;
    world.target("eu").apply_crds(&crds).await?;
    checked?;
    world.arrives("eu", HttpRoute, ns, "web").await.map(drop)
}

/// One Service of two is enough, and the last one that goes takes the Ingress along.
async fn several_services(world: &World) -> Result<()> {
    let ns = world.namespace("several-services").await?;
    let mut routed = ingress(ns, "web", "nginx", &["several.example"]);
    let other = json!({ "service": { "name": "other", "port": { "number": 80 } } });
    routed["spec"]["defaultBackend"] = other;
    let objects = [
        only_in("us").deployment(ns, "web", 1),
        only_in("eu").deployment(ns, "other", 1),
        service(ns, "web", json!({})),
        service(ns, "other", json!({})),
        routed,
    ];
    world.apply(&list(&objects)).await?;
    world.running(ns, 2).await?;
    for target in ["us", "eu"] {
        world.arrives(target, Ingress, ns, "web").await?;
    }
    ensure!(world.find("us", Service, ns, "other").await?.is_none());
    let backend = json!({ "spec": { "defaultBackend": null } });
    world.patch("source", Ingress, ns, "web", backend).await?;
    world.leaves("eu", Ingress, ns, "web").await?;
    world.arrives("us", Ingress, ns, "web").await.map(drop)
}

/// An object that a target's API server does not take.
async fn forbidden(world: &World) -> Result<()> {
    let ns = world.namespace("forbidden").await?;
    // Their administrator allows no class of this name.
    let policy = json!({
        "apiVersion": "admissionregistration.k8s.io/v1", "kind": "ValidatingAdmissionPolicy",
        "metadata": { "name": "no-such-class" },
        "spec": {
            "matchConstraints": { "resourceRules": [{
                "apiGroups": ["networking.k8s.io"], "apiVersions": ["v1"], "resources": ["ingresses"],
                "operations": ["CREATE", "UPDATE"],
            }] },
            "validations": [{
                "expression": "object.spec.?ingressClassName.orValue('') != 'forbidden'",
                "message": "this class is not for you",
            }],
        },
    });
    let binding = json!({
        "apiVersion": "admissionregistration.k8s.io/v1", "kind": "ValidatingAdmissionPolicyBinding",
        "metadata": { "name": "no-such-class" },
        "spec": { "policyName": "no-such-class", "validationActions": ["Deny"] },
    });
    world
        .target("us")
        .apply_yaml(&list(&[policy, binding]).to_string())
        .await?;
    // It counts a moment after it is there.
    let probe = ingress("default", "probe", "forbidden", &["probe.example"]).to_string();
    testbed::eventually("the policy to count", super::world::SOON, async || {
        let args = ["create", "--dry-run=server", "-f", "-"];
        let refused = world.target("us").kubectl_with_input(&args, &probe).await.is_err();
        Ok(refused.then_some(()))
    })
    .await?;
    let routed = ingress(ns, "web", "forbidden", &["forbidden.example"]);
    world.web(ns, "web", &[("us", 1), ("eu", 1)], &[routed]).await?;
    world
        .warned(ns, "Ingress", "web", &["us", "this class is not for you"])
        .await?;
    world.arrives("eu", Ingress, ns, "web").await?;
    world.arrives("us", Service, ns, "web").await?;
    let class = json!({ "spec": { "ingressClassName": "nginx" } });
    let start = Instant::now();
    world.patch("source", Ingress, ns, "web", class).await?;
    world.arrives("us", Ingress, ns, "web").await?;
    // A change is tried at once, whatever the backoff was.
    ensure!(
        start.elapsed() < Duration::from_secs(5),
        "it took {:?}",
        start.elapsed()
    );
    let args = [
        "delete",
        "validatingadmissionpolicy,validatingadmissionpolicybinding",
        "no-such-class",
    ];
    world.target("us").kubectl(&args).await.map(drop)
}

pub fn tests() -> Vec<Test> {
    vec![
        test("an_ingress_follows_with_its_certificate", async |world| {
            ingress_follows(&world).await
        }),
        // The class is all Ingresses' default while the test runs.
        alone("the_default_class_of_a_target_stays", async |world| {
            default_class(&world).await
        }),
        test("an_http_route_follows", async |world| http_route_follows(&world).await),
        alone("an_http_route_waits_for_its_definition", async |world| {
            no_definition(&world).await
        }),
        test("an_ingress_is_where_any_of_its_services_is", async |world| {
            several_services(&world).await
        }),
        test("an_ingress_that_a_target_refuses_is_told", async |world| {
            forbidden(&world).await
        }),
    ]
}
