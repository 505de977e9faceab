use k8s_openapi::ByteString;
use multicluster_api::kubeconfig::{CertificateIdentity, KubeconfigCluster, KubeconfigSpec, TokenIdentity};
use multicluster_targets::kubeconfig as reader;
use proptest::prelude::*;

use super::*;

fn wanted(change: impl FnOnce(&mut KubeconfigSpec)) -> Wanted {
    let mut spec = KubeconfigSpec {
        secret_name: "eu".into(),
        cluster: KubeconfigCluster {
            server: "https://eu.example:6443".into(),
            ..Default::default()
        },
        ..Default::default()
    };
    change(&mut spec);
    Wanted::read("default", &spec).unwrap()
}

fn token(token: &str) -> Proof {
    Proof::Token(SecretString::from(token))
}

/// As the clients of targets read it.
fn read(content: &SecretString) -> kube::config::Kubeconfig {
    let text = ByteString(content.expose_secret().as_bytes().to_vec());
    reader::parse(&text, None).unwrap()
}

#[test]
fn a_certificate_and_its_key_are_data() {
    let (chain, key) = ("chain".repeat(1000), SecretString::from("key".repeat(100)));
    let proof = Proof::Certificate {
        chain: chain.clone(),
        key,
    };
    let change = |spec: &mut KubeconfigSpec| {
        spec.cluster.tls_server_name = Some("proxy.example".into());
        spec.cluster.proxy_url = Some("http://proxy:3128".into());
    };
    let read = read(&kubeconfig("eu", &wanted(change), &proof).unwrap());
    let cluster = read.clusters[0].cluster.as_ref().unwrap();
    assert_eq!(cluster.server.as_deref(), Some("https://eu.example:6443"));
    assert_eq!(cluster.tls_server_name.as_deref(), Some("proxy.example"));
    assert_eq!(cluster.proxy_url.as_deref(), Some("http://proxy:3128"));
    assert_eq!(cluster.certificate_authority_data, None);
    let user = read.auth_infos[0].auth_info.as_ref().unwrap();
    assert_eq!(user.client_certificate_data, Some(BASE64_STANDARD.encode(chain)));
    let key = user.client_key_data.as_ref().unwrap().expose_secret();
    assert_eq!(*key, BASE64_STANDARD.encode("key".repeat(100)));
    assert!(user.token.is_none());
    assert_eq!(read.current_context.as_deref(), Some("eu"));
}

#[test]
fn nothing_secret_is_shown() {
    let (chain, key) = ("c".to_owned(), SecretString::from("s3cret"));
    for proof in [token("s3cret"), Proof::Certificate { chain, key }] {
        let content = kubeconfig("eu", &wanted(|_| {}), &proof).unwrap();
        assert!(!format!("{proof:?}{content:?}").contains("s3cret"));
    }
}

#[test]
fn whatever_is_asked_for_otherwise_is_another_purpose() {
    let purpose = |name: &str, change: fn(&mut KubeconfigSpec)| purpose(name, &wanted(change));
    let plain = purpose("eu", |_| {});
    assert_eq!(plain, purpose("eu", |spec| spec.secret_name = "other".into()));
    let same = |spec: &mut KubeconfigSpec| spec.certificate = Some(CertificateIdentity::default());
    assert_eq!(plain, purpose("eu", same));
    let others: [fn(&mut KubeconfigSpec); 6] = [
        |spec| spec.cluster.server = "https://us.example:6443".into(),
        |spec| spec.cluster.tls_server_name = Some("us.example".into()),
        |spec| spec.cluster.proxy_url = Some("http://proxy:3128".into()),
        |spec| spec.token = Some(TokenIdentity::default()),
        |spec| {
            spec.certificate = Some(CertificateIdentity {
                id: Some("other".into()),
                ..Default::default()
            })
        },
        |spec| {
            spec.certificate = Some(CertificateIdentity {
                expiration_seconds: Some(7200),
                ..Default::default()
            })
        },
    ];
    for other in others {
        assert_ne!(plain, purpose("eu", other));
    }
    assert_ne!(plain, purpose("us", |_| {}));
}

proptest! {
    /// YAML has many ways to take a text for something else.
    #[test]
    fn what_is_written_is_read(secret in "[ -~]{1,300}", name in "[a-z0-9]([a-z0-9.-]{0,20}[a-z0-9])?") {
        let read = read(&kubeconfig(&name, &wanted(|_| {}), &token(&secret)).unwrap());
        let user = read.auth_infos[0].auth_info.as_ref().unwrap();
        prop_assert_eq!(user.token.as_ref().unwrap().expose_secret(), secret.as_str());
        prop_assert_eq!(read.current_context, Some(name));
    }
}
