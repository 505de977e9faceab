//! Who is let in.

use multicluster_certs::dev::DevCa;
use multicluster_certs::{Limits, ServingArgs};

use crate::server::TestServer;

async fn with_clients_of(authority: &DevCa, names: &[&str]) -> TestServer {
    let (pem, names) = (authority.pem(), names.iter().map(|name| (*name).into()).collect());
    TestServer::start_with(Limits::default(), |args: &mut ServingArgs, folder| {
        let file = folder.join("client-ca.crt");
        std::fs::write(&file, pem).unwrap();
        args.client_ca_file = Some(file);
        args.allowed_client_names = names;
    })
    .await
}

#[tokio::test]
async fn without_a_client_ca_everybody_is_let_in() {
    let server = TestServer::start(Limits::default()).await;
    assert!(server.get("/", None).await.unwrap().ends_with("hello"));
}

#[tokio::test]
async fn with_a_client_ca_only_its_clients_are_let_in() {
    let (authority, stranger) = (DevCa::new().unwrap(), DevCa::new().unwrap());
    let server = with_clients_of(&authority, &[]).await;
    let known = authority.client("kube-scheduler").unwrap();
    assert!(server.get("/", Some(&known)).await.unwrap().ends_with("hello"));
    server.get("/", None).await.expect_err("no certificate");
    let unknown = stranger.client("kube-scheduler").unwrap();
    server.get("/", Some(&unknown)).await.expect_err("another authority");
    let serving = authority.server(&["kube-scheduler"]).unwrap();
    server.get("/", Some(&serving)).await.expect_err("not for clients");
}

#[tokio::test]
async fn names_limit_whom_the_client_ca_lets_in() {
    let authority = DevCa::new().unwrap();
    let server = with_clients_of(&authority, &["kube-apiserver", "kube-scheduler"]).await;
    for (name, let_in) in [
        ("kube-scheduler", true),
        ("kube-apiserver", true),
        ("kube-scheduler2", false),
        ("kube-schedule", false),
        ("", false),
    ] {
        let client = authority.client(name).unwrap();
        let answer = server.get("/", Some(&client)).await;
        assert_eq!(answer.is_ok_and(|answer| answer.ends_with("hello")), let_in, "{name}");
    }
    let unknown = DevCa::new().unwrap().client("kube-scheduler").unwrap();
    server
        .get("/", Some(&unknown))
        .await
        .expect_err("the right name from another authority");
}
