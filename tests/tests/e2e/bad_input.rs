//! Input that cannot work, and callers that lie.

use std::sync::Arc;

use anyhow::{Result, ensure};
use multicluster_api::names;
use serde_json::{Value, json};
use testbed::https::{Connection, client_config};

use super::fixtures::{Template, namespace};
use super::harness::{Test, test};
use super::world::{World, node_of};

/// POST to the extender, with the scheduler's client certificate or without one. An error when there is no answer.
async fn post(world: &World, path: &str, body: &str, with_certificate: bool) -> Result<(u16, String)> {
    const SERVER: &str = "multicluster-extender.multicluster-scheduler.svc";
    let front = world.product.source.front()?;
    let config = client_config(&front.scheduler_tls, with_certificate)?;
    let mut connection = Connection::open(front.extender_port, SERVER, config).await?;
    let (status, answer) = connection.request(&format!("/{path}"), body.to_owned().into()).await?;
    Ok((status.as_u16(), String::from_utf8_lossy(&answer).into_owned()))
}

async fn bind_error(world: &World, args: Value) -> Result<String> {
    let (code, body) = post(world, "bind", &args.to_string(), true).await?;
    ensure!(code == 200, "{code} {body}");
    let result: Value = serde_json::from_str(&body)?;
    Ok(result["Error"].as_str().unwrap_or_default().to_owned())
}

async fn refused(world: &World, pod: &Value) -> String {
    world.apply(pod).await.unwrap_err().to_string()
}

pub fn tests() -> Vec<Test> {
    vec![
        test(
            "pods_that_cannot_work_are_refused_with_a_hint",
            async |world: Arc<World>| {
                let ns = namespace(&world, "refused").await?;
                for (pod, hint) in [
                    (
                        Template::elected().annotation(names::PROXY_POD_SCHEDULING_CONSTRAINTS, "nodeSelector: ["),
                        "write YAML",
                    ),
                    (
                        Template::elected().annotation(names::PROXY_POD_SCHEDULING_CONSTRAINTS, "nodeSelecter: {}"),
                        "unknown field",
                    ),
                    (
                        Template::elected().annotation(names::NO_PREFIX_LABEL_REGEXP, "("),
                        "regular expression",
                    ),
                    (
                        Template::elected().annotation(names::SOURCE_POD_MANIFEST, "spec: {}"),
                        names::SOURCE_POD_MANIFEST,
                    ),
                    (Template::elected().spec("nodeName", json!("admiralty-us")), "nodeName"),
                ] {
                    let message = refused(&world, &pod.pod(ns, "bad")).await;
                    ensure!(message.contains(hint) && message.contains("denied"), "{message}");
                }
                ensure!(world.pods(ns).await?.is_empty());
                Ok(())
            },
        ),
        test("the_saved_manifest_cannot_be_changed", async |world: Arc<World>| {
            let ns = namespace(&world, "saved").await?;
            world.apply(&Template::elected().pod(ns, "one")).await?;
            world.running(ns, 1).await?;
            let annotation = format!("{}={{}}", names::SOURCE_POD_MANIFEST);
            let result = world
                .source()
                .kubectl(&["annotate", "pod", "-n", ns, "one", &annotation, "--overwrite"])
                .await;
            ensure!(result.unwrap_err().to_string().contains("denied"));
            Ok(())
        }),
        test(
            "the_extender_answers_nobody_without_a_certificate",
            async |world: Arc<World>| {
                let refused = post(&world, "filter", "{}", false).await;
                ensure!(refused.is_err(), "answered {refused:?}");
                // With a certificate there is an answer.
                post(&world, "filter", "{}", true).await.map(drop)
            },
        ),
        test(
            "the_extender_refuses_what_is_no_call_of_a_scheduler",
            async |world: Arc<World>| {
                let large = format!("{{\"Pod\": \"{}\"}}", "x".repeat(64 << 20));
                for body in ["", "{", "[]", "null", "\"x\"", "{\"Pod\": 3}", "\u{0}", &large] {
                    for path in ["filter", "prioritize", "bind"] {
                        match post(&world, path, body, true).await {
                            Ok((code, answer)) => ensure!((400..500).contains(&code), "{path} {code}: {answer}"),
                            // It need not read on to say that this is too much.
                            Err(_) if body.len() > 1 << 20 => {}
                            Err(error) => return Err(error),
                        }
                    }
                }
                let (code, _) = post(&world, "filter/../../etc", "{}", true).await?;
                ensure!(code == 404, "{code}");
                Ok(())
            },
        ),
        test("the_extender_binds_only_what_it_should", async |world: Arc<World>| {
            let ns = namespace(&world, "lies").await?;
            let theirs = namespace(&world, "lies-elsewhere").await?;
            let other = world
                .product
                .connect("us", testbed::product::Scope::Namespace(theirs))
                .await?;
            let nowhere = Template::elected().request("cpu", "39");
            world.apply(&nowhere.pod(ns, "pending")).await?;
            let uid = kube::ResourceExt::uid(&world.pods(ns).await?[0]).unwrap();
            let bind = |name: &str, uid: &str, node: &str| json!({"PodName": name, "PodNamespace": ns, "PodUID": uid, "Node": node});
            for args in [
                bind("pending", "another-uid", "admiralty-us"),
                bind("nobody", &uid, "admiralty-us"),
                bind("pending", &uid, "admiralty-mars"),
                bind("pending", &uid, "own-0"),
                bind("pending", &uid, &other),
                bind("pending", &uid, ""),
                bind("../../secrets/x", &uid, "admiralty-us"),
                // It fits no node there.
                bind("pending", &uid, "admiralty-us"),
            ] {
                let error = bind_error(&world, args.clone()).await?;
                ensure!(!error.is_empty(), "{args} was bound");
            }
            ensure!(node_of(&world.pods(ns).await?[0]).is_empty());
            world.nothing_left(ns).await
        }),
    ]
}
