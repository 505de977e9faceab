//! Follows the objects that trust depends on, so that a watch that has died silently is noticed.
//!
//! kube's watcher tells nothing while nothing changes, and what says nothing could be dead. Here the API server is asked to
//! end each watch after two seconds: an end that comes in time says that until then nothing was missed. One that does not
//! come is not waited for. That costs an API server one and a half requests in a second, for the three kinds.

use std::fmt::Debug;
use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt;
use kube::api::{ListParams, WatchParams};
use kube::core::WatchEvent;
use kube::{Api, Client};
use multicluster_api::{ClusterSource, Source, TrustedIdentityProvider};
use serde::de::DeserializeOwned;
use tokio::time::{Instant, timeout, timeout_at};
use tokio_util::sync::CancellationToken;

use crate::knowledge::{Basis, Change, Knowledge};

/// For how long a watch is asked, in seconds.
const WATCH: u32 = 2;
/// How much later its end may come.
const LATE: Duration = Duration::from_millis(700);
/// How long an answer may take to begin; a list, to be there.
const ANSWER: Duration = Duration::from_secs(2);
/// Pause after a failure, the first and the longest.
const PAUSE: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(1));
/// Objects of one page of a list.
const PAGE: u32 = 500;

/// Follow what trust depends on, until `stop`.
pub async fn run(client: Client, knowledge: Arc<Knowledge>, stop: CancellationToken) {
    let all = async {
        tokio::join!(
            follow::<TrustedIdentityProvider>(Api::all(client.clone()), &knowledge),
            follow::<Source>(Api::all(client.clone()), &knowledge),
            follow::<ClusterSource>(Api::all(client.clone()), &knowledge),
        )
    };
    stop.run_until_cancelled(all).await;
}

/// Why a watch has to begin anew.
#[derive(Debug, thiserror::Error)]
enum Interrupted {
    #[error(transparent)]
    Kube(#[from] kube::Error),
    #[error("the API server is silent")]
    Silent(#[from] tokio::time::error::Elapsed),
    #[error("{0}")]
    Refused(String),
    /// What was seen last is too old: list again.
    #[error("the watch is too old")]
    Expired,
}

async fn follow<K>(api: Api<K>, knowledge: &Knowledge)
where
    K: Basis + Clone + DeserializeOwned + Debug + Send + 'static,
{
    let kind = std::any::type_name::<K>().rsplit("::").next().unwrap_or_default();
    let (mut version, mut pause, mut failing) = (None, PAUSE.0, false);
    loop {
        let result = match version.take() {
            None => list(&api, knowledge).await,
            Some(from) => watch(&api, from, knowledge).await,
        };
        match result {
            Ok(seen) => {
                version = Some(seen);
                pause = PAUSE.0;
                failing = false;
            }
            Err((Interrupted::Expired, _)) => {}
            Err((error, seen)) => {
                if !failing {
                    tracing::warn!(%error, kind, "not followed; trying again");
                }
                failing = true;
                version = seen;
                tokio::time::sleep(pause).await;
                pause = (pause * 2).min(PAUSE.1);
            }
        }
    }
}

type Seen = Result<String, (Interrupted, Option<String>)>;

async fn list<K>(api: &Api<K>, knowledge: &Knowledge) -> Seen
where
    K: Basis + Clone + DeserializeOwned + Debug,
{
    let mut params = ListParams::default().limit(PAGE);
    let mut all = Vec::new();
    loop {
        let page = timeout(ANSWER, api.list(&params)).await;
        let page = page
            .map_err(Interrupted::from)
            .and_then(|page| page.map_err(Interrupted::from));
        let page = page.map_err(|error| (error, None))?;
        all.extend(page.items);
        match page.metadata.continue_.filter(|token| !token.is_empty()) {
            Some(token) => params = params.continue_token(&token),
            None => {
                knowledge.heard(Change::Listed(all));
                return Ok(page.metadata.resource_version.unwrap_or_default());
            }
        }
    }
}

async fn watch<K>(api: &Api<K>, from: String, knowledge: &Knowledge) -> Seen
where
    K: Basis + Clone + DeserializeOwned + Debug + Send + 'static,
{
    let end = Instant::now() + Duration::from_secs(WATCH.into()) + LATE;
    let params = WatchParams::default().timeout(WATCH);
    let mut seen = from;
    let interrupted = |error: Interrupted, seen: String| Err((error, Some(seen)));
    let mut events = match timeout(ANSWER, api.watch(&params, &seen)).await {
        Ok(Ok(events)) => std::pin::pin!(events),
        Ok(Err(kube::Error::Api(status))) if status.code == 410 => return Err((Interrupted::Expired, None)),
        Ok(Err(error)) => return interrupted(error.into(), seen),
        Err(silent) => return interrupted(silent.into(), seen),
    };
    loop {
        let event = match timeout_at(end, events.next()).await {
            Err(silent) => return interrupted(silent.into(), seen),
            Ok(None) => break,
            Ok(Some(Err(error))) => return interrupted(error.into(), seen),
            Ok(Some(Ok(event))) => event,
        };
        match event {
            WatchEvent::Added(object) | WatchEvent::Modified(object) => {
                seen = object.resource_version().unwrap_or(seen);
                knowledge.heard(Change::Set(object));
            }
            WatchEvent::Deleted(object) => {
                seen = object.resource_version().unwrap_or(seen);
                knowledge.heard(Change::Gone(object));
            }
            WatchEvent::Bookmark(bookmark) => {
                seen = bookmark.metadata.resource_version;
                knowledge.heard(Change::<K>::Quiet);
            }
            WatchEvent::Error(status) if status.code == 410 => return Err((Interrupted::Expired, None)),
            WatchEvent::Error(status) => return interrupted(Interrupted::Refused(status.message), seen),
        }
    }
    // An end is a word only where it is the end that was asked for: one that comes early is a connection that broke.
    let early = end.saturating_duration_since(Instant::now()) > LATE + Duration::from_millis(500);
    if early {
        return interrupted(Interrupted::Refused("the watch has ended early".into()), seen);
    }
    knowledge.heard(Change::<K>::Quiet);
    Ok(seen)
}
