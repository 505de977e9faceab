//! What a caller can be.

use proptest::prelude::*;

use super::*;
use crate::prefix::Prefix;

#[test]
fn an_identity_is_a_name_in_a_namespace() {
    let longest = format!("ns/{}/id/{}", "a".repeat(63), "a".repeat(253));
    for text in ["ns/default/id/default", "ns/a-1/id/b.c-2", &longest] {
        assert_eq!(Identity::parse(text).unwrap().to_string(), text);
    }
}

#[test]
fn all_else_is_none() {
    for text in [
        "",
        "default",
        "system:admin",
        "ns/a/id",
        "ns/a/id/",
        "ns//id/b",
        "/ns/a/id/b",
        "ns/a/id/b/",
        "ns/a/id/b/c",
        "NS/a/id/b",
        "ns/a/ID/b",
        "ns/../id/b",
        "ns/a/id/..",
        "ns/./id/b",
        "ns/a.b/id/c",
        "ns/A/id/b",
        "ns/a_b/id/c",
        "ns/a/id/b:c",
        "ns/a/id/b c",
        "ns/a/id/b\0",
        "ns/a/id/b\n",
        " ns/a/id/b",
        "ns/-a/id/b",
        "ns/a/id/b-",
        "ns/ä/id/b",
        "ns%2fa/id/b",
        &format!("ns/{}/id/b", "a".repeat(64)),
        &format!("ns/a/id/{}", "b".repeat(254)),
    ] {
        assert_eq!(Identity::parse(text), Err(InvalidIdentity), "{text}");
    }
    for text in [
        "system:serviceaccount:a",
        "system:serviceaccount:a:",
        "system:serviceaccount::b",
        "system:serviceaccount:a:b:c",
        "system:serviceaccounts:a:b",
        "serviceaccount:a:b",
        "System:serviceaccount:a:b",
        "system:serviceaccount:a/id/c:b",
        "system:serviceaccount:a:b/c",
    ] {
        assert_eq!(Identity::of_service_account(text), Err(InvalidIdentity), "{text}");
    }
}

fn texts() -> impl Strategy<Value = String> {
    prop_oneof![
        "ns/[a-c.-]{0,3}/id/[a-c.-]{0,3}",
        "(ns/)?[a-z:/.]{0,12}(id/)?[a-z]{0,3}",
        "\\PC{0,20}"
    ]
}

fn identities() -> impl Strategy<Value = Identity> {
    ("[ab-]{1,3}", "[ab.-]{1,4}")
        .prop_filter_map("an identity", |(namespace, name)| Identity::new(&namespace, &name).ok())
}

fn prefixes() -> impl Strategy<Value = Prefix> {
    "[abins]{1,2}[/:]([abins]{1,2}[/:])?".prop_filter_map("a prefix", |text| Prefix::parse(&text).ok())
}

proptest! {
    #[test]
    fn identities_go_there_and_back(text in texts(), prefix in prefixes()) {
        if let Ok(identity) = Identity::parse(&text) {
            prop_assert_eq!(&identity.to_string(), &text);
            prop_assert_eq!(prefix.identity(&prefix.user(&identity)), Some(identity.clone()));
            let subject = format!("system:serviceaccount:{}:{}", identity.namespace(), identity.name());
            prop_assert_eq!(Identity::of_service_account(&subject), Ok(identity));
        }
        if let Some(identity) = prefix.identity(&text) {
            prop_assert_eq!(prefix.user(&identity), text);
        }
    }

    #[test]
    fn two_identities_are_never_one_user(
        one in identities(), other in identities(), ours in prefixes(), theirs in prefixes(),
    ) {
        if one != other {
            prop_assert_ne!(ours.user(&one), ours.user(&other));
        }
        if !ours.overlaps(&theirs) {
            prop_assert_ne!(ours.user(&one), theirs.user(&other));
            prop_assert_eq!(theirs.identity(&ours.user(&one)), None);
        }
    }

    #[test]
    fn no_user_is_one_of_kubernetes(text in texts(), prefix in prefixes()) {
        if let Ok(identity) = Identity::parse(&text).or_else(|_| Identity::of_service_account(&text)) {
            let user = prefix.user(&identity);
            prop_assert!(user.starts_with(prefix.as_str()) && !user.starts_with("system:"));
            prop_assert!(user.bytes().all(|c| c.is_ascii_graphic()));
        }
    }
}
