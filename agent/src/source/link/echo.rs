//! Tells fenced chaperons that their source lives: the target's own heartbeats are echoed to them.

use std::time::{Duration, Instant};

use futures::StreamExt;
use kube::api::{Patch, PatchParams};
use kube::{Api, Client};
use multicluster_api::view::ChaperonView;
use multicluster_api::{fence, names};
use serde_json::json;

use super::Link;
use super::call::{CallError, call};
use crate::api_error;
use crate::changes::Key;
use crate::source::echo::Echoes;

/// How often to look whether an echo is due.
const PERIOD: Duration = Duration::from_secs(1);
/// Echoes that are sent at a time.
const CONCURRENCY: usize = 8;

impl Link {
    pub(super) async fn echo_heartbeats(&self, client: &Client) {
        let mut echoes = Echoes::default();
        loop {
            tokio::time::sleep(PERIOD).await;
            let now = Instant::now();
            let heartbeat = *self.received.lock();
            // An echo of an old heartbeat tells the target nothing new.
            let Some((heartbeat, _)) =
                heartbeat.filter(|(_, at)| now.duration_since(*at) < self.home.limits.stale_after)
            else {
                continue;
            };
            let due = echoes.due(self.chaperons.fenced(), now);
            let text = fence::format_heartbeat(heartbeat);
            let sent = futures::stream::iter(due)
                .map(|key| async {
                    let result = self.echo(client, &key, &text).await;
                    (key, result)
                })
                .buffer_unordered(CONCURRENCY);
            let mut sent = std::pin::pin!(sent);
            while let Some(((namespace, name), result)) = sent.next().await {
                match result {
                    Ok(()) => echoes.sent(&namespace, now),
                    Err(error) => tracing::warn!(node = self.node, namespace, name, %error, "echoing a heartbeat"),
                }
            }
        }
    }

    async fn echo(&self, client: &Client, (namespace, name): &Key, heartbeat: &str) -> Result<(), CallError> {
        let api = Api::<ChaperonView>::namespaced(client.clone(), namespace);
        let patch = Patch::Merge(json!({ "metadata": { "annotations": { names::HEARD: heartbeat } } }));
        let params = PatchParams::default();
        match call(api.patch(name, &params, &patch)).await {
            // It has gone meanwhile: the next one is chosen at the next look.
            Err(CallError::Kube(error)) if api_error::is_not_found(&error) => Ok(()),
            result => result.map(drop),
        }
    }
}
