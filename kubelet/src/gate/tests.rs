use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use hyper::header::HeaderValue;
use multicluster_certs::dev::DevCa;
use rustls_pki_types::pem::PemObject;

use super::*;
use crate::reviews::NoAnswer;

/// Knows the token `good`, whose owner may read metrics; and lets `boss` do everything.
#[derive(Default)]
struct World {
    asked: AtomicUsize,
    silent: AtomicBool,
}

impl Reviews for Arc<World> {
    async fn token(&self, token: &str) -> Result<Option<Caller>, NoAnswer> {
        self.asked.fetch_add(1, Ordering::SeqCst);
        if self.silent.load(Ordering::SeqCst) {
            return Err(NoAnswer);
        }
        Ok((token == "good").then(|| caller("metrics-server")))
    }

    async fn access(&self, question: &Question) -> Result<Verdict, NoAnswer> {
        self.asked.fetch_add(1, Ordering::SeqCst);
        if self.silent.load(Ordering::SeqCst) {
            return Err(NoAnswer);
        }
        let may = match question.caller.user.as_str() {
            "boss" => true,
            "narrow" => question.subresource == "pods",
            "wide" => question.subresource == "proxy",
            _ => (question.verb, question.subresource, question.node.as_str()) == ("get", "metrics", "eu"),
        };
        Ok(match may {
            true => Verdict::Allowed,
            false => Verdict::Denied("no rule".into()),
        })
    }
}

fn caller(user: &str) -> Caller {
    Caller {
        user: user.into(),
        ..Caller::default()
    }
}

fn gate() -> (Arc<World>, Gate<Arc<World>>, DevCa) {
    let (world, ca, known) = (Arc::new(World::default()), DevCa::new().unwrap(), ClientCa::default());
    known.learn(ca.pem());
    (world.clone(), Gate::new(known, world), ca)
}

fn chain(ca: &DevCa, user: &str) -> Vec<CertificateDer<'static>> {
    let shown = ca.client(user).unwrap();
    vec![CertificateDer::from_pem_slice(shown.cert.as_bytes()).unwrap()]
}

fn with_token(token: &str) -> HeaderMap {
    let value = HeaderValue::try_from(format!("Bearer {token}")).unwrap();
    [(AUTHORIZATION, value)].into_iter().collect()
}

fn code<T>(result: Result<T, Failure>) -> u16 {
    result.err().map_or(200, |failure| failure.code().as_u16())
}

#[tokio::test]
async fn nobody_is_anonymous() {
    let (_, gate, _) = gate();
    assert_eq!(code(gate.authenticate(&[], &HeaderMap::new()).await), 401);
    let basic = [(AUTHORIZATION, HeaderValue::from_static("Basic Z29vZA=="))];
    assert_eq!(code(gate.authenticate(&[], &basic.into_iter().collect()).await), 401);
}

#[tokio::test]
async fn a_certificate_says_who_calls_and_one_of_another_authority_says_nothing() {
    let (_, gate, ca) = gate();
    let none = HeaderMap::new();
    assert_eq!(
        gate.authenticate(&chain(&ca, "boss"), &none).await.unwrap().user,
        "boss"
    );
    let stranger = chain(&DevCa::new().unwrap(), "boss");
    assert_eq!(code(gate.authenticate(&stranger, &none).await), 401);
    assert_eq!(
        gate.authenticate(&stranger, &with_token("good")).await.unwrap().user,
        "metrics-server"
    );
}

#[tokio::test]
async fn a_token_is_asked_about_once() {
    let (world, gate, _) = gate();
    for _ in 0..3 {
        assert_eq!(
            gate.authenticate(&[], &with_token("good")).await.unwrap().user,
            "metrics-server"
        );
        assert_eq!(code(gate.authenticate(&[], &with_token("bad")).await), 401);
    }
    assert_eq!(world.asked.load(Ordering::SeqCst), 2);
    let hidden = HeaderValue::from_static("v5.channel.k8s.io, base64url.bearer.authorization.k8s.io.Z29vZA");
    let headers = [(SEC_WEBSOCKET_PROTOCOL, hidden)].into_iter().collect();
    assert_eq!(code(gate.authenticate(&[], &headers).await), 401);
}

#[tokio::test]
async fn who_may_is_what_the_api_server_says_for_that_node() {
    let (world, gate, _) = gate();
    let may = async |user: &str, method: Method, node: &str, what: &[&'static str]| {
        code(gate.authorize(&caller(user), &method, node, what).await)
    };
    assert_eq!(may("metrics-server", Method::GET, "eu", &["metrics"]).await, 200);
    assert_eq!(may("metrics-server", Method::GET, "us", &["metrics"]).await, 403);
    assert_eq!(may("metrics-server", Method::GET, "eu", &["proxy"]).await, 403);
    assert_eq!(may("metrics-server", Method::POST, "eu", &["metrics"]).await, 403);
    let asked = world.asked.load(Ordering::SeqCst);
    assert_eq!(may("metrics-server", Method::GET, "eu", &["metrics"]).await, 200);
    assert_eq!(may("metrics-server", Method::GET, "us", &["metrics"]).await, 403);
    assert_eq!(world.asked.load(Ordering::SeqCst), asked, "answers are remembered");
}

#[tokio::test]
async fn one_of_the_subresources_is_enough() {
    let (_, gate, _) = gate();
    for (user, expected) in [("narrow", 200), ("wide", 200), ("nobody", 403)] {
        let result = gate
            .authorize(&caller(user), &Method::GET, "eu", &["pods", "proxy"])
            .await;
        assert_eq!(code(result), expected, "{user}");
    }
}

#[tokio::test]
async fn who_cannot_be_asked_about_is_not_let_in_and_that_is_not_remembered() {
    let (world, gate, _) = gate();
    world.silent.store(true, Ordering::SeqCst);
    assert_eq!(
        code(gate.authorize(&caller("boss"), &Method::POST, "eu", &["proxy"]).await),
        503
    );
    assert_eq!(code(gate.authenticate(&[], &with_token("good")).await), 503);
    world.silent.store(false, Ordering::SeqCst);
    assert_eq!(
        code(gate.authorize(&caller("boss"), &Method::POST, "eu", &["proxy"]).await),
        200
    );
    assert_eq!(code(gate.authenticate(&[], &with_token("good")).await), 200);
}

#[tokio::test]
async fn a_refusal_says_what_is_missing() {
    let (_, gate, _) = gate();
    let refused = gate.authorize(&caller("eve"), &Method::POST, "eu", &["proxy"]).await;
    let text = refused.unwrap_err().to_string();
    for part in ["user=eve", "verb=create", "[proxy]", "node=eu", "no rule"] {
        assert!(text.contains(part), "{text}");
    }
}
