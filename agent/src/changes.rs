//! Watch events as changes of a set of objects.
//!
//! A watch that begins anew lists all objects and says nothing of those that went meanwhile; here they are reported.

use std::collections::HashSet;
use std::fmt::Debug;
use std::time::Duration;

use futures::{Stream, StreamExt, stream};
use kube::runtime::watcher::{self, Config, Event};
use kube::{Api, Resource, ResourceExt};
use multicluster_runtime::metrics::watches::Watched;
use multicluster_targets::watching;
use serde::de::DeserializeOwned;

use crate::api_error;

/// How often to look whether a kind exists that did not.
const LOOK_AGAIN: Duration = Duration::from_secs(30);
/// One refusal says little: an API server that has just started refuses what it has not read the permissions for yet.
const REFUSALS: u32 = 2;

/// Namespace (empty for cluster-scoped objects) and name.
pub type Key = (String, String);

/// A change of a set of objects.
#[derive(Debug, PartialEq)]
pub enum Change<K> {
    /// An object is new or changed.
    Put(K),
    /// An object is gone.
    Gone(Key),
    /// All objects that exist have been put.
    Listed,
}

/// Why a kind of objects cannot be watched.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bar {
    /// The API server does not know the kind: its definition is not installed. So there are no such objects.
    Missing,
    /// The API server does not let us. There may be such objects.
    Denied,
}

/// What is learned of a set of objects of a kind that may not exist, or that may be kept from us.
#[derive(Debug, PartialEq)]
pub enum Glimpse<K> {
    /// A change.
    Change(Change<K>),
    /// It cannot be watched for now. The next [`Change::Listed`] says that it can.
    Barred(Bar),
}

/// The key of an object.
pub fn key_of(object: &impl ResourceExt) -> Key {
    (object.namespace().unwrap_or_default(), object.name_any())
}

/// Follow a kind of objects for ever: its name, and where it is not in this cluster, that of the virtual node.
pub fn changes<K>(what: Watched, api: Api<K>, config: Config) -> impl Stream<Item = Change<K>> + Send
where
    K: Resource + Clone + DeserializeOwned + Debug + Send + 'static,
{
    taken(watching::watch(what, api, config))
}

/// Follow a kind of objects for ever that may not exist, or that we may not read. What cannot be watched is told once, and
/// looked for again quietly.
pub fn glimpses<K>(what: Watched, api: Api<K>, config: Config) -> impl Stream<Item = Glimpse<K>> + Send
where
    K: Resource + Clone + DeserializeOwned + Debug + Send + 'static,
{
    let watched = what.clone();
    let begin = move || watching::try_watch(watched.clone(), api.clone(), config.clone()).boxed();
    glimpsed(what, begin)
}

/// `begin` starts a watch; the one of a kind that is missing is given up, and started anew later.
fn glimpsed<K>(
    what: Watched,
    begin: impl Fn() -> stream::BoxStream<'static, watcher::Result<Event<K>>> + Send,
) -> impl Stream<Item = Glimpse<K>> + Send
where
    K: Resource + Send + 'static,
{
    let (mut known, mut refusals, mut told) = (Known::default(), 0, None);
    let rounds = stream::repeat(()).enumerate().then(move |(round, ())| {
        let events = begin();
        async move {
            if round > 0 {
                tokio::time::sleep(LOOK_AGAIN).await;
            }
            // The error that says that the kind is missing is the last item of its round.
            let events = events.flat_map(|event| {
                let end = event.as_ref().is_err_and(is_missing).then_some(None);
                stream::iter([Some(event)].into_iter().chain(end))
            });
            events
                .take_while(|event| std::future::ready(event.is_some()))
                .filter_map(std::future::ready)
        }
    });
    rounds.flatten().flat_map(move |event| {
        let glimpses = match event {
            Ok(event) => {
                if !matches!(event, Event::Init) {
                    (refusals, told) = (0, None);
                }
                known.take(event).into_iter().map(Glimpse::Change).collect()
            }
            Err(error) => {
                let bar = bar(&error);
                refusals = if bar == Some(Bar::Denied) { refusals + 1 } else { 0 };
                let bar = bar.filter(|bar| *bar == Bar::Missing || refusals >= REFUSALS);
                let news = bar.is_none() || bar != told;
                if news {
                    tracing::warn!(kind = what.kind, node = what.node, %error, "watch");
                }
                told = bar.or(told);
                let gone = match bar {
                    Some(Bar::Missing) => known.forget(),
                    _ => vec![],
                };
                let told = bar.filter(|_| news).map(Glimpse::Barred);
                gone.into_iter().map(Glimpse::Change).chain(told).collect::<Vec<_>>()
            }
        };
        stream::iter(glimpses)
    })
}

fn is_missing(error: &watcher::Error) -> bool {
    bar(error) == Some(Bar::Missing)
}

fn bar(error: &watcher::Error) -> Option<Bar> {
    match error {
        watcher::Error::InitialListFailed(error)
        | watcher::Error::WatchStartFailed(error)
        | watcher::Error::WatchFailed(error) => match error {
            error if api_error::is_not_found(error) => Some(Bar::Missing),
            error if api_error::is_denied(error) => Some(Bar::Denied),
            _ => None,
        },
        watcher::Error::WatchError(_) | watcher::Error::NoResourceVersion => None,
    }
}

