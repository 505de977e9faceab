//! `status`: targets, virtual nodes and components of a cluster.

pub mod gather;
pub mod report;

use crate::args::{Global, OneCluster};
use crate::contexts::Contexts;
use crate::failure::Failure;
use crate::output;

/// Show how a cluster's connections and components do.
pub async fn run(global: &Global, flags: &OneCluster) -> Result<(), Failure> {
    let cluster = Contexts::read(global)?.cluster(flags.context.as_deref()).await?;
    let seen = gather::gather(&cluster).await?;
    let status = report::Status::of(&seen, jiff::Timestamp::now());
    output::write(global.output, &status, || status.people())?;
    match status.is_well() {
        true => Ok(()),
        false => Err(Failure::Found),
    }
}
