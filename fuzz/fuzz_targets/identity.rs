//! Whatever somebody shows and whatever a provider says: nobody becomes a user without the provider's prefix, one of Kubernetes'
//! own, or one of another provider; and no error quotes a secret.
//!
//! The first byte says what the others are.
#![no_main]

use std::sync::{Arc, LazyLock};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use libfuzzer_sys::fuzz_target;
use multicluster_api::{KubeconfigSpec, TrustedIdentityProvider, TrustedIdentityProviderSpec, names};
use multicluster_fuzz::{Input, SECRET};
use multicluster_trust::kubeconfig_spec::{Proof, Wanted};
use multicluster_trust::tokens::KeySet;
use multicluster_trust::{Denied, Identity, Prefix, Proven, Provider, Trust, certificates, decide, tokens};
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa, KeyPair, PKCS_ED25519,
    date_time_ymd,
};
use ring::signature::{Ed25519KeyPair, KeyPair as _};
use serde_json::{Value, json};

const ISSUER: &str = "https://issuer.example.com";
const AUDIENCE: &str = "multicluster.admiralty.io/target";
/// 15 June 2026.
const NOW: u64 = 1_781_481_600;

struct World {
    authority: CertifiedIssuer<'static, KeyPair>,
    leaf: KeyPair,
    signer: Ed25519KeyPair,
    keys: Arc<KeySet>,
    trust: Trust,
}

static WORLD: LazyLock<World> = LazyLock::new(|| {
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let key = || KeyPair::generate_for(&PKCS_ED25519).expect("a key");
    let authority = CertifiedIssuer::self_signed(params, key()).expect("an authority");
    let signer = Ed25519KeyPair::from_seed_unchecked(&[7; 32]).expect("a key");
    let x = URL_SAFE_NO_PAD.encode(signer.public_key());
    let keys = json!({"keys": [{"kty": "OKP", "kid": "k", "crv": "Ed25519", "x": x}]}).to_string();
    let data = STANDARD.encode(authority.pem());
    let providers = [
        json!({"prefix": "spiffe://management/", "certificateAuthorityData": data, "groups": ["a"]}),
        json!({"prefix": "tokens:", "oidc": {"issuer": ISSUER, "audiences": [AUDIENCE]}}),
    ];
    let providers = providers.map(|spec| provider("default", spec));
    World {
        keys: Arc::new(KeySet::parse(keys.as_bytes()).expect("keys")),
        trust: decide::decide(&providers, &[], &[]),
        leaf: key(),
        authority,
        signer,
    }
});

fn provider(namespace: &str, spec: Value) -> TrustedIdentityProvider {
    let spec: TrustedIdentityProviderSpec = serde_json::from_value(spec).expect("a spec");
    let mut object = TrustedIdentityProvider::new(&spec.prefix.clone(), spec);
    object.metadata.namespace = Some(namespace.into());
    object
}

fn now() -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(NOW)
}

/// Who is proved is an identity as it stands, under the prefix of its own provider.
fn check(result: Result<Proven, Denied>) -> Option<Identity> {
    let proven = match result {
        Ok(proven) => proven,
        Err(denied) => {
            assert_eq!(denied.status(), 401);
            let text = denied.to_string();
            assert!(text.len() < 250 && text.chars().all(|c| !c.is_control()), "{text}");
            return None;
        }
    };
    assert!(proven.expires > now());
    for trusted in WORLD.trust.trusted() {
        let user = trusted.provider.prefix.user(&proven.identity);
        let own = trusted.provider.reference == proven.provider;
        let other = WORLD
            .trust
            .trusted()
            .find(|trusted| trusted.provider.reference != proven.provider);
        if own {
            check_user(&trusted.provider.prefix, &proven.identity);
            assert_eq!(other.expect("two").provider.prefix.identity(&user), None);
        }
    }
    // Nobody has named it.
    assert_eq!(WORLD.trust.admit(&proven).expect_err("nobody").status(), 403);
    Some(proven.identity)
}

