//! The target's Gateways, as far as HTTPRoutes of the source attach to them.

use std::collections::BTreeSet;

use futures::StreamExt;
use kube::api::DynamicObject;
use kube::runtime::watcher::Config;
use kube::{Api, Client};
use multicluster_api::target::AnyTarget;

use super::Link;
use crate::changes::{Bar, Change, Glimpse, glimpses, key_of};
use crate::source::exposure::gateways;

impl Link {
    /// Follow them once they are needed. A target without Gateway API has none.
    pub(super) async fn watch_gateways(&self, target: &AnyTarget, client: Client) {
        let all = &self.home.gateways;
        all.wanted().await;
        let resource = gateways::resource();
        let api = match &target.target.namespace {
            Some(namespace) => Api::<DynamicObject>::namespaced_with(client, namespace, &resource),
            None => Api::all_with(client, &resource),
        };
        let what = ("gateways", self.node.as_str()).into();
        let mut glimpses = std::pin::pin!(glimpses(what, api, Config::default()));
        // What an earlier connection has seen and this one does not see is gone.
        let mut seen = Some(BTreeSet::new());
        while let Some(glimpse) = glimpses.next().await {
            match glimpse {
                Glimpse::Change(Change::Put(gateway)) => {
                    let key = key_of(&gateway);
                    if let Some(seen) = &mut seen {
                        seen.insert(key.clone());
                    }
                    all.put(&self.node, key, &gateway);
                }
                Glimpse::Change(Change::Gone(key)) => all.remove(&self.node, &key),
                Glimpse::Change(Change::Listed) => {
                    if let Some(seen) = seen.take() {
                        all.retain(&self.node, &seen);
                    }
                }
                Glimpse::Barred(Bar::Missing) => all.retain(&self.node, &BTreeSet::new()),
                Glimpse::Barred(Bar::Denied) => {}
            }
        }
    }
}
