//! Pods that the webhook cannot have seen go nowhere.

use multicluster_api::TargetRef;

use super::wake::woken;
use super::*;
use crate::core::builders::{node, proxy_pod, spec};
use crate::index::Refusal;

fn eu() -> TargetRef {
    TargetRef::cluster("eu")
}

fn pod() -> RawPod {
    proxy_pod("a", "1", spec("1"))
}

fn not_served() -> Verdict {
    unresolvable("the webhook does not serve the pod's namespace; label it multicluster-scheduler=enabled")
}

#[test]
fn a_namespace_without_the_label_is_refused_until_it_has_it() {
    let (index, mut wakes) = index();
    ready(&index, &eu(), None, vec![node("n1")]);
    index.namespace_left("default");
    assert_eq!(filter(&index, &pod(), &[&eu()]), [not_served()]);
    assert_eq!(index.admits("default", "1"), Err(Refusal::NamespaceNotServed));
    index.namespace_served("another");
    assert_eq!(woken(&mut wakes), [""; 0]);
    index.namespace_served("default");
    assert_eq!(woken(&mut wakes), ["admiralty-eu"], "the refused pod is to come again");
    assert_eq!(filter(&index, &pod(), &[&eu()]), [Verdict::Pass]);
    assert_eq!(index.admits("default", "1"), Ok(()));
    index.namespace_served("default");
    assert_eq!(woken(&mut wakes), [""; 0], "nobody was refused");
}

#[test]
fn before_the_list_none_is_served_and_after_it_no_other() {
    let (index, _wakes) = Index::new(POLICY);
    ready(&index, &eu(), None, vec![node("n1")]);
    assert_eq!(filter(&index, &pod(), &[&eu()]), [not_served()]);
    index.namespace_served("default");
    index.namespaces_listed(&["default".to_owned()].into());
    assert_eq!(filter(&index, &pod(), &[&eu()]), [Verdict::Pass]);
    index.namespaces_listed(&AHashSet::new());
    assert_eq!(filter(&index, &pod(), &[&eu()]), [not_served()]);
}

#[test]
fn what_has_begun_is_brought_to_an_end() {
    let (index, _wakes) = index();
    ready(&index, &eu(), None, vec![node("n1")]);
    index.attempt(&eu(), "1", attempt("c", Progress::Waiting));
    index.namespace_left("default");
    assert_eq!(filter(&index, &pod(), &[&eu()]), [Verdict::Pass]);
    assert_eq!(index.admits("default", "1"), Ok(()));
    assert_eq!(index.admits("default", "2"), Err(Refusal::NamespaceNotServed));
}

#[test]
fn ordinary_pods_are_not_asked_for_their_namespace() {
    let (index, _wakes) = index();
    index.namespace_left("default");
    let mut pod = pod();
    pod.metadata.labels = None;
    assert_eq!(filter(&index, &pod, &[&eu()]), [Verdict::Pass]);
}
