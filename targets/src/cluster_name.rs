//! What the source cluster is called in its targets.

use anyhow::{Context, ensure};
use k8s_openapi::api::core::v1::Namespace;
use kube::{Api, Client};

/// Longest value of a label.
const MAX_LABEL_VALUE: usize = 63;

/// The name under which a cluster's pods are known in its targets, a label value: the given one, or the UID of the
/// namespace kube-system, which no two clusters share. Two sources of one name would remove each other's pods.
pub async fn cluster_name(client: &Client, given: Option<&str>) -> anyhow::Result<String> {
    if let Some(name) = given.filter(|name| !name.is_empty()) {
        let valid = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
        let ends = |c: Option<char>| c.is_some_and(|c| c.is_ascii_alphanumeric());
        ensure!(
            name.len() <= MAX_LABEL_VALUE
                && name.chars().all(valid)
                && ends(name.chars().next())
                && ends(name.chars().last()),
            "--cluster-name {name:?}: write at most 63 letters, digits, '-', '_' or '.', with a letter or digit at both ends"
        );
        return Ok(name.to_owned());
    }
    let namespace = Api::<Namespace>::all(client.clone())
        .get("kube-system")
        .await
        .context("reading the namespace kube-system, whose UID names this cluster; or write --cluster-name")?;
    namespace.metadata.uid.context("the namespace kube-system has no UID")
}
