//! What is to be connected: the flags, and what follows from them. Pure.

use multicluster_api::{TargetRef, names};
use multicluster_trust::{Identity, Prefix};

use crate::args::{self, Scope};
use crate::failure::Failure;

/// What is to be connected.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// The Target or ClusterTarget.
    pub target: TargetRef,
    /// Name of the Source or ClusterSource, of its ServiceAccount, and of a TrustedIdentityProvider.
    pub source_name: String,
}

impl Request {
    /// From the flags. Names that are not given are made from those of the contexts.
    pub fn new(
        scope: &Scope,
        name: Option<&str>,
        source_name: Option<&str>,
        [source, target]: [&str; 2],
        default_namespace: &str,
    ) -> Result<Self, Failure> {
        let named = |given: Option<&str>, context: &str, flag: &str| match given {
            Some(name) => Ok(name.to_owned()),
            None => name_of(context).ok_or_else(|| {
                Failure::Usage(format!(
                    "no name can be made from that of the context {context:?}: write {flag} NAME"
                ))
            }),
        };
        Ok(Self {
            target: target_ref(scope, named(name, target, "--name")?, default_namespace)?,
            source_name: named(source_name, source, "--source-name")?,
        })
    }

    /// Where Secret, Kubeconfig and ServiceAccount are: the namespace, or that of the installation for all namespaces.
    pub fn namespace(&self) -> &str {
        self.target.namespace.as_deref().unwrap_or(names::INSTALL_NAMESPACE)
    }

    /// Who the source is in the target, by an identity of its own.
    pub fn identity(&self) -> Result<Identity, Failure> {
        let id = multicluster_trust::kubeconfig_spec::DEFAULT_ID;
        Identity::new(self.namespace(), id).map_err(|error| Failure::Usage(error.to_string()))
    }

    /// What the names of the source's users begin with in the target.
    pub fn prefix(&self) -> Result<Prefix, Failure> {
        Prefix::parse(&format!("spiffe://{}/", self.source_name)).map_err(|error| Failure::Usage(error.to_string()))
    }

    /// The connection's name, for [`names::CONNECTION`].
    pub fn connection(&self, source_id: &str) -> String {
        connection(source_id, &self.target)
    }
}

/// The connection of a target, for [`names::CONNECTION`].
pub fn connection(source_id: &str, target: &TargetRef) -> String {
    format!("{source_id}/{}", target.virtual_node())
}

/// The Target or ClusterTarget that flags name.
pub fn target_ref(scope: &Scope, name: String, default_namespace: &str) -> Result<TargetRef, Failure> {
    if scope.cluster {
        return Ok(TargetRef::cluster(name));
    }
    let namespace = scope.namespace.as_deref().unwrap_or(default_namespace);
    if !args::is_label(namespace) {
        return Err(Failure::Usage(format!(
            "--namespace {namespace:?} is not the name of a namespace: write at most 63 of a-z, 0-9 and -"
        )));
    }
    Ok(TargetRef::namespaced(namespace, name))
}

/// A DNS label that reminds of a context's name: `arn:aws:eks:eu-west-1:1:cluster/Main` becomes
/// `arn-aws-eks-eu-west-1-1-cluster-main`.
pub fn name_of(context: &str) -> Option<String> {
    let mut name = String::new();
    for c in context.chars().map(|c| c.to_ascii_lowercase()) {
        if c.is_ascii_lowercase() || c.is_ascii_digit() {
            name.push(c);
        } else if !name.ends_with('-') && !name.is_empty() {
            name.push('-');
        }
    }
    // The end says more than the beginning, where there is too much.
    let name = name.trim_end_matches('-');
    let cut = &name[name.len().saturating_sub(63)..];
    let name = cut.trim_start_matches('-');
    (!name.is_empty()).then(|| name.to_owned())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn names_are_made_from_contexts() {
        for (context, name) in [
            ("eu", Some("eu")),
            ("kind-eu", Some("kind-eu")),
            ("gke_project_europe-west1_Main", Some("gke-project-europe-west1-main")),
            ("admin@eu", Some("admin-eu")),
            ("...", None),
        ] {
            assert_eq!(name_of(context).as_deref(), name, "{context}");
        }
    }

    proptest! {
        #[test]
        fn a_made_name_is_a_label(context in any::<String>()) {
            if let Some(name) = name_of(&context) {
                prop_assert!(args::is_label(&name), "{name}");
            }
        }
    }

    #[test]
    fn a_namespace_that_is_none_is_refused() {
        let scope = Scope {
            namespace: Some("../x".into()),
            cluster: false,
        };
        assert!(matches!(
            target_ref(&scope, "eu".into(), "default"),
            Err(Failure::Usage(_))
        ));
    }
}
