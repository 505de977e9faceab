//! Follows the namespaces that the webhook serves.

use std::sync::Arc;

use ahash::AHashSet;
use futures::StreamExt;
use k8s_openapi::api::core::v1::Namespace;
use kube::core::PartialObjectMeta;
use kube::runtime::watcher::{Config, Event};
use kube::{Api, Client, ResourceExt};
use multicluster_api::names;
use multicluster_runtime::admin::Readiness;
use multicluster_targets::watching::watch;
use tokio_util::sync::CancellationToken;

use crate::index::Index;

/// Part of the readiness: all namespaces that the webhook serves are known.
const NAMESPACES_LISTED: &str = "namespaces";

/// Tell the index which namespaces the webhook serves, until `stop`. Not ready before the first list is there.
pub fn run(
    client: Client,
    index: Arc<Index>,
    readiness: Readiness,
    stop: CancellationToken,
) -> impl Future<Output = ()> {
    readiness.expect(NAMESPACES_LISTED);
    // At once, not when the task begins: a process that is asked in between is not ready.
    async move {
        stop.run_until_cancelled(follow(client, &index, &readiness)).await;
    }
}

async fn follow(client: Client, index: &Index, readiness: &Readiness) {
    // The webhook's namespaceSelector.
    let label = format!("{}={}", names::NAMESPACE_LABEL, names::NAMESPACE_LABEL_ENABLED);
    let api = Api::<PartialObjectMeta<Namespace>>::all(client);
    let mut events = std::pin::pin!(watch("namespaces".into(), api, Config::default().labels(&label)));
    let mut listed = AHashSet::new();
    while let Some(event) = events.next().await {
        match event {
            Event::Init => listed.clear(),
            Event::InitApply(namespace) => {
                index.namespace_served(&namespace.name_any());
                listed.insert(namespace.name_any());
            }
            Event::InitDone => {
                index.namespaces_listed(&std::mem::take(&mut listed));
                readiness.set(NAMESPACES_LISTED, true);
            }
            Event::Apply(namespace) => index.namespace_served(&namespace.name_any()),
            // Gone, or its label is.
            Event::Delete(namespace) => index.namespace_left(&namespace.name_any()),
        }
    }
}
