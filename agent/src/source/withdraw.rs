//! Takes back what this cluster has in a target: its chaperons, and by them the delegates.

use std::time::{Duration, Instant};

use futures::{StreamExt, TryStreamExt, stream};
use kube::api::{DeleteParams, ListParams, PartialObjectMeta, Preconditions};
use kube::{Api, Client, ResourceExt};
use multicluster_api::{PodChaperon, TargetRef, names};

use super::link::call::{CallError, call};
use crate::api_error;

/// How often what is left is looked at.
const LOOK_AGAIN: Duration = Duration::from_millis(250);
/// Deletions under way at a time.
const CONCURRENCY: usize = 32;

/// Why something may be left in a target.
#[derive(Debug, thiserror::Error)]
pub enum WithdrawError {
    /// The target does not answer, or refuses.
    #[error(transparent)]
    Call(#[from] CallError),
    /// They were deleted, and did not go in time.
    #[error("{0} chaperons are still there")]
    Left(usize),
}

/// Delete all chaperons that the cluster called `cluster_name` has in `target`, also those that no watch has seen, and
/// wait until they are gone, their delegates first. Returns how many there were.
pub async fn withdraw(
    client: &Client,
    target: &TargetRef,
    cluster_name: &str,
    patience: Duration,
) -> Result<usize, WithdrawError> {
    let api = match &target.namespace {
        Some(namespace) => Api::<PodChaperon>::namespaced(client.clone(), namespace),
        None => Api::all(client.clone()),
    };
    let ours = ListParams::default().labels(&format!("{}={cluster_name}", names::PARENT_CLUSTER_NAME));
    let node = target.virtual_node();
    // Another Target may lead to the same cluster, and looks after its own.
    let through_it = |chaperon: &PartialObjectMeta<PodChaperon>| {
        chaperon.annotations().get(names::VIRTUAL_NODE).map(String::as_str) == Some(node.as_str())
    };
    let deadline = Instant::now() + patience;
    let mut deleted = 0;
    loop {
        let mut left = call(api.list_metadata(&ours)).await?.items;
        left.retain(through_it);
        if left.is_empty() {
            return Ok(deleted);
        }
        let count = left.len();
        left.retain(|chaperon| chaperon.metadata.deletion_timestamp.is_none());
        deleted += left.len();
        let deletions: Vec<_> = left
            .into_iter()
            .map(|chaperon| delete(client.clone(), chaperon))
            .collect();
        stream::iter(deletions)
            .buffer_unordered(CONCURRENCY)
            .try_collect::<()>()
            .await?;
        if Instant::now() >= deadline {
            return Err(WithdrawError::Left(count));
        }
        tokio::time::sleep(LOOK_AGAIN).await;
    }
}

async fn delete(client: Client, chaperon: PartialObjectMeta<PodChaperon>) -> Result<(), CallError> {
    let api = Api::<PodChaperon>::namespaced(client, &chaperon.namespace().unwrap_or_default());
    let parameters = DeleteParams::foreground().preconditions(Preconditions {
        uid: chaperon.uid(),
        ..Default::default()
    });
    match call(api.delete(&chaperon.name_any(), &parameters)).await {
        Err(CallError::Kube(error)) => Ok(api_error::ignore_gone::<()>(Err(error))?),
        Err(error) => Err(error),
        Ok(_) => Ok(()),
    }
}
