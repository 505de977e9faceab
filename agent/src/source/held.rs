//! Proxy pods that their finalizer holds because their target is away. Pure, but for the metrics that show it.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use parking_lot::Mutex;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::Unit;

use super::proxy_pods::ProxyPod;
use crate::home::Home;
use crate::metrics::TargetLabel;

/// Held pods of one target.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Held {
    /// How many.
    pub pods: usize,
    /// For how long the first of them has been.
    pub oldest: Duration,
}

/// Held pods by the name of their virtual node, where that `is_away`.
pub fn held(
    pods: impl IntoIterator<Item = Arc<ProxyPod>>,
    is_away: impl Fn(&str) -> bool,
    now: Timestamp,
) -> BTreeMap<String, Held> {
    let mut all = BTreeMap::<_, Held>::new();
    for pod in pods {
        let Some(deleted) = pod.deleted.filter(|_| pod.is_held() && is_away(pod.whereabouts())) else {
            continue;
        };
        let held = all.entry(pod.whereabouts().to_owned()).or_default();
        held.pods += 1;
        // Clocks differ: no time has passed then.
        let age = Duration::try_from(now.duration_since(deleted)).unwrap_or_default();
        held.oldest = held.oldest.max(age);
    }
    all
}

/// Shows [`held`] of the present term in `/metrics`. Clones share it.
#[derive(Clone, Default)]
pub struct HeldPods(Arc<Mutex<Option<Arc<Home>>>>);

impl HeldPods {
    /// A term has begun: these pods.
    pub fn show(&self, home: Arc<Home>) {
        *self.0.lock() = Some(home);
    }

    /// It has ended: whoever leads now shows them.
    pub fn hide(&self) {
        *self.0.lock() = None;
    }
}

impl fmt::Debug for HeldPods {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("HeldPods")
    }
}

impl Collector for HeldPods {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let Some(home) = self.0.lock().clone() else {
            return Ok(());
        };
        let ready = &home.metrics.target_ready;
        let is_away = |node: &str| ready.get(&TargetLabel::new(node)).is_some_and(|ready| ready.get() == 0);
        let held = held(home.pods.all(), is_away, Timestamp::now());
        let help = "Deleted proxy pods that wait for a target that is away";
        let mut pods = encoder.encode_descriptor("multicluster_agent_pods_held", help, None, MetricType::Gauge)?;
        for (node, held) in &held {
            ConstGauge::new(held.pods as i64).encode(pods.encode_family(&TargetLabel::new(node))?)?;
        }
        let (name, help) = (
            "multicluster_agent_pods_held_oldest_age",
            "For how long the first of them has waited",
        );
        let mut oldest = encoder.encode_descriptor(name, help, Some(&Unit::Seconds), MetricType::Gauge)?;
        for (node, held) in &held {
            let seconds = ConstGauge::new(held.oldest.as_secs_f64());
            seconds.encode(oldest.encode_family(&TargetLabel::new(node))?)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use multicluster_api::names;

    use super::*;

    fn pod(node: &str, deleted: Option<i64>, finalizer: &str) -> Arc<ProxyPod> {
        Arc::new(ProxyPod {
            node_name: node.into(),
            deleting: deleted.is_some(),
            deleted: deleted.and_then(|second| Timestamp::from_second(second).ok()),
            finalizers: vec![finalizer.into()],
            ..Default::default()
        })
    }

    #[test]
    fn what_waits_for_a_target_that_is_away_is_held() {
        let pods = [
            pod("eu", Some(100), names::FINALIZER),
            pod("eu", Some(70), names::FINALIZER),
            pod("eu", None, names::FINALIZER),
            pod("eu", Some(10), "somebody/else"),
            pod("us", Some(10), names::FINALIZER),
        ];
        let held = held(pods, |node| node == "eu", Timestamp::from_second(160).unwrap());
        let expected = Held {
            pods: 2,
            oldest: Duration::from_secs(90),
        };
        assert_eq!(held, BTreeMap::from([("eu".into(), expected)]));
    }
}
