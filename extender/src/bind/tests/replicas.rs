//! Two replicas get binds of one pod: kube-scheduler tries again while the first one, whose answer it has lost, goes on.

use std::collections::BTreeMap;

use super::*;
use crate::bind::BindError;

/// A replica: knowledge of its own, fed by watches of its own.
struct Replica {
    index: Arc<Index>,
    binder: Binder,
}

impl Replica {
    /// One more, beside that of the world.
    fn beside(world: &World) -> Self {
        let (index, _wakes) = index_tests::index();
        let index = Arc::new(index);
        for (target, api) in [(eu(), &world.eu_api), (us(), &world.us_api)] {
            index_tests::ready(&index, &target, Some(api.client()), vec![node("n1")]);
        }
        let binder = Binder::new(world.source.client(), index.clone(), "c1", world.binder.limits);
        Self { index, binder }
    }
}

/// Shows a target's chaperons to a replica, for ever.
async fn watch(index: &Index, target: TargetRef, api: &Fake) {
    let mut known: BTreeMap<String, PodChaperon> = BTreeMap::new();
    loop {
        let chaperons = api.chaperons();
        let listed: BTreeMap<_, _> = chaperons
            .iter()
            .map(|chaperon| (chaperon.metadata.uid.clone().unwrap(), chaperon.clone()))
            .collect();
        for (uid, chaperon) in &listed {
            if known.get(uid) != Some(chaperon) {
                index.attempt(&target, "1", attempt(chaperon));
            }
        }
        for uid in known.keys().filter(|uid| !listed.contains_key(*uid)) {
            index.attempt_gone(&target, "1", uid);
        }
        known = listed;
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

impl World {
    /// Run `test` while both replicas watch both targets, but the second one the target `eu` only if it `sees_eu`.
    async fn with<T>(&self, second: &Replica, sees_eu: bool, test: impl Future<Output = T>) -> T {
        let seen_eu = async {
            match sees_eu {
                true => watch(&second.index, eu(), &self.eu_api).await,
                false => std::future::pending().await,
            }
        };
        let watches = async {
            tokio::join!(
                watch(&self.index, eu(), &self.eu_api),
                watch(&self.index, us(), &self.us_api),
                watch(&second.index, us(), &self.us_api),
                seen_eu,
            )
        };
        tokio::select! {
            result = test => result,
            _ = watches => unreachable!(),
        }
    }

    /// One delegate, where the pod is bound.
    async fn check(&self) {
        let bound = self.source.pod_node().unwrap();
        let settled = async || {
            let chaperons = [(eu(), &self.eu_api), (us(), &self.us_api)]
                .into_iter()
                .flat_map(|(target, api)| api.chaperons().into_iter().map(move |_| target.clone()))
                .map(|target| String::from(target.virtual_node()));
            chaperons.collect::<Vec<_>>() == [bound.clone()]
        };
        for _ in 0..200 {
            if settled().await {
                return;
            }
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        panic!(
            "bound to {bound}; eu has {}, us has {}",
            self.eu_api.chaperons().len(),
            self.us_api.chaperons().len()
        );
    }
}

#[tokio::test]
async fn a_retry_meets_the_chaperon_of_a_replica_that_is_stopping() {
    for sees_eu in [true, false] {
        let world = world(pod());
        let second = Replica::beside(&world);
        let test = async {
            // The caller hangs up; the bind goes on.
            let lost = tokio::time::timeout(Duration::from_millis(20), world.binder.bind(to(&eu()))).await;
            assert!(lost.is_err());
            let schedule = async {
                tokio::time::sleep(Duration::from_millis(20)).await;
                world.eu_api.schedule_delegates();
                // A replica that cannot see what becomes of the chaperon waits in vain, and is asked again.
                if !sees_eu {
                    world.binder.flights().finish().await;
                }
            };
            let (retried, ()) = tokio::join!(second.binder.bind(to(&eu())), schedule);
            match sees_eu {
                true => retried.unwrap(),
                false => {
                    assert!(matches!(retried, Err(BindError::StillWaiting(_))), "{retried:?}");
                    second.binder.bind(to(&eu())).await.unwrap();
                }
            }
            world.binder.flights().finish().await;
        };
        world.with(&second, sees_eu, test).await;
        world.check().await;
        let writes = world.eu_api.writes();
        assert!(
            writes.iter().all(|write| write == "POST default/podchaperons"),
            "{writes:?}"
        );
        assert_eq!(
            world.eu_api.chaperons()[0].metadata.uid.as_deref(),
            Some("c1"),
            "one was made"
        );
    }
}

#[tokio::test]
async fn a_retry_elsewhere_ends_the_first_bind() {
    let world = world(pod());
    let second = Replica::beside(&world);
    let test = async {
        let retry = async {
            world.eu_api.chaperon().await;
            // Its watch shows it soon after.
            tokio::time::sleep(Duration::from_millis(20)).await;
            second.binder.bind(to(&us())).await
        };
        let schedule = async {
            world.us_api.chaperon().await;
            assert!(world.eu_api.chaperons().is_empty(), "two delegates at a time");
            world.us_api.schedule_delegates();
        };
        tokio::join!(world.binder.bind(to(&eu())), retry, schedule)
    };
    let (first, retried, ()) = world.with(&second, true, test).await;
    assert!(matches!(first, Err(BindError::DelegateGone(_))), "{first:?}");
    retried.unwrap();
    world.check().await;
    assert_eq!(
        world.source.writes().len(),
        1,
        "the first one did not try to bind the pod"
    );
}

#[tokio::test]
async fn of_two_delegates_that_are_ready_one_is_bound_and_the_other_goes() {
    for first_wins in [true, false] {
        let world = world(pod());
        let second = Replica::beside(&world);
        let test = async {
            let schedule = async {
                // The second replica does not know of the first one's chaperon, so there are two of them.
                let (_eu, _us) = tokio::join!(world.eu_api.chaperon(), world.us_api.chaperon());
                let order = [&world.eu_api, &world.us_api];
                order[usize::from(!first_wins)].schedule_delegates();
                while world.source.pod_node().is_none() {
                    tokio::time::sleep(Duration::from_millis(1)).await;
                }
                order[usize::from(first_wins)].schedule_delegates();
            };
            // The first one does not look for others any more by then.
            let retry = async {
                world.eu_api.chaperon().await;
                second.binder.bind(to(&us())).await
            };
            tokio::join!(world.binder.bind(to(&eu())), retry, schedule)
        };
        let (first, retried, ()) = world.with(&second, false, test).await;
        let (winner, loser) = if first_wins { (first, retried) } else { (retried, first) };
        winner.unwrap();
        assert!(matches!(loser, Err(BindError::BoundElsewhere(_))), "{loser:?}");
        world.check().await;
    }
}
