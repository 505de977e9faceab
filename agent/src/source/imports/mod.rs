//! Services that users export are imported by all clusters of the set: the Multi-Cluster Services API (KEP-1645),
//! `multicluster.x-k8s.io/v1alpha1`.
//!
//! ```text
//! ServiceExport ──▶ ┐                                                         ServiceImport
//! Service ────────▶ ├─ endpoints ─ slices ─┐                              ┌─▶ Service (derived, without a selector)
//! proxy pods ─────▶ ┘                      ├─ imports ──one a cluster──▶ ─┤
//! targets ────────▶ clusters, network ─────┘                              └─▶ EndpointSlices
//! ```
//!
//! A Service's endpoints are known in the source: its proxy pods have their delegates' addresses. Where the network between
//! clusters is flat, each cluster gets the endpoints of all the others.
//!
//! * [`network`], [`clusters`]: which clusters there are, and which see each other's pods. Pure.
//! * [`exportable`]: what of a Service counts. Pure.
//! * [`endpoints`], [`mod@slices`]: the pods behind it, and in which EndpointSlice each is. Pure.
//! * [`import`], [`wanted`]: the objects of an import. Pure.
//! * [`exports`], [`own_slices`]: the source's ServiceExports, and endpoints of its own. [`index`]: all of it, and the
//!   clusters. [`there`]: what is in one of them.
//! * [`facts`]: what the rest of the source knows of pods and targets.
//! * [`bring`]: compares what is there with what is wanted, and writes. [`status`]: what writes statuses.
//! * [`mod@withdraw`]: takes back what is in the source.
//! * [`seat`]: the work for one cluster. [`controller`]: the work in the source.
//! * [`conditions`]: what a ServiceExport says of itself. Pure.

pub mod bring;
pub mod clusters;
pub mod conditions;
pub mod controller;
pub mod endpoints;
pub mod exportable;
pub mod exports;
pub mod facts;
pub mod import;
pub mod index;
pub mod network;
pub mod own_slices;
pub mod seat;
pub mod slices;
pub mod status;
pub mod there;
pub mod wanted;
pub mod withdraw;

#[cfg(test)]
mod tests;