fn taken<K>(events: impl Stream<Item = Event<K>> + Send) -> impl Stream<Item = Change<K>> + Send
where
    K: Resource + Send,
{
    let mut known = Known::default();
    events.flat_map(move |event| stream::iter(known.take(event)))
}

#[derive(Default)]
struct Known {
    keys: HashSet<Key>,
    /// Keys of the list under way.
    listed: HashSet<Key>,
}

impl Known {
    /// There are no objects any more.
    fn forget<K>(&mut self) -> Vec<Change<K>> {
        self.listed.clear();
        self.keys.drain().map(Change::Gone).collect()
    }

    fn take<K: Resource>(&mut self, event: Event<K>) -> Vec<Change<K>> {
        match event {
            Event::Init => {
                self.listed.clear();
                vec![]
            }
            Event::InitApply(object) => {
                self.listed.insert(key_of(&object));
                vec![Change::Put(object)]
            }
            Event::InitDone => {
                let listed = std::mem::take(&mut self.listed);
                let gone = self.keys.difference(&listed).cloned().map(Change::Gone);
                let changes = gone.chain([Change::Listed]).collect();
                self.keys = listed;
                changes
            }
            Event::Apply(object) => {
                self.keys.insert(key_of(&object));
                vec![Change::Put(object)]
            }
            Event::Delete(object) => {
                let key = key_of(&object);
                self.keys.remove(&key);
                vec![Change::Gone(key)]
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use k8s_openapi::api::core::v1::ConfigMap;

    use super::*;

    fn object(name: &str) -> ConfigMap {
        let mut object = ConfigMap::default();
        object.metadata.name = Some(name.into());
        object
    }

    #[test]
    fn what_went_during_a_gap_is_reported() {
        let mut known = Known::default();
        for event in [
            Event::Init,
            Event::InitApply(object("a")),
            Event::InitApply(object("b")),
            Event::InitDone,
        ] {
            known.take(event);
        }
        known.take(Event::Apply(object("c")));
        assert_eq!(known.take::<ConfigMap>(Event::Init), vec![]);
        known.take(Event::InitApply(object("b")));
        let mut gone: Vec<_> = known
            .take::<ConfigMap>(Event::InitDone)
            .into_iter()
            .filter_map(|change| {
                if let Change::Gone((_, name)) = change {
                    Some(name)
                } else {
                    None
                }
            })
            .collect();
        gone.sort();
        assert_eq!(gone, ["a", "c"]);
    }

    fn refused(code: u16) -> watcher::Result<Event<ConfigMap>> {
        let status = serde_json::json!({ "status": "Failure", "message": "no", "reason": "no", "code": code });
        let error = kube::Error::Api(serde_json::from_value(status).unwrap());
        Err(watcher::Error::InitialListFailed(error))
    }

    /// What is made of these rounds of a watch; each goes on without an end.
    async fn glimpse(rounds: Vec<Vec<watcher::Result<Event<ConfigMap>>>>) -> Vec<String> {
        let rounds = parking_lot::Mutex::new(rounds.into_iter());
        let begin = move || {
            let round = rounds.lock().next().unwrap_or_default();
            stream::iter(round).chain(stream::pending()).boxed()
        };
        let mut seen = std::pin::pin!(glimpsed("configmaps".into(), begin));
        let mut all = vec![];
        while let Ok(Some(glimpse)) = tokio::time::timeout(LOOK_AGAIN * 2, seen.next()).await {
            all.push(match glimpse {
                Glimpse::Change(Change::Put(object)) => format!("+{}", object.name_any()),
                Glimpse::Change(Change::Gone((_, name))) => format!("-{name}"),
                Glimpse::Change(Change::Listed) => "listed".into(),
                Glimpse::Barred(bar) => format!("{bar:?}"),
            });
        }
        all
    }

    #[tokio::test(start_paused = true)]
    async fn a_kind_may_come_and_go() {
        let listed = || vec![Ok(Event::Init), Ok(Event::InitApply(object("a"))), Ok(Event::InitDone)];
        let mut goes = listed();
        goes.extend([refused(404), Ok(Event::Apply(object("after the end")))]);
        let seen = glimpse(vec![
            vec![Ok(Event::Init), refused(404)],
            goes,
            vec![Ok(Event::Init), refused(404)],
            listed(),
        ]);
        let expected = ["Missing", "+a", "listed", "-a", "Missing", "+a", "listed"];
        assert_eq!(seen.await, expected);
    }

    #[tokio::test(start_paused = true)]
    async fn a_refusal_is_told_once_and_takes_nothing_away() {
        let round = vec![
            Ok(Event::Init),
            Ok(Event::InitApply(object("a"))),
            Ok(Event::InitDone),
            refused(403),
            Ok(Event::Apply(object("b"))),
            refused(403),
            refused(403),
            Ok(Event::Init),
            refused(403),
            refused(500),
            Ok(Event::Apply(object("c"))),
        ];
        assert_eq!(glimpse(vec![round]).await, ["+a", "listed", "+b", "Denied", "+c"]);
    }
}
