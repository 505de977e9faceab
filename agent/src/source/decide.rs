//! What to do about a proxy pod and its chaperon in one target. Pure.

use super::chaperons::RemoteChaperon;
use super::proxy_pods::ProxyPod;

/// What to do about a proxy pod and its chaperon.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// All is as it should be, or it is somebody else's turn.
    Nothing,
    /// The proxy pod should show what its delegate does.
    SyncStatus,
    /// The chaperon is not (or no longer) known: ask the target, then decide with the answer.
    Confirm(Missing),
    /// The proxy pod seems not to exist: ask the source, then delete the chaperon.
    ConfirmOrphan,
    /// Delete the chaperon: the proxy pod goes, or lives elsewhere.
    DeleteChaperon,
    /// Delete the proxy pod: its delegate is gone or going.
    DeletePod,
    /// The delegate is gone, so may the proxy pod.
    RemoveFinalizer,
}

/// What a confirmed absence of the chaperon leads to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Missing {
    /// Delete the proxy pod.
    DeletePod,
    /// Take our finalizer off the proxy pod.
    RemoveFinalizer,
}

/// What is known of a target when deciding.
#[derive(Clone, Copy, Debug)]
pub struct View<'a> {
    /// Name of the target's virtual node.
    pub node: &'a str,
    /// The proxy pod, if there is one.
    pub pod: Option<&'a ProxyPod>,
    /// Its chaperon in this target, if there is one.
    pub chaperon: Option<&'a RemoteChaperon>,
    /// A chaperon of this pod was here and was seen going.
    pub seen_going: bool,
}

/// Decide. Only called when the pods and the target's chaperons are all known.
pub fn decide(view: View<'_>) -> Action {
    match (view.pod, view.chaperon) {
        (None, None) => Action::Nothing,
        (None, Some(chaperon)) => if_alive(chaperon, Action::ConfirmOrphan),
        (Some(pod), chaperon) if pod.node_name == view.node => bound_here(pod, chaperon, view.seen_going),
        // Somebody has begun to try it here, and may be about to make the chaperon.
        (Some(pod), None) if pod.deleting && pod.whereabouts() == view.node && pod.is_held() => {
            Action::Confirm(Missing::RemoveFinalizer)
        }
        (Some(_), None) => Action::Nothing,
        // Bound elsewhere: a left-over of an attempt.
        (Some(pod), Some(chaperon)) if !pod.node_name.is_empty() => if_alive(chaperon, Action::DeleteChaperon),
        (Some(pod), Some(chaperon)) if pod.deleting => if_alive(chaperon, Action::DeleteChaperon),
        // Not bound yet: an attempt that the extender has under way.
        (Some(_), Some(_)) => Action::Nothing,
    }
}

fn bound_here(pod: &ProxyPod, chaperon: Option<&RemoteChaperon>, seen_going: bool) -> Action {
    match (pod.deleting, chaperon) {
        (true, Some(chaperon)) => if_alive(chaperon, Action::DeleteChaperon),
        (true, None) if !pod.is_held() => Action::Nothing,
        (true, None) if seen_going => Action::RemoveFinalizer,
        (true, None) => Action::Confirm(Missing::RemoveFinalizer),
        (false, None) if seen_going => Action::DeletePod,
        // The watch of the source may be ahead of the target's.
        (false, None) => Action::Confirm(Missing::DeletePod),
        (false, Some(chaperon)) if chaperon.deleting || delegate_is_going(chaperon) => Action::DeletePod,
        (false, Some(_)) => Action::SyncStatus,
    }
}

fn delegate_is_going(chaperon: &RemoteChaperon) -> bool {
    chaperon
        .status
        .delegate
        .as_ref()
        .is_some_and(|delegate| delegate.deletion_timestamp.is_some())
}

fn if_alive(chaperon: &RemoteChaperon, action: Action) -> Action {
    if chaperon.deleting { Action::Nothing } else { action }
}

#[cfg(test)]
mod tests {
    use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
    use multicluster_api::{DelegateRef, names};

    use super::*;

    const NODE: &str = "admiralty-eu";

    fn pod(node: &str, deleting: bool) -> ProxyPod {
        ProxyPod {
            node_name: node.into(),
            deleting,
            finalizers: vec![names::FINALIZER.into()],
            ..Default::default()
        }
    }