fn check_user(prefix: &Prefix, identity: &Identity) {
    let user = prefix.user(identity);
    assert!(
        user.starts_with(prefix.as_str()) && !user.to_ascii_lowercase().starts_with("system:"),
        "{user}"
    );
    assert!(user.bytes().all(|c| c.is_ascii_graphic()), "{user}");
    assert_eq!(prefix.identity(&user).as_ref(), Some(identity));
    assert_eq!(Identity::parse(&identity.to_string()).as_ref(), Ok(identity));
}

/// A certificate of our authority with this common name.
fn common_name(name: &str) {
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::CommonName, name);
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
    params.not_before = date_time_ymd(2026, 6, 1);
    params.not_after = date_time_ymd(2026, 7, 1);
    let Ok(leaf) = params.signed_by(&WORLD.leaf, &WORLD.authority) else {
        return;
    };
    let chain = [leaf.der().clone()];
    if let Some(identity) = check(certificates::prove(&WORLD.trust, &chain, now())) {
        assert_eq!(identity.to_string(), name);
        assert_eq!(certificates::claimed(&chain), Some(identity));
    } else {
        assert!(Identity::parse(name).is_err(), "{name}");
    }
}

/// A token that is signed, whatever it says.
fn signed(header: &[u8], claims: &[u8]) -> String {
    let message = format!("{}.{}", URL_SAFE_NO_PAD.encode(header), URL_SAFE_NO_PAD.encode(claims));
    let signature = WORLD.signer.sign(message.as_bytes());
    format!("{message}.{}", URL_SAFE_NO_PAD.encode(signature))
}

fn token(token: &str) -> Option<Identity> {
    let identity = check(tokens::prove(&WORLD.trust, &|_| Some(WORLD.keys.clone()), token, now()))?;
    assert_eq!(tokens::claimed(token).as_ref(), Some(&identity));
    Some(identity)
}

fn claims() -> Value {
    json!({
        "iss": ISSUER, "aud": [AUDIENCE], "sub": "system:serviceaccount:default:default", "iat": NOW, "nbf": NOW, "exp": NOW + 600,
        "groups": ["a"],
    })
}

fn header() -> Value {
    json!({"alg": "EdDSA", "kid": "k"})
}

fn providers(data: &[u8]) {
    let spec = json!({"prefix": "a:", "identities": ["ns/a/id/b"], "groups": ["system:masters"], "oidc": {
        "issuer": ISSUER, "audiences": [AUDIENCE, "b"], "discoveryURL": "https://a.example.com/x",
        "certificateAuthorityData": STANDARD.encode(SECRET),
    }});
    let input = Input::of(data, &spec);
    let Ok(spec) = serde_json::from_slice::<TrustedIdentityProviderSpec>(&input.bytes()) else {
        return;
    };
    let mut object = provider("a", json!({"prefix": "x:"}));
    object.spec = spec;
    match Provider::read(&object) {
        Err(wrong) => {
            assert!(!wrong.texts().is_empty());
            assert!(!input.is_edited() || !wrong.to_string().contains(SECRET), "{wrong}");
        }
        Ok(read) => {
            for identity in &read.identities {
                check_user(&read.prefix, identity);
            }
            for group in &read.groups {
                assert!(!read.prefix.group(group).to_ascii_lowercase().starts_with("system:"));
            }
        }
    }
    // Beside others: who is believed can be taken for nobody else.
    let others = [
        provider(
            "b",
            json!({"prefix": "a:b:", "oidc": {"issuer": ISSUER, "audiences": ["c"]}}),
        ),
        provider(
            names::INSTALL_NAMESPACE,
            json!({"prefix": "c:", "oidc": {"issuer": ISSUER, "audiences": ["b"]}}),
        ),
    ];
    let trust = decide::decide([&object, &others[0], &others[1]], &[], &[]);
    let again = decide::decide([&others[1], &others[0], &object], &[], &[]);
    assert_eq!(trust.providers, again.providers);
    let believed: Vec<_> = trust.trusted().collect();
    for (number, one) in believed.iter().enumerate() {
        for other in &believed[number + 1..] {
            assert!(!one.provider.prefix.overlaps(&other.provider.prefix));
            assert!(one.users().is_disjoint(&other.users()) && one.groups().is_disjoint(&other.groups()));
        }
    }
}

