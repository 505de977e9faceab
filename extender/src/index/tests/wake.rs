//! Pods that were refused are tried again when that may help, and only then.

use multicluster_api::TargetRef;

use super::*;
use crate::core::builders::{NodeExt, node, proxy_pod, spec};

fn eu() -> TargetRef {
    TargetRef::cluster("eu")
}

pub fn woken(wakes: &mut Wakes) -> Vec<String> {
    std::iter::from_fn(|| wakes.try_recv().ok()).collect()
}

#[test]
fn room_that_grows_wakes_pods_that_were_refused() {
    let (index, mut wakes) = index();
    ready(&index, &eu(), None, vec![node("n1").used(&[("cpu", "4")])]);
    let grow = |used| index.shard(&eu(), "shard-0", shard(vec![node("n1").used(&[("cpu", used)])]));
    grow("3");
    assert_eq!(woken(&mut wakes), [""; 0], "nobody was refused");
    filter(&index, &proxy_pod("a", "1", spec("2")), &[&eu()]);
    grow("4");
    assert_eq!(woken(&mut wakes), [""; 0], "it got worse");
    grow("1");
    grow("0");
    assert_eq!(woken(&mut wakes), ["admiralty-eu"], "once, until another is refused");
}

#[test]
fn a_target_that_comes_or_recovers_wakes_pods() {
    let (index, mut wakes) = index();
    let pod = proxy_pod("a", "1", spec("1"));
    filter(&index, &pod, &[&eu()]);
    ready(&index, &eu(), None, vec![node("n1")]);
    assert_eq!(woken(&mut wakes), ["admiralty-eu"]);
    index.failed(&eu(), "gone".into());
    filter(&index, &pod, &[&eu()]);
    ready(&index, &eu(), None, vec![node("n1")]);
    assert_eq!(woken(&mut wakes), ["admiralty-eu"]);
}

#[test]
fn a_failure_that_is_forgotten_wakes_pods() {
    let (index, mut wakes) = index();
    let us = TargetRef::cluster("us");
    ready(&index, &eu(), None, vec![node("n1")]);
    ready(&index, &us, None, vec![node("n1")]);
    index.failures().remember("1", &eu(), "full".into(), Instant::now());
    filter(&index, &proxy_pod("a", "1", spec("1")), &[&eu(), &us]);
    index.failure_expired(&eu());
    assert_eq!(woken(&mut wakes), ["admiralty-eu"]);
}
