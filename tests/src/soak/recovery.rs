//! How long it took until all was well after a fault. Pure.

use std::time::Duration;

use super::At;
use super::history::{Snapshot, Window};
use super::rules::unsettled;
use super::schedule::How;

/// A workload that users changed just now is not at fault for being on its way.
const CHANGING: Duration = Duration::from_secs(8);

/// What became of a fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Recovery {
    /// All was well after this time.
    After(Duration),
    /// The next thing broke before that.
    Overtaken,
}

/// The recovery of each fault: from the begin of a kill, from the end of any other fault, to the first look at clusters in
/// which every virtual node is Ready and every workload that nobody just changed is as desired.
pub fn recoveries(history: &[Snapshot], faults: &[Window], changed: &[(At, String)]) -> Vec<Recovery> {
    let one = |(index, fault): (usize, &Window)| {
        let end = fault.end();
        let killed = matches!(fault.how, Some(How::Kill) | None);
        let since = if killed { fault.from } else { end };
        let others = faults.iter().enumerate().filter(|(other, _)| *other != index);
        let next = others
            .filter(|(_, other)| other.end() > end)
            .map(|(_, other)| other.from.max(end))
            .min();
        let well = history.iter().find_map(|snapshot| {
            let asked = snapshot.source.as_ref()?.asked;
            (asked >= end && is_well(snapshot, asked, changed)).then_some(asked)
        });
        match (well, next) {
            (Some(well), next) if next.is_none_or(|next| well <= next) => Recovery::After(well - since),
            _ => Recovery::Overtaken,
        }
    };
    faults.iter().enumerate().map(one).collect()
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

    #[test]
    fn from_the_end_of_a_fault_or_the_begin_of_a_kill() {
        let history = history(5..30);
        let all = |faults: &[Window]| recoveries(&history, faults, &[]);
        assert_eq!(all(&[fault(CUT, 10, 20)]), [Recovery::After(s(10))]);
        assert_eq!(all(&[fault(How::Kill, 10, 20)]), [Recovery::After(s(20))]);
        assert_eq!(
            all(&[fault(CUT, 10, 20), fault(CUT, 25, 28)]),
            [Recovery::Overtaken, Recovery::After(s(2))]
        );
        assert_eq!(
            all(&[fault(CUT, 10, 20), fault(CUT, 45, 50)]),
            [Recovery::After(s(10)), Recovery::After(s(0))]
        );
    }

    #[test]
    fn what_users_just_changed_is_not_waited_for() {
        let changed = [(s(18), "job-0".to_owned())];
        let after = recoveries(&history(5..30), &[fault(CUT, 10, 20)], &changed);
        assert_eq!(after, [Recovery::After(s(0))]);
        let another = [(s(18), "job-1".to_owned())];
        let after = recoveries(&history(5..30), &[fault(CUT, 10, 20)], &another);
        assert_eq!(after, [Recovery::After(s(10))]);
    }
}
