//! Which cluster is behind a target. Credentials, addresses and contexts may change, and it stays the same cluster; or
//! they lead to another one, and then what runs in the old one must not be taken for gone.

use std::sync::atomic::Ordering;
use std::time::Duration;

use kube::{Api, Client};
use multicluster_api::target::AnyTarget;
use multicluster_api::{ClusterSummary, TargetRef, names};
use multicluster_targets::identity::user_name;

use super::call::{CALL_TIMEOUT, CallError, call};
use super::{Link, WITHDRAWAL};
use crate::source::following::recall::{Whose, recall};
use crate::source::withdraw::{WithdrawError, withdraw};

/// How long to wait before a question without an answer is asked again.
const ASK_AGAIN: Duration = Duration::from_secs(1);
/// How long to wait before an old cluster that does not answer is tried again.
const LEAVE_AGAIN: Duration = Duration::from_secs(5);

/// What a cluster's identity says about the connection to it.
#[derive(Debug, PartialEq, Eq)]
enum Behind {
    /// The cluster that was there before, or nothing tells that it is another one.
    Known,
    /// The first one.
    First(String),
    /// Another one than before.
    Other(String),
}

/// Compare identities. A cluster whose agent publishes none cannot be told from others.
fn behind(known: Option<&str>, found: Option<String>) -> Behind {
    match (known, found) {
        (Some(known), Some(found)) if known != found => Behind::Other(found),
        (None, Some(found)) => Behind::First(found),
        _ => Behind::Known,
    }
}

impl Link {
    /// Find out which cluster this connection leads to. When it is another one than before, take back first what is in
    /// the old one. Until then nothing that the new one says, or does not say, counts. The connection is remembered as it
    /// is: at the end of the process it is used once more, when this agent leads no longer.
    pub(super) async fn settle(&self, target: &AnyTarget, client: &Client) {
        loop {
            let known = self.cluster_id.lock().clone();
            let found = match identity(client).await {
                Ok(Some(found)) => found,
                // Nothing to compare with.
                _ if known.is_none() => None,
                // No summary, or no answer: this may be any cluster.
                _ => {
                    tokio::time::sleep(ASK_AGAIN).await;
                    continue;
                }
            };
            match behind(known.as_deref(), found) {
                Behind::Known => break,
                Behind::First(id) => {
                    *self.cluster_id.lock() = Some(id);
                    break;
                }
                Behind::Other(id) => match self.leave(target).await {
                    Ok(()) => {
                        *self.cluster_id.lock() = Some(id);
                        break;
                    }
                    Err(message) => {
                        tracing::warn!(node = self.node, message, "another cluster");
                        *self.moved.lock() = Some(message);
                        tokio::time::sleep(LEAVE_AGAIN).await;
                    }
                },
            }
        }
        *self.moved.lock() = None;
        *self.client.lock() = Some(client.clone());
        self.settled.store(true, Ordering::SeqCst);
    }

    /// Take back what is in the cluster of the last settled connection.
    async fn leave(&self, target: &AnyTarget) -> Result<(), String> {
        let hint = "undo the change, or delete this target and create it again";
        let Some(old) = self.client.lock().clone() else {
            return Err(format!(
                "it leads to another cluster now, and its pods in the old one cannot be removed (no connection): {hint}"
            ));
        };
        let old = self.home.fence.guard(old);
        let known = self.cluster_id.lock().clone();
        match self.take_back(&old, &target.target, known.as_deref()).await {
            Ok(deleted) => {
                tracing::info!(node = self.node, deleted, "another cluster; the old one is left");
                self.count_deleted(deleted as u64);
                Ok(())
            }
            Err(error) => Err(format!(
                "it leads to another cluster now, and its pods in the old one cannot be removed ({error}): {hint}"
            )),
        }
    }

    /// Take back what is ours in a cluster: chaperons, by them delegates, and then what followed them. Returns how many
    /// chaperons there were.
    pub(super) async fn take_back(
        &self,
        client: &Client,
        target: &TargetRef,
        cluster: Option<&str>,
    ) -> Result<usize, WithdrawError> {
        let name = &self.home.cluster_name;
        let withdrawn = withdraw(client, target, name, WITHDRAWAL).await;
        // Delegates that take their time to end have read their files.
        if let Err(error @ WithdrawError::Call(_)) = withdrawn {
            return Err(error);
        }
        let user = tokio::time::timeout(CALL_TIMEOUT, user_name(client))
            .await
            .ok()
            .flatten();
        let whose = Whose {
            cluster_name: name,
            namespace: target.namespace.as_deref(),
            others: &self.home.following.followers.others(&self.node, cluster),
            user: user.as_deref(),
        };
        let recalled = recall(client, &whose).await;
        if !recalled.left.is_empty() {
            tracing::warn!(node = self.node, left = ?recalled.left, "what followed pods may be left in the target");
        }
        withdrawn
    }
}

/// The identity in the cluster's summary, if there is a summary, and an identity in it.
pub(super) async fn identity(client: &Client) -> Result<Option<Option<String>>, CallError> {
    let summaries = Api::<ClusterSummary>::all(client.clone());
    let summary = call(summaries.get_opt(names::CLUSTER_SUMMARY)).await?;
    Ok(summary.map(|summary| summary.spec.cluster_id))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_two_identities_that_differ_are_two_clusters() {
        let id = |id: &str| Some(id.to_owned());
        for (known, found, expected) in [
            (None, None, Behind::Known),
            (None, id("a"), Behind::First("a".into())),
            (Some("a"), id("a"), Behind::Known),
            (Some("a"), None, Behind::Known),
            (Some("a"), id("b"), Behind::Other("b".into())),
        ] {
            assert_eq!(behind(known, found), expected);
        }
    }
}
