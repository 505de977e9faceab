//! `kubectl multicluster`: connects clusters, shows how they do, and explains where pods are.
//!
//! ```text
//! args ─▶ contexts ─▶ Cluster ──read──▶ facts ──decide (pure)──▶ report ─▶ output: table, JSON, YAML
//!                                         └──▶ connect::plan ─▶ connect::journal: does it, and undoes it
//! ```
//!
//! * [`args`]: the commands and their flags; [`complete`]: how shells complete them.
//! * [`contexts`]: the kubeconfig, and clients for its contexts; [`words`]: what a failed request means.
//! * [`facts`]: what a cluster is to the product.
//! * [`connect`], [`disconnect`], [`status`], [`explain`], [`check`]: the commands. What they decide is apart from what they
//!   read and write.
//! * [`installed`]: names of what is installed; [`certificate`]: when certificates end.
//! * [`output`]: tables, JSON, YAML; [`progress`]: what is going on, on standard error; [`failure`]: how it ends.

#![cfg_attr(test, allow(clippy::unwrap_used))]

pub mod args;
pub mod certificate;
pub mod check;
pub mod complete;
pub mod connect;
pub mod contexts;
pub mod disconnect;
pub mod explain;
pub mod facts;
pub mod failure;
pub mod installed;
pub mod output;
pub mod progress;
pub mod resources;
pub mod run;
pub mod status;
pub mod words;
