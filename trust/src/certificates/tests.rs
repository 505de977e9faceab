//! Which certificates prove who somebody is.

use std::sync::LazyLock;

use proptest::prelude::*;
use rcgen::{DnType, ExtendedKeyUsagePurpose, date_time_ymd};

use super::*;
use crate::testing::authority::Authority;
use crate::testing::{at, believing, believing_tokens, provider, trust};

static OURS: LazyLock<Authority> = LazyLock::new(|| Authority::new("ours"));
static OTHERS: LazyLock<Authority> = LazyLock::new(|| Authority::new("others"));

const IDENTITY: &str = "ns/default/id/default";
const COMMON_NAME: &[u64] = &[2, 5, 4, 3];

fn believed() -> Trust {
    let objects = [
        provider("default/management", 0, believing("spiffe://management/", &OURS)),
        provider("default/tokens", 0, believing_tokens("tokens:", &["x"])),
    ];
    trust(&objects, &[])
}

fn proven(chain: &[CertificateDer<'_>]) -> Result<Proven, String> {
    prove(&believed(), chain, at(0)).map_err(|denied| {
        assert_eq!(denied.status(), 401);
        denied.to_string()
    })
}

#[test]
fn a_certificate_of_an_authority_that_is_believed_proves_its_common_name() {
    let leaf = OURS.sign_with(IDENTITY, |params| {
        params.distinguished_name.push(DnType::OrganizationName, "viewers");
        params
            .distinguished_name
            .push(DnType::CustomDnType(vec![2, 5, 4, 10]), "system:masters");
    });
    let mut proven = proven(&[leaf]).unwrap();
    proven.groups.sort();
    assert_eq!(proven.identity.to_string(), IDENTITY);
    assert_eq!(proven.provider.name, "management");
    assert_eq!(proven.groups, ["system:masters", "viewers"]);
    assert_eq!(proven.expires, SystemTime::from(date_time_ymd(2026, 7, 1)));
    assert_eq!(proven.evidence, Evidence::Authority(OURS.der()));
}

#[test]
fn the_chain_may_lead_over_others_and_expires_with_the_first_of_them() {
    let below = OURS.below("below");
    let leaf = below.sign_with(IDENTITY, |params| params.not_after = date_time_ymd(2029, 1, 1));
    assert!(
        proven(std::slice::from_ref(&leaf))
            .unwrap_err()
            .contains("nobody here trusts")
    );
    assert_eq!(
        proven(&[leaf, below.der()]).unwrap().expires,
        SystemTime::from(date_time_ymd(2027, 1, 1))
    );
}

#[test]
fn a_clock_may_be_a_little_behind_the_authoritys() {
    let now = |seconds: u64| {
        let before = rcgen::date_time_ymd(2026, 6, 15) + Duration::from_secs(seconds);
        OURS.sign_with(IDENTITY, |params| params.not_before = before)
    };
    assert!(proven(&[now(29)]).is_ok());
    assert!(proven(&[now(31)]).unwrap_err().contains("not valid yet"));
}

#[test]
fn what_is_no_proof_is_refused_with_the_most_telling_reason() {
    let sign = |name: &str| vec![OURS.sign(name)];
    let usage = |usages: Vec<ExtendedKeyUsagePurpose>| {
        vec![OURS.sign_with(IDENTITY, |params| params.extended_key_usages = usages)]
    };
    let mut tampered = OURS.sign(IDENTITY).to_vec();
    let place = tampered.windows(7).position(|window| window == b"default").unwrap();
    tampered[place..place + 7].copy_from_slice(b"another");
    let impostor = Authority::with("ours", |_| {});
    let long = format!("ns/default/id/{}", "a".repeat(64 * 1024));
    let identity = "common name is no identity";
    for (what, chain, hint) in [
        ("none", vec![], "no client certificate"),
        ("another authority's", vec![OTHERS.sign(IDENTITY)], "nobody here trusts"),
        (
            "another authority's, of the same name",
            vec![impostor.sign(IDENTITY)],
            "nobody here trusts",
        ),
        (
            "the same, with its authority",
            vec![impostor.sign(IDENTITY), impostor.der()],
            "nobody here trusts",
        ),
        ("tampered", vec![tampered.into()], "nobody here trusts"),
        (
            "expired",
            vec![OURS.sign_with(IDENTITY, |params| params.not_after = date_time_ymd(2026, 6, 14))],
            "has expired",
        ),
        (
            "not valid yet",
            vec![OURS.sign_with(IDENTITY, |params| params.not_before = date_time_ymd(2026, 6, 16))],
            "not valid yet",
        ),
        (
            "for servers",
            usage(vec![ExtendedKeyUsagePurpose::ServerAuth]),
            "client authentication",
        ),
        (
            "for anything",
            usage(vec![ExtendedKeyUsagePurpose::Any]),
            "client authentication",
        ),
        ("for nothing said", usage(vec![]), "client authentication"),
        ("of the authority itself", vec![OURS.der()], "not in order"),
        ("garbage", vec![b"garbage".to_vec().into()], "cannot be read"),
        (
            "with garbage behind",
            vec![[OURS.sign(IDENTITY).as_ref(), b"\0"].concat().into()],
            "cannot be read",
        ),
        ("system:admin", sign("system:admin"), identity),
        (
            "system:masters",
            sign("system:serviceaccount:kube-system:default"),
            identity,
        ),
        ("empty", sign(""), identity),
        ("up a path", sign("ns/../id/default"), identity),
        ("no name", sign("ns/default/id/"), identity),
        ("another case", sign("ns/Default/id/default"), identity),
        ("more than one", sign("ns/default/id/default/id/x"), identity),
        ("with a NUL", sign("ns/default/id/default\0"), identity),
        ("with a line", sign("ns/default/id/default\n"), identity),
        ("with spaces", sign(" ns/default/id/default"), identity),
        ("of another alphabet", sign("ns/defаult/id/default"), identity),
        ("long", sign(&format!("ns/default/id/{}", "a".repeat(254))), identity),
        ("64 KiB", sign(&long), "too long"),
        ("many", vec![OURS.sign(IDENTITY); MAX_CHAIN + 1], "too long"),
        (
            "two names",
            vec![OURS.sign_with(IDENTITY, |params| {
                params
                    .distinguished_name
                    .push(DnType::CustomDnType(COMMON_NAME.into()), "ns/other/id/other");
            })],
            identity,
        ),
        (
            "no name at all",
            vec![OURS.sign_with(IDENTITY, |params| {
                params
                    .distinguished_name
                    .remove(DnType::CommonName)
                    .then_some(())
                    .unwrap()
            })],
            identity,
        ),
    ] {
        let text = proven(&chain).expect_err(what);
        assert!(text.contains(hint) && text.len() < 200, "{what}: {text}");
    }
}

#[test]
fn an_authority_that_has_expired_vouches_for_nobody() {
    let old = OURS.again(|params| params.not_after = date_time_ymd(2026, 6, 14));
    let object = provider("default/m", 0, believing("m:", &old));
    let denied = prove(&trust(&[object], &[]), &[OURS.sign(IDENTITY)], at(0)).unwrap_err();
    assert!(denied.to_string().contains("authority has expired"), "{denied}");

    // Renewed with the same key: the new certificate counts, wherever it stands.
    for pem in [old.pem() + &OURS.pem(), OURS.pem() + &old.pem()] {
        let mut spec = believing("m:", &old);
        spec.certificate_authority_data = Some(base64::Engine::encode(&base64::engine::general_purpose::STANDARD, pem));
        let renewed = trust(&[provider("default/m", 0, spec)], &[]);
        assert!(prove(&renewed, &[OURS.sign(IDENTITY)], at(0)).is_ok());
    }
}

#[test]
fn each_authority_speaks_for_its_own_provider() {
    let objects = [
        provider("a/ours", 0, believing("ours:", &OURS)),
        provider("a/others", 0, believing("others:", &OTHERS)),
    ];
    let trust = trust(&objects, &[]);
    for (authority, name) in [(&OURS, "ours"), (&OTHERS, "others")] {
        assert_eq!(
            prove(&trust, &[authority.sign(IDENTITY)], at(0)).unwrap().provider.name,
            name
        );
    }
}

#[test]
fn who_could_be_two_providers_is_neither() {
    let below = OURS.below("below");
    let objects = [
        provider("a/ours", 0, believing("ours:", &OURS)),
        provider("a/below", 0, believing("below:", &below)),
    ];
    let trust = trust(&objects, &[]);
    let leaf = below.sign(IDENTITY);
    assert_eq!(
        prove(&trust, std::slice::from_ref(&leaf), at(0)).unwrap().provider.name,
        "below"
    );
    let denied = prove(&trust, &[leaf, below.der()], at(0)).unwrap_err();
    assert!(denied.to_string().contains("two authorities"), "{denied}");
}

#[test]
fn what_is_claimed_is_for_logs_and_only_ever_an_identity() {
    assert_eq!(claimed(&[OTHERS.sign(IDENTITY)]).unwrap().to_string(), IDENTITY);
    assert_eq!(claimed(&[OTHERS.sign("system:admin\n")]), None);
    assert_eq!(claimed(&[b"garbage".to_vec().into()]), None);
    assert_eq!(claimed(&[]), None);
}

fn common_names() -> impl Strategy<Value = String> {
    let part = "[a-z0-9.:/-]{0,8}|\\.\\.|system:|[A-Z ]{1,3}|\\PC{0,3}";
    prop_oneof![
        (part, part).prop_map(|(namespace, name)| format!("ns/{namespace}/id/{name}")),
        "[a-z]{1,5}".prop_map(|name| format!("ns/{name}/id/{name}")),
        "(system:|spiffe://management/|ns/)?\\PC{0,20}",
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn a_common_name_gives_an_identity_as_it_stands_or_nothing(name in common_names()) {
        match proven(&[OURS.sign(&name)]) {
            Ok(proven) => {
                prop_assert_eq!(proven.identity.to_string(), name);
                let trust = believed();
                let user = trust.providers[&proven.provider].as_ref().unwrap().provider.prefix.user(&proven.identity);
                prop_assert!(user.starts_with("spiffe://management/ns/"));
            }
            Err(text) => prop_assert!(text.contains("no identity") && Identity::parse(&name).is_err(), "{}: {}", name, text),
        }
    }

    #[test]
    fn a_byte_changed_proves_nothing_else(place in any::<prop::sample::Index>(), byte: u8) {
        let good = OURS.sign(IDENTITY);
        let mut bytes = good.to_vec();
        let place = place.index(bytes.len());
        bytes[place] = byte;
        prop_assume!(bytes != good.as_ref());
        if let Ok(proven) = proven(&[bytes.into()]) {
            prop_assert_eq!(proven.identity.to_string(), IDENTITY);
        }
    }
}
