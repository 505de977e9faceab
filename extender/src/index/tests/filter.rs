//! Which targets a pod may go to, and what it is told of the others.

use std::time::{Duration, Instant};

use multicluster_api::{TargetRef, names};
use serde_json::json;

use super::*;
use crate::core::builders::{NodeExt, node, proxy_pod, spec};

fn eu() -> TargetRef {
    TargetRef::cluster("eu")
}

fn us() -> TargetRef {
    TargetRef::cluster("us")
}

#[test]
fn a_target_with_room_passes_and_one_without_is_refused() {
    let (index, _wakes) = index();
    ready(&index, &eu(), None, vec![node("n1")]);
    ready(&index, &us(), None, vec![node("n1").used(&[("cpu", "4")])]);
    let verdicts = filter(&index, &proxy_pod("a", "1", spec("1")), &[&eu(), &us()]);
    assert_eq!(verdicts, [Verdict::Pass, failed("Insufficient cpu in target")]);
}

#[test]
fn what_preemption_cannot_mend_is_unresolvable() {
    let (index, _wakes) = index();
    ready(&index, &eu(), None, vec![node("n1").taint("k", "v", "NoSchedule")]);
    ready(&index, &us(), None, vec![]);
    let mut picky = spec("1");
    picky["nodeSelector"] = json!({"disk": "ssd"});
    for (pod, expected) in [
        (
            spec("1"),
            [
                "nodes in target have untolerated taint {k=v:NoSchedule}",
                "target has no nodes",
            ],
        ),
        (
            picky,
            [
                "no node in target matches the pod's node affinity/selector",
                "target has no nodes",
            ],
        ),
    ] {
        let verdicts = filter(&index, &proxy_pod("a", "1", pod), &[&eu(), &us()]);
        assert_eq!(verdicts, expected.map(unresolvable));
    }
    ready(&index, &eu(), None, vec![node("n1")]);
    let verdicts = filter(&index, &proxy_pod("a", "1", spec("64")), &[&eu()]);
    assert_eq!(
        verdicts,
        [unresolvable("no node in target has so much cpu, however empty")]
    );
}

#[test]
fn ordinary_pods_stay_off_virtual_nodes_and_proxy_pods_off_ordinary_ones() {
    let (index, _wakes) = index();
    ready(&index, &eu(), None, vec![node("n1")]);
    let mut pod = proxy_pod("a", "1", spec("1"));
    let stranger = TargetRef::cluster("stranger");
    assert_eq!(
        filter(&index, &pod, &[&eu(), &stranger]),
        [
            Verdict::Pass,
            unresolvable("not a virtual node, or its target is not known yet")
        ]
    );
    pod.metadata.annotations.as_mut().unwrap().remove(names::ELECT);
    let [on_virtual, on_ordinary] = &filter(&index, &pod, &[&eu(), &stranger])[..] else {
        panic!()
    };
    assert!(matches!(on_virtual, Verdict::Unresolvable(_)));
    assert_eq!(*on_ordinary, Verdict::Pass);
}

#[test]
fn a_target_serves_its_own_namespace() {
    let (index, _wakes) = index();
    let (own, other) = (
        TargetRef::namespaced("default", "eu"),
        TargetRef::namespaced("prod", "eu"),
    );
    ready(&index, &own, None, vec![node("n1")]);
    ready(&index, &other, None, vec![node("n1")]);
    let verdicts = filter(&index, &proxy_pod("a", "1", spec("1")), &[&own, &other]);
    assert_eq!(
        verdicts,
        [Verdict::Pass, unresolvable("target serves another namespace")]
    );
}

