//! In-flight accounting, whatever the order of events.

use std::time::{Duration, Instant};

use multicluster_api::resources::Resources;
use proptest::prelude::*;

use crate::core::inflight::{EXPIRY, InFlight};

fn cores(cpu: i64) -> Resources {
    Resources {
        cpu_milli: cpu * 1000,
        pods: 1,
        ..Resources::default()
    }
}

#[test]
fn a_placement_is_counted_from_assume_until_a_summary_shows_it() {
    let mut inflight = InFlight::default();
    assert!(inflight.assume("1", cores(2), Some("a")));
    assert_eq!(inflight.overlay()["a"], cores(2));
    inflight.placed("1", "b", Some(7));
    assert_eq!(
        (inflight.overlay().get("a"), &inflight.overlay()["b"]),
        (None, &cores(2))
    );
    inflight.confirm(|_, version| 6 >= version);
    assert!(inflight.contains("1"));
    inflight.confirm(|node, version| node == "b" && 7 >= version);
    assert!(inflight.is_empty() && inflight.overlay().is_empty());
}

#[test]
fn without_a_version_a_placement_goes_by_age() {
    let (mut inflight, now) = (InFlight::default(), Instant::now());
    inflight.assume("1", cores(2), Some("a"));
    inflight.placed("1", "a", None);
    inflight.confirm(|_, _| true);
    assert_eq!(inflight.expire(now + EXPIRY * 2), 0, "not bound yet: no age");
    inflight.bound("1", now);
    assert_eq!(inflight.expire(now + EXPIRY - Duration::from_millis(1)), 0);
    assert_eq!(inflight.expire(now + EXPIRY), 1);
    assert!(inflight.overlay().is_empty());
}

#[derive(Clone, Debug)]
enum Event {
    Assume(u8, i64, Option<u8>),
    Placed(u8, u8, Option<u64>),
    Bound(u8),
    Forget(u8),
    Confirm(u8, u64),
    Expire(u64),
}

fn event() -> impl Strategy<Value = Event> {
    prop_oneof![
        (0..6u8, 0..4i64, prop::option::of(0..3u8)).prop_map(|(uid, cpu, node)| Event::Assume(uid, cpu, node)),
        (0..6u8, 0..3u8, prop::option::of(0..9u64)).prop_map(|(uid, node, version)| Event::Placed(uid, node, version)),
        (0..6u8).prop_map(Event::Bound),
        (0..6u8).prop_map(Event::Forget),
        (0..3u8, 0..9u64).prop_map(|(node, version)| Event::Confirm(node, version)),
        (0..60u64).prop_map(Event::Expire),
    ]
}

fn apply(inflight: &mut InFlight, event: &Event, start: Instant) {
    match event {
        Event::Assume(uid, cpu, node) => {
            inflight.assume(
                &uid.to_string(),
                cores(*cpu),
                node.map(|node| node.to_string()).as_deref(),
            );
        }
        Event::Placed(uid, node, version) => inflight.placed(&uid.to_string(), &node.to_string(), *version),
        Event::Bound(uid) => inflight.bound(&uid.to_string(), start),
        Event::Forget(uid) => {
            inflight.forget(&uid.to_string());
        }
        Event::Confirm(node, seen) => inflight.confirm(|n, version| n == node.to_string() && *seen >= version),
        Event::Expire(seconds) => {
            inflight.expire(start + Duration::from_secs(*seconds));
        }
    }
}

proptest! {
    #[test]
    fn no_node_ever_owes_anything_and_nothing_is_left_behind(events in prop::collection::vec(event(), 0..60)) {
        let (mut inflight, start) = (InFlight::default(), Instant::now());
        for event in &events {
            apply(&mut inflight, event, start);
            let mut sum = Resources::default();
            for amounts in inflight.overlay().values() {
                prop_assert!(amounts.cpu_milli >= 0 && amounts.pods > 0, "{:?}", amounts);
                sum.add(amounts);
            }
            let total = inflight.total();
            prop_assert!(sum.pods <= total.pods && sum.cpu_milli <= total.cpu_milli);
        }
        for uid in 0..6u8 {
            inflight.forget(&uid.to_string());
        }
        prop_assert!(inflight.is_empty() && inflight.overlay().is_empty());
    }

    #[test]
    fn forgetting_undoes_assuming(events in prop::collection::vec(event(), 0..30), cpu in 0..4i64, node in 0..3u8) {
        let (mut inflight, start) = (InFlight::default(), Instant::now());
        events.iter().for_each(|event| apply(&mut inflight, event, start));
        let before = (inflight.overlay().clone(), inflight.len());
        prop_assert!(inflight.assume("new", cores(cpu), Some(&node.to_string())));
        prop_assert!(inflight.forget("new"));
        prop_assert_eq!(before, (inflight.overlay().clone(), inflight.len()));
    }
}
