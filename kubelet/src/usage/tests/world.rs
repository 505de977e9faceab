//! A virtual node with pods, a target that tells what they use, and a reader of the text as metrics-server is one
//! (`pkg/scraper/client/resource/decode.go`).

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use crate::usage::node::{Delegated, NodeMetrics};
use crate::usage::reading::Reading;
use crate::usage::summary::{PodReference, Summary};
use crate::usage::text::ResourceMetrics;

/// The target's clock, so many seconds after the beginning.
pub fn at(seconds: i64) -> Timestamp {
    "2026-01-01T00:00:00Z".parse::<Timestamp>().unwrap() + SignedDuration::from_secs(seconds)
}

/// The pod `shop/NAME`, whose delegate is `NAME-there`; its containers were started at these times.
pub fn pod(name: &str, running: &[(&str, i64)]) -> Delegated {
    Delegated {
        proxy: PodReference {
            name: name.into(),
            namespace: "shop".into(),
            uid: format!("{name}-uid"),
        },
        delegate_uid: format!("{name}-delegate"),
        delegate: format!("{name}-there"),
        started: Some(at(0)),
        running: running
            .iter()
            .map(|(name, started)| ((*name).to_owned(), at(*started)))
            .collect(),
    }
}

/// PodMetrics of `shop/NAME-there`: containers with CPU and memory.
pub fn metrics(name: &str, sampled: i64, containers: &[(&str, &str, &str)]) -> Value {
    let containers = containers
        .iter()
        .map(|(name, cpu, memory)| json!({ "name": name, "usage": { "cpu": cpu, "memory": memory } }));
    json!({
        "metadata": { "namespace": "shop", "name": format!("{name}-there"), "labels": { "a": "b" } },
        "timestamp": at(sampled).to_string(), "window": "15.02s",
        "containers": containers.collect::<Vec<_>>(),
    })
}

/// The virtual node, and the time since the beginning, by both clocks.
pub struct World {
    pub node: NodeMetrics,
    pub pods: Vec<Delegated>,
    began: Instant,
}

impl World {
    pub fn new(pods: impl Into<Vec<Delegated>>) -> Self {
        Self {
            node: NodeMetrics::new("admiralty-eu", at(0)),
            pods: pods.into(),
            began: Instant::now(),
        }
    }

    /// Here, so many seconds after the beginning.
    pub fn here(&self, seconds: i64) -> Instant {
        self.began + Duration::from_secs(seconds.try_into().unwrap())
    }

    /// At this second the target says this.
    pub fn told(&mut self, seconds: i64, items: &[Value]) {
        let mut reading = Reading::new(at(seconds), self.here(seconds));
        reading
            .read(
                json!({ "kind": "PodMetricsList", "items": items })
                    .to_string()
                    .as_bytes(),
            )
            .unwrap();
        self.node.take(&reading, &self.pods);
    }

    pub fn summary(&mut self, seconds: i64) -> Summary {
        let now = self.here(seconds);
        self.node.summary(&self.pods, now)
    }

    pub fn text(&mut self, seconds: i64) -> String {
        let summary = self.summary(seconds);
        ResourceMetrics {
            summary: &summary,
            error: false,
        }
        .to_string()
    }

    /// The text, read again.
    pub fn scraped(&mut self, seconds: i64) -> Scraped {
        Scraped::of(&self.text(seconds))
    }
}

/// Value and time in milliseconds of each series.
pub struct Scraped(pub BTreeMap<String, (f64, i64)>);

impl Scraped {
    pub fn of(text: &str) -> Self {
        let series = text.lines().filter(|line| !line.starts_with('#'));
        let parts = series.map(|line| {
            let mut parts = line.rsplitn(3, ' ').collect::<Vec<_>>();
            // Without a time.
            if parts.len() == 2 || parts[1].contains('}') {
                parts = std::iter::once("0").chain(line.rsplitn(2, ' ')).collect();
            }
            (
                parts[2].to_owned(),
                (parts[1].parse().unwrap(), parts[0].parse().unwrap()),
            )
        });
        Self(parts.collect())
    }

    /// Cores between two readings, as metrics-server reckons them.
    pub fn rate(&self, before: &Self, series: &str) -> f64 {
        let ((last, last_at), (previous, previous_at)) = (self.0[series], before.0[series]);
        let nano = |seconds: f64| (seconds * 1e9) as u64;
        nano(last).checked_sub(nano(previous)).unwrap() as f64 / 1e9 / ((last_at - previous_at) as f64 / 1e3)
    }
}

/// The series of a container's CPU.
pub fn cpu_of(pod: &str, container: &str) -> String {
    format!("container_cpu_usage_seconds_total{{container=\"{container}\",namespace=\"shop\",pod=\"{pod}\"}}")
}
