//! Every step may have been cut off before.

use multicluster_api::PodChaperon;
use serde_json::json;

use super::*;
use crate::bind::BindError;
use crate::bind::tests::fake::Fault;
use crate::core::delegate;

/// A chaperon that an earlier try left.
fn left_behind(target: &TargetRef, uid: &str) -> PodChaperon {
    let mut chaperon = delegate::chaperon(&pod(), "c1", target).unwrap();
    chaperon.metadata.uid = Some(uid.into());
    chaperon
}

#[tokio::test]
async fn a_chaperon_from_before_is_gone_on_with() {
    let world = world(pod());
    world.eu_api.put_chaperon(left_behind(&eu(), "c0"));
    world.index.attempt(&eu(), "1", attempt(&left_behind(&eu(), "c0")));
    world.bind(eu(), &world.eu_api, scheduled()).await.unwrap();
    assert_eq!((world.eu_api.writes().len(), world.source.writes().len()), (0, 1));
}

#[tokio::test]
async fn a_chaperon_from_before_is_met_also_when_the_watch_has_not_shown_it() {
    let world = world(pod());
    world.eu_api.put_chaperon(left_behind(&eu(), "c0"));
    let waiting = world.binder.bind(to(&eu())).await;
    assert!(matches!(waiting, Err(BindError::StillWaiting(_))), "{waiting:?}");
    assert_eq!(world.index.attempt_in(&eu(), "1", "default").unwrap().uid, "c0".into());
    world.bind(eu(), &world.eu_api, scheduled()).await.unwrap();
    assert_eq!(
        world.eu_api.writes(),
        ["POST default/podchaperons"],
        "refused, and not tried again"
    );
}

#[tokio::test]
async fn a_bind_that_succeeded_without_anybody_hearing_of_it_succeeds_again() {
    let world = world(pod());
    world.source.lose_binding_answer();
    world.bind(eu(), &world.eu_api, scheduled()).await.unwrap();
    world.binder.bind(to(&eu())).await.unwrap();
    assert_eq!(world.source.writes().len(), 1);
    let elsewhere = world.binder.bind(to(&us())).await;
    assert!(matches!(elsewhere, Err(BindError::BoundElsewhere(_))), "{elsewhere:?}");
}

#[tokio::test]
async fn without_a_decision_the_chaperon_stays_for_the_next_try() {
    let world = world(pod());
    let waiting = world.binder.bind(to(&eu())).await.unwrap_err();
    assert_eq!(waiting.to_string(), "still waiting for a node in eu; will go on");
    assert_eq!(world.eu_api.writes().len(), 1);
    world.bind(eu(), &world.eu_api, scheduled()).await.unwrap();
    assert_eq!((world.eu_api.writes().len(), world.index.in_flight()), (1, 1));
}

#[tokio::test]
async fn a_target_lost_while_waiting_ends_the_wait_at_once() {
    let world = world(pod());
    let lose = async {
        world.eu_api.chaperon().await;
        tokio::time::sleep(Duration::from_millis(20)).await;
        world.index.failed(&eu(), "gone".into());
    };
    let start = std::time::Instant::now();
    let (error, ()) = tokio::join!(world.binder.bind(to(&eu())), lose);
    assert!(matches!(error, Err(BindError::Lost(_))), "{error:?}");
    assert!(start.elapsed() < Duration::from_millis(200));
}

#[tokio::test(start_paused = true)]
async fn a_target_that_does_not_answer_is_suspect_and_one_that_refuses_is_not() {
    for (fault, suspect) in [(Some(Fault::Silent), true), (Some(Fault::Reset), true), (None, false)] {
        let world = world(pod());
        match fault {
            Some(fault) => world.eu_api.fail(fault),
            None => world.eu_api.deny_chaperons(),
        }
        let start = tokio::time::Instant::now();
        let error = world.binder.bind(to(&eu())).await.unwrap_err();
        assert!(start.elapsed() <= Duration::from_millis(2100), "{:?}", start.elapsed());
        assert_eq!(error.is_unanswered(), suspect, "{error}");
        let again = world.index.place(to(&eu()).node.as_str(), "default", Instant::now());
        assert_eq!(again.is_err(), suspect);
        assert_eq!(world.index.in_flight(), 0);
        world
            .index
            .summary(&eu(), Some(&index_tests::summary(2, true)), Instant::now());
        assert!(
            world
                .index
                .place(to(&eu()).node.as_str(), "default", Instant::now())
                .is_ok()
        );
    }
}

