//! The way to a delegate, for requests that are passed on.

use std::sync::atomic::Ordering;

use multicluster_api::target::Access;
use multicluster_kubelet::nodes::{Delegate, NoDelegate};
use multicluster_targets::Upstreams;
use multicluster_upstream::Upstream;

use super::Link;
use crate::source::chaperons::RemoteChaperon;
use crate::source::proxy_pods::ProxyPod;

impl Link {
    /// There is a way to the target, or no longer one.
    pub fn set_way(&self, way: Option<Upstreams>) {
        *self.way.lock() = way;
    }

    /// The delegate of a pod that is bound to this target. `own` is the way to the source cluster itself.
    pub fn delegate(&self, pod: &ProxyPod, own: Option<&Upstream>) -> Result<Delegate, NoDelegate> {
        let (access, target) = {
            let target = self.target.read();
            (target.access.clone(), target.target.to_string())
        };
        let of = format!("{}/{}", pod.namespace, pod.name);
        let chaperon = self.chaperons.get(&pod.uid, &pod.namespace);
        let seen_going = self.chaperons.was_seen_going(&pod.uid, &pod.namespace);
        let (namespace, name) = whereabouts(chaperon.as_ref(), seen_going, &of)?;
        // A connection may lead to another cluster than the one before: only where the chaperons are, the delegate is.
        let settled = self.settled.load(Ordering::SeqCst);
        let upstream = match access {
            Access::SelfCluster => own.cloned(),
            _ => self.way.lock().as_ref().map(Upstreams::current),
        };
        match upstream.filter(|_| settled) {
            Some(upstream) => Ok(Delegate {
                target,
                upstream,
                namespace,
                name,
            }),
            None => Err(NoDelegate::NotConnected { pod: of, target }),
        }
    }
}

/// Namespace and name of the delegate, which are its chaperon's.
fn whereabouts(chaperon: Option<&RemoteChaperon>, seen_going: bool, pod: &str) -> Result<(String, String), NoDelegate> {
    let pod = || pod.to_owned();
    match chaperon {
        Some(chaperon) if chaperon.status.delegate.is_some() => Ok(chaperon.key.clone()),
        None if seen_going => Err(NoDelegate::Gone { pod: pod() }),
        _ => Err(NoDelegate::NotYet { pod: pod() }),
    }
}

#[cfg(test)]
mod tests {
    use multicluster_api::chaperon::DelegateRef;

    use super::*;

    #[test]
    fn a_delegate_is_where_its_chaperon_is_once_it_was_seen() {
        let mut chaperon = RemoteChaperon {
            key: ("shop".into(), "web-0123456789".into()),
            ..RemoteChaperon::default()
        };
        let pod = || "shop/web".to_owned();
        let not_yet = Err(NoDelegate::NotYet { pod: pod() });
        assert_eq!(whereabouts(None, false, "shop/web"), not_yet);
        assert_eq!(whereabouts(Some(&chaperon), false, "shop/web"), not_yet);
        assert_eq!(
            whereabouts(None, true, "shop/web"),
            Err(NoDelegate::Gone { pod: pod() })
        );
        chaperon.status.delegate = Some(DelegateRef::default());
        assert_eq!(
            whereabouts(Some(&chaperon), false, "shop/web"),
            Ok(chaperon.key.clone())
        );
    }
}