#[test]
fn a_target_takes_pods_from_the_end_of_its_first_lists_until_its_agent_is_silent() {
    let (index, _wakes) = index();
    let (pod, start) = (proxy_pod("a", "1", spec("1")), Instant::now());
    let says = |at| filter_at(&index, &pod, &[&eu()], at).remove(0);
    let syncing = unresolvable("target not known yet, its state is being read");
    index.failed(&eu(), "Secret default/eu not found".into());
    assert_eq!(
        says(start),
        unresolvable("target unreachable: Secret default/eu not found")
    );
    index.connected(&eu(), None);
    assert_eq!(says(start), syncing);
    index.summary(&eu(), Some(&summary(1, true)), start);
    index.shard(&eu(), "shard-0", shard(vec![node("n1")]));
    assert_eq!(says(start), syncing);
    index.shards_listed(&eu(), &["shard-0".to_owned()].into_iter().collect());
    index.attempts_listed(&eu(), &AHashSet::new());
    assert_eq!(says(start), Verdict::Pass);

    let later = start + STALE_AFTER;
    let stale = unresolvable("target unreachable: no heartbeat of its agent");
    assert_eq!(says(later), stale);
    index.summary(&eu(), Some(&summary(1, true)), later);
    assert_eq!(says(later), stale, "the same heartbeat again is no news");
    index.summary(&eu(), Some(&summary(2, true)), later);
    assert_eq!(says(later), Verdict::Pass);
    index.summary(&eu(), None, later);
    assert_eq!(
        says(later),
        unresolvable("target has no ClusterSummary, is its agent running?")
    );
}

#[test]
fn a_target_that_has_not_answered_gets_no_pods_until_it_is_heard_of() {
    let (index, mut wakes) = index();
    ready(&index, &eu(), None, vec![node("n1")]);
    let says = || filter(&index, &proxy_pod("a", "1", spec("1")), &[&eu()]).remove(0);
    index.suspect(&eu());
    let suspect = unresolvable("target unreachable: it has not answered, and nothing was heard of it since");
    assert_eq!(says(), suspect);
    assert!(
        index.is_heard_of(&eu(), Instant::now()),
        "delegates on their way are waited for"
    );
    index.summary(&eu(), Some(&summary(1, true)), Instant::now());
    assert_eq!(says(), suspect, "the same heartbeat again is no news");
    index.summary(&eu(), Some(&summary(2, true)), Instant::now());
    assert_eq!(says(), Verdict::Pass);
    assert_eq!(
        wakes.try_recv().as_deref(),
        Ok("admiralty-eu"),
        "who was refused tries again"
    );
}

#[test]
fn an_error_of_a_watch_stands_in_the_refusals() {
    let (index, _wakes) = index();
    index.connected(&eu(), None);
    index.trouble(&eu(), "Forbidden (403)".into());
    let verdicts = filter(&index, &proxy_pod("a", "1", spec("1")), &[&eu()]);
    assert_eq!(verdicts, [unresolvable("target unreachable: Forbidden (403)")]);
}

#[test]
fn a_target_that_keeps_its_nodes_private_is_judged_by_its_sums() {
    let (index, _wakes) = index();
    index.connected(&eu(), None);
    index.summary(&eu(), Some(&summary(1, false)), Instant::now());
    index.attempts_listed(&eu(), &AHashSet::new());
    assert_eq!(
        filter(&index, &proxy_pod("a", "1", spec("8")), &[&eu()]),
        [Verdict::Pass]
    );
    let verdicts = filter(&index, &proxy_pod("a", "1", spec("9")), &[&eu()]);
    assert!(matches!(verdicts[0], Verdict::Unresolvable(_)));
}

#[test]
fn without_reservation_nodes_are_not_looked_at() {
    let (index, _wakes) = index();
    ready(&index, &eu(), None, vec![]);
    let mut pod = proxy_pod("a", "1", spec("64"));
    pod.metadata
        .annotations
        .as_mut()
        .unwrap()
        .insert(names::NO_RESERVATION.into(), String::new());
    assert_eq!(filter(&index, &pod, &[&eu()]), [Verdict::Pass]);
}

