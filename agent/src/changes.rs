//! Watch events as changes of a set of objects.
//!
//! A watch that begins anew lists all objects and says nothing of those that went meanwhile; here they are reported.

use std::collections::HashSet;
use std::fmt::Debug;

use futures::{Stream, StreamExt, stream};
use kube::runtime::watcher::{Config, Event};
use kube::{Api, Resource, ResourceExt};
use multicluster_runtime::metrics::watches::Watched;
use multicluster_targets::watching;
use serde::de::DeserializeOwned;

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
}
