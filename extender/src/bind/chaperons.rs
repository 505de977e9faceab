//! PodChaperons in one target, as far as binding asks for them.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use kube::api::{DeleteParams, PostParams, Preconditions};
use kube::{Api, Client};
use multicluster_api::{PodChaperon, TargetRef, names};

use super::BindError;
use crate::core::attempt::{made_by, source_user};

/// Longest wait for one answer of a target's API server.
const ANSWER: Duration = Duration::from_secs(10);
/// The same while a chaperon is created: other targets would take the pod, and the next try finds what this one made.
const CREATION: Duration = Duration::from_secs(2);

/// The chaperons of one namespace in one target.
pub struct Chaperons {
    target: TargetRef,
    api: Api<PodChaperon>,
}

/// What became of a creation.
pub enum Created {
    /// The chaperon exists: a new one, or the one that an earlier try left.
    Exists(Box<PodChaperon>),
    /// An older one of that name is going, and must be gone first.
    Going(Box<PodChaperon>),
}

impl Chaperons {
    /// The chaperons of a namespace.
    pub fn new(target: TargetRef, client: Client, namespace: &str) -> Self {
        Self {
            target,
            api: Api::namespaced(client, namespace),
        }
    }

    /// Create a chaperon, or find the one that an earlier try created.
    pub async fn create(&self, chaperon: &PodChaperon) -> Result<Created, BindError> {
        let name = chaperon.metadata.name.as_deref().unwrap_or_default();
        // Twice: what was in the way may be gone by the time we look at it.
        for _ in 0..2 {
            match self
                .in_time(CREATION, self.api.create(&PostParams::default(), chaperon))
                .await?
            {
                Ok(created) => return Ok(Created::Exists(created.into())),
                Err(kube::Error::Api(status)) if status.is_already_exists() => {}
                Err(error) => return Err(self.error(error)),
            }
            match self.find(name).await? {
                None => {}
                Some(other) if !same_parent(&other, chaperon) || !made_by(&other, source_user(chaperon)) => {
                    return Err(BindError::Foreign {
                        target: self.target.clone(),
                        name: name.to_owned(),
                    });
                }
                Some(going) if going.metadata.deletion_timestamp.is_some() => return Ok(Created::Going(going.into())),
                Some(ours) => return Ok(Created::Exists(ours.into())),
            }
        }
        Err(BindError::StillDeleting(self.target.clone()))
    }

    /// The chaperon of this name, as it is now.
    pub async fn find(&self, name: &str) -> Result<Option<PodChaperon>, BindError> {
        self.in_time(CREATION, self.api.get_opt(name))
            .await?
            .map_err(|error| self.error(error))
    }

    /// Delete exactly this chaperon; its delegate goes first. It is no error when it is gone.
    pub async fn delete(&self, name: &str, uid: &str) -> Result<(), BindError> {
        let precondition = Preconditions {
            uid: Some(uid.to_owned()),
            resource_version: None,
        };
        let params = DeleteParams::foreground().preconditions(precondition);
        match self.in_time(ANSWER, self.api.delete(name, &params)).await? {
            Ok(_) => Ok(()),
            Err(kube::Error::Api(status)) if matches!(status.code, 404 | 409) => Ok(()),
            Err(error) => Err(self.error(error)),
        }
    }

    fn error(&self, error: kube::Error) -> BindError {
        BindError::Target {
            target: self.target.clone(),
            error: Arc::new(error),
        }
    }

    async fn in_time<T>(&self, limit: Duration, answer: impl Future<Output = T>) -> Result<T, BindError> {
        tokio::time::timeout(limit, answer)
            .await
            .map_err(|_| BindError::Unanswered(self.target.clone()))
    }
}

fn same_parent(one: &PodChaperon, other: &PodChaperon) -> bool {
    let label = |chaperon: &PodChaperon, key: &str| chaperon.metadata.labels.as_ref().and_then(|l| l.get(key).cloned());
    [names::PARENT_UID, names::PARENT_CLUSTER_NAME]
        .iter()
        .all(|key| label(one, key) == label(other, key))
}
