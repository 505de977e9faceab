//! The testbed: real Kubernetes control planes on one machine, as plain processes.
//!
//! A [`Testbed`] is one run: the programs it needs and a folder for logs, data and kubeconfigs. It starts any number of
//! [`Cluster`]s, each a stock etcd, kube-apiserver, kube-controller-manager and kube-scheduler; kwok plays the kubelets of
//! fake nodes. Nothing needs root, a container engine or a network beyond loopback; only clusters of [real] nodes do.
//!
//! ```text
//! Testbed ─┬─▶ Cluster "source" ─▶ etcd ◀─ kube-apiserver ◀─┬─ kube-controller-manager
//!          │                                                ├─ kube-scheduler (stock, or with a configuration)
//!          │                                                ├─ kwok ─▶ fake nodes
//!          │                                                └─ cert-manager, cainjector (on request)
//!          ├─▶ Cluster "target" ─▶ …
//!          ├─▶ Dns: etcd ◀─ external-dns, CoreDNS ◀─ Resolver (on request)
//!          └─▶ Process: our own programs, spawned by a test
//! ```
//!
//! The programs come from Go modules (folder `go`), built once per machine into a cache: see [`Binaries`].
//! Everything ends with its owner, also when that is killed: see [`Process`].
#![cfg_attr(test, allow(clippy::unwrap_used))]

pub mod autoscaling;
mod balancer;
pub mod bench;
mod binaries;
mod build;
pub mod cargo;
mod cert_manager;
mod cluster;
mod components;
pub mod demo;
pub mod dns;
pub mod https;
mod kubeconfig;
mod link;
pub mod load_balancers;
pub mod manifests;
pub mod metrics_server;
mod nodes;
mod objects;
mod path;
mod pki;
mod ports;
mod process;
pub mod product;
pub mod real;
pub mod resolver;
mod run;
mod scheduler;
pub mod soak;
mod stages;
mod streams;
pub mod suite;
pub mod usage;
mod wait;
pub mod wire;

pub use binaries::Binaries;
pub use cluster::{Cluster, ClusterOptions, Component};
pub use kubeconfig::client as client_of;
pub use link::{Link, Network};
pub use nodes::NodePool;
pub use pki::{Authority, KeyPair};
pub use ports::free_port;
pub use process::{Process, ProcessEnded};
pub use run::Testbed;
pub use scheduler::Scheduler;
pub use stages::{ENDS, completing};
pub use streams::Streams;
pub use wait::{eventually, keep_logs};
