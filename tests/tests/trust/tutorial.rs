//! The tutorial's "Configuration" as it is written there, and its Deployments.

use std::sync::Arc;

use anyhow::{Result, ensure};
use kube::Api;
use multicluster_api::{Kubeconfig, TargetRef};
use serde_json::{Value, json};
use testbed::eventually;
use testbed::product::Proof;

use super::fixtures::Template;
use super::harness::test;
use super::pages::objects;
use super::world::{REGION, SOON, Test, World};

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
    vec![
        test("the_tutorials_configuration", async |world| {
            for (target, proof) in TARGETS {
                as_documented(&world, target, proof).await?;
            }
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
                        event["user"]["username"]
                            == "system:serviceaccount:multicluster-scheduler:multicluster-authproxy",
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
        }),
        test("an_issuer_that_nobody_can_ask_for_its_keys", private_issuer),
    ]
}

/// The source's keys are carried over by hand, as for a private cluster.
async fn private_issuer(world: Arc<World>) -> Result<()> {
    let namespace = super::fixtures::namespace(&world, "private-issuer").await?;
    let mut connection = world.product.connection("eu", namespace, Proof::Token).await?;
    let (provider, source) = (
        &mut connection.target[0]["spec"],
        "spiffe://private/ns/private-issuer/id/default",
    );
    provider["prefix"] = json!("spiffe://private/");
    provider["oidc"]["audiences"] = json!(["multicluster.admiralty.io/private"]);
    provider["oidc"]["jwks"] = json!(world.source().get("/openid/v1/jwks").await?);
    provider["oidc"]
        .as_object_mut()
        .map(|oidc| oidc.remove("certificateAuthorityData"));
    connection.target[1]["spec"]["userName"] = json!(source);
    connection.source[0]["spec"]["token"]["audience"] = json!("multicluster.admiralty.io/private");
    connection.apply(world.source(), world.target("eu")).await?;
    let node: String = TargetRef::namespaced(namespace, "eu").virtual_node().into();
    world.product.wait_node_ready(&node).await?;
    let delete = [
        "delete",
        "targets.multicluster.admiralty.io",
        "eu",
        "--namespace",
        namespace,
    ];
    world.source().kubectl(&delete).await.map(drop)
}

/// What is written here is what docs/trust.md says, but for the addresses, and the name in the certificate.
async fn as_documented(world: &World, target: &str, proof: Proof) -> Result<()> {
    let mut connection = world.product.connection(target, DEFAULT, proof).await?;
    let cluster = &mut connection.source[0]["spec"]["cluster"];
    ensure!(cluster["tlsServerName"].is_string());
    cluster.as_object_mut().map(|cluster| cluster.remove("tlsServerName"));
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let (server, authority) = (text(&cluster["server"]), text(&cluster["certificateAuthorityData"]));
    let address = server.trim_start_matches("https://");
    let words = [
        ("$PROXY_CA", authority.as_str()),
        ("LS0t...", &authority),
        ("$PROXY\n", &format!("{server}\n")),
        ("https://authproxy.eu.example.com\n", &format!("{server}\n")),
        ("authproxy.eu.example.com:443", address),
        ("https://oidc.example.com/id/management", world.source().url()),
        (
            "$SOURCE_CA",
            &text(&connection.target[0]["spec"]["certificateAuthorityData"]),
        ),
        ("name: eu\n", &format!("name: {target}\n")),
        ("secretName: eu\n", &format!("secretName: {target}\n")),
    ];
    let mut documented = objects("trust.md", &words)?;
    // The last two are the page's section on tokens.
    let with_tokens = documented.split_off(documented.len() - 2);
    if proof == Proof::Token {
        let account = with_tokens[0]["spec"]["token"].clone();
        ensure!(account == json!({ "serviceAccountName": "default" }), "{account}");
        connection.source[0]["spec"]["token"] = account;
        let oidc = &mut connection.target[0]["spec"]["oidc"];
        oidc.as_object_mut().map(|oidc| oidc.remove("certificateAuthorityData"));
        for object in with_tokens {
            documented.retain(|other| other["kind"] != object["kind"]);
            documented.push(object);
        }
    }
    for written in connection.target.iter().chain(&connection.source) {
        let page = documented.iter().find(|object| object["kind"] == written["kind"]);
        ensure!(page == Some(written), "written is {written}, the page says {page:?}");
    }
    Ok(())
}
