//! What passes, and as what.

use std::time::Duration;

use bytes_of::chunks;
use http_body_util::{BodyExt, StreamBody};
use hyper::Request;
use hyper::body::{Bytes, Frame};

use crate::client::{Client, get, put, status, text, with};
use crate::world::{USER, World, until};

mod bytes_of {
    use super::*;

    pub(crate) fn chunks(count: usize) -> Vec<Bytes> {
        (0..count).map(|n| Bytes::from(vec![n as u8; 10_000])).collect()
    }
}

async fn both(world: &World) -> [Client; 2] {
    let identity = world.identity();
    [
        Client::http1(world, Some(&identity)).await,
        Client::http2(world, Some(&identity)).await,
    ]
}

#[tokio::test]
async fn the_api_server_sees_the_caller_by_name_and_nothing_of_its_credentials() {
    let world = World::new().await;
    for mut client in both(&world).await {
        let request = with(
            get("/api/v1/pods?watch=0&fieldSelector=a%3Db%2Fc&x=%zz+ä"
                .replace('ä', "%C3%A4")
                .as_str()),
            "x-forwarded-for",
            "6.6.6.6",
        );
        let request = with(with(request, "x-real-ip", "6.6.6.6"), "accept-encoding", "gzip");
        let request = with(request, "user-agent", "kubectl/v1.36.0");
        let response = client.send(request).await.unwrap();
        assert_eq!(response.status(), 200);
        assert_eq!(text(response).await, "hello");
        let asked = world.api.asked().pop().unwrap();
        assert_eq!(
            asked.target,
            "/api/v1/pods?watch=0&fieldSelector=a%3Db%2Fc&x=%zz+%C3%A4"
        );
        let all = |name: &str| -> Vec<_> {
            asked
                .headers
                .get_all(name)
                .iter()
                .map(|value| value.to_str().unwrap())
                .collect()
        };
        assert_eq!(all("impersonate-user"), [USER]);
        assert_eq!(all("impersonate-group"), [] as [&str; 0]);
        assert_eq!(
            all("x-forwarded-for"),
            ["127.0.0.1"],
            "the audit log's source address is the true one"
        );
        assert_eq!(all("x-real-ip"), [] as [&str; 0]);
        assert_eq!(all("authorization"), [] as [&str; 0]);
        assert_eq!(all("accept-encoding"), ["gzip"]);
        assert_eq!(all("user-agent"), ["kubectl/v1.36.0"]);
        assert_eq!(all("host"), [world.api.addr.to_string()]);
    }
}

#[tokio::test]
async fn bodies_pass_with_and_without_a_length() {
    let world = World::new().await;
    for mut client in both(&world).await {
        let request = with(
            put("/apis/apps/v1/x", "{}"),
            "content-type",
            "application/apply-patch+yaml",
        );
        assert_eq!(client.send(request).await.unwrap().status(), 200);
        let asked = world.api.asked().pop().unwrap();
        assert_eq!((asked.method.as_str(), &asked.body[..]), ("PUT", &b"{}"[..]));
        assert_eq!(asked.headers["content-type"], "application/apply-patch+yaml");
    }
    for mut client in both(&world).await {
        let frames = chunks(20).into_iter().map(|chunk| Ok(Frame::data(chunk)));
        let body = StreamBody::new(futures::stream::iter(frames)).boxed_unsync();
        let request = Request::post("/api/v1/pods").body(body).unwrap();
        let request = with(request, "expect", "100-continue");
        assert_eq!(client.send(request).await.unwrap().status(), 200);
        let asked = world.api.asked().pop().unwrap();
        assert_eq!(asked.body, chunks(20).concat());
    }
}

#[tokio::test]
async fn answers_pass_as_they_are() {
    let world = World::new().await;
    for mut client in both(&world).await {
        assert_eq!(status(client.get("/gone").await).await.0, 410);
        let response = client.get("/gzip").await;
        assert_eq!(response.headers()["content-encoding"], "gzip");
        assert_eq!(response.headers()["x-kubernetes-pf-flowschema-uid"], "abc");
        assert!(
            !response.headers().contains_key("keep-alive"),
            "speaks of another connection"
        );
        assert_eq!(text(response).await, "not really gzip");
    }
}