fn kubeconfig(data: &[u8]) {
    let spec = json!({"secretName": "a", "cluster": {
        "server": "https://a.example.com:8443", "certificateAuthorityData": STANDARD.encode(SECRET), "tlsServerName": "a",
        "proxyURL": "http://a:1",
    }, "token": {"serviceAccountName": "a", "audience": "multicluster.admiralty.io/a", "expirationSeconds": 600}});
    let input = Input::of(data, &spec);
    let Ok(spec) = serde_json::from_slice::<KubeconfigSpec>(&input.bytes()) else {
        return;
    };
    match Wanted::read("default", &spec) {
        Err(wrong) => {
            assert!(!wrong.0.is_empty());
            assert!(!input.is_edited() || !wrong.to_string().contains(SECRET), "{wrong}");
        }
        Ok(wanted) => {
            assert!(wanted.cluster.server.to_ascii_lowercase().starts_with("https://"));
            assert_eq!(wanted.identity.namespace(), "default");
            if let Proof::Token { audience, .. } = wanted.proof {
                assert!(audience.starts_with(names::AUDIENCE_PREFIX) && audience.len() > names::AUDIENCE_PREFIX.len());
            }
        }
    }
}

fuzz_target!(|data: &[u8]| {
    let Some((kind, data)) = data.split_first() else {
        return;
    };
    let text = String::from_utf8_lossy(data);
    match kind {
        b'n' => common_name(&text),
        b'c' => {
            let input = Input::of(data, &claims());
            if let Some(identity) = token(&signed(header().to_string().as_bytes(), &input.bytes())) {
                let claims: Value = serde_json::from_slice(&input.bytes()).expect("an object");
                assert_eq!(
                    Identity::of_service_account(claims["sub"].as_str().expect("a text")),
                    Ok(identity)
                );
                assert_eq!(claims["iss"], ISSUER);
                assert!(claims["exp"].is_number());
            }
        }
        b'h' => {
            let input = Input::of(data, &header());
            if token(&signed(&input.bytes(), claims().to_string().as_bytes())).is_some() {
                let header: Value = serde_json::from_slice(&input.bytes()).expect("an object");
                assert_eq!((&header["alg"], &header["kid"]), (&json!("EdDSA"), &json!("k")));
            }
        }
        b't' => assert_eq!(token(&text), None),
        b'p' => {
            if let Ok(prefix) = Prefix::parse(&text) {
                check_user(&prefix, &Identity::new("a", "b").expect("an identity"));
            }
            let (prefix, rest) = text.split_at(text.find(' ').unwrap_or_default());
            if let (Ok(prefix), Ok(identity)) = (Prefix::parse(prefix), Identity::parse(rest.trim_start())) {
                check_user(&prefix, &identity);
            }
        }
        b'k' => {
            let point = URL_SAFE_NO_PAD.encode([1; 32]);
            let set =
                json!({"keys": [{"kty": "EC", "kid": "k", "crv": "P-256", "use": "sig", "x": point, "y": point}]});
            let input = Input::of(data, &set);
            if let Ok(keys) = KeySet::parse(&input.bytes()) {
                assert!(keys.ids().all(|id| !id.is_empty()) && keys.ids().next().is_some());
                let keys = Arc::new(keys);
                let token = signed(header().to_string().as_bytes(), claims().to_string().as_bytes());
                check(tokens::prove(&WORLD.trust, &|_| Some(keys.clone()), &token, now()));
            }
        }
        b'i' => providers(data),
        b'f' => kubeconfig(data),
        _ => {
            let chain = [data.to_vec().into(), WORLD.authority.der().clone()];
            assert_eq!(check(certificates::prove(&WORLD.trust, &chain, now())), None);
            let _ = certificates::claimed(&chain);
        }
    }
});
