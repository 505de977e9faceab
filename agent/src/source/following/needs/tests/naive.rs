//! The index against a model that computes everything anew.

use multicluster_api::references::Optional;
use proptest::prelude::*;

use super::*;

#[derive(Clone, Debug)]
enum Event {
    Pod(PodFacts),
    NoPod(u8),
    Chaperon(u8, u8, bool),
    Service(ServiceFacts),
    Route(RouteFacts),
    Remove(ObjectKey),
}

#[derive(Clone, Default)]
struct Model {
    pods: BTreeMap<String, PodFacts>,
    chaperons: BTreeSet<(String, String)>,
    services: BTreeMap<ObjectKey, ServiceFacts>,
    routes: BTreeMap<ObjectKey, RouteFacts>,
}

/// All that the index can be asked about an object.
#[derive(Debug, PartialEq)]
struct Answer {
    nodes: BTreeSet<Arc<str>>,
    ready: BTreeMap<Arc<str>, u32>,
    selected: BTreeMap<Arc<str>, Arc<Labels>>,
    has_pods: bool,
}

impl Model {
    fn take(&mut self, event: Event) {
        match event {
            Event::Pod(pod) => drop(self.pods.insert(pod.uid.to_string(), pod)),
            Event::NoPod(uid) => drop(self.pods.remove(&uid.to_string())),
            Event::Chaperon(uid, node, true) => drop(self.chaperons.insert((uid.to_string(), node.to_string()))),
            Event::Chaperon(uid, node, false) => drop(self.chaperons.remove(&(uid.to_string(), node.to_string()))),
            Event::Service(service) => drop(self.services.insert(service.key.clone(), service)),
            Event::Route(route) => drop(self.routes.insert(route.key.clone(), route)),
            Event::Remove(key) => {
                self.services.remove(&key);
                self.routes.remove(&key);
            }
        }
    }

    fn selected(&self, key: &ObjectKey) -> Vec<&PodFacts> {
        let Some(service) = self.services.get(key) else {
            return Vec::new();
        };
        let pods = self.pods.values().filter(|pod| *pod.namespace == *key.namespace);
        pods.filter(|pod| {
            let mut pairs = service.selector.iter();
            !service.selector.is_empty() && pairs.all(|(key, value)| pod.labels.get(key) == Some(value))
        })
        .collect()
    }

    fn behind(&self, key: &ObjectKey) -> BTreeMap<Arc<str>, &PodFacts> {
        let pods: Vec<&PodFacts> = match key.kind {
            Kind::Service => self.selected(key),
            Kind::Ingress | Kind::HttpRoute => {
                let services = self.routes.get(key).into_iter().flat_map(|route| &route.services);
                services
                    .flat_map(|name| self.selected(&ObjectKey::new(Kind::Service, &key.namespace, name)))
                    .collect()
            }
            _ => {
                let uses = |pod: &&PodFacts| match key.kind {
                    Kind::ConfigMap => pod.references.config_maps.contains_key(&key.name),
                    _ => pod.references.secrets.contains_key(&key.name),
                };
                let here = self.pods.values().filter(|pod| *pod.namespace == *key.namespace);
                here.filter(uses).collect()
            }
        };
        pods.into_iter().map(|pod| (pod.uid.clone(), pod)).collect()
    }

    fn answer(&self, key: &ObjectKey) -> Answer {
        let behind = self.behind(key);
        let mut counted: BTreeMap<Arc<str>, &PodFacts> = behind.clone();
        if key.kind == Kind::Secret {
            let routes = self.routes.values();
            let named =
                routes.filter(|route| route.key.namespace == key.namespace && route.secrets.contains(&key.name));
            named.for_each(|route| counted.extend(self.behind(&route.key)));
        }
        let nodes = counted.values().flat_map(|pod| {
            let chaperons = self.chaperons.iter().filter(|(uid, _)| **uid == *pod.uid);
            let chaperons = chaperons.map(|(_, node)| node.as_str().into());
            chaperons.chain(pod.node.clone()).collect::<Vec<Arc<str>>>()
        });
        let mut ready = BTreeMap::new();
        for pod in behind.values().filter(|pod| pod.ready) {
            if let Some(node) = &pod.node {
                *ready.entry(node.clone()).or_default() += 1;
            }
        }
        Answer {
            nodes: nodes.collect(),
            ready,
            selected: match key.kind {
                Kind::Service => behind
                    .values()
                    .map(|pod| (pod.uid.clone(), pod.labels.clone()))
                    .collect(),
                _ => BTreeMap::new(),
            },
            has_pods: !counted.is_empty(),
        }
    }
}

