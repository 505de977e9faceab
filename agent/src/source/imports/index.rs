//! What the source knows, and who is to look at it when something changes.

use std::net::IpAddr;
use std::sync::{Arc, Weak};
use std::time::Duration;

use parking_lot::RwLock;
use tokio::sync::watch;

use super::clusters::{Cluster, ClusterName, Clusters, Way};
use super::conditions::Progress;
use super::endpoints::{Backend, Endpoints, add_own, endpoints};
use super::exportable::Exportable;
use super::exports::Exports;
use super::network::Network;
use super::own_slices::OwnSlices;
use super::seat::Seat;
use crate::changes::Key;
use crate::queue::Queue;
use crate::queue_metrics::QueueMetrics;
use crate::source::proxy_pods::ProxyPod;

/// Pods come and go in numbers: so long are their changes collected, so that a slice is written five times a second at most.
const COLLECT: Duration = Duration::from_millis(200);

/// Exports, clusters, and those who import.
pub struct Imports {
    /// The ServiceExports.
    pub exports: Exports,
    /// Endpoints in the source itself.
    pub own: OwnSlices,
    /// Exports whose Service is to be read.
    pub readings: Queue<Key>,
    /// Exports whose conditions may be out of date.
    pub statuses: Queue<Key>,
    /// Work of all clusters counts here.
    pub metrics: QueueMetrics,
    source: String,
    network: Network,
    clusters: RwLock<Option<Arc<Clusters>>>,
    /// All targets are known.
    seats: RwLock<Vec<Weak<Seat>>>,
    any: watch::Sender<bool>,
}

impl Imports {
    /// Of the source of this name, whose pods are in this network.
    pub fn new(source: &str, network: Network, exports: &QueueMetrics, imports: &QueueMetrics) -> Self {
        Self {
            exports: Exports::default(),
            own: OwnSlices::default(),
            readings: Queue::new(exports),
            statuses: Queue::new(exports),
            metrics: imports.clone(),
            source: source.to_owned(),
            network,
            clusters: RwLock::default(),
            seats: RwLock::default(),
            any: watch::Sender::new(false),
        }
    }

    /// A cluster is brought into step from now on, for as long as the seat exists.
    pub fn add_seat(&self, seat: &Arc<Seat>) {
        let mut seats = self.seats.write();
        seats.retain(|seat| seat.strong_count() > 0);
        seats.push(Arc::downgrade(seat));
    }

    fn seats(&self) -> Vec<Arc<Seat>> {
        self.seats.read().iter().filter_map(Weak::upgrade).collect()
    }

    /// An export, or its Service, has changed: all clusters look at it.
    pub fn touch(&self, key: &Key) {
        self.seats()
            .iter()
            .for_each(|seat| seat.add(key.clone(), Duration::ZERO));
    }

    /// Everything may have changed.
    pub fn touch_all(&self) {
        self.exports.keys().iter().for_each(|key| self.touch(key));
    }

    /// All clusters look at everything, also at what is left there.
    pub fn touch_everything(&self) {
        self.seats().iter().for_each(|seat| seat.add_all());
    }

    /// Endpoints of this Service may have changed.
    pub fn endpoints_changed(&self, service: &Key) {
        if self.exports.contains(service) {
            self.seats().iter().for_each(|seat| seat.add(service.clone(), COLLECT));
        }
    }

    /// This Service may have changed, or the pods that it selects.
    pub fn service_changed(&self, service: &Key) {
        if self.exports.contains(service) {
            self.readings.add(service.clone());
            self.endpoints_changed(service);
        }
    }

    /// The number of exports may have changed.
    pub fn count(&self) {
        self.any.send_if_modified(|any| {
            let before = std::mem::replace(any, !self.exports.is_empty());
            before != *any
        });
    }

    /// Wait until there is an export.
    pub async fn some(&self) {
        // The sender lives as long as this.
        let _ = self.any.subscribe().wait_for(|any| *any).await;
    }

    /// Wait until there is none.
    pub async fn none(&self) {
        let _ = self.any.subscribe().wait_for(|any| !*any).await;
    }

    /// The targets as they are now.
    pub fn set_ways(&self, ways: &[Way]) {
        let clusters = Clusters::new(&self.source, self.network.clone(), ways);
        let mut known = self.clusters.write();
        if known.as_deref() == Some(&clusters) {
            return;
        }
        let names: Vec<_> = clusters.all().map(|cluster| cluster.name.clone()).collect();
        *known = Some(Arc::new(clusters));
        drop(known);
        self.exports.retain_clusters(|name| names.contains(name));
        self.exports.keys().into_iter().for_each(|key| self.statuses.add(key));
        self.touch_everything();
    }

    /// The clusters, as far as they are known.
    pub fn clusters(&self) -> Option<Arc<Clusters>> {
        self.clusters.read().clone()
    }

    /// Endpoints of an exported Service, as they are seen from a cluster. `pods` are the proxy pods that it selects.
    pub fn endpoints(
        &self,
        key: &Key,
        service: &Exportable,
        pods: &[Arc<ProxyPod>],
        here: &Cluster,
        clusters: &Clusters,
    ) -> Endpoints {
        let backends = pods.iter().filter_map(|pod| backend(pod, &key.1, here, clusters));
        let mut all = endpoints(service, backends);
        let proxies: Vec<IpAddr> = pods.iter().flat_map(|pod| addresses(pod)).collect();
        let slices = self.own.of(key);
        add_own(&mut all, &clusters.source().name, &slices, |address| {
            proxies.contains(address)
        });
        all
    }

    /// Note how far a cluster is. Returns whether that is news.
    pub fn set_progress(&self, key: &Key, cluster: &ClusterName, progress: Option<Progress>) -> bool {
        let news = self.exports.set_progress(key, cluster, progress);
        if news {
            self.statuses.add(key.clone());
        }
        news
    }
}

fn backend<'a>(pod: &'a ProxyPod, service: &str, here: &Cluster, clusters: &Clusters) -> Option<Backend<'a>> {
    let ended = matches!(pod.status.phase.as_deref(), Some("Succeeded" | "Failed"));
    let cluster = clusters.of_node(&pod.node_name).filter(|_| !ended)?;
    let mut conditions = pod.status.conditions.iter().flatten();
    let dns_name = pod.dns_name.as_deref().filter(|(_, subdomain)| subdomain == service);
    Some(Backend {
        cluster: cluster.name.clone(),
        // What runs in the same cluster is reached there, whoever cannot ask it how it is.
        reachable: cluster.healthy || cluster.name == here.name,
        addresses: addresses(pod),
        ready: conditions.any(|condition| condition.type_ == "Ready" && condition.status == "True"),
        terminating: pod.deleting,
        hostname: dns_name.map(|(hostname, _)| hostname.as_str()),
        ports: &pod.ports,
    })
}

fn addresses(pod: &ProxyPod) -> Vec<IpAddr> {
    let ips = pod.status.pod_ips.iter().flatten();
    ips.filter_map(|ip| ip.ip.parse().ok()).collect()
}
