//! The way of a pod into a target, against made-up API servers.

mod fake;
mod files;
mod interrupted;
mod replicas;
mod straight;
mod who_may;

use std::sync::Arc;
use std::time::{Duration, Instant};

use multicluster_api::raw::RawPod;
use multicluster_api::{PodChaperon, TargetRef, names};

use super::{BindRequest, Binder, Limits, Outcome};
use crate::core::attempt::{Attempt, Progress};
use crate::core::builders::{node, proxy_pod, spec};
use crate::index::{Index, tests as index_tests};
use fake::Fake;

/// One source cluster, two targets, one pod.
struct World {
    source: Arc<Fake>,
    eu_api: Arc<Fake>,
    us_api: Arc<Fake>,
    index: Arc<Index>,
    binder: Binder,
}

fn eu() -> TargetRef {
    TargetRef::cluster("eu")
}

fn us() -> TargetRef {
    TargetRef::cluster("us")
}

fn pod() -> RawPod {
    proxy_pod("a", "1", spec("3"))
}

fn world(pod: RawPod) -> World {
    let (source, eu_api, us_api) = (Fake::with_pod(pod), Fake::new(), Fake::with_uids_from(100));
    let (index, _wakes) = index_tests::index();
    let index = Arc::new(index);
    index_tests::ready(&index, &eu(), Some(eu_api.client()), vec![node("n1")]);
    index_tests::ready(&index, &us(), Some(us_api.client()), vec![node("n1")]);
    let limits = Limits {
        bind: Duration::from_millis(300),
        schedule: Duration::from_secs(60),
    };
    let binder = Binder::new(source.client(), index.clone(), "c1", limits);
    World {
        source,
        eu_api,
        us_api,
        index,
        binder,
    }
}

fn to(target: &TargetRef) -> BindRequest {
    BindRequest {
        namespace: "default".into(),
        name: "a".into(),
        uid: "1".into(),
        node: target.virtual_node().into(),
    }
}

impl World {
    /// Bind, while the target's scheduler makes this of the delegate as soon as there is one.
    async fn bind(&self, target: TargetRef, api: &Fake, progress: Progress) -> Outcome {
        let decide = async {
            let chaperon = api.chaperon().await;
            self.index.attempt(
                &target,
                "1",
                Attempt {
                    progress,
                    ..attempt(&chaperon)
                },
            );
        };
        tokio::join!(self.binder.bind(to(&target)), decide).0
    }
}

/// A chaperon as the watch shows it to its own target.
fn attempt(chaperon: &PodChaperon) -> Attempt {
    let through = &chaperon.metadata.annotations.as_ref().unwrap()[names::VIRTUAL_NODE];
    let target = if *through == eu().virtual_node().as_str() {
        eu()
    } else {
        us()
    };
    Attempt::of(chaperon, &target, Instant::now()).unwrap().1
}

fn scheduled() -> Progress {
    Progress::Scheduled {
        node: "n1".into(),
        version: Some(7),
    }
}
