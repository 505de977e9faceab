//! A proxy pod shows what its delegate does, soon.

use std::collections::BTreeMap;
use std::time::Duration;

use super::super::At;
use super::super::history::{ProxyPod, Snapshot, Status, Window};
use super::super::schedule::TARGETS;
use super::spans::{Span, calm, count, sources, targets};
use super::{Rule, Violation};

/// How long a status may take.
const LIMIT: Duration = Duration::from_secs(5);
/// How long after a fault this may take longer: watches are made anew.
const SETTLE: Duration = Duration::from_secs(10);

pub fn violations(history: &[Snapshot], faults: &[Window]) -> Vec<Violation> {
    let bound = bound(history);
    let mut found: BTreeMap<&str, Violation> = BTreeMap::new();
    for (target, place) in TARGETS.iter().enumerate().take(count(history)) {
        let calm = calm(faults, &[target], SETTLE);
        for run in runs(history, target) {
            let Some(bound) = bound.get(run.parent).filter(|bound| bound.target == target) else {
                continue;
            };
            let since = run.span.from.max(bound.at);
            for (asked, pod) in bound.reads.iter().filter(|(asked, _)| *asked <= run.span.to) {
                let in_calm = calm.iter().find(|span| span.from <= *asked && *asked <= span.to);
                let Some(calm) = in_calm else { continue };
                let late = asked.saturating_sub(since.max(calm.from));
                if late > LIMIT && pod.status != *run.status {
                    found.entry(run.parent).or_insert_with(|| Violation {
                        rule: Rule::Status,
                        at: *asked,
                        what: format!(
                            "pod {} shows {:?} {late:.1?} after its delegate in {place} was {:?}",
                            pod.name, pod.status, run.status
                        ),
                    });
                }
            }
        }
    }
    found.into_values().collect()
}

/// A delegate had one status all the time.
struct Run<'a> {
    parent: &'a str,
    status: &'a Status,
    span: Span,
}

/// What a delegate did, one after the other. One that is going away is nobody's concern.
fn runs(history: &[Snapshot], target: usize) -> Vec<Run<'_>> {
    let (mut done, mut current) = (Vec::new(), BTreeMap::<&str, Run<'_>>::new());
    for read in targets(history, target) {
        for delegate in read.seen.delegates.iter().filter(|delegate| !delegate.deleting) {
            let new = || Run {
                parent: &delegate.parent_uid,
                status: &delegate.status,
                span: Span {
                    from: read.answered,
                    to: read.asked,
                },
            };
            let run = current.entry(&delegate.uid).or_insert_with(new);
            if *run.status == delegate.status {
                run.span.to = read.asked;
            } else {
                done.push(std::mem::replace(run, new()));
            }
        }
    }
    done.extend(current.into_values());
    done
}

/// A proxy pod since it was bound, until it is deleted.
struct Bound<'a> {
    target: usize,
    at: At,
    reads: Vec<(At, &'a ProxyPod)>,
}

fn bound(history: &[Snapshot]) -> BTreeMap<&str, Bound<'_>> {
    let mut all = BTreeMap::<&str, Bound<'_>>::new();
    for read in sources(history) {
        for pod in read.seen.pods.iter().filter(|pod| !pod.deleting) {
            let Some(target) = pod.target else { continue };
            let first = || Bound {
                target,
                at: read.answered,
                reads: Vec::new(),
            };
            let bound = all.entry(&pod.uid).or_insert_with(first);
            bound.reads.push((read.asked, pod));
        }
    }
    all
}

#[cfg(test)]
mod tests {
    use super::super::super::history::Delegate;
    use super::super::testing::{cut, delegate, lasting, pod, status};
    use super::*;

    /// The delegate has failed at the 10th second, and the proxy pod tells it so many seconds later.
    fn broken(late: u64, faults: &[Window]) -> bool {
        let failed = Delegate {
            status: status("Failed"),
            ..delegate("d", "p")
        };
        let told = ProxyPod {
            status: status("Failed"),
            ..pod("p")
        };
        let mut history = lasting(0..10, &[pod("p")], [&[delegate("d", "p")], &[]]);
        history.extend(lasting(
            10..10 + late,
            &[pod("p")],
            [std::slice::from_ref(&failed), &[]],
        ));
        history.extend(lasting(10 + late..80, &[told], [&[failed], &[]]));
        let all = violations(&history, faults);
        assert!(all.len() <= 1, "one violation a pod");
        !all.is_empty()
    }

    #[test]
    fn a_status_may_take_a_moment() {
        assert!(!broken(5, &[]));
        assert!(broken(8, &[]));
    }

    #[test]
    fn while_the_way_is_cut_and_shortly_after_it_may_take_longer() {
        assert!(!broken(40, &[cut(0, 8, 36)]));
        assert!(broken(60, &[cut(0, 8, 36)]));
        assert!(broken(20, &[cut(1, 8, 36)]));
    }

    #[test]
    fn what_goes_or_is_not_bound_need_not_tell() {
        let failed = Delegate {
            status: status("Failed"),
            ..delegate("d", "p")
        };
        let going = ProxyPod {
            deleting: true,
            ..pod("p")
        };
        let unbound = ProxyPod {
            target: None,
            ..pod("p")
        };
        for pod in [going, unbound] {
            let history = lasting(0..60, &[pod], [std::slice::from_ref(&failed), &[]]);
            assert_eq!(violations(&history, &[]), []);
        }
    }
}
