//! Watches with one backoff for all.

use std::fmt::Debug;
use std::time::Duration;

use futures::{Stream, StreamExt, stream};
use kube::runtime::utils::{Backoff, ResetTimerBackoff};
use kube::runtime::watcher::{self, Event};
use kube::runtime::{WatchStreamExt, watcher as start};
use kube::{Api, Resource};
use multicluster_runtime::metrics::watches::Watched;
use serde::de::DeserializeOwned;

/// First pause after an error; the next ones double up to [`MAX_PAUSE`].
const MIN_PAUSE: Duration = Duration::from_millis(200);
/// A target that comes back is noticed at the latest after this.
pub const MAX_PAUSE: Duration = Duration::from_secs(5);

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

/// After so long without an error the next one counts as the first.
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
    let events = begun(start(api, config)).backoff(pauses());
    events.inspect(move |event| match event {
        Ok(Event::Init) => what.listed(),
        Ok(_) => {}
        Err(_) => what.failed(),
    })
}

/// Every attempt begins with [`Event::Init`], before anything was asked. Held back until there is an answer it does not count
/// as a success, after which the next pause would be the first one again.
fn begun<K>(
    events: impl Stream<Item = watcher::Result<Event<K>>> + Send,
) -> impl Stream<Item = watcher::Result<Event<K>>> + Send
where
    K: Send,
{
    let mut begins = false;
    events.flat_map(move |event| {
        let begun = std::mem::take(&mut begins);
        let events = match event {
            Ok(Event::Init) => {
                begins = true;
                [None, None]
            }
            Ok(event) if begun => [Some(Ok(Event::Init)), Some(Ok(event))],
            event => [Some(event), None],
        };
        stream::iter(events.into_iter().flatten())
    })
}

#[cfg(test)]
mod tests {
    use futures::{StreamExt, stream};
    use k8s_openapi::api::core::v1::ConfigMap;
    use kube::runtime::WatchStreamExt;
    use kube::runtime::watcher::{self, Event};
    use tokio::time::Instant;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn pauses_between_lists_that_fail_grow() {
        let attempt = || [Ok(Event::Init), Err(watcher::Error::NoResourceVersion)];
        let events = stream::iter(
            (0..5)
                .flat_map(|_| attempt())
                .chain([Ok(Event::Init), Ok(Event::InitDone)]),
        );
        let (start, mut seen) = (Instant::now(), vec![]);
        let mut events = std::pin::pin!(begun::<ConfigMap>(events).backoff(pauses()));
        while let Some(event) = events.next().await {
            seen.push((event.is_ok(), start.elapsed().as_millis()));
        }
        let expected = [
            (false, 0),
            (false, 200),
            (false, 600),
            (false, 1400),
            (false, 3000),
            (true, 6200),
            (true, 6200),
        ];
        assert_eq!(seen, expected);
    }
}
