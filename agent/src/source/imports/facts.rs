//! What imports need to know of pods and targets, from what the rest of the source knows.

use std::sync::Arc;

use super::clusters::Way;
use super::network::Network;
use crate::changes::Key;
use crate::home::Home;
use crate::source::following::object::{Kind, ObjectKey};
use crate::source::proxy_pods::ProxyPod;

/// The targets as they are now.
pub fn ways(home: &Home) -> Vec<Way> {
    let followers = home.following.followers.all();
    let way = |follower: &Arc<_>| {
        let follower: &crate::source::following::follower::Follower = follower;
        let facts = follower.facts();
        Way {
            node: follower.node.clone(),
            namespace: follower.namespace.clone(),
            cluster_id: facts.cluster_id,
            own: facts.own,
            network: Network::new(facts.network),
            // Until somebody says otherwise: pods that were reached before this process began are still reached.
            healthy: facts.serves != Some(false),
        }
    };
    followers.iter().map(way).collect()
}

/// The proxy pods that an exported Service selects; `None` until they are known.
pub fn pods_behind(home: &Home, service: &Key) -> Option<Vec<Arc<ProxyPod>>> {
    let key = ObjectKey::new(Kind::Service, &service.0, &service.1);
    let uids = home.following.selected(&key)?;
    Some(uids.iter().filter_map(|uid| home.pods.get(uid)).collect())
}

/// A pod is not as it was `before`. Its readiness is followed otherwise; what else an endpoint is made of, here.
pub fn pod_changed(home: &Home, before: Option<&ProxyPod>, pod: &ProxyPod) {
    if home.imports.exports.is_empty() || before.is_some_and(|before| is_same_endpoint(before, pod)) {
        return;
    }
    for service in home.following.services_of(&pod.uid) {
        home.imports.endpoints_changed(&(service.namespace, service.name));
    }
}

fn is_same_endpoint(one: &ProxyPod, other: &ProxyPod) -> bool {
    let of = |pod: &ProxyPod| {
        let status = &pod.status;
        let mut conditions = status.conditions.iter().flatten();
        let ready = conditions.any(|condition| condition.type_ == "Ready" && condition.status == "True");
        (
            status.pod_ips.clone(),
            status.phase.clone(),
            ready,
            pod.deleting,
            pod.node_name.clone(),
        )
    };
    of(one) == of(other)
}