#[tokio::test]
async fn a_delegate_elsewhere_is_gone_before_another_is_made() {
    let world = world(pod());
    world.us_api.put_chaperon(left_behind(&us(), "c0"));
    world.index.attempt(&us(), "1", attempt(&left_behind(&us(), "c0")));
    let watch = async {
        while world.us_api.writes().is_empty() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
        assert!(world.eu_api.writes().is_empty());
        world.index.attempt_gone(&us(), "1", "c0");
    };
    let (bound, ()) = tokio::join!(world.bind(eu(), &world.eu_api, scheduled()), watch);
    bound.unwrap();
}

#[tokio::test]
async fn a_statefulsets_pod_waits_for_an_unreachable_target_others_do_not() {
    for (kind, may_go) in [("StatefulSet", false), ("ReplicaSet", true)] {
        let mut owned = pod();
        let owner = json!([{"apiVersion": "apps/v1", "kind": kind, "name": "a", "uid": "s", "controller": true}]);
        owned.metadata.owner_references = serde_json::from_value(owner).unwrap();
        let world = world(owned);
        world.index.attempt(&us(), "1", attempt(&left_behind(&us(), "c0")));
        world.index.failed(&us(), "gone".into());
        let outcome = match may_go {
            true => world.bind(eu(), &world.eu_api, scheduled()).await,
            false => world.binder.bind(to(&eu())).await,
        };
        assert_eq!(outcome.is_ok(), may_go, "{kind}: {outcome:?}");
        assert_eq!(world.eu_api.writes().is_empty(), !may_go);
    }
}

/// The answer is lost, and the chaperon may come into being late.
#[tokio::test]
async fn a_statefulsets_pod_that_may_have_a_chaperon_goes_nowhere_else() {
    for (kind, may_go) in [("StatefulSet", false), ("ReplicaSet", true)] {
        let mut owned = pod();
        let owner = json!([{"apiVersion": "apps/v1", "kind": kind, "name": "a", "uid": "s", "controller": true}]);
        owned.metadata.owner_references = serde_json::from_value(owner).unwrap();
        let world = world(owned);
        world.us_api.fail(Fault::Reset);
        assert!(world.binder.bind(to(&us())).await.unwrap_err().is_unanswered());
        let elsewhere = match may_go {
            true => world.bind(eu(), &world.eu_api, scheduled()).await,
            false => world.binder.bind(to(&eu())).await,
        };
        assert_eq!(elsewhere.is_ok(), may_go, "{kind}: {elsewhere:?}");
        if !may_go {
            assert!(world.eu_api.writes().is_empty());
            world.us_api.fail(None::<Fault>);
            world
                .index
                .summary(&us(), Some(&index_tests::summary(2, true)), Instant::now());
            // It answers again, and shows no chaperon: the call may still be on its way.
            let elsewhere = world.binder.bind(to(&eu())).await;
            assert!(matches!(elsewhere, Err(BindError::Held(_))), "{elsewhere:?}");
            assert!(world.eu_api.writes().is_empty());
            world.bind(us(), &world.us_api, scheduled()).await.unwrap();
        }
    }
}

#[tokio::test]
async fn somebody_elses_chaperon_is_left_alone() {
    let world = world(pod());
    let mut foreign = left_behind(&eu(), "c0");
    foreign.metadata.labels = None;
    world.eu_api.put_chaperon(foreign);
    let error = world.binder.bind(to(&eu())).await.unwrap_err();
    assert!(matches!(error, BindError::Foreign { .. }), "{error}");
    assert_eq!((world.eu_api.writes().len(), world.index.in_flight()), (1, 0));
}

#[tokio::test]
async fn a_chaperon_on_its_way_out_is_waited_for() {
    let world = world(pod());
    let mut going = left_behind(&eu(), "c0");
    going.metadata.deletion_timestamp = serde_json::from_value(json!("2026-01-01T00:00:00Z")).unwrap();
    world.index.attempt(&eu(), "1", attempt(&going));
    let end = async {
        tokio::time::sleep(Duration::from_millis(20)).await;
        assert!(world.eu_api.writes().is_empty());
        world.index.attempt_gone(&eu(), "1", "c0");
    };
    let (bound, ()) = tokio::join!(world.bind(eu(), &world.eu_api, scheduled()), end);
    bound.unwrap();
    assert_eq!(world.index.in_flight(), 1);
}

