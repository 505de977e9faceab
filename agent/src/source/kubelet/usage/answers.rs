//! What readers of a virtual node's metrics get. A target that does not say what its pods use is no reason for an error: what
//! there is is shown, and that something is missing.

use multicluster_kubelet::nodes::NoMetrics;
use multicluster_kubelet::usage::text::ResourceMetrics;

use super::target::Shown;
use crate::source::fleet::Fleet;

impl Fleet {
    /// For `/metrics/resource`.
    ///
    /// # Errors
    ///
    /// The virtual node has gone meanwhile.
    pub async fn resource_metrics(&self, node: &str) -> Result<String, NoMetrics> {
        let Shown { summary, error } = self.usage(node).await?;
        let summary = &summary;
        Ok(ResourceMetrics { summary, error }.to_string())
    }

    /// For `/stats/summary`.
    ///
    /// # Errors
    ///
    /// The virtual node has gone meanwhile.
    pub async fn stats_summary(&self, node: &str) -> Result<String, NoMetrics> {
        let shown = self.usage(node).await?;
        serde_json::to_string(&shown.summary).map_err(|error| NoMetrics::Unavailable(error.to_string()))
    }

    async fn usage(&self, node: &str) -> Result<Shown, NoMetrics> {
        let gone = || NoMetrics::Unavailable(format!("there is no virtual node {node} any more"));
        let link = self.link_of(node).ok_or_else(gone)?;
        link.usage().await.ok_or_else(gone)
    }
}
