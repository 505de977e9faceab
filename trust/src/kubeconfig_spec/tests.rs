//! What a Kubeconfig may say.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use multicluster_api::kubeconfig::{CertificateIdentity, KubeconfigCluster, KubeconfigSpec, TokenIdentity};

use super::*;

fn spec() -> KubeconfigSpec {
    KubeconfigSpec {
        secret_name: "eu-west-3".into(),
        cluster: KubeconfigCluster {
            server: "https://Proxy.example.com".into(),
            ..Default::default()
        },
        ..Default::default()
    }
}

fn with_token(token: TokenIdentity) -> KubeconfigSpec {
    KubeconfigSpec {
        token: Some(token),
        ..spec()
    }
}

fn with_cluster(cluster: KubeconfigCluster) -> KubeconfigSpec {
    let server = match cluster.server.as_str() {
        "" => spec().cluster.server,
        server => server.into(),
    };
    KubeconfigSpec {
        cluster: KubeconfigCluster { server, ..cluster },
        ..spec()
    }
}

#[test]
fn by_default_it_is_a_certificate_of_an_hour() {
    let wanted = Wanted::read("default", &spec()).unwrap();
    assert_eq!(wanted.identity.to_string(), "ns/default/id/default");
    let lifetime = Duration::from_secs(3600);
    assert_eq!(wanted.proof, Proof::Certificate { lifetime });
    assert_eq!(wanted.cluster.server, "https://Proxy.example.com");
}

#[test]
fn a_tokens_audience_is_the_servers_host_and_port() {
    for (server, audience) in [
        (
            "https://Proxy.example.com",
            "multicluster.admiralty.io/proxy.example.com:443",
        ),
        ("https://10.0.0.1:6443/k8s", "multicluster.admiralty.io/10.0.0.1:6443"),
        ("https://[fd00::1]:6443", "multicluster.admiralty.io/[fd00::1]:6443"),
    ] {
        let spec = KubeconfigSpec {
            token: Some(TokenIdentity::default()),
            ..with_cluster(KubeconfigCluster {
                server: server.into(),
                ..Default::default()
            })
        };
        let wanted = Wanted::read("team-a", &spec).unwrap();
        let expected = Proof::Token {
            service_account: "default".into(),
            audience: audience.into(),
            lifetime: DEFAULT_LIFETIME,
        };
        assert_eq!(
            (wanted.proof, wanted.identity.to_string()),
            (expected, "ns/team-a/id/default".into())
        );
    }
}

#[test]
fn what_can_work_is_taken() {
    let key = rcgen::KeyPair::generate().unwrap();
    let pem = rcgen::CertificateParams::new(vec!["a.b".into()])
        .unwrap()
        .self_signed(&key)
        .unwrap()
        .pem();
    let data = STANDARD.encode(pem.repeat(2));
    let wrapped: String = data
        .as_bytes()
        .chunks(76)
        .map(|line| format!("{}\n", std::str::from_utf8(line).unwrap()))
        .collect();
    let cluster = KubeconfigCluster {
        server: "https://10.0.0.1:6443".into(),
        certificate_authority_data: Some(wrapped),
        tls_server_name: Some("proxy.example.com".into()),
        proxy_url: Some("http://10.0.0.2:3128".into()),
    };
    let spec = KubeconfigSpec {
        certificate: Some(CertificateIdentity {
            id: Some("scheduler.a".into()),
            expiration_seconds: Some(600),
        }),
        ..with_cluster(cluster)
    };
    let wanted = Wanted::read("default", &spec).unwrap();
    assert_eq!(wanted.cluster.certificate_authority_data, Some(data));
    assert_eq!(wanted.identity.to_string(), "ns/default/id/scheduler.a");
}

