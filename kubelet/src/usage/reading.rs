//! What a target's metrics API says of pods (`metrics.k8s.io/v1beta1`, PodMetricsList). Values that no pod can have are
//! left out, one by one: the others count.

use std::collections::{BTreeMap, HashMap};
use std::time::Instant;

use jiff::{SignedDuration, Timestamp};
use multicluster_api::quantity;
use serde::Deserialize;

/// More CPU than any container has: a million cores, in nanocores.
const MOST_NANO_CORES: u64 = 1_000_000 * 1_000_000_000;
/// More memory than any container has: an exbibyte.
const MOST_BYTES: u64 = 1 << 60;
/// Longest window that is believed.
const LONGEST_WINDOW: SignedDuration = SignedDuration::from_mins(5);
/// A sample may be so much younger than the target's clock: that is told in whole seconds, and not by who took the sample.
const TOLERANCE: SignedDuration = SignedDuration::from_mins(1);

/// What one container uses, as far as it is known.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// CPU, averaged over the window.
    pub nano_cores: Option<u64>,
    /// The working set.
    pub bytes: Option<u64>,
}

/// What one pod uses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sample {
    /// End of the window, by the target's clock.
    pub at: Timestamp,
    /// Length of the window.
    pub window: SignedDuration,
    /// By container.
    pub containers: BTreeMap<String, Usage>,
}

/// What the target said at one time.
#[derive(Clone, Debug)]
pub struct Reading {
    /// When, by the target's clock. Ages are judged by it: the two clusters' clocks may differ.
    pub at: Timestamp,
    /// When, by ours.
    pub taken: Instant,
    /// By namespace and name.
    samples: HashMap<String, HashMap<String, Sample>>,
}

impl Reading {
    /// Nothing.
    pub fn new(at: Timestamp, taken: Instant) -> Self {
        Self {
            at,
            taken,
            samples: HashMap::new(),
        }
    }

    /// Take in a list, as JSON. Pods that say nothing useful are left out.
    ///
    /// # Errors
    ///
    /// The text is no such list.
    pub fn read(&mut self, json: &[u8]) -> Result<(), serde_json::Error> {
        let list: List = serde_json::from_slice(json)?;
        for pod in list.items.unwrap_or_default() {
            if let Some(sample) = pod.sample(self.at) {
                let of_namespace = self.samples.entry(pod.metadata.namespace).or_default();
                of_namespace.insert(pod.metadata.name, sample);
            }
        }
        Ok(())
    }

    /// What this pod of the target uses.
    pub fn get(&self, namespace: &str, name: &str) -> Option<&Sample> {
        self.samples.get(namespace)?.get(name)
    }
}

#[derive(Deserialize)]
struct List {
    /// Go writes an empty list as `null`.
    items: Option<Vec<PodMetrics>>,
}

#[derive(Deserialize)]
struct PodMetrics {
    metadata: Metadata,
    timestamp: String,
    #[serde(default)]
    window: String,
    #[serde(default)]
    containers: Vec<Container>,
}

#[derive(Deserialize)]
struct Metadata {
    name: String,
    #[serde(default)]
    namespace: String,
}

#[derive(Deserialize)]
struct Container {
    name: String,
    #[serde(default)]
    usage: Amounts,
}

#[derive(Default, Deserialize)]
struct Amounts {
    cpu: Option<String>,
    memory: Option<String>,
}

impl PodMetrics {
    fn sample(&self, now: Timestamp) -> Option<Sample> {
        let at: Timestamp = self.timestamp.parse().ok()?;
        if at.duration_since(now) > TOLERANCE {
            return None;
        }
        let window = self.window.parse().unwrap_or(SignedDuration::ZERO);
        let containers = self.containers.iter().map(|c| (c.name.clone(), c.usage.usage()));
        Some(Sample {
            at,
            window: window.clamp(SignedDuration::ZERO, LONGEST_WINDOW),
            containers: containers.collect(),
        })
    }
}

impl Amounts {
    fn usage(&self) -> Usage {
        let amount = |text: &Option<String>, read: fn(&str) -> Result<i64, _>, most| {
            let amount = text.as_deref().and_then(|text| read(text).ok());
            amount
                .and_then(|amount| u64::try_from(amount).ok())
                .filter(|amount| *amount <= most)
        };
        Usage {
            nano_cores: amount(&self.cpu, quantity::nano, MOST_NANO_CORES),
            bytes: amount(&self.memory, quantity::value, MOST_BYTES),
        }
    }
}
