//! The source's own Services that select proxy pods select their delegates instead.
//!
//! Proxy pods run nothing; delegates have the same labels under other keys. What the user wrote stays in an annotation.
//! The selector stays rewritten when the Service's pods are scaled to zero, and a selector that a user changes later is
//! rewritten again: `kubectl apply` adds its plain keys beside ours, an edit replaces them.

use futures::{StreamExt, TryStreamExt, stream};
use k8s_openapi::api::core::v1::Service;
use kube::api::{DynamicObject, ListParams, Patch, PatchParams};
use kube::{Api, Client, ResourceExt};
use multicluster_api::{names, selectors};
use serde_json::{Map, Value, json};

use super::facts::Labels;
use super::object::{Kind, ObjectKey};
use super::raw;
use crate::uninstall::plan;
use crate::{api_error, merge};

/// Writes under way at a time when all is put back.
const CONCURRENCY: usize = 16;
/// How often a Service is tried to be put back that somebody else is writing.
const ATTEMPTS: usize = 5;

/// A Service of the source, as far as its selector goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Routed {
    /// UID.
    pub uid: String,
    /// Version.
    pub resource_version: String,
    /// The selector that it has.
    pub selector: Labels,
    /// The selector as the user wrote it.
    pub original: Labels,
    /// Those of our annotations that it has.
    marks: Labels,
}

/// Our annotations on rewritten Services.
const MARKS: [&str; 3] = [names::ORIGINAL_SELECTOR, names::GLOBAL, names::CILIUM_GLOBAL];

impl Routed {
    /// Of a Service; `None` when it selects no pods.
    pub fn of(service: &Value) -> Option<Self> {
        let (metadata, spec) = (&service["metadata"], &service["spec"]);
        let selector = labels(&spec["selector"]);
        if selector.is_empty() || spec["type"] == "ExternalName" {
            return None;
        }
        let mut marks = labels(&metadata["annotations"]);
        marks.retain(|key, _| MARKS.contains(&key.as_str()));
        let saved = marks.get(names::ORIGINAL_SELECTOR).map(String::as_str);
        Some(Self {
            uid: metadata["uid"].as_str()?.to_owned(),
            resource_version: metadata["resourceVersion"].as_str()?.to_owned(),
            original: selectors::original(&selector, saved),
            selector,
            marks,
        })
    }

    /// Has it been rewritten before?
    pub fn is_marked(&self) -> bool {
        self.marks.contains_key(names::ORIGINAL_SELECTOR)
    }

    /// The merge patch that makes it select delegates by `rewritten`, if it does not do so already.
    pub fn reroute(&self, rewritten: &Labels) -> Option<Value> {
        let annotations = Labels::from([
            (
                names::ORIGINAL_SELECTOR.into(),
                selectors::write_original(&self.original),
            ),
            (names::GLOBAL.into(), "true".into()),
            (names::CILIUM_GLOBAL.into(), "true".into()),
        ]);
        // The saved selector may be written in another way, and mean the same.
        let saved = self.marks.get(names::ORIGINAL_SELECTOR);
        let mut marks = self.marks.clone();
        if saved.and_then(|saved| selectors::parse_original(saved)).as_ref() == Some(&self.original) {
            marks.insert(
                names::ORIGINAL_SELECTOR.into(),
                annotations[names::ORIGINAL_SELECTOR].clone(),
            );
        }
        self.patch(&marks, &annotations, rewritten)
    }

    /// The merge patch that gives it back as the user wrote it, if we have changed it.
    pub fn restore(&self) -> Option<Value> {
        if !self.is_marked() {
            return None;
        }
        self.patch(&self.marks, &Labels::new(), &self.original)
    }

    fn patch(&self, old: &Labels, annotations: &Labels, selector: &Labels) -> Option<Value> {
        let state = |annotations: &Labels, selector: &Labels| json!({ "metadata": { "annotations": annotations }, "spec": { "selector": selector } });
        let mut patch = merge::diff(&state(old, &self.selector), &state(annotations, selector))?;
        // The selector is what we have seen, or nothing is written.
        let mut metadata = patch["metadata"].as_object().cloned().unwrap_or_default();
        metadata.insert("uid".into(), json!(self.uid));
        metadata.insert("resourceVersion".into(), json!(self.resource_version));
        patch["metadata"] = Value::Object(metadata);
        Some(patch)
    }
}

fn labels(value: &Value) -> Labels {
    let pairs = value.as_object().into_iter().flat_map(Map::iter);
    pairs
        .filter_map(|(key, value)| Some((key.clone(), value.as_str()?.to_owned())))
        .collect()
}

/// Write the patch of a Service.
pub async fn write(client: &Client, key: &ObjectKey, patch: &Value) -> Result<(), kube::Error> {
    let services = Api::<DynamicObject>::namespaced_with(client.clone(), &key.namespace, &Kind::Service.resource());
    let (params, patch) = (PatchParams::default(), Patch::Merge(patch));
    services.patch(&key.name, &params, &patch).await.map(drop)
}

