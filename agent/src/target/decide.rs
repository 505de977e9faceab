//! What to do about a chaperon and its delegate. Pure.

use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{PodCondition, PodStatus};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use multicluster_api::{DelegateRef, PodChaperonStatus, names};

use super::fence::{self, Fence, is_fenced};
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
    /// Stop the delegate with this UID: its source has fallen silent.
    Fence {
        /// UID of the delegate.
        uid: String,
        /// The time that it has to stop.
        grace: Duration,
    },
    /// Write this status.
    Status(Box<PodChaperonStatus>),
}

/// Decide. `now` is the wall clock, for the time of a deletion that outlives this process.
pub fn decide(chaperon: Option<&Chaperon>, delegate: Option<&Delegate>, fence: Fence, now: Timestamp) -> Action {
    match (chaperon, delegate) {
        // Without its chaperon a delegate is garbage, and the garbage collector knows its owner.
        (None, _) => Action::Nothing,
        (Some(chaperon), Some(delegate)) if delegate.owner_uid != chaperon.uid => {
            // Of the chaperon that had this name before: it goes first.
            Action::Wait(Duration::from_secs(1))
        }
        (Some(chaperon), delegate) if chaperon.deletion.is_some() => going(chaperon, delegate, now),
        (Some(chaperon), delegate) => {
            if let Some(action) = fenced(chaperon, delegate, fence, now) {
                return action;
            }
            let action = match delegate {
                Some(delegate) => with_delegate(chaperon, delegate),
                None => without_delegate(chaperon, now),
            };
            until_fence(action, fence)
        }
    }
}

/// What a fence demands. The status says so first: a process that is killed in between finds it, and goes on.
fn fenced(chaperon: &Chaperon, delegate: Option<&Delegate>, fence: Fence, now: Timestamp) -> Option<Action> {
    let mark = |status| Action::Status(Box::new(fence::fenced(status, chaperon.fence, now)));
    let (over, marked) = (fence == Fence::Over, is_fenced(&chaperon.status));
    match delegate {
        Some(delegate) if delegate.deleting || is_final(&delegate.status) => None,
        Some(delegate) if marked && is_of(chaperon, delegate) => Some(Action::Fence {
            uid: delegate.uid.clone(),
            grace: chaperon.grace,
        }),
        Some(delegate) if over => Some(mark(status(chaperon, delegate))),
        // Its source has to make up its mind: the chaperon makes no other delegate.
        None if marked => Some(Action::Nothing),
        None if over && !is_final(&chaperon.status.pod) => Some(mark(chaperon.status.clone())),
        _ => None,
    }
}

fn is_of(chaperon: &Chaperon, delegate: &Delegate) -> bool {
    chaperon
        .status
        .delegate
        .as_ref()
        .is_some_and(|known| known.uid == delegate.uid)
}

