//! What delegates use, as a kubelet tells it of its pods. Pure.
//!
//! ```text
//! metrics.k8s.io in the target ──▶ reading ──▶ node (counters) ──▶ summary ──▶ /stats/summary
//!   usage over a window                          keeps sums            └──▶ text ──▶ /metrics/resource
//! ```
//!
//! * [`reading`]: what the target's metrics API says. Input from outside.
//! * [`counter`]: a rate becomes a counter, because readers of kubelets make rates of counters.
//! * [`node`]: the delegates of one virtual node, under the names of their proxy pods.
//! * [`summary`]: the types of `k8s.io/kubelet/pkg/apis/stats/v1alpha1`, as far as they are known here.
//! * [`text`]: the same in Prometheus' text format, as metrics-server reads it.

pub mod counter;
pub mod node;
pub mod reading;
pub mod summary;
pub mod text;

#[cfg(test)]
mod tests;
