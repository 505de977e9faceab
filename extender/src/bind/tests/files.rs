//! A pod's ConfigMaps and Secrets are in the target before its delegate is made.

use serde_json::json;

use super::*;
use crate::bind::BindError;
use crate::core::delegate;

/// A pod that uses a ConfigMap.
fn with_config() -> RawPod {
    let mut pod = pod();
    let config = json!([{"name": "config", "configMap": {"name": "web"}}]);
    pod.spec.insert("volumes".into(), config);
    pod
}

fn awaits(chaperon: &PodChaperon) -> bool {
    let annotations = chaperon.metadata.annotations.as_ref().unwrap();
    annotations.get(names::AWAITS_FILES).map(String::as_str) == Some("true")
}

/// The chaperon of an earlier try, as the target's watch shows it after so many seconds.
fn seen_before(world: &World, seconds: u64) -> Attempt {
    let mut chaperon = delegate::chaperon(&with_config(), "c1", &eu()).unwrap();
    delegate::await_files(&mut chaperon);
    chaperon.metadata.uid = Some("c0".into());
    let attempt = Attempt {
        since: Instant::now().checked_sub(Duration::from_secs(seconds)).unwrap(),
        ..attempt(&chaperon)
    };
    world.eu_api.put_chaperon(chaperon);
    world.index.attempt(&eu(), "1", attempt.clone());
    attempt
}

#[tokio::test]
async fn only_a_pod_that_uses_some_waits_for_them() {
    for (pod, expected) in [(pod(), false), (with_config(), true)] {
        let world = world(pod);
        world.bind(eu(), &world.eu_api, scheduled()).await.unwrap();
        assert_eq!(awaits(&world.eu_api.chaperons()[0]), expected);
    }
}

#[tokio::test]
async fn where_the_source_is_its_own_target_they_are_there() {
    let world = world(with_config());
    world.index.is_own_cluster(&eu(), true);
    world.bind(eu(), &world.eu_api, scheduled()).await.unwrap();
    assert!(!awaits(&world.eu_api.chaperons()[0]));
}

#[tokio::test]
async fn the_wait_for_them_is_told_as_such() {
    let world = world(with_config());
    let waiting = world.binder.bind(to(&eu())).await.unwrap_err();
    let expected = "still waiting until the pod's ConfigMaps and Secrets are in eu; will go on";
    assert_eq!((waiting.to_string().as_str(), waiting.outcome()), (expected, "waiting"));
    assert_eq!(world.eu_api.writes().len(), 1, "the chaperon stays");
    world.bind(eu(), &world.eu_api, scheduled()).await.unwrap();
}

#[tokio::test]
async fn files_that_are_refused_send_the_pod_elsewhere_at_once() {
    let world = world(with_config());
    let refuse = async {
        let mut chaperon = world.eu_api.chaperon().await;
        let annotations = chaperon.metadata.annotations.as_mut().unwrap();
        annotations.insert(names::FILES_REFUSED.into(), "ConfigMap web is somebody else's".into());
        world.index.attempt(&eu(), "1", attempt(&chaperon));
    };
    let (refused, ()) = tokio::join!(world.binder.bind(to(&eu())), refuse);
    assert_eq!(
        refused.unwrap_err().to_string(),
        "eu: its ConfigMaps and Secrets cannot follow: ConfigMap web is somebody else's"
    );
    assert!(world.eu_api.writes()[1].starts_with("DELETE podchaperons/a-"));
    assert!(world.index.failures().of("1").is_some());
}

#[tokio::test]
async fn files_that_never_come_send_the_pod_elsewhere_in_the_end() {
    let world = world(with_config());
    seen_before(&world, 61);
    let error = world.binder.bind(to(&eu())).await.unwrap_err();
    assert!(matches!(error, BindError::Unschedulable { .. }), "{error:?}");
    let said = error.to_string();
    assert!(
        said.contains("ConfigMaps and Secrets were not there within 60s"),
        "{said}"
    );
}

#[tokio::test]
async fn the_wait_for_files_is_not_counted_against_the_targets_scheduler() {
    let world = world(with_config());
    let attempt = seen_before(&world, 59);
    let there = Attempt {
        progress: Progress::Waiting,
        since: Instant::now(),
        ..attempt.clone()
    };
    world.index.attempt(&eu(), "1", there.clone());
    let seen = world.index.attempt_in(&eu(), "1", "default").unwrap();
    assert!(seen.since.elapsed() < Duration::from_secs(1));
    // From then on it counts.
    let later = Attempt {
        since: Instant::now() + Duration::from_secs(5),
        ..there
    };
    world.index.attempt(&eu(), "1", later);
    assert_eq!(world.index.attempt_in(&eu(), "1", "default").unwrap().since, seen.since);
}
