//! What is seen of an application from outside: the addresses that serve it, in all clusters.
//!
//! Facts about the copies of Services, Ingresses and HTTPRoutes in the targets come back as the source objects' status, as
//! DNS records, and as EndpointSlices.
//!
//! * [`site`]: the facts, of one cluster. [`cluster`]: which clusters serve. Pure.
//! * [`dns_name`]: names under which applications are reached. Pure.
//! * [`policy`], [`properties`]: what annotations say about DNS. Pure.
//! * [`preference`]: which clusters are preferred, and by how much. Pure.
//! * [`claims`]: who has a name. Pure.
//! * [`records`], [`sets`]: DNS records. [`dns_endpoints`]: the objects that have them. Pure.
//! * [`slices`]: EndpointSlices of external addresses. [`owned`]: how our objects are marked. Pure.
//! * [`status`]: what Ingresses, Services and Gateways show. Pure. [`statuses`], [`apply`]: and has it written.
//! * [`facts`]: what must be known; [`wired`]: and who knows it.
//! * [`controller`]: when to look. [`publish`]: and what is done then. [`shelf`]: our objects.
//! * [`gateways`]: the targets' Gateways. An index.
//! * [`notices`]: what users are told. [`mod@withdraw`]: takes everything back.

pub mod apply;
pub mod claims;
pub mod cluster;
pub mod controller;
pub mod dns_endpoints;
pub mod dns_name;
pub mod facts;
pub mod gateways;
pub mod notices;
pub mod owned;
pub mod policy;
pub mod preference;
pub mod properties;
pub mod publish;
pub mod records;
pub mod sets;
pub mod shelf;
pub mod site;
pub mod slices;
pub mod status;
pub mod statuses;
pub mod wired;
pub mod withdraw;
