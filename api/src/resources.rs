//! Amounts of resources, and what a pod requests.
//!
//! Follows k8s.io/component-helpers/resource `PodRequests`: the sum over containers, or the most that the init
//! containers need at any time, whichever is more; sidecars (restartable init containers) count into both; pod-level
//! requests (KEP-2837) replace the sums; then the overhead.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{PodSpec, ResourceRequirements};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;

use crate::quantity::{InvalidQuantity, format_milli, format_value, milli, value};
use crate::view::PodSpecView;

/// Amounts by resource. `extended` holds everything that is not one of the four fields: GPUs, hugepages and so on.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Resources {
    /// CPU, in thousandths of a core.
    pub cpu_milli: i64,
    /// Memory, in bytes.
    pub memory: i64,
    /// Ephemeral storage, in bytes.
    pub ephemeral_storage: i64,
    /// Number of pods.
    pub pods: i64,
    /// All other resources, in whole units.
    pub extended: BTreeMap<String, i64>,
}

impl Resources {
    /// From a Kubernetes resource list.
    pub fn parse(list: &BTreeMap<String, Quantity>) -> Result<Self, InvalidQuantity> {
        let mut amounts = Self::default();
        for (name, quantity) in list {
            amounts.set(
                name,
                if name == "cpu" {
                    milli(&quantity.0)?
                } else {
                    value(&quantity.0)?
                },
            );
        }
        Ok(amounts)
    }

    /// As a Kubernetes resource list; amounts of zero are left out.
    pub fn to_list(&self) -> BTreeMap<String, Quantity> {
        let mut list = BTreeMap::new();
        let mut put = |name: &str, amount: i64, quantity: Quantity| {
            if amount != 0 {
                list.insert(name.to_owned(), quantity);
            }
        };
        put("cpu", self.cpu_milli, format_milli(self.cpu_milli));
        put("memory", self.memory, format_value(self.memory));
        put(
            "ephemeral-storage",
            self.ephemeral_storage,
            format_value(self.ephemeral_storage),
        );
        put("pods", self.pods, Quantity(self.pods.to_string()));
        for (name, amount) in &self.extended {
            put(name, *amount, format_value(*amount));
        }
        list
    }

    /// The amount of a resource, CPU in thousandths.
    pub fn get(&self, name: &str) -> i64 {
        match name {
            "cpu" => self.cpu_milli,
            "memory" => self.memory,
            "ephemeral-storage" => self.ephemeral_storage,
            "pods" => self.pods,
            other => self.extended.get(other).copied().unwrap_or_default(),
        }
    }

    fn set(&mut self, name: &str, amount: i64) {
        match name {
            "cpu" => self.cpu_milli = amount,
            "memory" => self.memory = amount,
            "ephemeral-storage" => self.ephemeral_storage = amount,
            "pods" => self.pods = amount,
            other => {
                self.extended.insert(other.to_owned(), amount);
            }
        }
    }

    fn combine(&mut self, other: &Self, with: impl Fn(i64, i64) -> i64) {
        self.cpu_milli = with(self.cpu_milli, other.cpu_milli);
        self.memory = with(self.memory, other.memory);
        self.ephemeral_storage = with(self.ephemeral_storage, other.ephemeral_storage);
        self.pods = with(self.pods, other.pods);
        for (name, amount) in &other.extended {
            match self.extended.get_mut(name) {
                Some(mine) => *mine = with(*mine, *amount),
                None => {
                    self.extended.insert(name.clone(), with(0, *amount));
                }
            }
        }
    }

    /// Add, saturating.
    pub fn add(&mut self, other: &Self) {
        self.combine(other, i64::saturating_add);
    }

    /// Take away, saturating.
    pub fn sub(&mut self, other: &Self) {
        self.combine(other, i64::saturating_sub);
    }

    /// Raise each amount to at least the other's.
    pub fn max(&mut self, other: &Self) {
        self.combine(other, i64::max);
    }

    /// Names of the resources of which this requests more than `free` has, in Kubernetes' words. A request of zero
    /// always fits, also where a node is over-committed.
    pub fn lacking<'a>(&'a self, free: &'a Self) -> impl Iterator<Item = &'a str> {
        let lacks = |wanted: i64, free: i64| wanted > 0 && wanted > free;
        [
            ("cpu", lacks(self.cpu_milli, free.cpu_milli)),
            ("memory", lacks(self.memory, free.memory)),
            (
                "ephemeral-storage",
                lacks(self.ephemeral_storage, free.ephemeral_storage),
            ),
            ("pods", lacks(self.pods, free.pods)),
        ]
        .into_iter()
        .filter_map(|(name, lacking)| lacking.then_some(name))
        .chain(
            self.extended
                .iter()
                .filter(move |(name, wanted)| lacks(**wanted, free.get(name)))
                .map(|(n, _)| n.as_str()),
        )
    }
}

