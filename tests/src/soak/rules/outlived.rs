//! No delegate outlives its proxy pod for long while both clusters can be reached.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::super::At;
use super::super::history::{Snapshot, Window};
use super::super::schedule::TARGETS;
use super::spans::{Span, calm, count, shared, sources, targets};
use super::{Rule, Violation};

/// For so long a delegate may be there without its proxy pod, counted while both clusters can be reached.
const LIMIT: Duration = Duration::from_secs(30);
/// Time after a fault that does not count.
const SETTLE: Duration = Duration::from_secs(5);

pub fn violations(history: &[Snapshot], faults: &[Window]) -> Vec<Violation> {
    let mut all = Vec::new();
    for (target, place) in TARGETS.iter().enumerate().take(count(history)) {
        let calm = calm(faults, &[target], SETTLE);
        for ((uid, parent), seen) in seen(history, target) {
            let Some(gone) = gone(history, parent, seen.from) else {
                continue;
            };
            let alone = Span {
                from: gone,
                to: seen.to,
            };
            let counted = shared(alone, &calm);
            if counted > LIMIT {
                let what = format!(
                    "delegate {uid} in {place} outlived its proxy pod {parent} by {:.1?}, {counted:.1?} of them while both \
                     clusters could be reached",
                    alone.length(),
                );
                all.push(Violation {
                    rule: Rule::Outlived,
                    at: gone,
                    what,
                });
            }
        }
    }
    all
}

/// Delegates of a target with their parents, and when they were surely there.
fn seen(history: &[Snapshot], target: usize) -> BTreeMap<(&str, &str), Span> {
    let mut all = BTreeMap::new();
    for read in targets(history, target) {
        for delegate in &read.seen.delegates {
            let first = Span {
                from: read.answered,
                to: read.asked,
            };
            all.entry((delegate.uid.as_str(), delegate.parent_uid.as_str()))
                .or_insert(first)
                .to = read.asked;
        }
    }
    all
}

/// When a proxy pod was surely gone. It was there before its delegate, so it has been since, or is gone for ever.
fn gone(history: &[Snapshot], uid: &str, since: At) -> Option<At> {
    let later = sources(history).filter(|read| read.asked >= since);
    let without = later.filter(|read| {
        let uids: BTreeSet<_> = read.seen.pods.iter().map(|pod| pod.uid.as_str()).collect();
        !uids.contains(uid)
    });
    without.map(|read| read.answered).next()
}

#[cfg(test)]
mod tests {
    use super::super::testing::{cut, delegate, lasting, pod};
    use super::*;

    fn broken(alone: u64, faults: &[Window]) -> bool {
        let delegate = delegate("d", "p");
        let mut history = lasting(0..10, &[pod("p")], [std::slice::from_ref(&delegate), &[]]);
        history.extend(lasting(10..10 + alone, &[], [&[delegate], &[]]));
        history.extend(lasting(10 + alone..100, &[], [&[], &[]]));
        let all = violations(&history, faults);
        assert!(all.iter().all(|violation| violation.rule == Rule::Outlived));
        !all.is_empty()
    }

    #[test]
    fn a_delegate_may_stay_for_a_while() {
        assert!(!broken(28, &[]));
        assert!(broken(33, &[]));
    }

    #[test]
    fn time_without_a_way_to_the_target_does_not_count() {
        assert!(!broken(60, &[cut(0, 5, 40)]));
        assert!(broken(60, &[cut(1, 5, 40)]), "another target's");
        assert!(broken(80, &[cut(0, 20, 40)]), "time before and after adds up");
    }

    #[test]
    fn a_delegate_beside_its_proxy_pod_is_well() {
        let history = lasting(0..100, &[pod("p")], [&[delegate("d", "p")], &[]]);
        assert_eq!(violations(&history, &[]), []);
    }
}
