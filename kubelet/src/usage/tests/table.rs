//! What is told, when, and under which name.

use serde_json::json;

use super::world::{World, at, cpu_of, metrics, pod};
use crate::usage::text::ResourceMetrics;

const TEXT: &str = r#"# HELP container_cpu_usage_seconds_total [STABLE] Cumulative cpu time consumed by the container in core-seconds
# TYPE container_cpu_usage_seconds_total counter
container_cpu_usage_seconds_total{container="app",namespace="shop",pod="web"} 3.755001 1767225630000
# HELP container_memory_working_set_bytes [STABLE] Current working set of the container in bytes
# TYPE container_memory_working_set_bytes gauge
container_memory_working_set_bytes{container="app",namespace="shop",pod="web"} 67108864 1767225630000
# HELP container_start_time_seconds [STABLE] Start time of the container since unix epoch in seconds
# TYPE container_start_time_seconds gauge
container_start_time_seconds{container="app",namespace="shop",pod="web"} 1767225601
# HELP node_cpu_usage_seconds_total [STABLE] Cumulative cpu time consumed by the node in core-seconds
# TYPE node_cpu_usage_seconds_total counter
node_cpu_usage_seconds_total 3.755001 1767225630000
# HELP node_memory_working_set_bytes [STABLE] Current working set of the node in bytes
# TYPE node_memory_working_set_bytes gauge
node_memory_working_set_bytes 67108864 1767225630000
# HELP pod_cpu_usage_seconds_total [STABLE] Cumulative cpu time consumed by the pod in core-seconds
# TYPE pod_cpu_usage_seconds_total counter
pod_cpu_usage_seconds_total{namespace="shop",pod="web"} 3.755001 1767225630000
# HELP pod_memory_working_set_bytes [STABLE] Current working set of the pod in bytes
# TYPE pod_memory_working_set_bytes gauge
pod_memory_working_set_bytes{namespace="shop",pod="web"} 67108864 1767225630000
# HELP resource_scrape_error [STABLE] 1 if there was an error while getting container metrics, 0 otherwise
# TYPE resource_scrape_error gauge
resource_scrape_error 0
# HELP scrape_error [ALPHA] (Deprecated since 1.29.0) 1 if there was an error while getting container metrics, 0 otherwise
# TYPE scrape_error gauge
scrape_error 0
"#;

fn web() -> World {
    World::new([pod("web", &[("app", 1)])])
}

#[test]
fn the_text_is_a_kubelets() {
    let mut world = web();
    world.told(31, &[metrics("web", 30, &[("app", "250m", "64Mi")])]);
    assert_eq!(world.text(31), TEXT);
}

#[test]
fn the_summary_is_a_kubelets() {
    let mut world = web();
    world.told(31, &[metrics("web", 30, &[("app", "250m", "64Mi")])]);
    let cpu = json!({ "time": "2026-01-01T00:00:30Z", "usageNanoCores": 250_000_000, "usageCoreNanoSeconds": 3_755_001_000_u64 });
    let memory = json!({ "time": "2026-01-01T00:00:30Z", "workingSetBytes": 64 << 20 });
    let expected = json!({
        "node": { "nodeName": "admiralty-eu", "startTime": "2026-01-01T00:00:00Z", "cpu": cpu, "memory": memory },
        "pods": [{
            "podRef": { "name": "web", "namespace": "shop", "uid": "web-uid" },
            "startTime": "2026-01-01T00:00:00Z",
            "containers": [{ "name": "app", "startTime": "2026-01-01T00:00:01Z", "cpu": cpu, "memory": memory }],
            "cpu": cpu, "memory": memory,
        }],
    });
    assert_eq!(serde_json::to_value(world.summary(31)).unwrap(), expected);
}

#[test]
fn a_node_of_which_nothing_is_known_says_so() {
    let summary = web().summary(0);
    let text = ResourceMetrics {
        summary: &summary,
        error: true,
    }
    .to_string();
    let series: Vec<_> = text.lines().filter(|line| !line.starts_with('#')).collect();
    assert_eq!(series, ["resource_scrape_error 1", "scrape_error 1"]);
    let json = serde_json::to_value(&summary).unwrap();
    assert_eq!(
        json["node"],
        json!({ "nodeName": "admiralty-eu", "startTime": "2026-01-01T00:00:00Z" })
    );
}

#[test]
fn what_is_not_told_is_left_out_and_not_0() {
    let mut world = web();
    let mut only_memory = metrics("web", 30, &[("app", "0", "64Mi")]);
    only_memory["containers"][0]["usage"]
        .as_object_mut()
        .unwrap()
        .remove("cpu");
    world.told(31, &[only_memory]);
    let pods = world.summary(31).pods;
    assert!(pods[0].cpu.is_none() && pods[0].containers[0].cpu.is_none());
    assert!(!world.text(31).contains("cpu_usage_seconds_total{"));
}

#[test]
fn an_idle_container_is_shown() {
    let mut world = web();
    world.told(31, &[metrics("web", 30, &[("app", "0", "64Mi")])]);
    // metrics-server drops a pod whose counter is 0.
    assert!(world.scraped(31).0[&cpu_of("web", "app")].0 > 0.0);
}

