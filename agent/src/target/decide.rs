//! What to do about a chaperon and its delegate. Pure.

use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{PodCondition, PodStatus};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use multicluster_api::{DelegateRef, PodChaperonStatus, names};

use super::index::{Chaperon, Delegate};

/// How long a delegate that was deleted here stays away before the chaperon makes it anew. While the source is
/// connected, it deletes the chaperon long before: a pod does not rise again. While it is not, no replica is lost.
pub const REBIRTH: Duration = Duration::from_secs(60);

/// How long the garbage collector may take to delete the delegate of a chaperon that goes.
const COLLECTION: Duration = Duration::from_secs(2);
/// How long a delegate that was just bound may take to start before its source is told that it is bound: most often
/// one status then tells of both.
const START: Duration = Duration::from_millis(100);

/// What to do about a chaperon and its delegate.
#[derive(Clone, Debug, PartialEq)]
pub enum Action {
    /// All is as it should be.
    Nothing,
    /// Look again after this time.
    Wait(Duration),
    /// Make the delegate.
    Create,
    /// Delete the delegate with this UID.
    Delete {
        /// UID of the delegate.
        uid: String,
    },
    /// Write this status.
    Status(Box<PodChaperonStatus>),
}

/// Decide. `now` is the wall clock, for the time of a deletion that outlives this process.
pub fn decide(chaperon: Option<&Chaperon>, delegate: Option<&Delegate>, now: Timestamp) -> Action {
    match (chaperon, delegate) {
        // Without its chaperon a delegate is garbage, and the garbage collector knows its owner.
        (None, _) => Action::Nothing,
        (Some(chaperon), Some(delegate)) if delegate.owner_uid != chaperon.uid => {
            // Of the chaperon that had this name before: it goes first.
            Action::Wait(Duration::from_secs(1))
        }
        (Some(chaperon), delegate) if chaperon.deletion.is_some() => going(chaperon, delegate, now),
        (Some(chaperon), Some(delegate)) => with_delegate(chaperon, delegate),
        (Some(chaperon), None) => without_delegate(chaperon, now),
    }
}

/// The garbage collector deletes the delegate of a chaperon that goes (foreground deletion). Should it not, because it
/// is not running or does not know chaperons yet, the agent does.
fn going(chaperon: &Chaperon, delegate: Option<&Delegate>, now: Timestamp) -> Action {
    let Some(delegate) = delegate.filter(|delegate| !delegate.deleting) else {
        return Action::Nothing;
    };
    let since = chaperon.deletion.as_ref().map_or(now, |time| time.0);
    match COLLECTION
        .checked_sub(elapsed(since, now))
        .filter(|left| !left.is_zero())
    {
        Some(left) => Action::Wait(left),
        None => Action::Delete {
            uid: delegate.uid.clone(),
        },
    }
}

/// Clocks may have been set back: no time has passed then.
fn elapsed(since: Timestamp, now: Timestamp) -> Duration {
    Duration::try_from(now.duration_since(since)).unwrap_or_default()
}

fn with_delegate(chaperon: &Chaperon, delegate: &Delegate) -> Action {
    if chaperon.status.delegate.is_none() && !is_news(delegate) {
        return Action::Nothing;
    }
    if let Some(left) = may_start(chaperon, delegate) {
        return Action::Wait(left);
    }
    let status = status(chaperon, delegate);
    if status == chaperon.status {
        Action::Nothing
    } else {
        Action::Status(Box::new(status))
    }
}

/// A delegate that merely exists is no news: its source asked for it.
fn is_news(delegate: &Delegate) -> bool {
    let undecided = |condition: &PodCondition| condition.type_ == "PodScheduled" && condition.status == "False";
    let refused = delegate.status.conditions.iter().flatten().any(undecided);
    !delegate.node_name.is_empty() || delegate.deleting || refused || is_final(&delegate.status)
}