#[tokio::test]
async fn watch_events_come_one_by_one() {
    let world = World::new().await;
    for mut client in both(&world).await {
        let mut body = client.get("/watch").await.into_body();
        until("the watch is open", || world.api.watches() == 1).await;
        for event in ["one\n", "two\n"] {
            world.api.events.send(Bytes::from(event)).unwrap();
            let frame = tokio::time::timeout(Duration::from_secs(1), body.frame())
                .await
                .unwrap();
            assert_eq!(frame.unwrap().unwrap().into_data().unwrap(), event);
        }
        assert_eq!(world.flights.counts().requests, 1);
        drop((body, client));
        until("nobody listens any more, and the API server is told", || {
            world.api.watches() == 0
        })
        .await;
        until("nothing is in flight", || world.flights.counts().requests == 0).await;
    }
}

#[tokio::test]
async fn a_connection_carries_many_requests() {
    let world = World::new().await;
    let mut clients = both(&world).await;
    for _ in 0..50 {
        for client in &mut clients {
            assert_eq!(text(client.get("/version").await).await, "hello");
        }
    }
    assert_eq!(world.api.asked().len(), 100);
}

#[tokio::test]
async fn an_api_server_that_is_away_is_unavailable_and_clients_are_told_when_to_come_back() {
    let world = World::new().await;
    let identity = world.identity();
    let mut client = Client::http1(&world, Some(&identity)).await;
    assert_eq!(client.get("/version").await.status(), 200);
    world.api.stop();
    tokio::time::sleep(Duration::from_millis(50)).await;
    let mut client = Client::http1(&world, Some(&identity)).await;
    let response = client.get("/version").await;
    assert_eq!(response.headers()["retry-after"], "1");
    let (code, body) = status(response).await;
    assert_eq!((code, &body["reason"]), (503, &"ServiceUnavailable".into()));
    // It was never sent.
    assert_eq!(client.send(put("/x", "y")).await.unwrap().status(), 503);
}

#[tokio::test]
async fn what_may_have_been_done_is_not_done_again() {
    let world = World::new().await;
    let mut client = Client::http2(&world, Some(&world.identity())).await;
    let response = client.send(put("/close", "x")).await.unwrap();
    assert!(!response.headers().contains_key("retry-after"));
    assert_eq!(status(response).await.0, 502);
    assert_eq!(world.api.asked().len(), 1);
    assert_eq!(client.get("/close").await.status(), 503);
    assert_eq!(world.api.asked().len(), 3, "a GET is tried once more");
}

#[tokio::test]
async fn too_many_requests_at_a_time_are_told_so() {
    let world = World::with(&["--max-in-flight=1"]).await;
    let mut client = Client::http2(&world, Some(&world.identity())).await;
    let watch = client.get("/watch").await;
    let response = client.get("/version").await;
    assert_eq!(response.headers()["retry-after"], "1");
    assert_eq!(status(response).await.0, 429);
    drop(watch);
    until("it has ended", || world.flights.counts().requests == 0).await;
    assert_eq!(client.get("/version").await.status(), 200);
}

#[tokio::test]
async fn a_proxy_that_stops_finishes_what_it_can_and_cuts_the_rest() {
    let world = World::with(&["--grace-seconds=1"]).await;
    let mut client = Client::http2(&world, Some(&world.identity())).await;
    let mut watch = client.get("/watch").await.into_body();
    world.shutdown.cancel();
    world.api.events.send(Bytes::from("still there\n")).unwrap();
    assert_eq!(
        watch.frame().await.unwrap().unwrap().into_data().unwrap(),
        "still there\n"
    );
    let end = tokio::time::timeout(Duration::from_secs(3), watch.frame())
        .await
        .unwrap();
    assert!(end.is_none_or(|frame| frame.is_err()));
}