#[test]
fn only_pods_of_this_node_and_only_their_containers_are_shown() {
    let mut world = web();
    let other = metrics("other", 30, &[("app", "1", "1Gi")]);
    world.told(
        31,
        &[other, metrics("web", 30, &[("app", "1", "1Mi"), ("mesh", "1", "1Mi")])],
    );
    let summary = world.summary(31);
    assert_eq!(summary.pods.len(), 1);
    assert_eq!(summary.pods[0].containers.len(), 1);
    assert_eq!(summary.node.memory.unwrap().working_set_bytes, 1 << 20);
}

#[test]
fn a_pod_of_the_same_name_in_another_namespace_is_another_one() {
    let mut world = web();
    let mut elsewhere = metrics("web", 30, &[("app", "1", "1Mi")]);
    elsewhere["metadata"]["namespace"] = json!("bank");
    world.told(31, &[elsewhere]);
    assert!(world.summary(31).pods.is_empty());
}

#[test]
fn a_container_that_was_started_again_counts_anew_and_the_pod_goes_on() {
    let mut world = web();
    let told = |world: &mut World, now| world.told(now, &[metrics("web", now, &[("app", "1", "1Mi")])]);
    told(&mut world, 30);
    told(&mut world, 60);
    let before = world.summary(60);
    world.pods = vec![pod("web", &[("app", 65)])];
    // A sample of the run before is not this one's.
    told(&mut world, 62);
    assert!(world.summary(62).pods.is_empty());
    told(&mut world, 75);
    let after = world.summary(75);
    let total = |stats: Option<crate::usage::summary::CpuStats>| stats.unwrap().usage_core_nano_seconds;
    assert!(total(after.pods[0].containers[0].cpu) < total(before.pods[0].containers[0].cpu));
    assert!(total(after.pods[0].cpu) > total(before.pods[0].cpu));
    assert!(total(after.node.cpu) > total(before.node.cpu));
    assert_eq!(after.pods[0].containers[0].start_time, at(65));
}

#[test]
fn a_new_container_counts_from_its_start() {
    let mut world = web();
    world.told(9, &[metrics("web", 9, &[("app", "1", "1Mi")])]);
    // 8 seconds, though the window is 15.
    assert_eq!(
        world.summary(9).pods[0].cpu.unwrap().usage_core_nano_seconds,
        8_000_001_000
    );
}

#[test]
fn an_old_sample_is_shown_no_more() {
    let mut world = web();
    world.told(31, &[metrics("web", 30, &[("app", "1", "1Mi")])]);
    assert_eq!(world.summary(90).pods.len(), 1);
    assert!(world.summary(91).pods.is_empty());
    assert!(world.summary(91).node.cpu.is_none());
}

#[test]
fn a_target_that_measures_seldom_is_waited_for() {
    let mut world = web();
    let mut slow = metrics("web", 30, &[("app", "1", "1Mi")]);
    slow["window"] = json!("1m0s");
    world.told(31, &[slow]);
    assert_eq!(world.summary(150).pods.len(), 1);
    assert!(world.summary(151).pods.is_empty());
}

#[test]
fn ages_are_the_targets_whatever_our_clock_says() {
    let mut world = web();
    // The target says at its second 1000, our second 10, that the sample is of its second 990.
    let mut reading = crate::usage::reading::Reading::new(at(1000), world.here(10));
    let items = json!({ "items": [metrics("web", 990, &[("app", "1", "1Mi")])] });
    reading.read(items.to_string().as_bytes()).unwrap();
    let pods = world.pods.clone();
    world.node.take(&reading, &pods);
    assert_eq!(world.summary(60).pods.len(), 1);
    assert!(world.summary(61).pods.is_empty());
}

#[test]
fn of_two_servers_the_one_that_is_behind_changes_nothing() {
    let mut world = web();
    world.told(31, &[metrics("web", 30, &[("app", "1", "1Mi")])]);
    let before = world.text(31);
    world.told(32, &[metrics("web", 20, &[("app", "2", "2Mi")])]);
    assert_eq!(world.text(32), before);
}

#[test]
fn what_is_gone_is_forgotten() {
    let mut world = web();
    world.told(31, &[metrics("web", 30, &[("app", "1", "1Mi")])]);
    let first = world.summary(31);
    let pods = std::mem::take(&mut world.pods);
    assert!(world.summary(32).pods.is_empty());
    world.pods = pods;
    assert!(world.summary(33).pods.is_empty());
    // What the node has counted stays counted.
    world.told(60, &[metrics("web", 60, &[("app", "1", "1Mi")])]);
    let total = |summary: crate::usage::summary::Summary| summary.node.cpu.unwrap().usage_core_nano_seconds;
    assert!(total(world.summary(60)) > total(first));
}

#[test]
fn a_delegate_that_was_made_again_begins_anew() {
    let mut world = web();
    world.told(60, &[metrics("web", 60, &[("app", "1", "1Mi")])]);
    world.told(90, &[metrics("web", 90, &[("app", "1", "1Mi")])]);
    let before = world.summary(90).pods[0].cpu.unwrap().usage_core_nano_seconds;
    world.pods[0].delegate_uid = "another".into();
    assert!(world.summary(90).pods.is_empty());
    world.told(91, &[metrics("web", 91, &[("app", "1", "1Mi")])]);
    assert!(world.summary(91).pods[0].cpu.unwrap().usage_core_nano_seconds < before);
}
