//! How the proxy learns whom to trust.

use std::sync::Arc;
use std::time::Duration;

use multicluster_authproxy::knowledge::Knowledge;
use multicluster_authproxy::watch;
use tokio::time::{Instant, sleep};
use tokio_util::sync::{CancellationToken, DropGuard};

use crate::server::ApiServer;
use crate::world::{World, provider, until};

struct Following {
    api: ApiServer,
    knowledge: Arc<Knowledge>,
    _end: DropGuard,
}

impl Following {
    async fn new() -> Self {
        let api = ApiServer::start().await;
        let config = kube::Config::new(format!("http://{}", api.addr).parse().unwrap());
        let client = kube::Client::try_from(config).unwrap();
        let (knowledge, stop) = (
            Arc::new(Knowledge::new(Duration::from_millis(4500))),
            CancellationToken::new(),
        );
        tokio::spawn(watch::run(client, knowledge.clone(), stop.clone()));
        let _end = stop.drop_guard();
        Self { api, knowledge, _end }
    }

    /// How many are trusted; `None` while that is not known.
    fn trusted(&self) -> Option<usize> {
        Some(self.knowledge.current()?.trust.trusted().count())
    }

    async fn until(&self, what: &str, trusted: Option<usize>) {
        until(what, || self.trusted() == trusted).await;
    }
}

#[tokio::test]
async fn changes_count_at_once_and_quiet_is_no_silence() {
    let ca = World::authority();
    let world = Following::new().await;
    world.until("the lists are there", Some(0)).await;
    world.api.objects.add(provider(&ca));
    let began = Instant::now();
    world.until("it is there", Some(1)).await;
    assert!(began.elapsed() < Duration::from_millis(300), "{:?}", began.elapsed());
    for _ in 0..65 {
        sleep(Duration::from_millis(100)).await;
        assert_eq!(world.trusted(), Some(1), "{:?}", world.knowledge.silence());
        assert!(world.knowledge.silence().unwrap() < Duration::from_millis(2600));
    }
    assert_eq!(world.api.objects.lists(), 1, "watches go on where they were");
    world.api.objects.remove(provider(&ca));
    world.until("it is gone", Some(0)).await;
}

#[tokio::test]
async fn a_watch_that_has_died_silently_is_noticed() {
    let ca = World::authority();
    let world = Following::new().await;
    world.api.objects.add(provider(&ca));
    world.until("it is there", Some(1)).await;
    let began = Instant::now();
    world.api.objects.fall_silent(true);
    world.api.objects.remove(provider(&ca));
    world.until("nobody is trusted", None).await;
    assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
    world.api.objects.fall_silent(false);
    until("it is known again", || world.trusted().is_some()).await;
}

#[tokio::test]
async fn a_watch_from_too_long_ago_begins_with_a_list() {
    let world = Following::new().await;
    world.until("the lists are there", Some(0)).await;
    world.api.objects.forget(true);
    until("it is listed again", || world.api.objects.lists() > 2).await;
    world.api.objects.forget(false);
    sleep(Duration::from_secs(3)).await;
    assert_eq!(world.trusted(), Some(0));
}
