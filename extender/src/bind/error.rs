//! Why a pod was not bound. The text goes to kube-scheduler, which shows it in the pod's events.

use std::sync::Arc;

use multicluster_api::TargetRef;

use crate::core::pod::InvalidPod;
use crate::index::Refusal;

/// Why a pod was not bound.
#[derive(Clone, Debug, thiserror::Error)]
pub enum BindError {
    /// The request names no pod or node.
    #[error("the request names no pod, no UID or no node")]
    Incomplete,
    /// The pod is gone, or another one has its name.
    #[error("the pod is gone")]
    PodGone,
    /// The pod is being deleted.
    #[error("the pod is being deleted")]
    PodDeleting,
    /// The pod is bound to another node.
    #[error("the pod is bound to {0} already")]
    BoundElsewhere(String),
    /// Another bind of the same pod is under way.
    #[error("the pod is being bound to {0}")]
    Busy(String),
    /// A pod and a node that do not go together.
    #[error("{0}")]
    WrongNode(String),
    /// The proxy pod cannot be understood.
    #[error("{0}")]
    Invalid(Arc<InvalidPod>),
    /// The target takes no pod, or not this one.
    #[error("{target}: {refusal}")]
    Refused {
        /// Which target.
        target: String,
        /// Why.
        refusal: Refusal,
    },
    /// A pod that must not run twice may run behind a virtual node whose target does not answer, or has not answered
    /// whether it does.
    #[error("the pod may still run in {0}, which is unreachable")]
    Held(String),
    /// Somebody else's chaperon has the name.
    #[error("{target}: PodChaperon {name} exists and belongs to another pod or another user")]
    Foreign {
        /// Which target.
        target: TargetRef,
        /// The chaperon's name.
        name: String,
    },
    /// The target's scheduler, or its API server, refused the delegate.
    #[error("{target}: {reason}")]
    Unschedulable {
        /// Which target.
        target: TargetRef,
        /// What was said there.
        reason: String,
    },
    /// No decision in time. The chaperon stays, and the next try goes on with it.
    #[error("still waiting for a node in {0}; will go on")]
    StillWaiting(TargetRef),
    /// What the pod uses is not there yet. The chaperon stays, and the next try goes on with it.
    #[error("still waiting until the pod's ConfigMaps and Secrets are in {0}; will go on")]
    AwaitsFiles(TargetRef),
    /// An older chaperon takes long to go. The next try goes on.
    #[error("still waiting until the last delegate in {0} is gone; will go on")]
    StillDeleting(TargetRef),
    /// The target was lost while its scheduler was deciding. The chaperon stays.
    #[error("{0} was lost while waiting for a node there; will go on")]
    Lost(TargetRef),
    /// The target's API server did not answer in time. What was asked may have been done.
    #[error("{0} does not answer")]
    Unanswered(TargetRef),
    /// The chaperon was deleted while its scheduler was deciding.
    #[error("the delegate in {0} was deleted")]
    DelegateGone(TargetRef),
    /// An API server of a target answered an error.
    #[error("{target}: {error}")]
    Target {
        /// Which target.
        target: TargetRef,
        /// What it said.
        error: Arc<kube::Error>,
    },
    /// The source's own API server answered an error, or did not answer in time.
    #[error("source cluster: {0}")]
    Source(String),
    /// The bind's task ended without an answer.
    #[error("the extender is shutting down")]
    Aborted,
}

impl BindError {
    /// Did a target give no answer at all? A refusal is one.
    pub fn is_unanswered(&self) -> bool {
        match self {
            Self::Unanswered(_) => true,
            Self::Target { error, .. } => !matches!(**error, kube::Error::Api(_)),
            _ => false,
        }
    }

    /// A word for metrics.
    pub fn outcome(&self) -> &'static str {
        match self {
            Self::Incomplete | Self::WrongNode(_) | Self::Invalid(_) | Self::Foreign { .. } => "invalid",
            Self::PodGone | Self::PodDeleting | Self::BoundElsewhere(_) | Self::DelegateGone(_) => "gone",
            Self::Busy(_) | Self::Refused { .. } | Self::Held(_) => "refused",
            Self::Unschedulable { .. } => "unschedulable",
            Self::StillWaiting(_) | Self::AwaitsFiles(_) | Self::StillDeleting(_) => "waiting",
            Self::Lost(_) | Self::Unanswered(_) | Self::Target { .. } | Self::Source(_) | Self::Aborted => "error",
        }
    }
}
