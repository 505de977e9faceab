//! Sources and ClusterSources.

use multicluster_api::{ClusterSourceSpec, SourceSpec};

use super::names::{check_name, check_namespace, is_service_account_user};
use super::validate_spec;
use crate::object::Object;
use crate::verdict::Verdict;

/// A Source that is created, or changed from `old`.
pub fn validate_source(old: Option<&Object<'_>>, new: &Object<'_>) -> Verdict {
    validate_spec(old, new, |spec: &SourceSpec| {
        let mut wrong = vec![];
        let account = spec.service_account_name.as_deref();
        check_one(
            &mut wrong,
            spec.user_name.is_some(),
            account.is_some(),
            "spec.serviceAccountName",
        );
        check_user(&mut wrong, spec.user_name.as_deref());
        if let Some(name) = account {
            check_name(&mut wrong, "spec.serviceAccountName", name);
        }
        wrong
    })
}

/// A ClusterSource that is created, or changed from `old`.
pub fn validate_cluster_source(old: Option<&Object<'_>>, new: &Object<'_>) -> Verdict {
    validate_spec(old, new, |spec: &ClusterSourceSpec| {
        let mut wrong = vec![];
        let account = spec.service_account.as_ref();
        let form = "spec.serviceAccount: {namespace: ..., name: ...}";
        check_one(&mut wrong, spec.user_name.is_some(), account.is_some(), form);
        check_user(&mut wrong, spec.user_name.as_deref());
        if let Some(account) = account {
            check_namespace(&mut wrong, "spec.serviceAccount.namespace", &account.namespace);
            check_name(&mut wrong, "spec.serviceAccount.name", &account.name);
        }
        wrong
    })
}

fn check_one(wrong: &mut Vec<String>, user: bool, account: bool, form: &str) {
    if user == account {
        wrong.push(format!(
            "write either spec.userName or {form}, not both and not neither"
        ));
    }
}

/// Names that begin with `system:` are Kubernetes' own. `system:anonymous` would let everybody in; components such as
/// `system:kube-controller-manager` and nodes have no business here, and granting to one of them is a mistake or worse.
/// ServiceAccounts are the exception: one of another namespace can be named in no other way.
fn check_user(wrong: &mut Vec<String>, user: Option<&str>) {
    let Some(user) = user else { return };
    if user.is_empty() || user.trim() != user || user.chars().any(char::is_control) {
        wrong.push(format!(
            "spec.userName {user:?} cannot be a user; write the name as the API server's authenticators know it, without \
             spaces around it"
        ));
    } else if user.starts_with("system:") && !is_service_account_user(user) {
        wrong.push(format!(
            "spec.userName {user:?} belongs to Kubernetes itself; write the name of another user, or \
             system:serviceaccount:NAMESPACE:NAME"
        ));
    }
}
