//! TrustedIdentityProviders and Kubeconfigs. What is right, crate `trust` says: the agents read the same objects by it.

use multicluster_api::{KubeconfigSpec, TrustedIdentityProviderSpec};
use multicluster_trust::kubeconfig_spec::{InvalidKubeconfig, Wanted};
use multicluster_trust::{Provider, ProviderRef};

use super::validate_spec;
use crate::object::{Object, Text};
use crate::verdict::Verdict;

/// A TrustedIdentityProvider that is created, or changed from `old`. Whether it stands in another's way is not judged here, but
/// in its status: the other one may come and go.
pub fn validate_trusted_identity_provider(old: Option<&Object<'_>>, new: &Object<'_>) -> Verdict {
    let text = |text: &Option<Text<'_>>| text.as_ref().map(|text| text.as_str().to_owned()).unwrap_or_default();
    let reference = ProviderRef {
        namespace: text(&new.metadata.namespace),
        name: text(&new.metadata.name),
        uid: String::new(),
    };
    validate_spec(old, new, |spec: &TrustedIdentityProviderSpec| {
        Provider::of_spec(reference, spec)
            .err()
            .map(|wrong| wrong.texts())
            .unwrap_or_default()
    })
}

/// A Kubeconfig that is created, or changed from `old`.
pub fn validate_kubeconfig(old: Option<&Object<'_>>, new: &Object<'_>) -> Verdict {
    // The API server has filled it in.
    let namespace = new.metadata.namespace.as_ref().map_or("default", Text::as_str);
    validate_spec(old, new, |spec: &KubeconfigSpec| match Wanted::read(namespace, spec) {
        Ok(_) => vec![],
        Err(InvalidKubeconfig(wrong)) => wrong,
    })
}
