//! Who is not let in, and who hears of it.

use std::sync::Arc;
use std::time::Duration;

use multicluster_certs::dev::DevCa;
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use crate::client::{Client, get, status, with};
use crate::world::{IDENTITY, USER, World};

#[tokio::test]
async fn nobody_is_anonymous() {
    let world = World::new().await;
    let mut clients = [Client::http1(&world, None).await, Client::http2(&world, None).await];
    for client in &mut clients {
        for path in ["/healthz", "/version", "/openapi/v2", "/api/v1/pods"] {
            let (code, body) = status(client.get(path).await).await;
            assert_eq!((code, &body["reason"]), (401, &"Unauthorized".into()));
            assert_eq!(body["message"], "no client certificate and no bearer token");
        }
    }
    assert!(world.api.asked().is_empty());
    let line = r#"multicluster_authproxy_denied_total{reason="NoCredentials",identity=""} 8"#;
    assert!(world.metrics().contains(line), "{}", world.metrics());
    assert!(world.events().is_empty(), "nobody knows whose fault it is");
}

#[tokio::test]
async fn a_certificate_of_another_authority_is_nobodys() {
    let world = World::new().await;
    let stranger = DevCa::new().unwrap().client(IDENTITY).unwrap();
    let mut client = Client::http2(&world, Some(&stranger)).await;
    assert_eq!(status(client.get("/version").await).await.0, 401);
    assert!(world.api.asked().is_empty());
}

#[tokio::test]
async fn names_that_are_no_identity_are_nobodys() {
    let world = World::new().await;
    let long = format!("ns/default/id/{}", "x".repeat(20_000));
    for name in [
        "system:admin",
        "ns/../id/x",
        "",
        "kubernetes-admin",
        "ns/default/id/default/x",
        &long,
    ] {
        let identity = world.ca.client(name).unwrap();
        let mut client = Client::http1(&world, Some(&identity)).await;
        assert_eq!(status(client.get("/version").await).await.0, 401, "{name:.40}");
    }
    assert!(world.api.asked().is_empty());
}

#[tokio::test]
async fn who_is_known_and_not_let_in_is_named() {
    let world = World::new().await;
    let other = world.ca.client("ns/default/id/other").unwrap();
    let mut client = Client::http2(&world, Some(&other)).await;
    for _ in 0..3 {
        let (code, body) = status(client.get("/version").await).await;
        assert_eq!((code, &body["reason"]), (403, &"Forbidden".into()));
    }
    assert!(world.api.asked().is_empty());
    let events = world.events();
    assert_eq!(events.len(), 1, "once in a while: {events:?}");
    assert_eq!(events[0].0, "IdentityDenied default/management");
    assert!(
        events[0]
            .1
            .contains("spiffe://management/ns/default/id/other may not call"),
        "{events:?}"
    );
    let line = r#"denied_total{reason="NotAdmitted",identity="spiffe://management/ns/default/id/other"} 3"#;
    assert!(world.metrics().contains(line), "{}", world.metrics());
}