fn answer(needs: &Needs, key: &ObjectKey) -> Answer {
    Answer {
        nodes: needs.nodes(key),
        ready: needs.ready(key),
        selected: needs
            .selected(key)
            .map(|pod| (pod.uid.clone(), pod.labels.clone()))
            .collect(),
        has_pods: needs.has_proxy_pods(key),
    }
}

fn take(needs: &mut Needs, event: Event) -> Touched {
    match event {
        Event::Pod(pod) => needs.put_pod(pod),
        Event::NoPod(uid) => needs.remove_pod(&uid.to_string()),
        Event::Chaperon(uid, node, there) => needs.place_pod(&uid.to_string(), &node.to_string().into(), there),
        Event::Service(service) => needs.put_service(service),
        Event::Route(route) => needs.put_route(route),
        Event::Remove(key) => needs.remove(&key),
    }
}

const NAMES: [&str; 2] = ["a", "b"];

fn name() -> impl Strategy<Value = &'static str> {
    prop::sample::select(NAMES.to_vec())
}

fn names() -> impl Strategy<Value = BTreeSet<String>> {
    prop::collection::btree_set(name().prop_map(str::to_owned), 0..3)
}

fn labels() -> impl Strategy<Value = Labels> {
    prop::collection::btree_map("[xyz]", "[01]", 0..4)
}

fn references() -> impl Strategy<Value = Arc<References>> {
    let names = || names().prop_map(|names| names.into_iter().map(|name| (name, Optional(true))).collect());
    (names(), names()).prop_map(|(config_maps, secrets)| Arc::new(References { config_maps, secrets }))
}

fn event() -> impl Strategy<Value = Event> {
    let node = || prop::option::of(0..3u8).prop_map(|node| node.map(|node| node.to_string().into()));
    let pod = (0..5u8, name(), labels(), references(), node(), any::<bool>());
    let pod = pod.prop_map(|(uid, namespace, labels, references, node, ready)| PodFacts {
        uid: uid.to_string().into(),
        namespace: namespace.into(),
        labels: Arc::new(labels),
        no_prefix: None,
        references,
        node,
        ready,
    });
    let key = |kind: Vec<Kind>| {
        let parts = (prop::sample::select(kind), name(), name());
        parts.prop_map(|(kind, namespace, name)| ObjectKey::new(kind, namespace, name))
    };
    let service = (key(vec![Kind::Service]), labels()).prop_map(|(key, selector)| ServiceFacts { key, selector });
    let routes = vec![Kind::Ingress, Kind::HttpRoute];
    let route = (key(routes), names(), names());
    let route = route.prop_map(|(key, services, secrets)| RouteFacts { key, services, secrets });
    prop_oneof![
        4 => pod.prop_map(Event::Pod),
        1 => (0..5u8).prop_map(Event::NoPod),
        3 => (0..5u8, 0..3u8, any::<bool>()).prop_map(|(uid, node, there)| Event::Chaperon(uid, node, there)),
        3 => service.prop_map(Event::Service),
        2 => route.prop_map(Event::Route),
        1 => key(Kind::ALL.to_vec()).prop_map(Event::Remove),
    ]
}

proptest! {
    #[test]
    fn the_index_and_a_naive_model_agree(events in prop::collection::vec(event(), 1..40)) {
        let (mut needs, mut model) = (Needs::default(), Model::default());
        let keys = || Kind::ALL.into_iter().flat_map(|kind| NAMES.into_iter().flat_map(move |namespace| {
            NAMES.into_iter().map(move |name| ObjectKey::new(kind, namespace, name))
        }));
        for event in events {
            let before: Vec<Answer> = keys().map(|key| model.answer(&key)).collect();
            model.take(event.clone());
            let touched = take(&mut needs, event.clone());
            for (key, before) in keys().zip(before) {
                let wanted = model.answer(&key);
                prop_assert_eq!(&answer(&needs, &key), &wanted, "{:?} after {:?}", &key, &event);
                for node in ["0", "1", "2"] {
                    prop_assert_eq!(needs.is_needed_in(&key, node), wanted.nodes.contains(node));
                }
                prop_assert!(before == wanted || touched.contains(&key), "{:?} changed by {:?}", &key, &event);
            }
            prop_assert!(take(&mut needs, event).is_empty(), "the same again is no news");
        }
        // Everything goes, and nothing stays.
        (0..5u8).for_each(|uid| drop(needs.remove_pod(&uid.to_string())));
        (0..5u8).for_each(|uid| (0..3u8).for_each(|node| drop(needs.place_pod(&uid.to_string(), &node.to_string().into(), false))));
        keys().for_each(|key| drop(needs.remove(&key)));
        prop_assert!(needs.pods.is_empty() && needs.tallies.is_empty());
        prop_assert!(needs.namespaces.is_empty() && needs.routes.is_empty());
    }
}