/// What a pod requests of a node, itself (`pods: 1`) included.
pub fn pod_requests(spec: &PodSpec) -> Result<Resources, InvalidQuantity> {
    let init = spec.init_containers.iter().flatten();
    requests(
        spec.containers.iter().map(|container| requested(&container.resources)),
        init.map(|container| (is_sidecar(&container.restart_policy), requested(&container.resources))),
        requested(&spec.resources),
        spec.overhead.as_ref(),
    )
}

/// [`pod_requests`] of a pod of which only a part was read.
pub fn view_requests(spec: &PodSpecView) -> Result<Resources, InvalidQuantity> {
    requests(
        spec.containers.iter().map(|container| requested(&container.resources)),
        spec.init_containers
            .iter()
            .map(|c| (is_sidecar(&c.restart_policy), requested(&c.resources))),
        requested(&spec.resources),
        spec.overhead.as_ref(),
    )
}

type List = BTreeMap<String, Quantity>;

fn requested(resources: &Option<ResourceRequirements>) -> Option<&List> {
    resources.as_ref()?.requests.as_ref()
}

fn is_sidecar(restart_policy: &Option<String>) -> bool {
    restart_policy.as_deref() == Some("Always")
}

fn parse(list: Option<&List>) -> Result<Resources, InvalidQuantity> {
    list.map_or_else(|| Ok(Resources::default()), Resources::parse)
}

fn requests<'a>(
    containers: impl Iterator<Item = Option<&'a List>>,
    init: impl Iterator<Item = (bool, Option<&'a List>)>,
    pod_level: Option<&List>,
    overhead: Option<&List>,
) -> Result<Resources, InvalidQuantity> {
    let mut total = Resources::default();
    for container in containers {
        total.add(&parse(container)?);
    }
    let (sidecars, peak) = init_requests(init)?;
    total.add(&sidecars);
    total.max(&peak);
    if let Some(requests) = pod_level {
        let pod_level = Resources::parse(requests)?;
        for name in requests.keys() {
            total.set(name, pod_level.get(name));
        }
    }
    total.add(&parse(overhead)?);
    total.pods = 1;
    Ok(total)
}

/// The sum of the sidecars, and the most that is needed while the init containers run one after the other.
fn init_requests<'a>(
    containers: impl Iterator<Item = (bool, Option<&'a List>)>,
) -> Result<(Resources, Resources), InvalidQuantity> {
    let (mut sidecars, mut peak) = (Resources::default(), Resources::default());
    for (sidecar, list) in containers {
        let mut needed = parse(list)?;
        if sidecar {
            sidecars.add(&needed);
            needed = sidecars.clone();
        } else {
            needed.add(&sidecars);
        }
        peak.max(&needed);
    }
    Ok((sidecars, peak))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn requests(spec: serde_json::Value) -> Resources {
        pod_requests(&serde_json::from_value(spec).unwrap()).unwrap()
    }

    fn container(cpu: &str) -> serde_json::Value {
        json!({"name": "c", "resources": {"requests": {"cpu": cpu, "example.com/gpu": "1"}}})
    }

    #[test]
    fn containers_add_up() {
        let total = requests(json!({"containers": [container("1"), container("500m")]}));
        assert_eq!(
            (total.cpu_milli, total.get("example.com/gpu"), total.pods),
            (1500, 2, 1)
        );
    }

    #[test]
    fn init_containers_count_by_their_peak_and_sidecars_stay() {
        let mut sidecar = container("200m");
        sidecar["restartPolicy"] = json!("Always");
        let total = requests(json!({
            "containers": [container("1")],
            "initContainers": [container("3"), sidecar, container("500m")],
        }));
        assert_eq!(total.cpu_milli, 3000);
        let total = requests(json!({
            "containers": [container("4")],
            "initContainers": [sidecar_with("1"), container("3")],
        }));
        assert_eq!(total.cpu_milli, 5000);
    }

    fn sidecar_with(cpu: &str) -> serde_json::Value {
        let mut sidecar = container(cpu);
        sidecar["restartPolicy"] = json!("Always");
        sidecar
    }

    #[test]
    fn pod_level_requests_replace_and_overhead_comes_on_top() {
        let total = requests(json!({
            "containers": [container("1")],
            "resources": {"requests": {"cpu": "2"}},
            "overhead": {"cpu": "100m", "memory": "1Mi"},
        }));
        assert_eq!(
            (total.cpu_milli, total.memory, total.get("example.com/gpu")),
            (2100, 1 << 20, 1)
        );
    }

    #[test]
    fn what_is_lacking_is_named() {
        let wanted = requests(json!({"containers": [container("2")]}));
        let free = Resources {
            cpu_milli: 1000,
            pods: 1,
            ..Default::default()
        };
        assert_eq!(wanted.lacking(&free).collect::<Vec<_>>(), ["cpu", "example.com/gpu"]);
        assert_eq!(
            Resources::default()
                .lacking(&Resources {
                    cpu_milli: -5,
                    ..Default::default()
                })
                .count(),
            0
        );
    }
}
