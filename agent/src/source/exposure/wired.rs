//! The facts, from what follows pods and from the targets' Gateways.

use std::collections::BTreeSet;
use std::sync::Arc;

use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};

use super::facts::{Facts, Touched};
use super::site::{Address, Exposed};
use crate::home::Home;
use crate::source::following::object::{Kind, ObjectKey};

/// What the source cluster knows.
pub struct Wired(pub Arc<Home>);

impl Facts for Wired {
    fn exposed(&self, key: &ObjectKey) -> Option<Exposed> {
        let mut exposed = self.0.following.exposed(key)?;
        if key.kind == Kind::HttpRoute && !exposed.gateways.is_empty() {
            self.0.gateways.want();
            for site in &mut exposed.sites {
                let addresses = exposed
                    .gateways
                    .iter()
                    .flat_map(|(namespace, name)| self.gateway(&site.node, namespace, name));
                let unique: BTreeSet<_> = addresses.collect();
                site.addresses = unique.into_iter().collect();
            }
        }
        Some(exposed)
    }

    fn keys(&self) -> BTreeSet<ObjectKey> {
        self.0.following.shown_keys().into_iter().collect()
    }

    fn gateway(&self, node: &str, namespace: &str, name: &str) -> Vec<Address> {
        self.0.gateways.addresses(node, namespace, name)
    }

    fn is_known(&self, key: &ObjectKey) -> bool {
        self.0.following.is_known(key)
    }

    fn is_complete(&self) -> bool {
        self.0.following.knows(&[Kind::HttpRoute, Kind::Service])
    }

    fn subscribe(&self) -> UnboundedReceiver<Touched> {
        let (send, receive) = unbounded_channel();
        let objects = send.clone();
        // Nobody listens any more when the term ends.
        self.0
            .following
            .subscribe(move |key| drop(objects.send(Touched::Object(key.clone()))));
        self.0
            .gateways
            .subscribe(move |namespace, name| drop(send.send(Touched::Gateway(namespace.to_owned(), name.to_owned()))));
        receive
    }
}
