//! The Gateways of the targets: HTTPRoutes attach to them, and their addresses are where an HTTPRoute is reached.
//!
//! Gateways follow nobody: whoever runs a target has made them there, with the names that the source's HTTPRoutes know.

use std::collections::{BTreeSet, HashMap};

use kube::api::{ApiResource, DynamicObject};
use parking_lot::RwLock;
use serde_json::Value;
use tokio::sync::watch;

use super::apply;
use super::site::Address;
use super::status::Shown;
use crate::changes::Key;

/// Addresses that are taken of one Gateway.
const MOST: usize = 100;

/// Where the API server has them.
pub fn resource() -> ApiResource {
    apply::resource(Shown::Gateway)
}

/// Told of a Gateway (namespace, name) that may have other addresses.
type Subscriber = Box<dyn Fn(&str, &str) + Send + Sync>;

/// The addresses of all Gateways in all targets.
pub struct Gateways {
    /// By virtual node, then by namespace and name.
    all: RwLock<HashMap<String, HashMap<Key, Vec<Address>>>>,
    subscribers: RwLock<Vec<Subscriber>>,
    wanted: watch::Sender<bool>,
}

impl Default for Gateways {
    fn default() -> Self {
        Self {
            all: RwLock::default(),
            subscribers: RwLock::default(),
            wanted: watch::Sender::new(false),
        }
    }
}

impl Gateways {
    /// Somebody needs them. Until then nobody need watch them.
    pub fn want(&self) {
        self.wanted.send_if_modified(|wanted| !std::mem::replace(wanted, true));
    }

    /// Until they are needed.
    pub async fn wanted(&self) {
        let mut wanted = self.wanted.subscribe();
        // The sender lives as long as this does.
        let _ = wanted.wait_for(|wanted| *wanted).await;
    }

    /// Call this for each Gateway that may have other addresses: it must not take long.
    pub fn subscribe(&self, subscriber: impl Fn(&str, &str) + Send + Sync + 'static) {
        self.subscribers.write().push(Box::new(subscriber));
    }

    /// The addresses of a Gateway in the target of this virtual node.
    pub fn addresses(&self, node: &str, namespace: &str, name: &str) -> Vec<Address> {
        let key = (namespace.to_owned(), name.to_owned());
        let all = self.all.read();
        all.get(node)
            .and_then(|gateways| gateways.get(&key))
            .cloned()
            .unwrap_or_default()
    }

    /// A Gateway in a target as it is now.
    pub fn put(&self, node: &str, key: Key, gateway: &DynamicObject) {
        let addresses = addresses(&gateway.data);
        let before = {
            let mut all = self.all.write();
            let of_node = all.entry(node.to_owned()).or_default();
            of_node.insert(key.clone(), addresses.clone())
        };
        if before.unwrap_or_default() != addresses {
            self.tell(&key);
        }
    }

    /// A Gateway in a target is gone.
    pub fn remove(&self, node: &str, key: &Key) {
        let gone = self.all.write().get_mut(node).and_then(|gateways| gateways.remove(key));
        if gone.is_some_and(|addresses| !addresses.is_empty()) {
            self.tell(key);
        }
    }

    /// These are all Gateways of a target: others, which an earlier connection has seen, are gone.
    pub fn retain(&self, node: &str, keys: &BTreeSet<Key>) {
        let known: Vec<_> = {
            let all = self.all.read();
            all.get(node)
                .map(|gateways| gateways.keys().cloned().collect())
                .unwrap_or_default()
        };
        for key in known.iter().filter(|key| !keys.contains(*key)) {
            self.remove(node, key);
        }
    }

    /// The target is none any more.
    pub fn forget(&self, node: &str) {
        let gone = self.all.write().remove(node).unwrap_or_default();
        gone.keys().for_each(|key| self.tell(key));
    }

    fn tell(&self, (namespace, name): &Key) {
        for subscriber in self.subscribers.read().iter() {
            subscriber(namespace, name);
        }
    }
}

/// The addresses in a Gateway's status, in order, without doubles.
fn addresses(gateway: &Value) -> Vec<Address> {
    let all = gateway["status"]["addresses"].as_array().into_iter().flatten();
    let address = |address: &Value| {
        let value = address["value"].as_str()?;
        match address["type"].as_str().unwrap_or("IPAddress") {
            "IPAddress" => value.parse().ok().map(Address::Ip),
            "Hostname" => Some(Address::Hostname(value.to_owned())),
            _ => None,
        }
    };
    let unique: BTreeSet<_> = all.filter_map(address).take(MOST).collect();
    unique.into_iter().collect()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use parking_lot::Mutex;
    use serde_json::json;

    use super::*;

    fn key(name: &str) -> Key {
        ("infra".into(), name.into())
    }

    fn gateway(addresses: Value) -> DynamicObject {
        let object = DynamicObject::new("web", &resource());
        object.data(json!({ "status": { "addresses": addresses } }))
    }

    #[test]
    fn addresses_are_of_two_kinds() {
        let all = json!([
            { "type": "Hostname", "value": "lb.example.com" }, { "value": "192.0.2.1" }, { "value": "192.0.2.1" },
            { "type": "IPAddress", "value": "2001:db8::1" }, { "type": "example.com/x", "value": "y" },
            { "type": "IPAddress", "value": "none" }, 7,
        ]);
        let expected = [
            Address::Ip("192.0.2.1".parse().unwrap()),
            Address::Ip("2001:db8::1".parse().unwrap()),
            Address::Hostname("lb.example.com".into()),
        ];
        assert_eq!(addresses(&gateway(all).data), expected);
    }

    #[test]
    fn changes_are_told_and_nothing_else() {
        let (gateways, told) = (Gateways::default(), Arc::new(Mutex::new(vec![])));
        let log = told.clone();
        gateways.subscribe(move |_, name| log.lock().push(name.to_owned()));
        let take = || std::mem::take(&mut *told.lock());
        let one = gateway(json!([{ "value": "192.0.2.1" }]));
        gateways.put("us", key("a"), &one);
        gateways.put("us", key("a"), &one);
        gateways.put("us", key("b"), &gateway(json!([])));
        assert_eq!(take(), ["a"]);
        assert_eq!(gateways.addresses("us", "infra", "a").len(), 1);
        assert_eq!(gateways.addresses("eu", "infra", "a"), []);
        gateways.retain("us", &BTreeSet::from([key("b")]));
        assert_eq!(take(), ["a"]);
        gateways.forget("us");
        assert_eq!(take(), ["b"]);
    }

    #[tokio::test]
    async fn nobody_watches_before_they_are_wanted() {
        let gateways = Gateways::default();
        let early = tokio::time::timeout(std::time::Duration::from_millis(10), gateways.wanted()).await;
        assert!(early.is_err());
        gateways.want();
        gateways.wanted().await;
    }
}