/// Look again when the fence is due.
fn until_fence(action: Action, fence: Fence) -> Action {
    match (action, fence) {
        (Action::Nothing, Fence::Left(left)) => Action::Wait(left),
        (Action::Wait(wait), Fence::Left(left)) => Action::Wait(wait.min(left)),
        (action, _) => action,
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
    // The source takes the annotation off, which is news of the chaperon.
    let make = if awaits_files(chaperon) {
        Action::Nothing
    } else {
        Action::Create
    };
    let Some(known) = &chaperon.status.delegate else {
        return make;
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
        None => make,
    }
}

/// Is the source still bringing what the pod uses? A pod that starts without its ConfigMaps waits for its kubelet's next
/// try, and one that has them as optional would run without them.
fn awaits_files(chaperon: &Chaperon) -> bool {
    chaperon.annotations.contains_key(names::AWAITS_FILES)
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
    let news = PodChaperonStatus {
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
    };
    match (known, is_fenced(&chaperon.status)) {
        // The mark stays, as it was written.
        (Some(known), true) => {
            let mut news = news;
            news.pod.reason = chaperon.status.pod.reason.clone();
            news.pod.message = chaperon.status.pod.message.clone();
            if let Some(delegate) = &mut news.delegate {
                delegate.deletion_timestamp = known.deletion_timestamp.clone();
            }
            news
        }
        _ => news,
    }
}

fn is_final(status: &PodStatus) -> bool {
    matches!(status.phase.as_deref(), Some("Succeeded" | "Failed"))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use proptest::sample::select;

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
        assert_eq!(decide(Some(&chaperon()), None, Fence::None, now()), Action::Create);
    }

    fn awaiting(chaperon: Chaperon) -> Chaperon {
        let annotations = [(names::AWAITS_FILES.to_owned(), "true".to_owned())].into();
        Chaperon {
            annotations,
            ..chaperon
        }
    }

    #[test]
    fn no_delegate_is_made_before_its_files_are_there() {
        let early = awaiting(chaperon());
        assert_eq!(decide(Some(&early), None, Fence::None, now()), Action::Nothing);
        let left = Fence::Left(Duration::from_secs(5));
        assert_eq!(
            decide(Some(&awaiting(with_fence())), None, left, now()),
            Action::Wait(Duration::from_secs(5))
        );
        assert!(matches!(
            decide(Some(&awaiting(with_fence())), None, Fence::Over, now()),
            Action::Status(_)
        ));
        assert_eq!(decide(Some(&chaperon()), None, Fence::None, now()), Action::Create);
    }

    #[test]
    fn a_delegate_that_is_there_is_told_of_whatever_is_awaited() {
        let early = awaiting(chaperon());
        let Action::Status(told) = decide(Some(&early), Some(&running()), Fence::None, now()) else {
            panic!()
        };
        let early = Chaperon { status: *told, ..early };
        let Action::Status(gone) = decide(Some(&early), None, Fence::None, now()) else {
            panic!()
        };
        let early = Chaperon { status: *gone, ..early };
        let later = now() + jiff::SignedDuration::from_secs(61);
        assert_eq!(decide(Some(&early), None, Fence::None, later), Action::Nothing);
    }

    #[test]
    fn a_chaperon_that_goes_takes_its_delegate_along() {
        let going = Chaperon {
            deletion: Some(Time(now())),
            ..chaperon()
        };
        assert_eq!(
            decide(Some(&going), Some(&delegate()), Fence::None, now()),
            Action::Wait(COLLECTION)
        );
        let later = now() + jiff::SignedDuration::from_secs(3);
        assert_eq!(
            decide(Some(&going), Some(&delegate()), Fence::None, later),
            Action::Delete { uid: "d".into() }
        );
        assert_eq!(decide(Some(&going), None, Fence::None, later), Action::Nothing);
        let stopping = Delegate {
            deleting: true,
            ..delegate()
        };
        assert_eq!(
            decide(Some(&going), Some(&stopping), Fence::None, later),
            Action::Nothing
        );
    }

    #[test]
    fn a_status_is_written_once() {
        let running = Delegate {
            node_name: "n".into(),
            ..delegate()
        };
        let Action::Status(written) = decide(Some(&chaperon()), Some(&running), Fence::None, now()) else {
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
        assert_eq!(decide(Some(&after), Some(&later), Fence::None, now()), Action::Nothing);
    }

    #[test]
    fn a_delegate_that_merely_exists_is_no_news() {
        assert_eq!(
            decide(Some(&chaperon()), Some(&delegate()), Fence::None, now()),
            Action::Nothing
        );
        let mut refused = delegate();
        let condition = PodCondition {
            type_: "PodScheduled".into(),
            status: "False".into(),
            ..Default::default()
        };
        refused.status.conditions = Some(vec![condition]);
        assert!(matches!(
            decide(Some(&chaperon()), Some(&refused), Fence::None, now()),
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
            decide(Some(&chaperon()), Some(&bound), Fence::None, now()),
            Action::Wait(_)
        ));
        bound.bound = std::time::Instant::now().checked_sub(START);
        assert!(matches!(
            decide(Some(&chaperon()), Some(&bound), Fence::None, now()),
            Action::Status(_)
        ));
        let mut running = Delegate {
            bound: Some(std::time::Instant::now()),
            ..bound
        };
        running.status.phase = Some("Running".into());
        assert!(matches!(
            decide(Some(&chaperon()), Some(&running), Fence::None, now()),
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
        let Action::Status(reported) = decide(Some(&known), None, Fence::None, now()) else {
            panic!()
        };
        assert!(reported.delegate.as_ref().unwrap().deletion_timestamp.is_some());
        let reported = Chaperon {
            status: *reported,
            ..known
        };
        let at = |seconds: i64| now() + jiff::SignedDuration::from_secs(seconds);
        assert_eq!(
            decide(Some(&reported), None, Fence::None, at(20)),
            Action::Wait(Duration::from_secs(40))
        );
        assert_eq!(decide(Some(&reported), None, Fence::None, at(61)), Action::Create);
        let job = Chaperon {
            restarts: false,
            ..reported
        };
        assert_eq!(decide(Some(&job), None, Fence::None, at(61)), Action::Nothing);
    }

    #[test]
    fn a_finished_delegate_that_was_collected_stays_finished() {
        let mut finished = delegate();
        finished.status.phase = Some("Succeeded".into());
        assert_eq!(
            decide(Some(&with_status(chaperon(), &finished)), None, Fence::None, now()),
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
            decide(Some(&chaperon()), Some(&other), Fence::None, now()),
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

    fn with_fence() -> Chaperon {
        Chaperon {
            fence: Some(Duration::from_secs(60)),
            grace: Duration::from_secs(7),
            ..chaperon()
        }
    }

    fn running() -> Delegate {
        let mut running = Delegate {
            node_name: "n".into(),
            ..delegate()
        };
        running.status.phase = Some("Running".into());
        running
    }

    #[test]
    fn a_fence_is_looked_at_when_it_is_due() {
        let left = Fence::Left(Duration::from_secs(5));
        let known = with_status(with_fence(), &running());
        assert_eq!(
            decide(Some(&known), Some(&running()), left, now()),
            Action::Wait(Duration::from_secs(5))
        );
        assert_eq!(decide(Some(&with_fence()), None, left, now()), Action::Create);
    }

    #[test]
    fn a_delegate_whose_source_is_silent_is_marked_then_stopped_and_does_not_rise() {
        let known = with_status(with_fence(), &running());
        let Action::Status(marked) = decide(Some(&known), Some(&running()), Fence::Over, now()) else {
            panic!()
        };
        assert_eq!(marked.pod.reason.as_deref(), Some("Fenced"));
        assert!(marked.delegate.as_ref().unwrap().deletion_timestamp.is_some());
        let marked = Chaperon {
            status: *marked,
            ..known
        };
        // Also when the source is heard again, and also by a process that was not there before.
        for fence in [Fence::Over, Fence::Left(Duration::from_secs(60))] {
            assert_eq!(
                decide(Some(&marked), Some(&running()), fence, now()),
                Action::Fence {
                    uid: "d".into(),
                    grace: Duration::from_secs(7)
                }
            );
            assert_eq!(decide(Some(&marked), None, fence, now()), Action::Nothing);
        }
        let stopping = Delegate {
            deleting: true,
            deletion_timestamp: Some(Time(now())),
            ..running()
        };
        assert_eq!(
            decide(Some(&marked), Some(&stopping), Fence::Over, now()),
            Action::Nothing
        );
    }

    #[test]
    fn a_chaperon_that_came_too_late_gets_no_delegate() {
        let Action::Status(marked) = decide(Some(&with_fence()), None, Fence::Over, now()) else {
            panic!()
        };
        let marked = Chaperon {
            status: *marked,
            ..with_fence()
        };
        assert_eq!(decide(Some(&marked), None, Fence::Over, now()), Action::Nothing);
    }

    #[test]
    fn what_has_ended_is_not_fenced() {
        let mut finished = running();
        finished.status.phase = Some("Succeeded".into());
        let known = with_status(with_fence(), &finished);
        assert_eq!(
            decide(Some(&known), Some(&finished), Fence::Over, now()),
            Action::Nothing
        );
        assert_eq!(decide(Some(&known), None, Fence::Over, now()), Action::Nothing);
    }

    #[test]
    fn a_delegate_that_was_deleted_here_does_not_rise_while_its_source_is_silent() {
        let known = with_status(with_fence(), &running());
        let Action::Status(gone) = decide(Some(&known), None, Fence::Left(Duration::from_secs(9)), now()) else {
            panic!()
        };
        let gone = Chaperon { status: *gone, ..known };
        let later = now() + jiff::SignedDuration::from_secs(100);
        assert!(matches!(
            decide(Some(&gone), None, Fence::Over, later),
            Action::Status(_)
        ));
    }

    fn any_delegate() -> impl Strategy<Value = Delegate> {
        let keys = select(vec![
            "a",
            "example.com/a",
            names::PARENT_NAME,
            names::SOURCE_POD_MANIFEST,
            "",
            "no good",
        ]);
        let annotations = prop::collection::btree_map(keys.prop_map(String::from), "[a-z]{0,3}", 0..4);
        let phase = prop::option::of(select(vec!["Pending", "Running", "Failed", "Evil", ""]));
        let condition = select(vec!["PodScheduled", "Ready", ""]).prop_map(|type_| PodCondition {
            type_: type_.into(),
            status: "False".into(),
            ..Default::default()
        });
        let conditions = prop::option::of(prop::collection::vec(condition, 0..3));
        (annotations, phase, conditions, "[a-z]{0,2}", any::<bool>(), "[cd]").prop_map(
            |(annotations, phase, conditions, node_name, deleting, owner_uid)| Delegate {
                annotations,
                node_name,
                deleting,
                owner_uid,
                status: PodStatus {
                    phase: phase.map(Into::into),
                    conditions,
                    ..Default::default()
                },
                ..delegate()
            },
        )
    }

    proptest! {
        #[test]
        fn deciding_ends_and_our_annotations_do_not_come_back(
            delegate in prop::option::of(any_delegate()), before in prop::option::of(any_delegate()),
        ) {
            let mut chaperon = before.map_or_else(chaperon, |before| with_status(chaperon(), &before));
            if let Action::Status(written) = decide(Some(&chaperon), delegate.as_ref(), Fence::None, now()) {
                if delegate.is_some() {
                    let back = written.delegate.iter().flat_map(|delegate| delegate.annotations.keys());
                    prop_assert!(back.into_iter().all(|key| !names::is_ours(key)));
                }
                chaperon.status = *written;
                let again = decide(Some(&chaperon), delegate.as_ref(), Fence::None, now());
                prop_assert!(!matches!(again, Action::Status(_)), "{again:?}");
            }
        }
    }
}