/// Give all Services back as their users wrote them, and take our annotations off. Returns how many there were.
pub async fn restore(client: &Client) -> Result<usize, kube::Error> {
    let all = Api::<Service>::all(client.clone()).list(&ListParams::default()).await?;
    let marked = all
        .items
        .into_iter()
        .filter(|service| plan::is_rerouted(&service.metadata));
    let keys = marked.map(|service| {
        ObjectKey::new(
            Kind::Service,
            service.namespace().unwrap_or_default(),
            service.name_any(),
        )
    });
    let keys: Vec<_> = keys.collect();
    stream::iter(keys.iter().map(|key| restore_one(client, key)))
        .buffer_unordered(CONCURRENCY)
        .try_collect::<()>()
        .await?;
    Ok(keys.len())
}

async fn restore_one(client: &Client, key: &ObjectKey) -> Result<(), kube::Error> {
    let mut attempts = 0;
    loop {
        attempts += 1;
        let service = match raw::get(client, key).await {
            Err(error) if api_error::is_not_found(&error) => return Ok(()),
            service => service?,
        };
        let Some(patch) = Routed::of(&service).and_then(|service| service.restore()) else {
            return Ok(());
        };
        match write(client, key, &patch).await {
            Err(error) if api_error::is_not_found(&error) => return Ok(()),
            Err(error) if api_error::is_conflict(&error) && attempts < ATTEMPTS => {}
            result => return result,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn service(selector: Value, annotations: Value) -> Value {
        json!({
            "metadata": {
                "name": "web", "namespace": "shop", "uid": "u", "resourceVersion": "7", "annotations": annotations,
            },
            "spec": { "selector": selector },
        })
    }

    /// The Service after this patch.
    fn patched(mut service: Value, patch: &Value) -> Value {
        json_patch::merge(&mut service, patch);
        service
    }

    fn rewritten() -> Labels {
        Labels::from([(format!("{}app", names::PREFIX), "web".into())])
    }

    #[test]
    fn a_selector_is_rewritten_once_and_given_back() {
        let before = service(json!({ "app": "web" }), json!({ "mine": "1" }));
        let routed = Routed::of(&before).unwrap();
        assert!(!routed.is_marked() && routed.restore().is_none());
        let patch = routed.reroute(&rewritten()).unwrap();
        assert_eq!(patch["metadata"]["resourceVersion"], "7", "only if it is what was seen");
        let after = patched(before.clone(), &patch);
        assert_eq!(after["spec"]["selector"], json!(rewritten()));
        assert_eq!(after["metadata"]["annotations"][names::GLOBAL], "true");
        assert_eq!(after["metadata"]["annotations"][names::CILIUM_GLOBAL], "true");
        let routed = Routed::of(&after).unwrap();
        assert_eq!(routed.original, Labels::from([("app".into(), "web".into())]));
        assert_eq!(routed.reroute(&rewritten()), None, "once");
        assert_eq!(patched(after, &routed.restore().unwrap()), before);
    }

    #[test]
    fn a_mark_that_somebody_removes_comes_back() {
        let before = service(json!({ "app": "web" }), json!({}));
        let patch = Routed::of(&before).unwrap().reroute(&rewritten()).unwrap();
        for mark in [names::GLOBAL, names::CILIUM_GLOBAL] {
            let mut after = patched(before.clone(), &patch);
            after["metadata"]["annotations"].as_object_mut().unwrap().remove(mark);
            let again = Routed::of(&after).unwrap().reroute(&rewritten()).unwrap();
            assert_eq!(
                again["metadata"]["annotations"],
                json!({ mark: "true" }),
                "and nothing else is written"
            );
        }
    }

    #[test]
    fn a_selector_that_the_user_changes_is_the_new_original() {
        let before = service(json!({ "app": "web" }), json!({}));
        let patch = Routed::of(&before).unwrap().reroute(&rewritten()).unwrap();
        let mut applied = patched(before, &patch);
        // As kubectl apply does: the plain key comes beside ours.
        applied["spec"]["selector"]["app"] = json!("web2");
        let routed = Routed::of(&applied).unwrap();
        assert_eq!(routed.original, Labels::from([("app".into(), "web2".into())]));
        let wanted = Labels::from([(format!("{}app", names::PREFIX), "web2".into())]);
        let after = patched(applied, &routed.reroute(&wanted).unwrap());
        assert_eq!(after["spec"]["selector"], json!(wanted));
        assert_eq!(
            Routed::of(&after).unwrap().original,
            Labels::from([("app".into(), "web2".into())])
        );
    }

    #[test]
    fn services_without_a_selector_are_left_alone() {
        assert_eq!(Routed::of(&service(json!(null), json!({}))), None);
        assert_eq!(Routed::of(&service(json!({}), json!({}))), None);
        let mut external = service(json!({ "app": "web" }), json!({}));
        external["spec"]["type"] = json!("ExternalName");
        assert_eq!(Routed::of(&external), None);
    }
}
