//! Targets and ClusterTargets.

use multicluster_api::options::compile_regexp;
use multicluster_api::{ClusterTargetSpec, TargetSpec};

use super::names::{check_name, check_namespace, check_secret_key};
use super::validate_spec;
use crate::object::Object;
use crate::verdict::Verdict;

/// A Target that is created, or changed from `old`.
pub fn validate_target(old: Option<&Object<'_>>, new: &Object<'_>) -> Verdict {
    validate_spec(old, new, |spec: &TargetSpec| {
        let mut wrong = vec![];
        let secret = spec.kubeconfig_secret.as_ref();
        check_access(&mut wrong, spec.self_target, secret.is_some(), "{name: ...}");
        if let Some(secret) = secret {
            check_secret(
                &mut wrong,
                &secret.name,
                secret.key.as_deref(),
                secret.context.as_deref(),
            );
        }
        check_regexp(&mut wrong, spec.excluded_labels_regexp.as_deref());
        wrong
    })
}

/// A ClusterTarget that is created, or changed from `old`.
pub fn validate_cluster_target(old: Option<&Object<'_>>, new: &Object<'_>) -> Verdict {
    validate_spec(old, new, |spec: &ClusterTargetSpec| {
        let mut wrong = vec![];
        let secret = spec.kubeconfig_secret.as_ref();
        check_access(
            &mut wrong,
            spec.self_target,
            secret.is_some(),
            "{namespace: ..., name: ...}",
        );
        if let Some(secret) = secret {
            check_namespace(&mut wrong, "spec.kubeconfigSecret.namespace", &secret.namespace);
            check_secret(
                &mut wrong,
                &secret.name,
                secret.key.as_deref(),
                secret.context.as_deref(),
            );
        }
        check_regexp(&mut wrong, spec.excluded_labels_regexp.as_deref());
        wrong
    })
}

fn check_access(wrong: &mut Vec<String>, self_target: bool, secret: bool, form: &str) {
    if self_target == secret {
        wrong.push(format!(
            "write either spec.self: true (this very cluster) or spec.kubeconfigSecret: {form}, not both and not neither"
        ));
    }
}

fn check_secret(wrong: &mut Vec<String>, name: &str, key: Option<&str>, context: Option<&str>) {
    check_name(wrong, "spec.kubeconfigSecret.name", name);
    if let Some(key) = key {
        check_secret_key(wrong, "spec.kubeconfigSecret.key", key);
    }
    if context.is_some_and(str::is_empty) {
        wrong.push(
            "spec.kubeconfigSecret.context is empty; write the name of a context in the kubeconfig, or leave it out for \
             the current one"
                .into(),
        );
    }
}

fn check_regexp(wrong: &mut Vec<String>, regexp: Option<&str>) {
    if let Some(Err(reason)) = regexp.map(compile_regexp) {
        wrong.push(format!(
            "spec.excludedLabelsRegexp: {reason}; write a regular expression (RE2 syntax, at most 4096 bytes) that is \
             matched against key=value of each label"
        ));
    }
}
