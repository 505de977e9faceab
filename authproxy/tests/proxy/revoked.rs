//! Who is not trusted any more is cut off at once, with all that is open.

use std::time::Duration;

use http_body_util::BodyExt;
use hyper::body::Bytes;
use multicluster_api::TrustedIdentityProvider;
use tokio::io::AsyncReadExt;
use tokio::time::{Instant, timeout};

use crate::client::{Client, connect, get, status};
use crate::world::{IDENTITY, USER, World, until};

/// A provider that lets in another identity besides.
fn two(world: &World) -> TrustedIdentityProvider {
    let mut provider = world.provider();
    provider.spec.identities.push("ns/default/id/other".into());
    provider
}

#[tokio::test]
async fn open_watches_end_with_an_error_and_at_once() {
    let world = World::new().await;
    let identity = world.identity();
    for http2 in [false, true] {
        world.trust(vec![two(&world)]).await;
        let mut clients = Vec::new();
        for identity in [&identity, &world.ca.client("ns/default/id/other").unwrap()] {
            clients.push(match http2 {
                true => Client::http2(&world, Some(identity)).await,
                false => Client::http1(&world, Some(identity)).await,
            });
        }
        let mut watch = clients[0].get("/watch").await.into_body();
        let mut other = clients[1].get("/watch").await.into_body();
        until("both are open", || world.api.watches() == 2).await;
        let mut provider = two(&world);
        provider.spec.identities.retain(|identity| identity != IDENTITY);
        let began = Instant::now();
        world.trust(vec![provider]).await;
        let end = timeout(Duration::from_secs(1), watch.frame()).await.unwrap();
        assert!(end.unwrap().is_err(), "not a clean end");
        assert!(began.elapsed() < Duration::from_millis(200), "{:?}", began.elapsed());
        until("the API server is told", || world.api.watches() == 1).await;
        world.api.events.send(Bytes::from("on\n")).unwrap();
        assert_eq!(
            other.frame().await.unwrap().unwrap().into_data().unwrap(),
            "on\n",
            "others go on"
        );
        drop((watch, other, clients));
        until("all have ended", || world.api.watches() == 0).await;
    }
    let events = world.events();
    assert_eq!(events[0].0, "IdentityRevoked default/management");
    assert!(events[0].1.starts_with(USER), "{events:?}");
    assert!(
        world
            .metrics()
            .contains(r#"multicluster_authproxy_cut_total{reason="Revoked"} 2"#)
    );
}

#[tokio::test]
async fn a_provider_that_goes_takes_its_callers_with_it() {
    let world = World::new().await;
    let mut client = Client::http2(&world, Some(&world.identity())).await;
    let mut watch = client.get("/watch").await.into_body();
    world.trust(vec![]).await;
    assert!(
        timeout(Duration::from_secs(1), watch.frame())
            .await
            .unwrap()
            .unwrap()
            .is_err()
    );
    assert_eq!(status(client.get("/version").await).await.0, 401);
}

#[tokio::test]
async fn one_that_was_made_again_is_another_one() {
    let world = World::new().await;
    let mut client = Client::http2(&world, Some(&world.identity())).await;
    let mut watch = client.get("/watch").await.into_body();
    let mut again = world.provider();
    again.metadata.uid = Some("another".into());
    world.trust(vec![again]).await;
    // The certificate on the connection is as good as before, and the word is another's: who calls comes again.
    assert!(
        timeout(Duration::from_secs(1), watch.frame())
            .await
            .unwrap()
            .unwrap()
            .is_err()
    );
    assert_eq!(client.get("/version").await.status(), 200);
}

#[tokio::test]
async fn what_does_not_concern_a_caller_cuts_nothing() {
    let world = World::new().await;
    let mut client = Client::http2(&world, Some(&world.identity())).await;
    let mut watch = client.get("/watch").await.into_body();
    until("it is open", || world.api.watches() == 1).await;
    world.trust(vec![two(&world)]).await;
    world.trust(vec![world.provider()]).await;
    world.api.events.send(Bytes::from("on\n")).unwrap();
    assert_eq!(watch.frame().await.unwrap().unwrap().into_data().unwrap(), "on\n");
}

#[tokio::test]
async fn a_request_without_an_answer_yet_is_cut_too() {
    let world = World::new().await;
    let mut client = Client::http1(&world, Some(&world.identity())).await;
    let stalled = tokio::spawn(async move { client.send(get("/stall")).await });
    until("it is under way", || world.api.asked().len() == 1).await;
    world.trust(vec![]).await;
    let answer = timeout(Duration::from_secs(1), stalled)
        .await
        .unwrap()
        .unwrap()
        .unwrap();
    assert_eq!(status(answer).await.0, 401);
}

#[tokio::test]
async fn a_client_that_does_not_read_is_cut_too() {
    let world = World::new().await;
    let mut stream = connect(&world, Some(&world.identity()), &[b"http/1.1"]).await;
    tokio::io::AsyncWriteExt::write_all(&mut stream, b"GET /endless HTTP/1.1\r\nhost: a\r\n\r\n")
        .await
        .unwrap();
    until("it is under way", || world.flights.counts().requests == 1).await;
    tokio::time::sleep(Duration::from_millis(300)).await;
    world.trust(vec![]).await;
    until("it has ended", || world.flights.counts().requests == 0).await;
    let mut rest = Vec::new();
    assert!(stream.read_to_end(&mut rest).await.is_err(), "no clean end");

    world.trust(vec![world.provider()]).await;
    let mut client = Client::http2(&world, Some(&world.identity())).await;
    let unread = client.get("/endless").await;
    tokio::time::sleep(Duration::from_millis(300)).await;
    world.trust(vec![]).await;
    until("it has ended", || world.flights.counts().requests == 0).await;
    assert!(unread.into_body().collect().await.is_err());
}

#[tokio::test]
async fn nobody_is_trusted_on_old_word() {
    let world = World::with(&["--stale-after=3"]).await;
    let mut client = Client::http2(&world, Some(&world.identity())).await;
    let mut watch = client.get("/watch").await.into_body();
    world.falls_silent();
    let began = Instant::now();
    assert!(
        timeout(Duration::from_secs(5), watch.frame())
            .await
            .unwrap()
            .unwrap()
            .is_err()
    );
    assert!(
        (2500..3500).contains(&began.elapsed().as_millis()),
        "{:?}",
        began.elapsed()
    );
    let response = client.get("/version").await;
    assert_eq!(response.headers()["retry-after"], "1");
    assert_eq!(status(response).await.0, 503);
    assert!(world.knowledge.check().is_err());
    assert!(world.metrics().contains("multicluster_authproxy_trust_known 0"));
    world.speaks_again();
    tokio::time::sleep(Duration::from_millis(50)).await;
    assert_eq!(client.get("/version").await.status(), 200);
}
