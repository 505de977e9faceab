//! One pod, one trace: a stand-in collector sees spans of all components.

use std::collections::BTreeSet;
use std::sync::Arc;

use anyhow::{Context, Result, ensure};
use axum::extract::State;
use axum::{Json, Router, routing::post};
use kube::ResourceExt;
use multicluster_api::names;
use parking_lot::Mutex;
use serde_json::{Value, json};
use testbed::eventually;

use super::fixtures::{Template, namespace};
use super::harness::{Test, test};
use super::world::SOON;

/// Service, name and trace of each span.
type Seen = Arc<Mutex<Vec<(String, String, String)>>>;

static SEEN: Mutex<Option<Seen>> = Mutex::new(None);

/// Start a collector. Returns what makes the components send to it.
pub async fn collector() -> Result<Vec<(&'static str, String)>> {
    let seen = Seen::default();
    *SEEN.lock() = Some(seen.clone());
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
    let endpoint = format!("http://{}", listener.local_addr()?);
    let app = Router::new().route("/v1/traces", post(take)).with_state(seen);
    tokio::spawn(async move { axum::serve(listener, app).await });
    Ok(vec![("OTEL_EXPORTER_OTLP_ENDPOINT", endpoint)])
}

async fn take(State(seen): State<Seen>, Json(request): Json<Value>) -> Json<Value> {
    let array = |value: &Value| value.as_array().cloned().unwrap_or_default();
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    for resource in array(&request["resourceSpans"]) {
        let attributes = array(&resource["resource"]["attributes"]);
        let service = attributes.iter().find(|attribute| attribute["key"] == "service.name");
        let service = text(&service.unwrap_or(&Value::Null)["value"]["stringValue"]);
        for span in resource["scopeSpans"]
            .as_array()
            .into_iter()
            .flatten()
            .flat_map(|scope| array(&scope["spans"]))
        {
            seen.lock()
                .push((service.clone(), text(&span["name"]), text(&span["traceId"])));
        }
    }
    Json(json!({}))
}

pub fn tests() -> Vec<Test> {
    vec![test("a_pod_has_one_trace_through_all_components", async |world| {
        let ns = namespace(&world, "traced").await?;
        world.apply(&Template::elected().deployment(ns, "web", 1)).await?;
        let pods = world.running(ns, 1).await?;
        let traceparent = pods[0]
            .annotations()
            .get(names::TRACEPARENT)
            .context("no traceparent")?;
        let trace = traceparent.split('-').nth(1).context("no trace id")?.to_owned();
        let seen = SEEN.lock().clone().context("no collector")?;
        let wanted: BTreeSet<_> = [
            ("multicluster-webhook", "admit"),
            ("multicluster-extender", "filter"),
            ("multicluster-extender", "bind"),
            ("multicluster-extender", "create chaperon"),
            ("multicluster-agent", "create delegate"),
            ("multicluster-agent", "write chaperon status"),
            ("multicluster-agent", "write proxy pod status"),
        ]
        .map(|(service, name)| (service.to_owned(), name.to_owned()))
        .into();
        eventually("the spans of all components", SOON, async || {
            let seen = seen.lock();
            let ours = seen.iter().filter(|(_, _, id)| *id == trace);
            let ours: BTreeSet<_> = ours.map(|(service, name, _)| (service.clone(), name.clone())).collect();
            let missing: Vec<_> = wanted.difference(&ours).collect();
            ensure!(missing.is_empty(), "missing {missing:?}");
            Ok(Some(()))
        })
        .await?;
        let delegates = world.delegates("eu", ns).await?;
        ensure!(
            !delegates[0].annotations().contains_key(names::TRACEPARENT),
            "the delegate has it too"
        );
        Ok(())
    })]
}