#[tokio::test]
async fn who_was_let_in_once_is_still_named_when_the_provider_is_gone() {
    let world = World::new().await;
    let mut client = Client::http1(&world, Some(&world.identity())).await;
    assert_eq!(client.get("/version").await.status(), 200);
    world.trust(vec![]).await;
    assert_eq!(status(client.get("/version").await).await.0, 401);
    let events = world.events();
    assert_eq!(events[0].0, "IdentityDenied default/management");
    assert!(events[0].1.contains(USER), "{events:?}");
    let line = format!(r#"denied_total{{reason="Unproven",identity="{USER}"}} 1"#);
    assert!(world.metrics().contains(&line), "{}", world.metrics());
}

#[tokio::test]
async fn headers_by_which_somebody_would_be_somebody_else_are_refused() {
    let world = World::new().await;
    let identity = world.identity();
    for (name, value) in [
        ("impersonate-user", "system:admin"),
        ("Impersonate-Group", "system:masters"),
        ("impersonate-uid", "x"),
        ("impersonate-extra-scopes", "x"),
        ("impersonate_user", "x"),
        ("x-remote-user", "system:admin"),
        ("x-remote-group", "system:masters"),
        ("x_remote_extra_a", "x"),
    ] {
        for mut client in [
            Client::http1(&world, Some(&identity)).await,
            Client::http2(&world, Some(&identity)).await,
        ] {
            let response = client.send(with(get("/version"), name, value)).await.unwrap();
            let (code, body) = status(response).await;
            assert_eq!(code, 403, "{name}");
            assert!(
                body["message"].as_str().unwrap().contains(&name.to_ascii_lowercase()),
                "{body}"
            );
        }
    }
    let mut client = Client::http1(&world, Some(&identity)).await;
    let request = with(get("/version"), "connection", "keep-alive, Impersonate-User");
    assert_eq!(client.send(request).await.unwrap().status(), 403);
    assert!(world.api.asked().is_empty());
    assert!(world.events()[0].1.contains(USER), "{:?}", world.events());
}

#[tokio::test]
async fn who_says_nothing_is_not_waited_for() {
    let world = World::with(&["--max-connections=4"]).await;
    let mut silent = Vec::new();
    for _ in 0..8 {
        silent.push(TcpStream::connect(world.addr).await.unwrap());
    }
    let mut client = Client::http1(&world, Some(&world.identity())).await;
    assert_eq!(client.get("/version").await.status(), 200);
    let first = tokio::time::timeout(Duration::from_secs(1), silent[0].read(&mut [0; 1])).await;
    assert!(matches!(first, Ok(Ok(0) | Err(_))), "closed for another one");
}

/// A certificate is no secret: whoever has seen one can show it.
#[tokio::test]
async fn who_shows_anothers_certificate_without_its_key_is_not_heard() {
    use rustls::crypto::ring;
    use rustls::sign::{CertifiedKey, SingleCertAndKey};
    use rustls::version::{TLS12, TLS13};

    let world = World::new().await;
    let (victim, thief) = (world.identity(), world.ca.client("ns/default/id/thief").unwrap());
    let stolen = CertificateDer::from_pem_slice(victim.cert.as_bytes()).unwrap();
    let root = CertificateDer::from_pem_slice(world.serving.pem().as_bytes()).unwrap();
    let mut roots = rustls::RootCertStore::empty();
    roots.add(root).unwrap();
    for (key, version, heard) in [
        (&thief, &TLS13, false),
        (&thief, &TLS12, false),
        (&victim, &TLS13, true),
        (&victim, &TLS12, true),
    ] {
        let key = PrivateKeyDer::from_pem_slice(key.key.as_bytes()).unwrap();
        let key = ring::sign::any_supported_type(&key).unwrap();
        let shown = SingleCertAndKey::from(CertifiedKey::new(vec![stolen.clone()], key));
        let config = rustls::ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_protocol_versions(&[version])
            .unwrap()
            .with_root_certificates(roots.clone())
            .with_client_cert_resolver(Arc::new(shown));
        let stream = TcpStream::connect(world.addr).await.unwrap();
        let name = ServerName::try_from("localhost").unwrap();
        let mut answer = Vec::new();
        if let Ok(mut stream) = TlsConnector::from(Arc::new(config)).connect(name, stream).await {
            let _ = stream
                .write_all(b"GET /version HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n")
                .await;
            let _ = stream.read_to_end(&mut answer).await;
        }
        assert_eq!(
            answer.starts_with(b"HTTP/1.1 200"),
            heard,
            "{}",
            String::from_utf8_lossy(&answer)
        );
        assert!(heard || answer.is_empty(), "{}", String::from_utf8_lossy(&answer));
    }
    assert_eq!(world.api.asked().len(), 2);
}
