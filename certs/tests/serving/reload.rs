//! Certificates are renewed under a running server.

use std::time::Duration;

use multicluster_certs::Limits;
use multicluster_certs::dev::DevCa;

use crate::server::TestServer;

async fn eventually(what: &str, mut holds: impl AsyncFnMut() -> bool) {
    for _ in 0..200 {
        if holds().await {
            return;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("not in time: {what}");
}

async fn served(server: &TestServer) -> Vec<u8> {
    let stream = server.connect(None).await.unwrap();
    stream.get_ref().1.peer_certificates().unwrap()[0].to_vec()
}

#[tokio::test]
async fn new_connections_get_a_renewed_certificate_and_old_ones_go_on() {
    let server = TestServer::start(Limits::default()).await;
    let (before, old_connection) = (served(&server).await, server.connect(None).await.unwrap());
    let renewed = server.ca.server(&["localhost"]).unwrap();
    renewed.write_to(server.folder.path()).unwrap();
    eventually("another certificate is served", async || {
        served(&server).await != before
    })
    .await;
    assert!(server.tls.metrics().reloads.get() >= 1);
    let answer = crate::server::get_over(old_connection, "/").await.unwrap();
    assert!(answer.ends_with("hello"));
}

#[tokio::test]
async fn files_swapped_by_symbolic_link_are_seen() {
    let server = TestServer::start(Limits::default()).await;
    let before = served(&server).await;
    let mount = tempfile::tempdir().unwrap();
    server
        .ca
        .server(&["localhost"])
        .unwrap()
        .write_to(mount.path())
        .unwrap();
    for file in ["tls.crt", "tls.key"] {
        let link = server.folder.path().join(file);
        std::fs::remove_file(&link).unwrap();
        std::os::unix::fs::symlink(mount.path().join(file), link).unwrap();
    }
    eventually("the other certificate is served", async || {
        served(&server).await != before
    })
    .await;
}

#[tokio::test]
async fn broken_files_are_counted_and_not_used() {
    let server = TestServer::start(Limits::default()).await;
    let before = served(&server).await;
    std::fs::write(server.folder.path().join("tls.crt"), "no PEM").unwrap();
    let failures = || server.tls.metrics().reload_failures.get();
    eventually("the failure is counted", async || failures() > 0).await;
    assert_eq!(served(&server).await, before);
    tokio::time::sleep(Duration::from_millis(50)).await;
    let counted = failures();
    tokio::time::sleep(Duration::from_millis(100)).await;
    assert_eq!(failures(), counted, "a broken file is counted once, not at each look");

    let mended = server.ca.server(&["localhost"]).unwrap();
    mended.write_to(server.folder.path()).unwrap();
    eventually("mended", async || served(&server).await != before).await;
}

#[tokio::test]
async fn a_client_of_the_old_authority_is_refused_after_a_swap() {
    let (old, new) = (DevCa::new().unwrap(), DevCa::new().unwrap());
    let pem = old.pem();
    let server = TestServer::start_with(Limits::default(), |args, folder| {
        let file = folder.join("client-ca.crt");
        std::fs::write(&file, pem).unwrap();
        args.client_ca_file = Some(file);
    })
    .await;
    // One configuration for all connections, so that the client would resume its session if it could.
    let client = old.client("a").unwrap();
    let config = server.ca.client_config(Some(&client)).unwrap();
    let ask = async || match crate::server::connect(server.addr, config.clone()).await {
        Ok(stream) => crate::server::get_over(stream, "/")
            .await
            .is_ok_and(|answer| answer.ends_with("hello")),
        Err(_) => false,
    };
    assert!(ask().await);
    std::fs::write(server.folder.path().join("client-ca.crt"), new.pem()).unwrap();
    eventually("the old client is refused", async || !ask().await).await;
}

#[tokio::test]
async fn the_expiry_is_that_of_the_certificate() {
    let server = TestServer::start(Limits::default()).await;
    // What rcgen writes when it is told nothing: the year 4096.
    assert_eq!(server.tls.not_after(), 67_090_204_800 - 24 * 3600);
}
