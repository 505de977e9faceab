//! Watches with one backoff for all.

use std::fmt::Debug;
use std::time::Duration;

use futures::{Stream, StreamExt};
use kube::runtime::utils::{Backoff, ResetTimerBackoff};
use kube::runtime::watcher::{self, Event};
use kube::runtime::{WatchStreamExt, watcher as start};
use kube::{Api, Resource};
use multicluster_runtime::metrics::watches::Watched;
use serde::de::DeserializeOwned;

/// First pause after an error; the next ones double up to [`MAX_PAUSE`].
const MIN_PAUSE: Duration = Duration::from_millis(200);
/// A target that comes back is noticed at the latest after this.
const MAX_PAUSE: Duration = Duration::from_secs(5);

/// How long to wait after errors in a row.
#[derive(Clone, Debug)]
pub struct Pauses(Duration);

impl Default for Pauses {
    fn default() -> Self {
        Self(MIN_PAUSE)
    }
}

impl Iterator for Pauses {
    type Item = Duration;

    fn next(&mut self) -> Option<Duration> {
        let pause = self.0;
        self.0 = (pause * 2).min(MAX_PAUSE);
        Some(pause)
    }
}

impl Backoff for Pauses {
    fn reset(&mut self) {
        *self = Self::default();
    }
}

/// How long a watch must go well before its next error counts as the first one. Every attempt begins with an event, so
/// without this no pause would ever grow.
const CALM: Duration = Duration::from_secs(20);

/// Pauses for a watch.
pub fn pauses() -> impl Backoff {
    ResetTimerBackoff::new(Pauses::default(), CALM)
}

/// Watch for ever; errors are logged, and the watch goes on after a pause.
pub fn watch<K>(what: Watched, api: Api<K>, config: watcher::Config) -> impl Stream<Item = Event<K>> + Send
where
    K: Resource + Clone + DeserializeOwned + Debug + Send + 'static,
{
    let (kind, node) = (what.kind, what.node.clone());
    try_watch(what, api, config).filter_map(move |event| {
        let event = event.inspect_err(|error| tracing::warn!(kind, node, %error, "watch"));
        std::future::ready(event.ok())
    })
}

/// Watch for ever, and pass errors on as well; the watch goes on after a pause. Lists and errors are counted.
pub fn try_watch<K>(
    what: Watched,
    api: Api<K>,
    config: watcher::Config,
) -> impl Stream<Item = watcher::Result<Event<K>>> + Send
where
    K: Resource + Clone + DeserializeOwned + Debug + Send + 'static,
{
    start(api, config).backoff(pauses()).inspect(move |event| match event {
        Ok(Event::Init) => what.listed(),
        Ok(_) => {}
        Err(_) => what.failed(),
    })
}