/// How long to wait for a delegate that was just bound to start.
fn may_start(chaperon: &Chaperon, delegate: &Delegate) -> Option<Duration> {
    let told = chaperon
        .status
        .delegate
        .as_ref()
        .is_some_and(|known| known.node_name == delegate.node_name);
    let waits = delegate.status.phase.as_deref() == Some("Pending") && delegate.status.container_statuses.is_none();
    if told || !waits || delegate.deleting {
        return None;
    }
    START
        .checked_sub(delegate.bound?.elapsed())
        .filter(|left| !left.is_zero())
}

fn without_delegate(chaperon: &Chaperon, now: Timestamp) -> Action {
    let Some(known) = &chaperon.status.delegate else {
        return Action::Create;
    };
    if is_final(&chaperon.status.pod) {
        return Action::Nothing;
    }
    let Some(gone) = &known.deletion_timestamp else {
        let delegate = DelegateRef {
            deletion_timestamp: Some(Time(now)),
            ..known.clone()
        };
        return Action::Status(Box::new(PodChaperonStatus {
            pod: chaperon.status.pod.clone(),
            delegate: Some(delegate),
        }));
    };
    if !chaperon.restarts {
        return Action::Nothing;
    }
    match REBIRTH.checked_sub(elapsed(gone.0, now)).filter(|left| !left.is_zero()) {
        Some(left) => Action::Wait(left),
        None => Action::Create,
    }
}

/// The status that the chaperon of this delegate should have.
fn status(chaperon: &Chaperon, delegate: &Delegate) -> PodChaperonStatus {
    let known = chaperon
        .status
        .delegate
        .as_ref()
        .filter(|known| known.uid == delegate.uid);
    let bound_resource_version = match known {
        Some(known) if known.node_name == delegate.node_name => known.bound_resource_version.clone(),
        _ if delegate.node_name.is_empty() => String::new(),
        _ => delegate.resource_version.clone(),
    };
    let changed =
        |(key, value): &(&String, &String)| !names::is_ours(key) && chaperon.annotations.get(*key) != Some(*value);
    PodChaperonStatus {
        pod: delegate.status.clone(),
        delegate: Some(DelegateRef {
            uid: delegate.uid.clone(),
            node_name: delegate.node_name.clone(),
            bound_resource_version,
            deletion_timestamp: delegate.deletion_timestamp.clone(),
            annotations: delegate
                .annotations
                .iter()
                .filter(changed)
                .map(|(k, v)| (k.clone(), v.clone()))
                .collect(),
        }),
    }
}

