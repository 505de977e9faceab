//! A target may say anything.

use serde_json::json;

use super::world::{World, at, metrics, pod};
use crate::usage::reading::Reading;

fn shown(cpu: &str, memory: &str) -> (bool, bool) {
    let mut world = World::new([pod("web", &[("app", 1)])]);
    world.told(31, &[metrics("web", 30, &[("app", cpu, memory)])]);
    let summary = world.summary(31);
    (summary.pods[0].cpu.is_some(), summary.pods[0].memory.is_some())
}

#[test]
fn amounts_that_no_container_has_are_refused_alone() {
    for wrong in ["-1", "NaN", "1e30", "", "inf", "99999999999999999999", "1 ", "0x1"] {
        assert_eq!(shown(wrong, "1Mi"), (false, true), "{wrong}");
        assert_eq!(shown("1", wrong), (true, false), "{wrong}");
    }
}

#[test]
fn times_that_cannot_be_are_refused() {
    for wrong in [
        "",
        "yesterday",
        "2026-01-01T00:01:32Z",
        "9999-12-31T23:59:59Z",
        "-9999-01-01T00:00:00Z",
    ] {
        let mut world = World::new([pod("web", &[("app", 1)])]);
        let mut item = metrics("web", 30, &[("app", "1", "1Mi")]);
        item["timestamp"] = json!(wrong);
        world.told(31, &[item]);
        assert!(world.summary(31).pods.is_empty(), "{wrong}");
    }
}

#[test]
fn windows_that_cannot_be_count_as_none() {
    for wrong in ["", "-1h", "1000000h", "PT1S", "x"] {
        let mut world = World::new([pod("web", &[("app", 1)])]);
        let mut item = metrics("web", 30, &[("app", "1", "1Mi")]);
        item["window"] = json!(wrong);
        world.told(31, &[item]);
        assert!(
            world.summary(31).pods[0].cpu.unwrap().usage_core_nano_seconds <= 29_000_001_000,
            "{wrong}"
        );
    }
}

#[test]
fn what_is_no_list_is_an_error() {
    let mut reading = Reading::new(at(0), std::time::Instant::now());
    for wrong in [
        "",
        "[]",
        "{\"items\": 1}",
        "{\"items\": [{}]}",
        "{\"items\": [{\"metadata\": {\"name\": 1}}]}",
        "null",
    ] {
        assert!(reading.read(wrong.as_bytes()).is_err(), "{wrong}");
    }
    assert!(reading.read(br#"{"items": null}"#).is_ok());
}

#[test]
fn names_do_not_break_the_text() {
    let mut world = World::new([pod("a\"} 1\nb\\", &[("app", 1)])]);
    world.told(31, &[metrics("a\"} 1\nb\\", 30, &[("app", "1", "1Mi")])]);
    assert!(world.text(31).contains(r#"pod="a\"} 1\nb\\""#));
}

#[test]
fn ten_thousand_pods_are_no_trouble() {
    let names: Vec<_> = (0..10_000).map(|index| format!("web-{index}")).collect();
    let mut world = World::new(names.iter().map(|name| pod(name, &[("app", 1)])).collect::<Vec<_>>());
    let items: Vec<_> = names
        .iter()
        .map(|name| metrics(name, 30, &[("app", "1m", "1Mi")]))
        .collect();
    world.told(31, &items);
    let summary = world.summary(31);
    assert_eq!(summary.pods.len(), 10_000);
    assert_eq!(summary.node.cpu.unwrap().usage_nano_cores, 10_000_000_000);
}
