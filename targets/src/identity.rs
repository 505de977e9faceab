//! Who we are in a target.

use std::time::Duration;

use k8s_openapi::api::authentication::v1::SelfSubjectReview;
use kube::api::PostParams;
use kube::{Api, Client, Error};

use crate::watching::Pauses;

/// Longest wait for one answer.
const ANSWER: Duration = Duration::from_secs(10);

/// The user that a cluster takes this client for (KEP-3325). Asks until there is an answer; `None` when the cluster does
/// not say, because it is older than 1.28 or gives nobody `system:basic-user`.
pub async fn user_name(client: &Client) -> Option<String> {
    let reviews = Api::<SelfSubjectReview>::all(client.clone());
    let (review, params) = (SelfSubjectReview::default(), PostParams::default());
    for pause in Pauses::default() {
        match tokio::time::timeout(ANSWER, reviews.create(&params, &review)).await {
            Ok(Ok(answer)) => return answer.status?.user_info?.username.filter(|user| !user.is_empty()),
            Ok(Err(Error::Api(status))) if matches!(status.code, 403 | 404) => {
                tracing::warn!(%status, "the target does not say who we are in it; chaperons there will have no owner");
                return None;
            }
            // The watches beside this one tell why, and a connection that is given up ends this one, too.
            Ok(Err(error)) => tracing::debug!(%error, "SelfSubjectReview"),
            Err(_) => {}
        }
        tokio::time::sleep(pause).await;
    }
    None
}