#[test]
fn a_pod_tries_the_others_first_and_starts_over_when_all_have_failed() {
    let (index, _wakes) = index();
    ready(&index, &eu(), None, vec![node("n1")]);
    ready(&index, &us(), None, vec![node("n1")]);
    let (pod, now) = (proxy_pod("a", "1", spec("1")), Instant::now());
    index.failures().remember("1", &eu(), "0/1 nodes".into(), now);
    let lately = failed("didn't schedule there lately: 0/1 nodes");
    assert_eq!(filter(&index, &pod, &[&eu(), &us()]), [lately, Verdict::Pass]);
    assert_eq!(
        filter(&index, &proxy_pod("b", "2", spec("1")), &[&eu()]),
        [Verdict::Pass]
    );
    index.failures().remember("1", &us(), "0/1 nodes".into(), now);
    assert_eq!(filter(&index, &pod, &[&eu(), &us()]), [Verdict::Pass, Verdict::Pass]);
    assert!(index.failures().of("1").is_none());
}

#[test]
fn a_pod_with_a_delegate_stays_with_it() {
    let (index, _wakes) = index();
    ready(&index, &eu(), None, vec![node("n1").used(&[("cpu", "4")])]);
    ready(&index, &us(), None, vec![node("n1")]);
    let pod = proxy_pod("a", "1", spec("1"));
    index.attempt(&eu(), "1", attempt("c", Progress::Waiting));
    let elsewhere = failed("the pod has a delegate in another target");
    assert_eq!(filter(&index, &pod, &[&eu(), &us()]), [Verdict::Pass, elsewhere]);
    assert_eq!(
        filter(&index, &pod, &[&us()]),
        [Verdict::Pass],
        "the scheduler left that node out"
    );
    index.attempt(&eu(), "1", attempt("c", Progress::Refused("full".into())));
    assert_eq!(filter(&index, &pod, &[&us()]), [Verdict::Pass]);
    assert_eq!(filter(&index, &pod, &[&eu()]), [failed("Insufficient cpu in target")]);
}

#[test]
fn a_statefulsets_pod_waits_for_a_target_that_may_still_run_it() {
    let (index, _wakes) = index();
    ready(&index, &eu(), None, vec![node("n1")]);
    index.attempt(&eu(), "1", attempt("c", Progress::Waiting));
    let later = Instant::now() + STALE_AFTER + Duration::from_secs(1);
    ready(&index, &us(), None, vec![node("n1")]);
    index.summary(&us(), Some(&summary(2, true)), later);
    let mut pod = proxy_pod("a", "1", spec("1"));
    assert_eq!(filter_at(&index, &pod, &[&eu(), &us()], later)[1], Verdict::Pass);
    let owner = json!([{"apiVersion": "apps/v1", "kind": "StatefulSet", "name": "a", "uid": "s", "controller": true}]);
    pod.metadata.owner_references = serde_json::from_value(owner).unwrap();
    let held = failed("the pod may still run in admiralty-eu, which is unreachable");
    assert_eq!(filter_at(&index, &pod, &[&eu(), &us()], later)[1], held);
}

#[test]
fn a_unique_pod_stays_where_it_was_tried_until_that_target_can_be_asked() {
    let mut tried = proxy_pod("a", "1", spec("1"));
    let annotations = tried.metadata.annotations.as_mut().unwrap();
    annotations.insert(names::ATTEMPTED_IN.into(), "admiralty-eu".into());
    let mut unique = tried.clone();
    let annotations = unique.metadata.annotations.as_mut().unwrap();
    annotations.insert(names::FENCE_AFTER.into(), "60s".into());
    let held = || failed("the pod may still run in admiralty-eu, which is unreachable");

    // As after a restart: nothing is remembered.
    let (index, _wakes) = index();
    ready(&index, &us(), None, vec![node("n1")]);
    assert_eq!(filter(&index, &unique, &[&us()]), [held()], "not all targets are known");
    assert_eq!(filter(&index, &tried, &[&us()]), [Verdict::Pass]);
    index.known(&eu());
    index.set_all_known();
    assert_eq!(filter(&index, &unique, &[&us()]), [held()], "not connected");
    index.connected(&eu(), None);
    index.summary(&eu(), Some(&summary(1, true)), Instant::now());
    assert_eq!(
        filter(&index, &unique, &[&us()]),
        [held()],
        "its chaperons are not listed"
    );
    ready(&index, &eu(), None, vec![node("n1")]);
    assert_eq!(filter(&index, &unique, &[&eu(), &us()]), [Verdict::Pass, Verdict::Pass]);
    index.failed(&eu(), "no secret".into());
    assert_eq!(filter(&index, &unique, &[&us()]), [held()]);
    index.removed(&eu());
    assert_eq!(
        filter(&index, &unique, &[&us()]),
        [Verdict::Pass],
        "the Target was deleted"
    );
}

