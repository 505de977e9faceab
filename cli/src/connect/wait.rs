//! Waits until what was written works.

use std::time::Duration;

use k8s_openapi::api::core::v1::Node;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::Api;
use kube::api::DynamicObject;
use multicluster_api::TargetRef;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::journal::LOOK_AGAIN;
use super::objects::Object;
use crate::contexts::Cluster;
use crate::failure::{Failure, problem};
use crate::progress::Progress;

/// How patiently to wait.
pub struct Patience<'a> {
    /// For each step.
    pub timeout: Duration,
    /// Ctrl-C.
    pub stop: &'a CancellationToken,
    /// Where to say what is waited for.
    pub progress: &'a Progress,
}

impl Patience<'_> {
    /// Ask again and again until it is so. `Err` of an answer says what is seen instead.
    pub async fn until<T>(
        &self,
        what: &str,
        advice: &str,
        mut ask: impl AsyncFnMut() -> Result<Result<T, String>, kube::Error>,
        words: impl Fn(&kube::Error) -> String,
    ) -> Result<T, Failure> {
        let deadline = Instant::now() + self.timeout;
        loop {
            let seen = match ask().await {
                Ok(Ok(value)) => return Ok(value),
                Ok(Err(seen)) => seen,
                Err(error) => words(&error),
            };
            if self.stop.is_cancelled() {
                return Err(Failure::Interrupted);
            }
            if Instant::now() >= deadline {
                let seconds = self.timeout.as_secs();
                return Err(problem(format!(
                    "{what} was not ready within {seconds} s: {seen}. {advice}"
                )));
            }
            self.progress.wait(&format!("{what}: {seen}"));
            tokio::select! {
                () = self.stop.cancelled() => return Err(Failure::Interrupted),
                () = tokio::time::sleep(LOOK_AGAIN) => {}
            }
        }
    }

    /// Until the condition Ready of an object is True, of its present spec.
    pub async fn ready(&self, cluster: &Cluster, object: &Object, advice: &str) -> Result<(), Failure> {
        let api = object.kind.api(&cluster.client, object.namespace.as_deref());
        let what = format!("{} in {}", object.describe(), cluster.context);
        let ask = async || Ok(judge(api.get_opt(&object.name).await?.as_ref()));
        self.until(&what, advice, ask, |error| cluster.words(error)).await
    }

    /// Until a virtual node is Ready, and has room.
    pub async fn node(&self, cluster: &Cluster, target: &TargetRef) -> Result<Node, Failure> {
        let name = target.virtual_node();
        let nodes = Api::<Node>::all(cluster.client.clone());
        let what = format!("the virtual node {name}");
        let advice = format!("kubectl --context {} describe node {name} says more", cluster.context);
        let ask = async || Ok(judge_node(nodes.get_opt(name.as_str()).await?));
        self.until(&what, &advice, ask, |error| cluster.words(error)).await
    }
}

/// Is an object of ours Ready? Otherwise what it says.
pub fn judge(object: Option<&DynamicObject>) -> Result<(), String> {
    let Some(object) = object else {
        return Err("it is gone".into());
    };
    let conditions = object.data["status"]["conditions"].clone();
    let conditions: Vec<Condition> = serde_json::from_value(conditions).unwrap_or_default();
    let Some(ready) = conditions.into_iter().find(|condition| condition.type_ == "Ready") else {
        return Err("the agent has not looked at it yet".into());
    };
    let current = object.metadata.generation.unwrap_or_default();
    match ready.status.as_str() {
        _ if ready.observed_generation.is_some_and(|seen| seen < current) => {
            Err("the agent has not looked at its new spec yet".into())
        }
        "True" => Ok(()),
        _ => Err(format!("{}: {}", ready.reason, ready.message)),
    }
}

fn judge_node(node: Option<Node>) -> Result<Node, String> {
    let node = node.ok_or("not there yet")?;
    let status = node.status.clone().unwrap_or_default();
    let ready = status
        .conditions
        .unwrap_or_default()
        .into_iter()
        .find(|condition| condition.type_ == "Ready");
    match ready {
        Some(ready) if ready.status == "True" => {}
        Some(ready) => return Err(format!("not Ready: {}", ready.message.unwrap_or_default())),
        None => return Err("not Ready yet".into()),
    }
    let pods = status
        .allocatable
        .unwrap_or_default()
        .get("pods")
        .map(|quantity| quantity.0.clone());
    match pods.as_deref() {
        None | Some("0") => Err("Ready, but without any capacity: has the target nodes that are Ready?".into()),
        Some(_) => Ok(node),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn object(status: &str, seen: i64) -> DynamicObject {
        let condition = json!({
            "type": "Ready", "status": status, "reason": "Why", "message": "because", "observedGeneration": seen,
            "lastTransitionTime": "2026-01-01T00:00:00Z",
        });
        serde_json::from_value(json!({
            "apiVersion": "a/v1", "kind": "A", "metadata": { "name": "a", "generation": 2 },
            "status": { "conditions": [condition] },
        }))
        .unwrap()
    }

    #[test]
    fn ready_is_what_is_said_of_the_present_spec() {
        assert_eq!(judge(Some(&object("True", 2))), Ok(()));
        assert_eq!(judge(Some(&object("False", 2))), Err("Why: because".into()));
        assert!(judge(Some(&object("True", 1))).is_err());
        assert!(judge(None).is_err());
    }

    #[test]
    fn a_node_needs_room() {
        let node = |allocatable: Value| {
            let status = json!({ "conditions": [{ "type": "Ready", "status": "True" }], "allocatable": allocatable });
            judge_node(Some(
                serde_json::from_value(json!({ "metadata": {}, "status": status })).unwrap(),
            ))
        };
        assert!(node(json!({ "pods": "10" })).is_ok());
        assert!(node(json!({})).is_err() && node(json!({ "pods": "0" })).is_err() && judge_node(None).is_err());
    }
}
