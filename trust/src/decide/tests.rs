//! Whom a cluster believes.

use std::sync::LazyLock;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use k8s_openapi::jiff::Timestamp;
use multicluster_api::TrustedIdentityProviderSpec;
use proptest::prelude::*;

use super::*;
use crate::testing::authority::Authority;
use crate::testing::{believing, believing_tokens, cluster_source, provider, source};

static AUTHORITIES: LazyLock<[Authority; 3]> = LazyLock::new(|| ["a", "b", "c"].map(Authority::new));

/// What became of `NAMESPACE/NAME`.
fn verdict<'a>(trust: &'a Trust, path: &str) -> &'a Result<Arc<Trusted>, Refusal> {
    let found = trust
        .providers
        .iter()
        .find(|(r, _)| format!("{}/{}", r.namespace, r.name) == path);
    found.unwrap().1
}

fn users(trust: &Trust, path: &str) -> Vec<String> {
    verdict(trust, path).as_ref().unwrap().users().into_iter().collect()
}

#[test]
fn a_provider_speaks_for_users_that_sources_of_its_namespace_name() {
    let management = provider(
        "default/management",
        0,
        believing("spiffe://management/", &AUTHORITIES[0]),
    );
    let sources = [
        source("default", "spiffe://management/ns/default/id/default"),
        source("default", "spiffe://other/ns/default/id/default"),
        source("default", "spiffe://management/ns/default/id/"),
        source("default", "spiffe://management/system:admin"),
        source("default", "alice"),
        source("elsewhere", "spiffe://management/ns/elsewhere/id/default"),
    ];
    let cluster_sources = [cluster_source("spiffe://management/ns/kube/id/all")];
    let trust = decide([&management], &sources, &cluster_sources);
    assert_eq!(
        users(&trust, "default/management"),
        ["spiffe://management/ns/default/id/default"]
    );
}

#[test]
fn one_of_the_install_namespace_speaks_for_all_sources() {
    let management = provider("multicluster-scheduler/m", 0, believing("m:", &AUTHORITIES[0]));
    let sources = [source("default", "m:ns/a/id/a"), source("elsewhere", "m:ns/b/id/b")];
    let trust = decide([&management], &sources, &[cluster_source("m:ns/c/id/c")]);
    let expected = ["m:ns/a/id/a", "m:ns/b/id/b", "m:ns/c/id/c"];
    assert_eq!(users(&trust, "multicluster-scheduler/m"), expected);
}

#[test]
fn it_speaks_for_those_that_it_lists_itself_and_for_its_groups() {
    let spec = TrustedIdentityProviderSpec {
        identities: vec!["ns/ci/id/deployer".into()],
        groups: vec!["viewers".into()],
        ..believing("m:", &AUTHORITIES[0])
    };
    let trust = decide([&provider("default/m", 0, spec)], &[], &[]);
    assert_eq!(users(&trust, "default/m"), ["m:ns/ci/id/deployer"]);
    let groups = verdict(&trust, "default/m").as_ref().unwrap().groups();
    assert_eq!(groups.into_iter().collect::<Vec<_>>(), ["m:viewers"]);
}

#[test]
fn what_is_being_deleted_is_gone() {
    let going = |object: &mut kube::core::ObjectMeta| object.deletion_timestamp = Some(Time(Timestamp::UNIX_EPOCH));
    let mut first = provider("default/first", 0, believing("m:", &AUTHORITIES[0]));
    let second = provider("default/second", 1, believing("m:", &AUTHORITIES[1]));
    let mut named = source("default", "m:ns/a/id/a");
    let trust = decide([&first, &second], [&named], &[]);
    assert_eq!(
        verdict(&trust, "default/second"),
        &Err(Refusal::PrefixTaken("default/first".into()))
    );

    going(&mut first.metadata);
    let trust = decide([&first, &second], [&named], &[]);
    assert_eq!(trust.providers.len(), 1);
    assert_eq!(users(&trust, "default/second"), ["m:ns/a/id/a"]);

    going(&mut named.metadata);
    let trust = decide([&first, &second], [&named], &[]);
    assert!(users(&trust, "default/second").is_empty());
}

#[test]
fn of_two_that_could_be_taken_for_each_other_one_is_believed() {
    let [a, b, _] = &*AUTHORITIES;
    let a_again = a.again(|params| params.serial_number = Some(7.into()));
    let (prefix, proof) = ("PrefixTaken", "ProofTaken");
    for (first, second, refusal) in [
        (believing("m:", a), believing("m:", b), Some(prefix)),
        (believing("m:", a), believing("m:ns/", b), Some(prefix)),
        (believing("m:ns/", a), believing("m:", b), Some(prefix)),
        (believing("m:", a), believing_tokens("m:", &["x"]), Some(prefix)),
        (believing("m:", a), believing("n:", a), Some(proof)),
        (believing("m:", a), believing("n:", &a_again), Some(proof)),
        (
            believing_tokens("m:", &["x", "y"]),
            believing_tokens("n:", &["y", "z"]),
            Some(proof),
        ),
        (believing_tokens("m:", &["x"]), believing_tokens("n:", &["y"]), None),
        (believing("m:", a), believing("n:", b), None),
        (believing("m:", a), believing_tokens("n:", &["x"]), None),
    ] {
        let note = format!("{} {}", first.prefix, second.prefix);
        let objects = [provider("a/first", 0, first), provider("b/second", 1, second)];
        let trust = decide(&objects, &[], &[]);
        assert!(verdict(&trust, "a/first").is_ok(), "{note}");
        let name = match verdict(&trust, "b/second") {
            Err(Refusal::PrefixTaken(first)) => Some((prefix, first.as_str())),
            Err(Refusal::ProofTaken(first)) => Some((proof, first.as_str())),
            Err(Refusal::Invalid(error)) => panic!("{error}"),
            Ok(_) => None,
        };
        assert_eq!(name, refusal.map(|refusal| (refusal, "a/first")), "{note}");
    }
}

