//! The end of the server.

use std::time::Duration;

use multicluster_certs::Limits;

use crate::server::{TestServer, get_over};

#[tokio::test]
async fn requests_in_flight_are_answered_and_idle_connections_closed() {
    let server = TestServer::start(Limits::default()).await;
    let (idle, busy) = (server.connect(None).await.unwrap(), server.connect(None).await.unwrap());
    let answer = tokio::spawn(get_over(busy, "/slow"));
    tokio::time::sleep(Duration::from_millis(100)).await;
    server.shutdown.cancel();
    assert!(answer.await.unwrap().unwrap().ends_with("slow"));
    tokio::time::timeout(Duration::from_secs(2), server.task)
        .await
        .expect("the server returns")
        .unwrap();
    drop(idle);
}

#[tokio::test]
async fn what_takes_longer_than_the_grace_is_cut_off() {
    let limits = Limits {
        grace: Duration::from_millis(50),
        ..Limits::default()
    };
    let server = TestServer::start(limits).await;
    let answer = tokio::spawn(get_over(server.connect(None).await.unwrap(), "/slow"));
    tokio::time::sleep(Duration::from_millis(100)).await;
    server.shutdown.cancel();
    server.task.await.unwrap();
    assert!(!answer.await.unwrap().is_ok_and(|answer| answer.ends_with("slow")));
}