#[test]
fn a_statefulsets_pod_waits_for_a_target_that_may_have_heard_of_it() {
    let (index, _wakes) = index();
    ready(&index, &eu(), None, vec![node("n1")]);
    ready(&index, &us(), None, vec![node("n1")]);
    let mut pod = proxy_pod("a", "1", spec("1"));
    let owner = json!([{"apiVersion": "apps/v1", "kind": "StatefulSet", "name": "a", "uid": "s", "controller": true}]);
    pod.metadata.owner_references = serde_json::from_value(owner).unwrap();
    let says = || filter(&index, &pod, &[&eu(), &us()]);
    index.doubt(&eu(), "1");
    index.suspect(&eu());
    assert_eq!(
        says()[1],
        failed("the pod may still run in admiralty-eu, which is unreachable")
    );
    index.summary(&eu(), Some(&summary(2, true)), Instant::now());
    assert_eq!(
        says(),
        [Verdict::Pass, failed("the pod has a delegate in another target")]
    );
    index.be_sure(&eu(), "1");
    assert_eq!(says(), [Verdict::Pass, Verdict::Pass]);
}

/// How well eu and us would take this pod.
fn scores(index: &Index, pod: &SourcePod) -> Vec<i64> {
    let (eu_node, us_node) = (eu().virtual_node(), us().virtual_node());
    let candidates = [&eu_node, &us_node].map(|name| Candidate {
        name: name.as_str(),
        labelled_virtual: false,
    });
    index.prioritize(pod, &candidates, Instant::now())
}

#[test]
fn scores_follow_the_room_that_is_left() {
    let (index, _wakes) = index();
    ready(&index, &eu(), None, vec![node("n1"), node("n2")]);
    ready(&index, &us(), None, vec![node("n1"), node("n2")]);
    let pod = SourcePod::read(&typed(&proxy_pod("a", "1", spec("1")))).unwrap();
    assert_eq!(scores(&index, &pod), [10, 10]);
    index
        .assume(&eu(), "2", &pod.proxy.as_ref().unwrap().wanted, false)
        .unwrap();
    assert_eq!(scores(&index, &pod), [8, 10]);
}

#[test]
fn a_burst_is_spread_before_its_first_pod_is_bound() {
    let (index, _wakes) = index();
    ready(&index, &eu(), None, vec![node("n1"), node("n2")]);
    ready(&index, &us(), None, vec![node("n1"), node("n2")]);
    let pod = |uid| SourcePod::read(&typed(&proxy_pod("a", uid, spec("1")))).unwrap();
    let wanted = pod("0").proxy.unwrap().wanted;
    index.assume(&eu(), "0", &wanted, false).unwrap();
    let scores = |uid| scores(&index, &pod(uid));
    assert_eq!(scores("1"), [8, 10]);
    assert_eq!(scores("1"), [8, 10], "asked again, it is still one pod");
    assert_eq!(scores("2"), [10, 10], "the first goes to us, most likely");
    // It went to the other one, which is known from now on.
    index.assume(&eu(), "1", &wanted, false).unwrap();
    assert_eq!(scores("2"), [7, 10]);
}
