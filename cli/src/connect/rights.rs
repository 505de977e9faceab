//! May the caller do what is planned? Asked before anything is written.

use futures::future::join_all;
use k8s_openapi::api::authorization::v1::{ResourceAttributes, SelfSubjectAccessReview, SelfSubjectAccessReviewSpec};
use kube::Api;
use kube::api::PostParams;

use super::objects::Side;
use super::plan::{Action, Step};
use crate::contexts::Cluster;
use crate::failure::Failure;

/// A right that is needed.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Right {
    /// In which cluster.
    pub side: Side,
    /// `create`, say.
    pub verb: &'static str,
    /// API group; empty for the core.
    pub group: String,
    /// Plural name, with `/SUBRESOURCE` if need be.
    pub resource: String,
    /// Namespace, if the resource is namespaced.
    pub namespace: Option<String>,
}

impl Right {
    /// A right.
    pub fn new(side: Side, verb: &'static str, group: &str, resource: &str, namespace: Option<&str>) -> Self {
        Self {
            side,
            verb,
            group: group.into(),
            resource: resource.into(),
            namespace: namespace.map(Into::into),
        }
    }

    fn describe(&self) -> String {
        let group = match self.group.as_str() {
            "" => String::new(),
            group => format!(".{group}"),
        };
        let place = match &self.namespace {
            Some(namespace) => format!(" in namespace {namespace}"),
            None => String::new(),
        };
        format!("{} {}{group}{place}", self.verb, self.resource)
    }
}

/// What a plan needs: to write its objects, to look whether they get ready, and to undo.
pub fn needed(steps: &[Step], token_of: Option<(&str, &str)>) -> Vec<Right> {
    let mut rights = Vec::new();
    for step in steps {
        let (object, resource) = (&step.object, step.object.kind.resource());
        let verbs: &[&'static str] = match step.action {
            Action::Create => &["create", "get", "delete"],
            Action::Repair => &["get", "update"],
            Action::Keep => &["get"],
        };
        let namespace = object.namespace.as_deref();
        let right = |verb: &&'static str| Right::new(object.side, verb, &resource.group, &resource.plural, namespace);
        rights.extend(verbs.iter().map(right));
    }
    if let Some((namespace, _)) = token_of {
        rights.push(Right::new(
            Side::Target,
            "create",
            "",
            "serviceaccounts/token",
            Some(namespace),
        ));
    }
    rights.sort();
    rights.dedup();
    rights
}

/// Those that the caller lacks, each as a sentence.
pub async fn lacking(source: &Cluster, target: &Cluster, rights: &[Right]) -> Result<Vec<String>, Failure> {
    let asked = rights.iter().map(async |right| {
        let cluster = match right.side {
            Side::Source => source,
            Side::Target => target,
        };
        let allowed = may(cluster, right).await?;
        Ok((!allowed).then(|| format!("context {}: your user may not {}", cluster.context, right.describe())))
    });
    join_all(asked)
        .await
        .into_iter()
        .filter_map(Result::transpose)
        .collect()
}

async fn may(cluster: &Cluster, right: &Right) -> Result<bool, Failure> {
    let (resource, subresource) = match right.resource.split_once('/') {
        Some((resource, sub)) => (resource, Some(sub.to_owned())),
        None => (right.resource.as_str(), None),
    };
    let review = SelfSubjectAccessReview {
        spec: SelfSubjectAccessReviewSpec {
            resource_attributes: Some(ResourceAttributes {
                verb: Some(right.verb.into()),
                group: Some(right.group.clone()),
                resource: Some(resource.into()),
                subresource,
                namespace: right.namespace.clone(),
                ..Default::default()
            }),
            ..Default::default()
        },
        ..Default::default()
    };
    let reviews = Api::<SelfSubjectAccessReview>::all(cluster.client.clone());
    let answer = reviews.create(&PostParams::default(), &review).await;
    let answer = answer.map_err(|error| cluster.problem(&error))?;
    Ok(answer.status.is_some_and(|status| status.allowed))
}

#[cfg(test)]
mod tests {
    use multicluster_api::TargetRef;

    use super::super::{objects, request::Request};
    use super::*;

    #[test]
    fn who_creates_must_be_able_to_undo() {
        let request = Request {
            target: TargetRef::namespaced("default", "eu"),
            source_name: "m".into(),
        };
        let step = |action| Step {
            object: objects::target(&request),
            action,
            before: None,
        };
        let verbs = |action| {
            needed(&[step(action)], None)
                .iter()
                .map(|right| right.verb)
                .collect::<Vec<_>>()
        };
        assert_eq!(verbs(Action::Create), ["create", "delete", "get"]);
        assert_eq!(verbs(Action::Repair), ["get", "update"]);
        assert_eq!(verbs(Action::Keep), ["get"]);
        let rights = needed(&[step(Action::Create)], Some(("default", "m")));
        let texts: Vec<_> = rights.iter().map(Right::describe).collect();
        assert!(
            texts.contains(&"create serviceaccounts/token in namespace default".into()),
            "{texts:?}"
        );
        assert!(
            texts.contains(&"create targets.multicluster.admiralty.io in namespace default".into()),
            "{texts:?}"
        );
    }
}
