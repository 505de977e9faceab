//! How often a target is asked, and who waits.

use std::cell::Cell;
use std::sync::LazyLock;
use std::time::{Duration, Instant};

use jiff::{SignedDuration, Timestamp};
use multicluster_kubelet::usage::node::Delegated;
use multicluster_kubelet::usage::reading::Reading;
use multicluster_kubelet::usage::summary::PodReference;

use crate::source::kubelet::usage::problem::Problem;
use crate::source::kubelet::usage::target::{Asked, Shown, TargetUsage, Tell};

static BEGAN: LazyLock<Timestamp> = LazyLock::new(|| Timestamp::now() - SignedDuration::from_mins(5));

fn pods() -> Vec<Delegated> {
    let proxy = PodReference {
        name: "web".into(),
        namespace: "shop".into(),
        uid: "1".into(),
    };
    let began = *BEGAN;
    vec![Delegated {
        proxy,
        delegate_uid: "d".into(),
        delegate: "web-123".into(),
        started: Some(began),
        running: [("app".to_owned(), began)].into(),
    }]
}

fn answer(result: Result<(), Problem>) -> Asked {
    let mut reading = Reading::new(Timestamp::now(), Instant::now());
    if result.is_ok() {
        let list = format!(
            r#"{{"items": [{{"metadata": {{"namespace": "shop", "name": "web-123"}}, "timestamp": "{}", "window": "15s",
                "containers": [{{"name": "app", "usage": {{"cpu": "1", "memory": "1Mi"}}}}]}}]}}"#,
            Timestamp::now()
        );
        reading.read(list.as_bytes()).unwrap();
    }
    Asked { reading, result }
}

async fn show(usage: &TargetUsage, asked: &Cell<u32>, result: Result<(), Problem>) -> Shown {
    let ask = || {
        asked.set(asked.get() + 1);
        Some(async { answer(result) })
    };
    usage.show(&pods(), ask, |_, _| ()).await
}

#[tokio::test]
async fn who_comes_soon_gets_the_same_answer() {
    let (usage, asked) = (TargetUsage::new("n"), Cell::new(0));
    let first = show(&usage, &asked, Ok(())).await;
    let second = show(&usage, &asked, Ok(())).await;
    assert_eq!((asked.get(), first.summary.pods.len()), (1, 1));
    assert_eq!(first.summary, second.summary);
}

#[tokio::test(start_paused = true)]
async fn who_comes_meanwhile_waits_for_the_answer() {
    let (usage, asked) = (TargetUsage::new("n"), Cell::new(0));
    let slow = || {
        let ask = || {
            asked.set(asked.get() + 1);
            Some(async {
                tokio::time::sleep(Duration::from_secs(2)).await;
                answer(Ok(()))
            })
        };
        let (usage, pods) = (&usage, pods());
        async move { usage.show(&pods, ask, |_, _| ()).await }
    };
    let (first, second) = tokio::join!(slow(), slow());
    assert_eq!(asked.get(), 1);
    assert_eq!((first.summary.pods.len(), second.summary.pods.len()), (1, 1));
}

#[tokio::test]
async fn an_error_shows_what_was_known_and_lasts_until_an_answer() {
    let (usage, asked) = (TargetUsage::new("n"), Cell::new(0));
    let first = show(&usage, &asked, Err(Problem::NotInstalled)).await;
    assert!(first.error && first.summary.pods.is_empty());
    let second = show(&usage, &asked, Ok(())).await;
    assert!(second.error && asked.get() == 1);
}

#[tokio::test]
async fn a_target_that_is_away_is_an_error_and_is_asked_as_soon_as_it_is_back() {
    let (usage, asked) = (TargetUsage::new("n"), Cell::new(0));
    let away = usage
        .show(
            &pods(),
            || None::<std::future::Ready<Asked>>,
            |_, _| panic!("nobody was asked"),
        )
        .await;
    assert!(away.error);
    let back = show(&usage, &asked, Ok(())).await;
    assert!(!back.error && back.summary.pods.len() == 1);
}

#[tokio::test]
async fn nobody_is_asked_about_no_pods() {
    let usage = TargetUsage::new("n");
    let ask = || -> Option<std::future::Ready<Asked>> { panic!("asked") };
    let shown = usage.show(&[], ask, |_, _: Option<Tell>| ()).await;
    assert!(!shown.error && shown.summary.pods.is_empty());
}
