//! Facts that a test may change.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, Ordering};

use parking_lot::Mutex;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

use crate::source::exposure::facts::{Facts, Touched};
use crate::source::exposure::site::{Address, Exposed};
use crate::source::following::object::ObjectKey;

/// The world of a test.
#[derive(Default)]
pub struct World {
    exposed: Mutex<BTreeMap<ObjectKey, Exposed>>,
    gateways: Mutex<BTreeMap<(String, String, String), Vec<Address>>>,
    subscribers: Mutex<Vec<UnboundedSender<Touched>>>,
    unknown: AtomicBool,
}

impl World {
    /// An object is so now.
    pub fn put(&self, exposed: Exposed) {
        let key = exposed.key.clone();
        self.exposed.lock().insert(key.clone(), exposed);
        self.tell(Touched::Object(key));
    }

    /// An object is gone.
    pub fn remove(&self, key: &ObjectKey) {
        self.exposed.lock().remove(key);
        self.tell(Touched::Object(key.clone()));
    }

    /// A target's Gateway has these addresses.
    pub fn gateway(&self, node: &str, namespace: &str, name: &str, addresses: Vec<Address>) {
        let key = (node.into(), namespace.into(), name.into());
        self.gateways.lock().insert(key, addresses);
        self.tell(Touched::Gateway(namespace.into(), name.into()));
    }

    /// Not all is known yet, or it is.
    pub fn set_known(&self, known: bool) {
        self.unknown.store(!known, Ordering::SeqCst);
    }

    fn tell(&self, touched: Touched) {
        self.subscribers
            .lock()
            .retain(|subscriber| subscriber.send(touched.clone()).is_ok());
    }
}

impl Facts for World {
    fn exposed(&self, key: &ObjectKey) -> Option<Exposed> {
        self.exposed.lock().get(key).cloned()
    }

    fn keys(&self) -> BTreeSet<ObjectKey> {
        self.exposed.lock().keys().cloned().collect()
    }

    fn gateway(&self, node: &str, namespace: &str, name: &str) -> Vec<Address> {
        let key = (node.into(), namespace.into(), name.into());
        self.gateways.lock().get(&key).cloned().unwrap_or_default()
    }

    fn is_known(&self, _: &ObjectKey) -> bool {
        self.is_complete()
    }

    fn is_complete(&self) -> bool {
        !self.unknown.load(Ordering::SeqCst)
    }

    fn subscribe(&self) -> UnboundedReceiver<Touched> {
        let (send, receive) = unbounded_channel();
        self.subscribers.lock().push(send);
        receive
    }
}
