//! What is seen of an application from outside: the addresses that serve it, in all clusters.
//!
//! Facts about the copies of Services, Ingresses and HTTPRoutes in the targets come back as the source objects' status, as
//! DNS records, and as EndpointSlices.
//!
//! * [`site`]: the facts, of one cluster.

pub mod site;
