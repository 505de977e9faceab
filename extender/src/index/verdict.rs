//! Answers of a filter, in words that `kubectl describe pod` shows.
//!
//! kube-scheduler counts equal reasons ("2 Insufficient cpu in target"), so equal causes have equal words.

use std::borrow::Cow;

use super::target::Unavailable;
use crate::core::misfit::Misfit;

/// May a pod go to a node?
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Yes.
    Pass,
    /// Not now. Preemption or time may change that.
    Failed(Cow<'static, str>),
    /// No, and preemption would not change that.
    Unresolvable(Cow<'static, str>),
}

/// For an ordinary pod on a virtual node.
pub(super) const NOT_ELECTED: Verdict = Verdict::Unresolvable(Cow::Borrowed(
    "only pods admitted by the multicluster webhook may go to a virtual node",
));
/// For a proxy pod on a node that we do not know.
pub(super) const STRANGER: Verdict =
    Verdict::Unresolvable(Cow::Borrowed("not a virtual node, or its target is not known yet"));
/// For a Target of another namespace.
pub(super) const OTHER_NAMESPACE: Verdict = Verdict::Unresolvable(Cow::Borrowed("target serves another namespace"));

/// For a proxy pod of a namespace without the label.
pub(super) const NAMESPACE_NOT_SERVED: Verdict = Verdict::Unresolvable(Cow::Borrowed(NOT_SERVED));
/// Why it is refused. The label's key and value are those in `names`.
pub(super) const NOT_SERVED: &str =
    "the webhook does not serve the pod's namespace; label it multicluster-scheduler=enabled";

impl From<Unavailable> for Verdict {
    fn from(reason: Unavailable) -> Self {
        Self::Unresolvable(reason.to_string().into())
    }
}

impl From<Misfit> for Verdict {
    fn from(misfit: Misfit) -> Self {
        match misfit {
            Misfit::NoNodes => Self::Unresolvable("target has no nodes".into()),
            Misfit::Affinity => Self::Unresolvable("no node in target matches the pod's node affinity/selector".into()),
            Misfit::Cordoned => Self::Unresolvable("nodes in target are cordoned".into()),
            Misfit::Taint(taint) => {
                Self::Unresolvable(format!("nodes in target have untolerated taint {taint}").into())
            }
            Misfit::Short(resources) if resources.contains("pods") && resources.len() == 1 => {
                Self::Failed("Too many pods in target".into())
            }
            Misfit::Short(resources) => {
                let resources: Vec<_> = resources.into_iter().collect();
                Self::Failed(format!("Insufficient {} in target", resources.join(", ")).into())
            }
            Misfit::TooLarge(resource) => {
                Self::Unresolvable(format!("no node in target has so much {resource}, however empty").into())
            }
        }
    }
}
