//! Room is taken at bind, and given back when summaries show it.

use multicluster_api::TargetRef;
use serde_json::json;

use super::*;
use crate::core::builders::{NodeExt, node, proxy_pod, spec, summary as node_summary, wanted};
use crate::core::nodes::Shard;
use crate::index::Refusal;

fn eu() -> TargetRef {
    TargetRef::cluster("eu")
}

#[test]
fn of_two_binds_one_gets_the_last_slot() {
    let (index, _wakes) = index();
    ready(&index, &eu(), None, vec![node("n1")]);
    let pod = wanted(&[("cpu", "3")], json!({}));
    assert_eq!(index.assume(&eu(), "1", &pod, false), Ok(()));
    assert_eq!(index.assume(&eu(), "1", &pod, false), Ok(()), "it has it already");
    assert_eq!(
        index.assume(&eu(), "2", &pod, false),
        Err(Refusal::NoRoom("Insufficient cpu in target".into()))
    );
    index.forget(&eu(), "1");
    assert_eq!(index.assume(&eu(), "2", &pod, false), Ok(()));
}

#[test]
fn a_placement_counts_once_before_and_after_the_summary_shows_it() {
    let (index, _wakes) = index();
    ready(&index, &eu(), None, vec![node("n1")]);
    let room = |cpu: &str| filter(&index, &proxy_pod("b", "2", spec(cpu)), &[&eu()])[0] == Verdict::Pass;
    index
        .assume(&eu(), "1", &wanted(&[("cpu", "3")], json!({})), false)
        .unwrap();
    assert!(room("1") && !room("2"));
    let scheduled = Progress::Scheduled {
        node: "n1".into(),
        version: Some(7),
    };
    index.attempt(&eu(), "1", attempt("c", scheduled));
    let publish = |version, used| {
        let entry = node("n1").used(&[("cpu", used), ("pods", "1")]);
        index.shard(
            &eu(),
            "shard-0",
            Shard::new(&node_summary("shard-0", version, vec![entry])),
        );
    };
    publish(6, "0");
    assert!(room("1") && !room("2") && index.in_flight() == 1);
    publish(7, "3");
    assert!(room("1") && !room("2") && index.in_flight() == 0);
}

#[test]
fn a_late_answer_does_not_bring_a_deleted_chaperon_back() {
    let (index, _wakes) = index();
    let index = std::sync::Arc::new(index);
    ready(&index, &eu(), None, vec![node("n1")]);
    let _news = index.news("1");
    index.attempt(&eu(), "1", attempt("c", Progress::Waiting));
    index.attempt_gone(&eu(), "1", "c");
    index.created(&eu(), "1", attempt("c", Progress::Waiting));
    assert_eq!(index.attempt_in(&eu(), "1", "default"), None);
}

#[test]
fn delegates_that_another_replica_began_are_counted_too() {
    let (index, _wakes) = index();
    ready(&index, &eu(), None, vec![node("n1")]);
    let pod = wanted(&[("cpu", "3")], json!({}));
    index.attempt(&eu(), "1", attempt("c", Progress::Waiting));
    assert!(index.is_uncounted(&eu(), "1"));
    index.count(&eu(), "1", &pod);
    assert!(!index.is_uncounted(&eu(), "1"));
    assert!(index.assume(&eu(), "2", &pod, false).is_err());
    let old = Progress::Scheduled {
        node: "n1".into(),
        version: Some(1),
    };
    index.attempt(&eu(), "3", attempt("d", old));
    assert!(!index.is_uncounted(&eu(), "3"), "the summary shows it");
}

#[test]
fn a_chaperon_of_another_namespace_speaks_for_nobody() {
    let (index, _wakes) = index();
    let us = TargetRef::cluster("us");
    ready(&index, &eu(), None, vec![node("n1").used(&[("cpu", "4")])]);
    ready(&index, &us, None, vec![node("n1")]);
    let pod = proxy_pod("a", "1", spec("1"));
    let made_up = Attempt {
        namespace: "other".into(),
        ..attempt("x", Progress::Waiting)
    };
    index.attempt(&eu(), "1", made_up.clone());
    let verdicts = filter(&index, &pod, &[&eu(), &us]);
    assert!(
        verdicts[0] != Verdict::Pass && verdicts[1] == Verdict::Pass,
        "{verdicts:?}"
    );
    assert_eq!(index.attempt_in(&eu(), "1", "default"), None);
    assert!(index.attempts_elsewhere(&us, "1", "default", Instant::now()).is_empty());
    // Nor does it take the place of the real one.
    index.created(&eu(), "1", attempt("c", Progress::Waiting));
    index.attempt(&eu(), "1", made_up);
    assert_eq!(filter(&index, &pod, &[&eu()]), [Verdict::Pass]);
    assert_eq!(index.attempt_in(&eu(), "1", "default").unwrap().uid, "c".into());
}