#[test]
fn the_install_namespace_comes_first_then_the_older_then_names() {
    let [a, b, _] = &*AUTHORITIES;
    for (winner, loser) in [
        (("multicluster-scheduler/z", 9), ("default/a", 0)),
        (("default/z", 0), ("default/a", 9)),
        (("a/z", 0), ("b/a", 0)),
        (("a/a", 0), ("a/b", 0)),
    ] {
        let winning = provider(winner.0, winner.1, believing("m:", a));
        let losing = provider(loser.0, loser.1, believing("m:", b));
        let trust = decide([&losing, &winning], &[], &[]);
        assert!(verdict(&trust, winner.0).is_ok(), "{winner:?}");
        assert_eq!(verdict(&trust, loser.0), &Err(Refusal::PrefixTaken(winner.0.into())));
    }
    let mut without_time = provider("default/a", 0, believing("m:", a));
    without_time.metadata.creation_timestamp = None;
    let trust = decide([&without_time, &provider("default/b", 9, believing("m:", b))], &[], &[]);
    assert!(verdict(&trust, "default/b").is_ok());
}

#[test]
fn one_that_is_refused_stands_in_nobodys_way() {
    let [a, b, c] = &*AUTHORITIES;
    let objects = [
        provider("default/1", 1, believing("m:", a)),
        provider("default/2", 2, believing("m:n:", b)),
        provider("default/3", 3, believing("k:", b)),
        provider("default/4", 4, believing("system:", c)),
        provider("default/5", 5, believing("c:", c)),
    ];
    let trust = decide(&objects, &[], &[]);
    let believed: Vec<_> = trust
        .trusted()
        .map(|trusted| trusted.provider.reference.name.as_str())
        .collect();
    assert_eq!(believed, ["1", "3", "5"]);
    assert!(matches!(
        verdict(&trust, "default/4"),
        Err(Refusal::Invalid(InvalidProvider::Prefix(_)))
    ));
}

fn specs() -> impl Strategy<Value = TrustedIdentityProviderSpec> {
    let prefix = prop::sample::select(vec![
        "a:",
        "a:b:",
        "b:",
        "a/",
        "a/ns/",
        "c:",
        "system:",
        "System:x/",
        "",
    ]);
    let proof = prop_oneof![
        (0..3_usize).prop_map(Ok),
        prop::sample::subsequence(vec!["x", "y", "z"], 0..=2).prop_map(Err),
    ];
    (prefix, proof).prop_map(|(prefix, proof)| match proof {
        Ok(authority) => believing(prefix, &AUTHORITIES[authority]),
        Err(audiences) => believing_tokens(prefix, &audiences),
    })
}

fn objects() -> impl Strategy<Value = Vec<TrustedIdentityProvider>> {
    let place = (prop::sample::select(vec!["a", "b", names::INSTALL_NAMESPACE]), 0..3_i64);
    prop::collection::vec((place, specs()), 0..7).prop_map(|all| {
        let object = |(number, ((namespace, made), spec))| provider(&format!("{namespace}/{number}"), made, spec);
        all.into_iter().enumerate().map(object).collect()
    })
}

fn all_sources() -> impl Strategy<Value = Vec<Source>> {
    let user = prop_oneof![
        "[abc][:/](b:|ns/)?ns/[a-c]/id/[a-c]",
        "[ -~]{0,20}",
        Just("system:admin".into())
    ];
    let one = ("[ab]", user).prop_map(|(namespace, user)| source(&namespace, &user));
    prop::collection::vec(one, 0..6)
}

proptest! {
    #[test]
    fn the_order_of_the_objects_does_not_count(
        objects in objects(), sources in all_sources(), shift in 0..7_usize, reverse: bool,
    ) {
        let trust = decide(&objects, &sources, &[]);
        let (mut moved, mut moved_sources) = (objects.clone(), sources.clone());
        if !moved.is_empty() {
            let middle = shift % moved.len();
            moved.rotate_left(middle);
        }
        if reverse {
            moved.reverse();
            moved_sources.reverse();
        }
        prop_assert_eq!(trust.providers, decide(&moved, &moved_sources, &[]).providers);
    }

    #[test]
    fn no_two_that_are_believed_could_be_taken_for_each_other(objects in objects(), sources in all_sources()) {
        let trust = decide(&objects, &sources, &[]);
        let believed: Vec<_> = trust.trusted().collect();
        for (number, one) in believed.iter().enumerate() {
            for user in one.users() {
                prop_assert!(user.starts_with(one.provider.prefix.as_str()) && !user.starts_with("system:"));
            }
            for other in &believed[number + 1..] {
                prop_assert!(!one.provider.prefix.overlaps(&other.provider.prefix));
                prop_assert!(one.users().is_disjoint(&other.users()));
                match (&one.provider.proof, &other.provider.proof) {
                    (Proof::Certificates(ours), Proof::Certificates(theirs)) => {
                        prop_assert!(!ours.iter().any(|authority| theirs.contains(authority)));
                    }
                    (Proof::Tokens(ours), Proof::Tokens(theirs)) => {
                        prop_assert!(ours.issuer != theirs.issuer || ours.audiences.is_disjoint(&theirs.audiences));
                    }
                    _ => {}
                }
            }
        }
    }
}