fn is_final(status: &PodStatus) -> bool {
    matches!(status.phase.as_deref(), Some("Succeeded" | "Failed"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chaperon() -> Chaperon {
        Chaperon {
            uid: "c".into(),
            restarts: true,
            ..Default::default()
        }
    }

    fn delegate() -> Delegate {
        Delegate {
            uid: "d".into(),
            owner_uid: "c".into(),
            resource_version: "7".into(),
            ..Default::default()
        }
    }

    fn now() -> Timestamp {
        "2030-01-01T00:00:00Z".parse().unwrap()
    }

    fn with_status(mut chaperon: Chaperon, delegate: &Delegate) -> Chaperon {
        chaperon.status = status(&chaperon, delegate);
        chaperon
    }

    #[test]
    fn a_new_chaperon_gets_its_delegate() {
        assert_eq!(decide(Some(&chaperon()), None, now()), Action::Create);
    }

    #[test]
    fn a_chaperon_that_goes_takes_its_delegate_along() {
        let going = Chaperon {
            deletion: Some(Time(now())),
            ..chaperon()
        };
        assert_eq!(decide(Some(&going), Some(&delegate()), now()), Action::Wait(COLLECTION));
        let later = now() + jiff::SignedDuration::from_secs(3);
        assert_eq!(
            decide(Some(&going), Some(&delegate()), later),
            Action::Delete { uid: "d".into() }
        );
        assert_eq!(decide(Some(&going), None, later), Action::Nothing);
        let stopping = Delegate {
            deleting: true,
            ..delegate()
        };
        assert_eq!(decide(Some(&going), Some(&stopping), later), Action::Nothing);
    }

    #[test]
    fn a_status_is_written_once() {
        let running = Delegate {
            node_name: "n".into(),
            ..delegate()
        };
        let Action::Status(written) = decide(Some(&chaperon()), Some(&running), now()) else {
            panic!()
        };
        let reference = written.delegate.clone().unwrap();
        assert_eq!(
            (reference.node_name.as_str(), reference.bound_resource_version.as_str()),
            ("n", "7")
        );
        let after = Chaperon {
            status: *written,
            ..chaperon()
        };
        let later = Delegate {
            resource_version: "9".into(),
            ..running
        };
        assert_eq!(decide(Some(&after), Some(&later), now()), Action::Nothing);
    }

    #[test]
    fn a_delegate_that_merely_exists_is_no_news() {
        assert_eq!(decide(Some(&chaperon()), Some(&delegate()), now()), Action::Nothing);
        let mut refused = delegate();
        let condition = PodCondition {
            type_: "PodScheduled".into(),
            status: "False".into(),
            ..Default::default()
        };
        refused.status.conditions = Some(vec![condition]);
        assert!(matches!(
            decide(Some(&chaperon()), Some(&refused), now()),
            Action::Status(_)
        ));
    }

    #[test]
    fn a_delegate_that_was_just_bound_gets_a_moment_to_start() {
        let mut bound = Delegate {
            node_name: "n".into(),
            bound: Some(std::time::Instant::now()),
            ..delegate()
        };
        bound.status.phase = Some("Pending".into());
        assert!(matches!(
            decide(Some(&chaperon()), Some(&bound), now()),
            Action::Wait(_)
        ));
        bound.bound = std::time::Instant::now().checked_sub(START);
        assert!(matches!(
            decide(Some(&chaperon()), Some(&bound), now()),
            Action::Status(_)
        ));
        let mut running = Delegate {
            bound: Some(std::time::Instant::now()),
            ..bound
        };
        running.status.phase = Some("Running".into());
        assert!(matches!(
            decide(Some(&chaperon()), Some(&running), now()),
            Action::Status(_)
        ));
    }

    #[test]
    fn a_deleted_delegate_is_reported_and_rises_only_when_nobody_cares_for_a_minute() {
        let known = with_status(
            chaperon(),
            &Delegate {
                node_name: "n".into(),
                ..delegate()
            },
        );
        let Action::Status(reported) = decide(Some(&known), None, now()) else {
            panic!()
        };
        assert!(reported.delegate.as_ref().unwrap().deletion_timestamp.is_some());
        let reported = Chaperon {
            status: *reported,
            ..known
        };
        let at = |seconds: i64| now() + jiff::SignedDuration::from_secs(seconds);
        assert_eq!(
            decide(Some(&reported), None, at(20)),
            Action::Wait(Duration::from_secs(40))
        );
        assert_eq!(decide(Some(&reported), None, at(61)), Action::Create);
        let job = Chaperon {
            restarts: false,
            ..reported
        };
        assert_eq!(decide(Some(&job), None, at(61)), Action::Nothing);
    }

    #[test]
    fn a_finished_delegate_that_was_collected_stays_finished() {
        let mut finished = delegate();
        finished.status.phase = Some("Succeeded".into());
        assert_eq!(
            decide(Some(&with_status(chaperon(), &finished)), None, now()),
            Action::Nothing
        );
    }

    #[test]
    fn a_pod_of_an_older_chaperon_is_not_adopted() {
        let other = Delegate {
            owner_uid: "older".into(),
            ..delegate()
        };
        assert_eq!(
            decide(Some(&chaperon()), Some(&other), now()),
            Action::Wait(Duration::from_secs(1))
        );
    }

    #[test]
    fn only_annotations_that_changed_here_are_reported() {
        let mut chaperon = chaperon();
        chaperon.annotations = [("a".to_owned(), "1".to_owned())].into();
        let mut delegate = delegate();
        delegate.annotations = [("a", "1"), ("b", "2"), ("multicluster.admiralty.io/x", "3")]
            .map(|(k, v)| (k.to_owned(), v.to_owned()))
            .into();
        let reported = status(&chaperon, &delegate).delegate.unwrap().annotations;
        assert_eq!(reported, [("b".to_owned(), "2".to_owned())].into());
    }
}
