//! What the ClusterRole should say.

use std::collections::BTreeMap;
use std::sync::Arc;

use multicluster_trust::{Identity, Prefix, Proof, Provider, ProviderRef, Refusal, Trust, Trusted};

use super::{empty_role, typed};
use crate::target::trust::role::{MAX_BYTES, NAMES_PER_RULE, Role};

/// Providers of these names, each with so many users, and a group.
pub fn trust(providers: &[(&str, usize)]) -> Trust {
    let providers = providers.iter().map(|(name, count)| {
        let reference = ProviderRef {
            namespace: "team".into(),
            name: (*name).into(),
            uid: (*name).into(),
        };
        let provider = Provider {
            reference: reference.clone(),
            prefix: Prefix::parse(&format!("{name}/")).unwrap(),
            proof: Proof::Certificates(vec![]),
            identities: Default::default(),
            groups: ["ops".to_owned()].into(),
        };
        let admitted = (0..*count)
            .map(|i| Identity::new("team", &format!("pod-{i}")).unwrap())
            .collect();
        (reference, Ok(Arc::new(Trusted { provider, admitted })))
    });
    Trust {
        providers: providers.collect::<BTreeMap<_, _>>(),
    }
}

#[test]
fn users_and_groups_stand_there_by_name() {
    let rules = serde_json::to_value(Role::of(&trust(&[("us", 1), ("eu", 2)])).rules()).unwrap();
    let rule = |resource: &str, names: &[&str]| {
        serde_json::json!({
            "apiGroups": [""], "resources": [resource], "resourceNames": names, "verbs": ["impersonate"],
        })
    };
    let users = ["eu/ns/team/id/pod-0", "eu/ns/team/id/pod-1", "us/ns/team/id/pod-0"];
    let expected = serde_json::json!([rule("users", &users), rule("groups", &["eu/ops", "us/ops"])]);
    assert_eq!(rules, expected);
}

#[test]
fn whoever_is_not_trusted_is_not_there() {
    let mut trust = trust(&[("eu", 1)]);
    for verdict in trust.providers.values_mut() {
        *verdict = Err(Refusal::PrefixTaken("team/us".into()));
    }
    let role = Role::of(&trust);
    assert_eq!(role, Role::default());
    // A role that never had rules is as good as one with none: nothing is written.
    assert!(role.rules().is_empty() && role.is(&typed(&empty_role())));
}

#[test]
fn many_names_are_several_rules() {
    let rules = Role::of(&trust(&[("eu", 2 * NAMES_PER_RULE + 1)])).rules();
    let sizes: Vec<_> = rules
        .iter()
        .map(|rule| rule.resource_names.as_ref().unwrap().len())
        .collect();
    assert_eq!(sizes, [NAMES_PER_RULE, NAMES_PER_RULE, 1, 1]);
}

#[test]
fn who_names_too_many_pushes_nobody_out() {
    let too_many = MAX_BYTES / 20;
    let role = Role::of(&trust(&[("a", too_many), ("b", 5), ("c", 0)]));
    let left_out: Vec<_> = role.left_out.iter().map(|provider| provider.name.as_str()).collect();
    assert_eq!(left_out, ["a"]);
    assert_eq!(role.users.len(), 5);
    let json = serde_json::to_string(&Role::of(&trust(&[("a", too_many / 2)])).rules()).unwrap();
    assert!(
        json.len() > MAX_BYTES / 4 && json.len() < 2 * MAX_BYTES,
        "{}",
        json.len()
    );
}

#[test]
fn a_role_put_together_of_others_is_not_as_it_should_be() {
    let mut found = empty_role();
    found["aggregationRule"] = serde_json::json!({ "clusterRoleSelectors": [] });
    assert!(!Role::default().is(&typed(&found)));
}