#[tokio::test]
async fn a_chaperon_that_came_through_another_target_goes_first() {
    let world = world(pod());
    world.eu_api.put_chaperon(left_behind(&us(), "c0"));
    let error = world.binder.bind(to(&eu())).await.unwrap_err();
    assert!(matches!(error, BindError::StillDeleting(_)), "{error}");
    assert!(world.eu_api.writes()[1].starts_with("DELETE"));
    world.bind(eu(), &world.eu_api, scheduled()).await.unwrap();
}

/// A StatefulSet's pod, last tried in eu.
fn tried_in_eu() -> RawPod {
    let mut pod = pod();
    let owner = json!([{"apiVersion": "apps/v1", "kind": "StatefulSet", "name": "a", "uid": "s", "controller": true}]);
    pod.metadata.owner_references = serde_json::from_value(owner).unwrap();
    let annotations = pod.metadata.annotations.as_mut().unwrap();
    annotations.insert(names::ATTEMPTED_IN.into(), eu().virtual_node().into());
    pod
}

#[tokio::test]
async fn a_unique_pod_is_marked_before_its_chaperon_is_made_and_others_cost_no_write() {
    let world = world(tried_in_eu());
    world.bind(us(), &world.us_api, scheduled()).await.unwrap();
    assert_eq!(world.source.writes(), ["PATCH a/status", "POST a/binding"]);
    let marked = world.source.pod().metadata.annotations.unwrap();
    assert_eq!(marked[names::ATTEMPTED_IN], us().virtual_node().as_str());
}

#[tokio::test]
async fn an_attempt_that_nobody_remembers_holds_its_pod() {
    let world = world(tried_in_eu());
    world.index.failed(&eu(), "gone".into());
    let error = world.binder.bind(to(&us())).await.unwrap_err();
    assert!(matches!(error, BindError::Held(_)), "{error}");
    assert!(world.us_api.writes().is_empty() && world.source.writes().is_empty());
    // Its Target is deleted: the user says that nothing runs there.
    world.index.set_all_known();
    world.index.removed(&eu());
    world.bind(us(), &world.us_api, scheduled()).await.unwrap();
}

#[tokio::test]
async fn a_chaperon_that_no_watch_has_shown_is_found_and_goes_first() {
    let world = world(tried_in_eu());
    world.eu_api.put_chaperon(left_behind(&eu(), "c0"));
    let error = world.binder.bind(to(&us())).await.unwrap_err();
    assert!(matches!(error, BindError::StillDeleting(_)), "{error}");
    assert!(world.eu_api.writes()[0].starts_with("DELETE"));
    assert!(world.us_api.writes().is_empty());
    world.bind(us(), &world.us_api, scheduled()).await.unwrap();
}

#[tokio::test]
async fn a_unique_pod_that_changed_since_it_was_read_gets_no_chaperon() {
    for (deleted, outcome) in [(true, "gone"), (false, "refused")] {
        let world = world(tried_in_eu());
        let mut later = tried_in_eu();
        later.metadata.resource_version = Some("2".into());
        match deleted {
            true => later.metadata.deletion_timestamp = serde_json::from_value(json!("2026-01-01T00:00:00Z")).unwrap(),
            false => {
                let annotations = later.metadata.annotations.as_mut().unwrap();
                annotations.insert(names::ATTEMPTED_IN.into(), "admiralty-third".into());
            }
        }
        world.source.change_after_read(later);
        let error = world.binder.bind(to(&us())).await.unwrap_err();
        assert_eq!(error.outcome(), outcome, "{error}");
        assert!(world.us_api.writes().is_empty());
    }
}

#[tokio::test]
async fn a_fenced_chaperon_says_which_heartbeat_its_source_has_seen() {
    let mut fenced = pod();
    let annotations = fenced.metadata.annotations.as_mut().unwrap();
    annotations.insert(names::FENCE_AFTER.into(), "60s".into());
    let world = world(fenced);
    world.bind(eu(), &world.eu_api, scheduled()).await.unwrap();
    let annotations = world.eu_api.chaperon().await.metadata.annotations.unwrap();
    assert_eq!(annotations[names::FENCE_AFTER], "60s");
    assert_eq!(annotations[names::HEARD], "1970-01-01T00:00:01.000000Z");
}
