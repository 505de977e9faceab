//! What only the API server can say: whose token this is, and who may do what.

use std::collections::BTreeMap;
use std::future::Future;
use std::time::Duration;

use k8s_openapi::api::authentication::v1::{TokenReview, TokenReviewSpec};
use k8s_openapi::api::authorization::v1::{ResourceAttributes, SubjectAccessReview, SubjectAccessReviewSpec};
use kube::api::PostParams;
use kube::{Api, Client};

use crate::caller::Caller;

/// How long the API server may take.
const PATIENCE: Duration = Duration::from_secs(4);

/// May this caller do that to a node?
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Question {
    /// Who.
    pub caller: Caller,
    /// `get` or `create`.
    pub verb: &'static str,
    /// The node; empty means all of them.
    pub node: String,
    /// What of it.
    pub subresource: &'static str,
}

/// The answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// They may.
    Allowed,
    /// They may not; perhaps why.
    Denied(String),
}

/// The API server has not answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NoAnswer;

/// Somebody who can say.
pub trait Reviews: Send + Sync + 'static {
    /// Whose token this is; `None` when it is nobody's.
    fn token(&self, token: &str) -> impl Future<Output = Result<Option<Caller>, NoAnswer>> + Send;

    /// Whether somebody may.
    fn access(&self, question: &Question) -> impl Future<Output = Result<Verdict, NoAnswer>> + Send;
}

/// The API server.
pub struct ApiReviews(Client);

impl ApiReviews {
    /// Of this client's cluster.
    pub fn new(client: Client) -> Self {
        Self(client)
    }

    async fn ask<T>(&self, asked: impl Future<Output = Result<T, kube::Error>>) -> Result<T, NoAnswer> {
        match tokio::time::timeout(PATIENCE, asked).await {
            Ok(Ok(answer)) => Ok(answer),
            Ok(Err(error)) => {
                tracing::warn!(%error, "asking the API server about a caller of the kubelet API");
                Err(NoAnswer)
            }
            Err(_) => {
                tracing::warn!("the API server does not say whether a caller of the kubelet API may");
                Err(NoAnswer)
            }
        }
    }
}

impl Reviews for ApiReviews {
    async fn token(&self, token: &str) -> Result<Option<Caller>, NoAnswer> {
        let review = TokenReview {
            spec: TokenReviewSpec {
                token: token.to_owned(),
                ..Default::default()
            },
            ..Default::default()
        };
        let (api, params) = (Api::<TokenReview>::all(self.0.clone()), PostParams::default());
        let status = self.ask(api.create(&params, &review)).await?.status.unwrap_or_default();
        let user = status.user.unwrap_or_default();
        let name = user.username.filter(|name| !name.is_empty());
        let known = name.filter(|_| status.authenticated == Some(true) && status.error.is_none());
        Ok(known.map(|name| Caller {
            user: name,
            uid: user.uid,
            groups: user.groups.unwrap_or_default(),
            extra: user.extra.unwrap_or_default(),
        }))
    }

    async fn access(&self, question: &Question) -> Result<Verdict, NoAnswer> {
        let Question {
            caller,
            verb,
            node,
            subresource,
        } = question;
        let some = |text: &str| Some(text.to_owned());
        let review = SubjectAccessReview {
            spec: SubjectAccessReviewSpec {
                user: some(&caller.user),
                uid: caller.uid.clone(),
                groups: Some(caller.groups.clone()),
                extra: (!caller.extra.is_empty()).then(|| BTreeMap::clone(&caller.extra)),
                resource_attributes: Some(ResourceAttributes {
                    verb: some(verb),
                    version: some("v1"),
                    resource: some("nodes"),
                    subresource: some(subresource),
                    name: some(node),
                    ..Default::default()
                }),
                ..Default::default()
            },
            ..Default::default()
        };
        let (api, params) = (Api::<SubjectAccessReview>::all(self.0.clone()), PostParams::default());
        let status = self.ask(api.create(&params, &review)).await?.status.unwrap_or_default();
        Ok(match status.allowed && status.denied != Some(true) {
            true => Verdict::Allowed,
            false => Verdict::Denied(status.reason.unwrap_or_default()),
        })
    }
}