#[test]
fn what_cannot_work_is_refused_and_nothing_is_quoted() {
    let key = rcgen::KeyPair::generate().unwrap().serialize_pem();
    let server = |server: &str| {
        with_cluster(KubeconfigCluster {
            server: server.into(),
            ..Default::default()
        })
    };
    let authority = |pem: &[u8]| {
        with_cluster(KubeconfigCluster {
            certificate_authority_data: Some(STANDARD.encode(pem)),
            ..Default::default()
        })
    };
    let proxy = |url: &str| {
        with_cluster(KubeconfigCluster {
            proxy_url: Some(url.into()),
            ..Default::default()
        })
    };
    let audience = |audience: &str| {
        with_token(TokenIdentity {
            audience: Some(audience.into()),
            ..Default::default()
        })
    };
    let account = |name: &str| {
        with_token(TokenIdentity {
            service_account_name: Some(name.into()),
            ..Default::default()
        })
    };
    let certificate = |id: Option<&str>, expiration_seconds| KubeconfigSpec {
        certificate: Some(CertificateIdentity {
            id: id.map(Into::into),
            expiration_seconds,
        }),
        ..spec()
    };
    let token_for = |expiration_seconds| {
        with_token(TokenIdentity {
            expiration_seconds,
            ..Default::default()
        })
    };
    for (spec, hint) in [
        (server("http://s3cret"), "spec.cluster.server"),
        (server("HTTPS://a"), "spec.cluster.server"),
        (server("https://"), "spec.cluster.server"),
        (server("https://u:s3cret@a"), "without user"),
        (server("https://a?s3cret"), "query"),
        (server("https://a#s3cret"), "fragment"),
        (server("https://a:0"), "spec.cluster.server"),
        (server("https://a:99999"), "spec.cluster.server"),
        (server("https://a:"), "spec.cluster.server"),
        (server("https://a b"), "spec.cluster.server"),
        (server("https://-a"), "spec.cluster.server"),
        (server("https://[::g]"), "spec.cluster.server"),
        (authority(b"s3cret"), "no certificate"),
        (authority(key.as_bytes()), "private key"),
        (
            authority(b"-----BEGIN CERTIFICATE-----\nczNjcmV0\n-----END CERTIFICATE-----\n"),
            "certificate 1 of",
        ),
        (
            authority(b"-----BEGIN CERTIFICATE-----\n!\n-----END CERTIFICATE-----\n"),
            "not PEM",
        ),
        (
            with_cluster(KubeconfigCluster {
                certificate_authority_data: Some("-----BEGIN CERTIFICATE-----".into()),
                ..Default::default()
            }),
            "not base64",
        ),
        (
            with_cluster(KubeconfigCluster {
                tls_server_name: Some("s3cret s3cret".into()),
                ..Default::default()
            }),
            "spec.cluster.tlsServerName",
        ),
        (proxy("10.0.0.2:3128"), "http://HOST:PORT"),
        (proxy("http://a"), "http://HOST:PORT"),
        (proxy("socks5://a:1"), "http://HOST:PORT"),
        (proxy("http://u:s3cret@a:1"), "http://HOST:PORT"),
        (proxy("http://a:1/s3cret"), "http://HOST:PORT"),
        (audience("s3cret"), "spec.token.audience"),
        (
            audience("https://kubernetes.default.svc"),
            "multicluster.admiralty.io/NAME",
        ),
        (audience("multicluster.admiralty.io/"), "spec.token.audience"),
        (audience("multicluster.admiralty.io/a b"), "spec.token.audience"),
        (account("s3cret/a"), "spec.token.serviceAccountName"),
        (account(""), "spec.token.serviceAccountName"),
        (certificate(Some("../s3cret"), None), "spec.certificate.id"),
        (certificate(Some(""), None), "spec.certificate.id"),
        (certificate(None, Some(599)), "from 600 to 7776000"),
        (certificate(None, Some(7_776_001)), "from 600 to 7776000"),
        (certificate(None, Some(i64::MIN)), "from 600 to 7776000"),
        (token_for(Some(86401)), "from 600 to 86400"),
        (
            KubeconfigSpec {
                secret_name: "S3cret".into(),
                ..spec()
            },
            "spec.secretName",
        ),
        (
            KubeconfigSpec {
                certificate: Some(CertificateIdentity::default()),
                ..with_token(TokenIdentity::default())
            },
            "not both",
        ),
    ] {
        let message = Wanted::read("default", &spec).unwrap_err().to_string();
        assert!(
            message.contains(hint) && !message.contains("s3cret"),
            "{hint}: {message}"
        );
    }
}

#[test]
fn all_that_is_wrong_is_said_at_once() {
    let spec = KubeconfigSpec {
        secret_name: "-".into(),
        cluster: KubeconfigCluster {
            server: "http://a".into(),
            certificate_authority_data: Some("a".into()),
            tls_server_name: Some("a b".into()),
            proxy_url: Some("a".into()),
        },
        token: Some(TokenIdentity {
            service_account_name: Some("-".into()),
            audience: Some("a".into()),
            expiration_seconds: Some(1),
        }),
        certificate: None,
    };
    let InvalidKubeconfig(wrong) = Wanted::read("default", &spec).unwrap_err();
    assert_eq!(wrong.len(), 8, "{wrong:#?}");
}
