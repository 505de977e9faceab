//! When a proxy pod may go although its delegate cannot be asked for. Pure; time is given by the caller.
//!
//! Without a word of its target a proxy pod that was deleted stays, because its delegate may run. Two things are as good
//! as that word: an administrator says that the virtual node is out of service; or the pod has a fence, and so much time
//! has passed that the target has stopped the delegate by itself.

use std::time::{Duration, Instant};

use multicluster_api::fence;

use super::proxy_pods::ProxyPod;

/// What is to be done about a proxy pod that waits for its target.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Release {
    /// Nothing: the target will tell.
    Wait,
    /// Look again after this time.
    After(Duration),
    /// Let it go: why.
    Now(Reason),
}

/// Why a proxy pod may go.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Reason {
    /// The administrator's word.
    #[error("its virtual node is out of service")]
    OutOfService,
    /// The delegate's fence.
    #[error("its target has stopped the delegate by now: nothing was heard of it for longer than the pod's fence")]
    Fenced,
}

/// What is known of the target that a proxy pod waits for.
#[derive(Clone, Copy, Debug)]
pub struct Silence {
    /// The virtual node is not Ready, and has the taint that says that it is out of service.
    pub out_of_service: bool,
    /// When its last heartbeat arrived, or if none has, when we began to listen.
    pub since: Instant,
    /// The fence of the pod's chaperon there, when that was seen.
    pub chaperon: Option<Option<Duration>>,
}

/// Decide.
pub fn release(pod: &ProxyPod, silence: &Silence, now: Instant) -> Release {
    if !pod.deleting || !pod.is_held() {
        return Release::Wait;
    }
    if silence.out_of_service {
        return Release::Now(Reason::OutOfService);
    }
    let Some(fence) = pod.fence else {
        return Release::Wait;
    };
    // What the target was told counts, not what the pod says by now.
    let Some(after) = silence.chaperon.unwrap_or(Some(fence.after)) else {
        return Release::Wait;
    };
    // The extender may have sent the pod there after our last heartbeat, with one that it heard itself.
    let since = pod.placed.map_or(silence.since, |placed| silence.since.max(placed));
    let stopped = since + fence::stopped_after(after, fence.grace);
    match stopped.checked_duration_since(now).filter(|left| !left.is_zero()) {
        Some(left) => Release::After(left),
        None => Release::Now(Reason::Fenced),
    }
}

#[cfg(test)]
mod tests {
    use multicluster_api::names;

    use super::super::proxy_pods::Fence;
    use super::*;

    fn seconds(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    fn deleted() -> ProxyPod {
        ProxyPod {
            node_name: "admiralty-eu".into(),
            deleting: true,
            finalizers: vec![names::FINALIZER.into()],
            ..Default::default()
        }
    }

    fn fenced() -> ProxyPod {
        ProxyPod {
            fence: Some(Fence {
                after: seconds(60),
                grace: seconds(30),
            }),
            ..deleted()
        }
    }

    fn since(since: Instant) -> Silence {
        Silence {
            out_of_service: false,
            since,
            chaperon: None,
        }
    }

    #[test]
    fn without_a_fence_only_the_administrators_word_counts() {
        let now = Instant::now();
        let much_later = now + seconds(1_000_000);
        assert_eq!(release(&deleted(), &since(now), much_later), Release::Wait);
        let out = Silence {
            out_of_service: true,
            ..since(now)
        };
        assert_eq!(release(&deleted(), &out, now), Release::Now(Reason::OutOfService));
        let living = ProxyPod {
            deleting: false,
            ..fenced()
        };
        assert_eq!(release(&living, &out, much_later), Release::Wait);
        let free = ProxyPod {
            finalizers: vec![],
            ..fenced()
        };
        assert_eq!(release(&free, &out, much_later), Release::Wait);
    }

    #[test]
    fn a_fence_counts_from_the_last_heartbeat_with_grace_period_and_margin() {
        let heard = Instant::now();
        // 60 s of fence, 30 s of grace, 10 s for clocks, 5 s for what carries it out.
        let says = |after| release(&fenced(), &since(heard), heard + seconds(after));
        assert_eq!(says(0), Release::After(seconds(105)));
        assert_eq!(says(104), Release::After(seconds(1)));
        assert_eq!(says(105), Release::Now(Reason::Fenced));
    }

    #[test]
    fn a_pod_that_was_sent_there_later_counts_from_then() {
        let heard = Instant::now();
        let pod = ProxyPod {
            placed: Some(heard + seconds(40)),
            ..fenced()
        };
        assert_eq!(
            release(&pod, &since(heard), heard + seconds(105)),
            Release::After(seconds(40))
        );
        let pod = ProxyPod {
            placed: heard.checked_sub(seconds(40)),
            ..fenced()
        };
        assert_eq!(
            release(&pod, &since(heard), heard + seconds(105)),
            Release::Now(Reason::Fenced)
        );
    }

    #[test]
    fn the_fence_that_the_target_was_told_counts() {
        let heard = Instant::now();
        for (chaperon, expected) in [
            (None, Release::Now(Reason::Fenced)),
            (Some(Some(seconds(60))), Release::Now(Reason::Fenced)),
            (Some(Some(seconds(61))), Release::After(seconds(1))),
            (Some(None), Release::Wait),
        ] {
            let silence = Silence {
                chaperon,
                ..since(heard)
            };
            assert_eq!(release(&fenced(), &silence, heard + seconds(105)), expected);
        }
    }
}
