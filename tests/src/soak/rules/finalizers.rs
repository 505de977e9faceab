//! No finalizer keeps a proxy pod for long while its delegate's cluster can be reached.

use std::collections::BTreeMap;
use std::time::Duration;

use super::super::history::{ProxyPod, Snapshot, Window};
use super::spans::{Span, calm, count, shared, sources};
use super::{Rule, Violation};

/// For so long the finalizer may keep a pod that is being deleted, counted while the target can be reached.
const LIMIT: Duration = Duration::from_secs(30);
/// Time after a fault that does not count.
const SETTLE: Duration = Duration::from_secs(5);

pub fn violations(history: &[Snapshot], faults: &[Window]) -> Vec<Violation> {
    let mut kept: BTreeMap<&str, (&ProxyPod, Span)> = BTreeMap::new();
    for read in sources(history) {
        for pod in read.seen.pods.iter().filter(|pod| pod.deleting && pod.held) {
            let first = Span {
                from: read.answered,
                to: read.asked,
            };
            kept.entry(&pod.uid).or_insert((pod, first)).1.to = read.asked;
        }
    }
    // A pod that was never bound may have been tried anywhere.
    let everywhere: Vec<usize> = (0..count(history)).collect();
    let violations = kept.into_values().filter_map(|(pod, span)| {
        let places = pod.target.map_or(everywhere.clone(), |target| vec![target]);
        let counted = shared(span, &calm(faults, &places, SETTLE));
        (counted > LIMIT).then(|| Violation {
            rule: Rule::Finalizer,
            at: span.from,
            what: format!(
                "pod {} ({}) was kept for {:.1?}, {counted:.1?} of them while its target could be reached",
                pod.name,
                pod.uid,
                span.length(),
            ),
        })
    });
    violations.collect()
}

#[cfg(test)]
mod tests {
    use super::super::testing::{cut, lasting, pod};
    use super::*;

    fn broken(pod: ProxyPod, seconds: u64, faults: &[Window]) -> bool {
        let mut history = lasting(0..seconds, &[pod], [&[], &[]]);
        history.extend(lasting(seconds..100, &[], [&[], &[]]));
        !violations(&history, faults).is_empty()
    }

    fn going() -> ProxyPod {
        ProxyPod {
            deleting: true,
            ..pod("p")
        }
    }

    #[test]
    fn a_finalizer_may_keep_a_pod_for_a_while() {
        assert!(!broken(going(), 29, &[]));
        assert!(broken(going(), 34, &[]));
        assert!(!broken(pod("p"), 90, &[]), "it is not being deleted");
        let free = ProxyPod { held: false, ..going() };
        assert!(!broken(free, 90, &[]), "others keep it");
    }

    #[test]
    fn time_without_a_way_to_its_target_does_not_count() {
        assert!(!broken(going(), 60, &[cut(0, 0, 30)]));
        assert!(broken(going(), 60, &[cut(1, 0, 30)]));
        let unbound = ProxyPod {
            target: None,
            ..going()
        };
        assert!(!broken(unbound, 60, &[cut(1, 0, 30)]));
    }
}
