//! Stretches of time: of what was seen, and of calm.

use std::time::Duration;

use super::super::At;
use super::super::history::{Read, Snapshot, Source, Target, Window};

/// From one time to another; empty when it ends before it begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span {
    pub from: At,
    pub to: At,
}

impl Span {
    pub fn intersect(self, other: Self) -> Self {
        Self {
            from: self.from.max(other.from),
            to: self.to.min(other.to),
        }
    }

    pub fn length(self) -> Duration {
        self.to.saturating_sub(self.from)
    }
}

/// The stretches in which the source and these targets could work together, each without its first `settle`.
pub fn calm(faults: &[Window], targets: &[usize], settle: Duration) -> Vec<Span> {
    let concern = |window: &&Window| targets.iter().any(|target| window.concerns(*target));
    without(faults.iter().filter(concern), settle)
}

/// The stretches without any of these faults, each without its first `settle`.
pub fn without<'a>(faults: impl IntoIterator<Item = &'a Window>, settle: Duration) -> Vec<Span> {
    let mut broken: Vec<_> = faults.into_iter().map(|window| (window.from, window.end())).collect();
    broken.sort_unstable();
    let (mut spans, mut from) = (Vec::new(), Duration::ZERO);
    for (begin, end) in broken {
        spans.push(Span { from, to: begin });
        from = from.max(end.saturating_add(settle));
    }
    spans.push(Span { from, to: At::MAX });
    spans.retain(|span| !span.length().is_zero());
    spans
}

/// How much of a stretch lies in others.
pub fn shared(span: Span, others: &[Span]) -> Duration {
    others.iter().map(|other| span.intersect(*other).length()).sum()
}

/// The reads of the source.
pub fn sources(history: &[Snapshot]) -> impl Iterator<Item = &Read<Source>> {
    history.iter().filter_map(|snapshot| snapshot.source.as_ref())
}

/// The reads of a target.
pub fn targets(history: &[Snapshot], target: usize) -> impl Iterator<Item = &Read<Target>> {
    history
        .iter()
        .filter_map(move |snapshot| snapshot.targets.get(target)?.as_ref())
}

/// How many targets there are.
pub fn count(history: &[Snapshot]) -> usize {
    history.iter().map(|snapshot| snapshot.targets.len()).max().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::super::testing::{cut, s};
    use super::*;

    #[test]
    fn calm_is_what_faults_leave() {
        let span = |from, to| Span {
            from: s(from),
            to: s(to),
        };
        let last = |from| Span {
            from: s(from),
            to: At::MAX,
        };
        let faults = [cut(0, 10, 20), cut(0, 15, 30), cut(0, 60, 70), cut(1, 100, 110)];
        assert_eq!(
            calm(&faults, &[0], s(5)),
            [span(0, 10), span(35, 60), last(75)],
            "other targets do not matter"
        );
        assert_eq!(calm(&[], &[0], s(5)), [last(0)]);
        let mut open = cut(0, 10, 20);
        open.to = None;
        assert_eq!(calm(&[open], &[0], s(5)), [span(0, 10)]);
        assert_eq!(shared(span(5, 40), &calm(&faults, &[0], s(5))), s(10));
    }
}
