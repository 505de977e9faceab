//! What always holds.

use proptest::prelude::*;
use serde_json::json;

use super::world::{World, at, cpu_of, metrics, pod};
use crate::usage::reading::Reading;
use crate::usage::summary::{CpuStats, Summary};

fn totals(summary: &Summary) -> Vec<(String, CpuStats)> {
    let containers = summary.pods.iter().flat_map(|pod| {
        pod.containers
            .iter()
            .filter_map(move |c| Some((format!("{}/{}/{}", pod.pod_ref.name, c.name, c.start_time), c.cpu?)))
    });
    let pods = summary
        .pods
        .iter()
        .filter_map(|pod| Some((pod.pod_ref.name.clone(), pod.cpu?)));
    containers
        .chain(pods)
        .chain(summary.node.cpu.map(|cpu| (String::new(), cpu)))
        .collect()
}

proptest! {
    /// Whoever scrapes at each sample gets the sample's usage.
    #[test]
    fn the_rate_over_two_scrapes_is_the_usage(
        samples in prop::collection::vec((1i64..60, 0u64..64_000_000_000), 2..12),
        started in 0i64..20,
    ) {
        let mut world = World::new([pod("web", &[("app", started)])]);
        let (mut now, mut before) = (20, None);
        for (pause, nano_cores) in samples {
            now += pause;
            world.told(now, &[metrics("web", now, &[("app", &format!("{nano_cores}n"), "1Mi")])]);
            let scraped = world.scraped(now);
            if let Some(before) = &before {
                for series in [cpu_of("web", "app"), "node_cpu_usage_seconds_total".into()] {
                    let cores = nano_cores as f64 / 1e9;
                    // Seconds as floating point numbers have 15 digits.
                    prop_assert!((scraped.rate(before, &series) - cores).abs() < 1e-6, "{series}");
                }
            }
            before = Some(scraped);
        }
    }

    /// Whatever comes, in whatever order, no counter of a container's run, a pod or a node falls, nor does its time.
    #[test]
    fn no_counter_falls(
        steps in prop::collection::vec((0i64..300, -400i64..100, 0u64..1 << 50, 0i64..200, any::<bool>()), 1..40),
    ) {
        let mut world = World::new([pod("web", &[("app", 0)]), pod("db", &[("app", 0)])]);
        let (mut now, mut seen) = (0, std::collections::HashMap::<String, CpuStats>::new());
        for (pause, late, nano_cores, started, both) in steps {
            now += pause;
            world.pods[0] = pod("web", &[("app", started / 100)]);
            let usage = format!("{nano_cores}n");
            let item = |name| metrics(name, now + late, &[("app", &usage, "1Mi")]);
            let items = if both { vec![item("web"), item("db")] } else { vec![item("web")] };
            world.told(now, &items);
            for (name, cpu) in totals(&world.summary(now)) {
                // A run that was replaced and comes back is not the same.
                if name.starts_with("web/") {
                    continue;
                }
                if let Some(before) = seen.insert(name, cpu) {
                    prop_assert!(before.usage_core_nano_seconds <= cpu.usage_core_nano_seconds);
                    prop_assert!(before.time <= cpu.time);
                }
            }
        }
    }

    /// A node is the sum of its pods, and a pod of its containers.
    #[test]
    fn sums_are_sums(usages in prop::collection::vec((0u64..1 << 40, 0u64..1 << 50), 1..20)) {
        let names: Vec<_> = (0..usages.len()).map(|index| index.to_string()).collect();
        let mut world = World::new(names.iter().map(|name| pod(name, &[("a", 0), ("b", 0)])).collect::<Vec<_>>());
        let items = names.iter().zip(&usages).map(|(name, (cpu, memory))| {
            let (cpu, memory) = (format!("{cpu}n"), memory.to_string());
            metrics(name, 30, &[("a", &cpu, &memory), ("b", &cpu, &memory)])
        });
        world.told(31, &items.collect::<Vec<_>>());
        let summary = world.summary(31);
        let cpu: u64 = usages.iter().map(|(cpu, _)| 2 * cpu).sum();
        let memory: u64 = usages.iter().map(|(_, memory)| 2 * memory).sum();
        prop_assert_eq!(summary.node.cpu.unwrap().usage_nano_cores, cpu);
        prop_assert_eq!(summary.node.memory.unwrap().working_set_bytes, memory);
    }

    /// No text panics, as a list, and as each of the values in one.
    #[test]
    fn nothing_panics(text in ".{0,60}", amount in "[-+0-9.eE]{0,12}[numkMGTPEi]{0,2}", time in "[-+]?[0-9]{4,6}-12-31T23:59:59Z") {
        let mut world = World::new([pod("web", &[("app", 0)])]);
        let mut reading = Reading::new(at(30), world.here(30));
        let _ = reading.read(text.as_bytes());
        for timestamp in [&text, &time] {
            let item = json!({
                "metadata": { "namespace": "shop", "name": "web-there" }, "timestamp": timestamp, "window": text,
                "containers": [{ "name": "app", "usage": { "cpu": amount, "memory": text } }],
            });
            world.told(30, &[item]);
            world.text(31);
        }
    }
}
