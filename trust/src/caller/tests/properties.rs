//! What holds for all who are let in.

use std::sync::LazyLock;

use proptest::prelude::*;

use super::*;

static AUTHORITIES: LazyLock<[Authority; 2]> = LazyLock::new(|| ["a", "b"].map(Authority::new));

fn names() -> impl Strategy<Value = String> {
    prop_oneof![
        "ns/[a-c]/id/[a-c]",
        "(m:|n/)?ns/[a-c.]{1,2}/id/[a-c:/.]{1,3}",
        "system:\\PC{0,8}"
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn a_caller_has_the_prefix_of_its_own_provider_and_a_name_that_somebody_here_wrote(
        prefixes in ("[mn]{1,2}[:/](ns/|m:)?", "[mns]{1,2}[:/]|system:|System:"),
        name in names(),
        sources in prop::collection::vec("[mn]{1,2}[:/](ns/|m:)?ns/[a-c]/id/[a-c]|system:[a-z]{1,5}", 0..6),
        by in 0..2_usize,
        named: bool,
        groups in prop::collection::vec("viewers|system:masters|[ -~]{1,6}", 0..3),
    ) {
        let groups_here = vec!["viewers".into(), "system:masters".into()];
        let object = |path, prefix: &str, authority| provider(path, 0, TrustedIdentityProviderSpec {
            groups: groups_here.clone(),
            ..believing(prefix, authority)
        });
        let objects = [
            object("default/one", &prefixes.0, &AUTHORITIES[0]),
            object("default/two", &prefixes.1, &AUTHORITIES[1]),
        ];
        let own = if by == 0 { &prefixes.0 } else { &prefixes.1 };
        let mut sources: Vec<_> = sources.iter().map(|user| source("default", user)).collect();
        if named {
            sources.push(source("default", &format!("{own}{name}")));
        }
        let trust = trust(&objects, &sources);
        let leaf = AUTHORITIES[by].sign_with(&name, |params| {
            for group in &groups {
                params.distinguished_name.push(rcgen::DnType::OrganizationName, group.as_str());
            }
        });
        let caller = certificates::prove(&trust, &[leaf], at(0)).and_then(|proven| trust.admit(&proven));
        if let Ok(caller) = caller {
            prop_assert_eq!(&caller.user, &format!("{own}{name}"));
            prop_assert!(sources.iter().any(|source| source.spec.user_name.as_ref() == Some(&caller.user)));
            for name in caller.groups.iter().chain([&caller.user]) {
                prop_assert!(name.starts_with(own.as_str()) && !name.to_lowercase().starts_with("system:"));
                for other in trust.trusted().filter(|trusted| trusted.provider.reference != caller.provider) {
                    prop_assert!(!name.starts_with(other.provider.prefix.as_str()));
                }
            }
            prop_assert!(trust.still_admits(&caller) && caller.covers(&caller));
        }
    }
}
