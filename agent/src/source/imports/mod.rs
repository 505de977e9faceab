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
//! * [`exports`]: the ServiceExports of the source. [`there`]: what is in a cluster. Indexes.
//! * [`conditions`]: what a ServiceExport says of itself. Pure.

pub mod clusters;
pub mod conditions;
pub mod endpoints;
pub mod exportable;
pub mod exports;
pub mod import;
pub mod network;
pub mod slices;
pub mod there;
pub mod wanted;

#[cfg(test)]
mod tests;
