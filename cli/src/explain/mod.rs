//! `explain`: where a pod is and why, or why it is pending.
//!
//! Only objects are read; what kube-scheduler and the extender think of a pod is in its events.

pub mod decide;
pub mod fit;
pub mod gather;
pub mod report;

use crate::args::{Explain, Global};
use crate::contexts::Contexts;
use crate::failure::Failure;
use crate::output;

/// Explain a pod.
pub async fn run(global: &Global, flags: &Explain) -> Result<(), Failure> {
    let contexts = Contexts::read(global)?;
    let source = contexts.cluster(flags.context.as_deref()).await?;
    let target = match &flags.target {
        Some(context) => Some(contexts.cluster(Some(context)).await?),
        None => None,
    };
    let namespace = flags.namespace.as_deref().unwrap_or(&source.namespace);
    let evidence = gather::gather(&source, target.as_ref(), namespace, &flags.pod).await?;
    let explanation = decide::explain(&evidence);
    output::write(global.output, &explanation, || explanation.people())
}
