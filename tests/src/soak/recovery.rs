//! How long it took until all was well after a fault. Pure.

use std::time::Duration;

use super::At;
use super::history::{Snapshot, Window};
use super::rules::unsettled;
use super::schedule::How;

/// A workload that users changed just now is not at fault for being on its way.
const CHANGING: Duration = Duration::from_secs(8);
/// For so long all must stay well: what users changed before is then waited for.
const STAY: Duration = Duration::from_secs(9);

/// What became of a fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Recovery {
    /// All was well after this time.
    After(Duration),
    /// The next thing broke before that was known.
    Overtaken,
}

/// The recovery of each fault: from the begin of a kill, from the end of any other fault, to the first of the looks at
/// clusters that stay well. Well they are when every virtual node is Ready and every workload that nobody just changed is
/// as desired. Looks after `end`, when all is deleted, do not count.
pub fn recoveries(history: &[Snapshot], faults: &[Window], changed: &[(At, String)], end: At) -> Vec<Recovery> {
    let looks = history.iter().filter_map(|snapshot| {
        let asked = snapshot.source.as_ref()?.asked;
        (asked <= end).then(|| (asked, is_well(snapshot, asked, changed)))
    });
    let looks: Vec<_> = looks.collect();
    let one = |(index, fault): (usize, &Window)| {
        let killed = matches!(fault.how, Some(How::Kill) | None);
        let since = if killed { fault.from } else { fault.end() };
        let others = faults.iter().enumerate().filter(|(other, _)| *other != index);
        let next = others
            .filter(|(_, other)| other.end() > fault.end())
            .map(|(_, other)| other.from.max(fault.end()))
            .min();
        match well_since(&looks, fault.end(), next, end) {
            Some(well) => Recovery::After(well - since),
            None => Recovery::Overtaken,
        }
    };
    faults.iter().enumerate().map(one).collect()
}

/// The first look from `from` on after which all stay well: for long enough before the next fault, or until the end.
fn well_since(looks: &[(At, bool)], from: At, next: Option<At>, end: At) -> Option<At> {
    let mut since = None;
    for (at, well) in looks.iter().filter(|(at, _)| *at >= from) {
        if next.is_some_and(|next| *at > next) {
            return None;
        }
        since = well.then(|| since.unwrap_or(*at));
        if since.is_some_and(|since| *at >= since + STAY) {
            return since;
        }
    }
    since.filter(|_| next.is_none_or(|next| next > end))
}

fn is_well(snapshot: &Snapshot, at: At, changed: &[(At, String)]) -> bool {
    let changing = |name: &String| {
        let mut recent = changed.iter().filter(|(time, _)| *time <= at && at - *time <= CHANGING);
        recent.any(|(_, other)| other == name)
    };
    unsettled(snapshot).keys().all(changing)
}

#[cfg(test)]
mod tests {
    use super::super::history::{Read, Source, Workload};
    use super::super::schedule::Subject;
    use super::*;
    use crate::Network;

    fn s(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    /// A job is short of a pod in these seconds.
    fn history(short: std::ops::Range<u64>) -> Vec<Snapshot> {
        let at = |second| {
            let workload = Workload {
                name: "job-0".into(),
                desired: 1,
                actual: Some(usize::from(!short.contains(&second))),
            };
            let seen = Source {
                workloads: vec![workload],
                ..Default::default()
            };
            Snapshot {
                source: Some(Read {
                    asked: s(second),
                    answered: s(second),
                    seen,
                }),
                targets: vec![],
            }
        };
        (0..60).map(at).collect()
    }

    fn fault(how: How, from: u64, to: u64) -> Window {
        Window {
            subject: Subject::Link(0),
            how: Some(how),
            from: s(from),
            to: Some(s(to)),
        }
    }

    const CUT: How = How::Network(Network::Dropping);

    const END: Duration = Duration::from_secs(59);

    #[test]
    fn from_the_end_of_a_fault_or_the_begin_of_a_kill() {
        let history = history(5..30);
        let all = |faults: &[Window]| recoveries(&history, faults, &[], END);
        assert_eq!(all(&[fault(CUT, 10, 20)]), [Recovery::After(s(10))]);
        assert_eq!(all(&[fault(How::Kill, 10, 20)]), [Recovery::After(s(20))]);
        assert_eq!(
            all(&[fault(CUT, 10, 20), fault(CUT, 25, 28)]),
            [Recovery::Overtaken, Recovery::After(s(2))]
        );
        assert_eq!(
            all(&[fault(CUT, 10, 20), fault(CUT, 45, 56)]),
            [Recovery::After(s(10)), Recovery::After(s(0))]
        );
        assert_eq!(
            all(&[fault(CUT, 10, 20), fault(CUT, 35, 40)]),
            [Recovery::Overtaken, Recovery::After(s(0))],
            "too short to know"
        );
    }

    #[test]
    fn what_users_just_changed_is_not_waited_for_but_must_come() {
        let recovery = |short, name: &str| {
            let changed = [(s(18), name.to_owned())];
            recoveries(&history(short), &[fault(CUT, 10, 20)], &changed, END)
        };
        assert_eq!(recovery(18..26, "job-0"), [Recovery::After(s(0))]);
        assert_eq!(recovery(18..30, "job-0"), [Recovery::After(s(10))]);
        assert_eq!(recovery(18..26, "job-1"), [Recovery::After(s(6))]);
    }
}
