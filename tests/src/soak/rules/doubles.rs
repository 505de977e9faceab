//! No proxy pod has two live delegates, and no identity of a StatefulSet runs twice.
//!
//! Lists of several clusters are not read at one moment. What was seen live twice under one UID was live all the time
//! between: from the answer to the first read to the question of the last. When two such times overlap, both were live
//! at once, however torn the reads were; also while one of the clusters could not be read.

use std::collections::BTreeMap;
use std::time::Duration;

use super::super::At;
use super::super::history::{Delegate, Snapshot, Window};
use super::super::schedule::TARGETS;
use super::spans::{Span, calm, count, targets};
use super::{Rule, Violation};

/// A left-over of an attempt may live for so long once its target can be reached.
const LEFT_OVER: Duration = Duration::from_secs(15);

struct Life<'a> {
    target: usize,
    delegate: &'a Delegate,
    span: Span,
}

pub fn violations(history: &[Snapshot], faults: &[Window]) -> Vec<Violation> {
    let lives = lives(history);
    let (mut identities, mut parents) = (BTreeMap::<_, Vec<_>>::new(), BTreeMap::<_, Vec<_>>::new());
    for life in &lives {
        if life.delegate.is_stateful() {
            identities.entry(&life.delegate.parent_name).or_default().push(life);
        } else {
            parents.entry(&life.delegate.parent_uid).or_default().push(life);
        }
    }
    let strictly = identities
        .values()
        .filter_map(|group| twice(group, Rule::Identity, |_, _, both| Some(both.from)));
    let while_reachable = parents.values().filter_map(|group| {
        twice(group, Rule::OneDelegate, |one, other, both| {
            let calm = calm(faults, &[one.target, other.target], LEFT_OVER);
            let mut spans = calm.into_iter().map(|calm| calm.intersect(both));
            spans.find(|span| !span.length().is_zero()).map(|span| span.from)
        })
    });
    strictly.chain(while_reachable).collect()
}

fn lives(history: &[Snapshot]) -> Vec<Life<'_>> {
    let mut lives: BTreeMap<(usize, &str), Life<'_>> = BTreeMap::new();
    for target in 0..count(history) {
        for read in targets(history, target) {
            for delegate in read.seen.delegates.iter().filter(|delegate| delegate.is_live()) {
                let first = || Life {
                    target,
                    delegate,
                    span: Span {
                        from: read.answered,
                        to: read.asked,
                    },
                };
                lives.entry((target, &delegate.uid)).or_insert_with(first).span.to = read.asked;
            }
        }
    }
    lives.into_values().collect()
}

/// The first pair that was alive at once, at a time that counts.
fn twice(
    group: &[&Life<'_>],
    rule: Rule,
    counts: impl Fn(&Life<'_>, &Life<'_>, Span) -> Option<At>,
) -> Option<Violation> {
    let pairs = group
        .iter()
        .enumerate()
        .flat_map(|(index, one)| group[index + 1..].iter().map(move |other| (one, other)));
    let found = pairs.filter_map(|(one, other)| {
        let both = one.span.intersect(other.span);
        let at = (!both.length().is_zero()).then(|| counts(one, other, both)).flatten()?;
        let (name, place) = (&one.delegate.parent_name, |life: &Life<'_>| TARGETS[life.target]);
        let what = format!(
            "pod {name}: delegates {} in {} (of {}) and {} in {} (of {}) live at once for {:.1?}",
            one.delegate.uid,
            place(one),
            one.delegate.parent_uid,
            other.delegate.uid,
            place(other),
            other.delegate.parent_uid,
            both.length(),
        );
        Some(Violation { rule, at, what })
    });
    found.min_by_key(|violation| violation.at)
}

#[cfg(test)]
mod tests {
    use super::super::testing::{cut, delegate, lasting, s, snapshot, status};
    use super::*;

    fn member(uid: &str, parent: &str) -> Delegate {
        Delegate {
            workload: "statefulset-0".into(),
            parent_name: "statefulset-0-0".into(),
            ..delegate(uid, parent)
        }
    }

    fn broken(history: &[Snapshot], faults: &[Window]) -> Vec<Rule> {
        violations(history, faults).iter().map(|v| v.rule).collect()
    }

    #[test]
    fn one_after_the_other_is_well_however_torn_the_read() {
        let (a, b) = (delegate("a", "p"), delegate("b", "p"));
        let mut history = lasting(0..30, &[], [std::slice::from_ref(&a), &[]]);
        // The first target was read before the end of `a`, the second one after the begin of `b`.
        history.push(snapshot(s(30), vec![], [vec![a], vec![b.clone()]]));
        history.extend(lasting(31..40, &[], [&[], &[b]]));
        assert_eq!(broken(&history, &[]), []);
    }

    #[test]
    fn two_delegates_of_a_proxy_pod() {
        let (a, b) = (delegate("a", "p"), delegate("b", "p"));
        let both = lasting(0..40, &[], [std::slice::from_ref(&a), std::slice::from_ref(&b)]);
        assert_eq!(broken(&both, &[]), [Rule::OneDelegate]);
        let in_one_cluster = lasting(0..40, &[], [&[a.clone(), b.clone()], &[]]);
        assert_eq!(broken(&in_one_cluster, &[]), [Rule::OneDelegate]);
        let others = lasting(0..40, &[], [std::slice::from_ref(&a), &[delegate("b", "q")]]);
        assert_eq!(broken(&others, &[]), []);
        let done = Delegate {
            status: status("Succeeded"),
            ..a
        };
        assert_eq!(broken(&lasting(0..40, &[], [&[done], &[b]]), &[]), []);
    }

    #[test]
    fn a_left_over_has_some_time_once_its_target_is_back() {
        let (a, b) = (delegate("a", "p"), delegate("b", "p"));
        let both = |until| lasting(10..until, &[], [std::slice::from_ref(&a), std::slice::from_ref(&b)]);
        let faults = [cut(0, 5, 30)];
        assert_eq!(broken(&both(44), &faults), []);
        assert_eq!(broken(&both(48), &faults), [Rule::OneDelegate]);
    }

    #[test]
    fn an_identity_never_runs_twice() {
        let (a, b) = (member("a", "p"), member("b", "q"));
        let mut history = lasting(0..5, &[], [std::slice::from_ref(&a), &[]]);
        // The first target does not answer, and what was there runs on, as is seen in the end.
        for mut snapshot in lasting(5..20, &[], [&[], std::slice::from_ref(&b)]) {
            snapshot.targets[0] = None;
            history.push(snapshot);
        }
        assert_eq!(broken(&history, &[cut(0, 4, 30)]), []);
        history.extend(lasting(20..21, &[], [&[a], &[b]]));
        assert_eq!(broken(&history, &[cut(0, 4, 30)]), [Rule::Identity]);
        assert_eq!(violations(&history, &[])[0].at, s(5) + Duration::from_millis(100));
    }
}