    fn tried_here(deleting: bool) -> ProxyPod {
        ProxyPod {
            attempted_in: NODE.into(),
            ..pod("", deleting)
        }
    }

    fn chaperon() -> RemoteChaperon {
        RemoteChaperon::default()
    }

    fn deleting_chaperon() -> RemoteChaperon {
        RemoteChaperon {
            deleting: true,
            ..chaperon()
        }
    }

    fn with_dying_delegate() -> RemoteChaperon {
        let mut chaperon = chaperon();
        chaperon.status.delegate = Some(DelegateRef {
            deletion_timestamp: Some(Time("2030-01-01T00:00:00Z".parse().unwrap())),
            ..Default::default()
        });
        chaperon
    }

    #[test]
    fn every_case() {
        let cases = [
            ("nothing", None, None, Action::Nothing),
            ("orphan", None, Some(chaperon()), Action::ConfirmOrphan),
            (
                "orphan that goes already",
                None,
                Some(deleting_chaperon()),
                Action::Nothing,
            ),
            ("living", Some(pod(NODE, false)), Some(chaperon()), Action::SyncStatus),
            (
                "chaperon goes",
                Some(pod(NODE, false)),
                Some(deleting_chaperon()),
                Action::DeletePod,
            ),
            (
                "delegate goes",
                Some(pod(NODE, false)),
                Some(with_dying_delegate()),
                Action::DeletePod,
            ),
            (
                "chaperon unknown",
                Some(pod(NODE, false)),
                None,
                Action::Confirm(Missing::DeletePod),
            ),
            (
                "pod goes",
                Some(pod(NODE, true)),
                Some(chaperon()),
                Action::DeleteChaperon,
            ),
            (
                "both go",
                Some(pod(NODE, true)),
                Some(deleting_chaperon()),
                Action::Nothing,
            ),
            (
                "pod goes, no chaperon",
                Some(pod(NODE, true)),
                None,
                Action::Confirm(Missing::RemoveFinalizer),
            ),
            (
                "attempt under way",
                Some(pod("", false)),
                Some(chaperon()),
                Action::Nothing,
            ),
            (
                "attempt of a pod that goes",
                Some(pod("", true)),
                Some(chaperon()),
                Action::DeleteChaperon,
            ),
            (
                "left-over",
                Some(pod("admiralty-us", false)),
                Some(chaperon()),
                Action::DeleteChaperon,
            ),
            (
                "tried here, it goes, and nothing is seen here",
                Some(tried_here(true)),
                None,
                Action::Confirm(Missing::RemoveFinalizer),
            ),
            ("tried here", Some(tried_here(false)), None, Action::Nothing),
            (
                "tried here, bound elsewhere",
                Some(ProxyPod {
                    node_name: "admiralty-us".into(),
                    ..tried_here(true)
                }),
                None,
                Action::Nothing,
            ),
            ("elsewhere", Some(pod("admiralty-us", false)), None, Action::Nothing),
            (
                "elsewhere and going",
                Some(pod("admiralty-us", true)),
                None,
                Action::Nothing,
            ),
        ];
        for (case, pod, chaperon, expected) in cases {
            let view = View {
                node: NODE,
                pod: pod.as_ref(),
                chaperon: chaperon.as_ref(),
                seen_going: false,
            };
            assert_eq!(decide(view), expected, "{case}");
        }
    }

    #[test]
    fn what_was_seen_going_needs_no_confirmation() {
        for (deleting, expected) in [(true, Action::RemoveFinalizer), (false, Action::DeletePod)] {
            let pod = pod(NODE, deleting);
            assert_eq!(
                decide(View {
                    node: NODE,
                    pod: Some(&pod),
                    chaperon: None,
                    seen_going: true
                }),
                expected
            );
        }
    }

    #[test]
    fn a_pod_that_is_not_held_needs_nothing() {
        let pod = ProxyPod {
            finalizers: vec![],
            ..pod(NODE, true)
        };
        assert_eq!(
            decide(View {
                node: NODE,
                pod: Some(&pod),
                chaperon: None,
                seen_going: true
            }),
            Action::Nothing
        );
    }
}
