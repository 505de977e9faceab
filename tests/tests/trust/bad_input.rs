//! What is no proof, no request or no caller never reaches the API server.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use testbed::product::object;
use testbed::wire::{Answer, Version};
use testbed::{Authority, KeyPair, eventually};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::harness::test;
use super::jwt::{self, Issuer, unsigned};
use super::tutorial::DEFAULT;
use super::world::{SOON, Test, World};

/// How long the proxy may wait for somebody who says nothing.
const SLOW: Duration = Duration::from_secs(45);

pub fn tests() -> Vec<Test> {
    vec![
        test("certificates_that_prove_nothing", certificates),
        test("tokens_that_prove_nothing", tokens),
        test("headers_that_speak_for_others", headers),
        test("requests_that_are_two_or_none", smuggling),
        test("callers_who_never_finish", slow),
    ]
}

/// Refused with a `Status`, as an API server does it.
fn refused(answer: &Answer) -> Result<String> {
    let text = answer.text();
    ensure!(matches!(answer.status.as_u16(), 401 | 403), "{}: {text}", answer.status);
    let status: Value = serde_json::from_str(&text).context(text)?;
    ensure!(
        status["kind"] == "Status" && status["code"] == answer.status.as_u16(),
        "{status}"
    );
    Ok(status["message"].as_str().unwrap_or_default().to_owned())
}

/// Nothing with this mark has reached a target's API server.
fn unseen(world: &World, target: &str, mark: &str) -> Result<()> {
    let events = world.audits[target].events(mark)?;
    ensure!(events.is_empty(), "the API server has seen {}", events[0]);
    Ok(())
}

async fn certificates(world: Arc<World>) -> Result<()> {
    let caller = world.caller("us", "bad-certificates").await?;
    let good = format!("ns/{}/id/default", caller.namespace);
    let own = &caller.authority;
    let client = |name: &str| own.client(name, None);
    let cases: Vec<(&str, Option<KeyPair>)> = vec![
        ("nothing", None),
        (
            "of another authority",
            Some(Authority::new("other")?.client(&good, None)?),
        ),
        (
            "of an authority of the same name",
            Some(Authority::new(caller.namespace)?.client(&good, None)?),
        ),
        (
            "of the target's own authority",
            Some(
                world
                    .target("us")
                    .authority()
                    .client("kubernetes-admin", Some("system:masters"))?,
            ),
        ),
        ("signed by itself", Some(Authority::new(&good)?.pair().clone())),
        ("the authority's own", Some(own.pair().clone())),
        ("of an administrator", Some(client("system:admin")?)),
        (
            "of the API server's friends",
            Some(own.client("system:admin", Some("system:masters"))?),
        ),
        ("of a parent folder", Some(client("ns/../id/default")?)),
        ("of another folder", Some(client(&format!("{good}/../default"))?)),
        ("with the prefix", Some(client(&caller.user)?)),
        ("of nobody", Some(client("")?)),
        (
            "of somebody with a line break",
            Some(client(&format!("{good}\nImpersonate-User: system:admin"))?),
        ),
        ("of somebody with a null byte", Some(client(&format!("{good}\0"))?)),
        ("of another case", Some(client(&good.to_uppercase())?)),
        (
            "of another identity",
            Some(client(&format!("ns/{}/id/other", caller.namespace))?),
        ),
        (
            "of a long name",
            Some(client(&format!("ns/{}/id/{}", caller.namespace, "a".repeat(4096)))?),
        ),
        ("expired", Some(own.expired_client(&good)?)),
        ("not valid yet", Some(own.future_client(&good)?)),
        ("for servers", Some(own.server(&good, &["127.0.0.1"])?)),
    ];
    for (number, (what, pair)) in cases.into_iter().enumerate() {
        let path = caller.path(&format!("configmaps/bad-certificate-{number}-"));
        for version in [Version::Http1, Version::Http2] {
            let door = world.door("us", pair.as_ref())?;
            let answer = door.open(version).await?.get(&path, &[]).await.context(what)?;
            let message = refused(&answer).context(what)?;
            ensure!(!message.is_empty(), "a certificate {what}: no reason");
        }
    }
    // Longer than TLS takes: there is no answer, and the proxy goes on.
    let huge = client(&"x".repeat(65536))?;
    if let Ok(answer) = world
        .door("us", Some(&huge))?
        .get(&caller.path("configmaps/bad-certificate-huge-"))
        .await
    {
        refused(&answer)?;
    }
    unseen(&world, "us", "bad-certificate-")?;
    // Nobody else is any the worse for it.
    ensure!(caller.door.get(&caller.path("configmaps")).await?.status == 200);
    Ok(())
}

/// Somebody with an issuer of their own, whom `eu` believes.
struct Bearer {
    issuer: Issuer,
    audience: String,
    namespace: &'static str,
}

impl Bearer {
    async fn new(world: &World, namespace: &'static str) -> Result<Self> {
        let issuer = Issuer::new(&format!("https://{namespace}.example.com"))?;
        let audience = format!("multicluster.admiralty.io/{namespace}");
        let prefix = format!("spiffe://{namespace}/");
        let oidc = json!({ "issuer": issuer.issuer, "audiences": [audience], "jwks": issuer.keys() });
        let cluster = world.target("eu");
        let objects = [
            json!({ "apiVersion": "v1", "kind": "Namespace", "metadata": { "name": namespace } }),
            object(
                "TrustedIdentityProvider",
                namespace,
                "bearer",
                json!({ "prefix": prefix, "oidc": oidc }),
            ),
            object(
                "Source",
                namespace,
                "bearer",
                json!({ "userName": format!("{prefix}ns/here/id/default") }),
            ),
        ];
        for object in objects {
            cluster.apply_yaml(&object.to_string()).await?;
        }
        let bearer = Self {
            issuer,
            audience,
            namespace,
        };
        let token = bearer.issuer.sign(&bearer.claims())?;
        eventually("a token to be believed", SOON, async || {
            let answer = bearer.get(world, &token, "good").await?;
            ensure!(answer.status == 404, "{}: {}", answer.status, answer.text());
            Ok(Some(()))
        })
        .await?;
        Ok(bearer)
    }

    fn claims(&self) -> Value {
        self.issuer.claims(&self.audience, "here", "default")
    }

    fn path(&self, name: &str) -> String {
        chaperon(self.namespace, name)
    }

    async fn get(&self, world: &World, token: &str, name: &str) -> Result<Answer> {
        world.door("eu", None)?.with_token(token).get(&self.path(name)).await
    }
}

/// What a Source's user may read, and does not exist.
pub fn chaperon(namespace: &str, name: &str) -> String {
    format!("/apis/multicluster.admiralty.io/v1alpha1/namespaces/{namespace}/podchaperons/{name}")
}

async fn tokens(world: Arc<World>) -> Result<()> {
    world.tutorial().await?;
    let bearer = Bearer::new(&world, "bad-tokens").await?;
    let (issuer, good) = (&bearer.issuer, bearer.claims());
    let with = |key: &str, value: Value| {
        let mut claims = good.clone();
        claims[key] = value;
        issuer.sign(&claims)
    };
    let without = |key: &str| {
        let mut claims = good.clone();
        claims.as_object_mut().map(|claims| claims.remove(key));
        issuer.sign(&claims)
    };
    let token = issuer.sign(&good)?;
    let (head, signature) = token.rsplit_once('.').context("a token")?;
    let other = Issuer::new(&issuer.issuer)?;
    let hmac = |key: &[u8], header: &Value| {
        let text = unsigned(header, &good);
        format!("{text}.{}", jwt::base64url(&hmac_sha256(key, text.as_bytes())))
    };
    let kid = |alg: &str| json!({ "alg": alg, "kid": "test" });
    let now = jwt::now();
    let admin = json!({ "iss": issuer.issuer, "aud": [bearer.audience], "sub": "system:admin", "exp": now + 3600 });
    let none = |alg: &str| format!("{}.", unsigned(&kid(alg), &good));
    let jku = json!({ "alg": "EdDSA", "kid": "test", "jku": "https://127.0.0.1:1/", "jwk": serde_json::from_str::<Value>(&other.keys())?["keys"][0] });
    let jku = {
        let text = unsigned(&jku, &good);
        // Signed with the key that it brings along.
        let signed = other.sign(&good)?;
        format!("{text}.{}", signed.rsplit('.').next().unwrap_or_default())
    };
    let cases: Vec<(&str, String)> = vec![
        ("expired", with("exp", json!(now - 60))?),
        ("without an end", without("exp")?),
        ("with an end that is a text", with("exp", json!("9999999999"))?),
        ("not valid yet", with("nbf", json!(now + 600))?),
        (
            "for somebody else",
            with("aud", json!(["multicluster.admiralty.io/other"]))?,
        ),
        (
            "for the API server",
            with("aud", json!(["https://kubernetes.default.svc.cluster.local"]))?,
        ),
        ("for nobody", without("aud")?),
        ("of another issuer", with("iss", json!("https://other.example.com"))?),
        (
            "of an issuer with a slash",
            with("iss", json!(format!("{}/", issuer.issuer)))?,
        ),
        ("of no issuer", without("iss")?),
        ("of no subject", without("sub")?),
        (
            "of a list of subjects",
            with("sub", json!(["system:serviceaccount:here:default"]))?,
        ),
        ("of an administrator", issuer.sign(&admin)?),
        (
            "of a parent folder",
            with("sub", json!("system:serviceaccount:..:default"))?,
        ),
        (
            "of a longer name",
            with("sub", json!("system:serviceaccount:here:default:x"))?,
        ),
        ("unsigned", none("none")),
        ("unsigned, in capitals", none("None")),
        ("unsigned, that says it is not", none("EdDSA")),
        ("signed by another key of that name", other.sign(&good)?),
        ("signed by a key of another name", {
            let text = unsigned(&json!({ "alg": "EdDSA", "kid": "other" }), &good);
            format!("{text}.{signature}")
        }),
        ("that brings its own key", jku),
        (
            "signed with the public key as a password",
            hmac(issuer.keys().as_bytes(), &kid("HS256")),
        ),
        ("signed with nothing as a password", hmac(b"", &kid("HS256"))),
        (
            "with another signature",
            format!("{head}.{}", signature.chars().rev().collect::<String>()),
        ),
        ("with other claims", {
            let mut claims = good.clone();
            claims["sub"] = json!("system:serviceaccount:here:other");
            format!("{}.{signature}", unsigned(&kid("EdDSA"), &claims))
        }),
        ("with a part too many", format!("{token}.x")),
        ("in one part", head.replace('.', "")),
        ("that is none", "x".to_owned()),
        ("of 100 KB", "x".repeat(100_000)),
        // Real tokens that are for others.
        (
            "of the source, for the source",
            jwt::token(world.source(), DEFAULT, "default", None).await?,
        ),
        (
            "of the source, for another target",
            jwt::token(world.source(), DEFAULT, "default", Some("multicluster.admiralty.io/x")).await?,
        ),
        (
            "of the target itself",
            jwt::token(world.target("eu"), "multicluster-scheduler", "multicluster-agent", None).await?,
        ),
    ];
    for (number, (what, token)) in cases.into_iter().enumerate() {
        let name = format!("bad-token-{number}-");
        let answer = bearer.get(&world, &token, &name).await;
        // What is too long for a header may just be cut off.
        if what == "of 100 KB" && !answer.as_ref().is_ok_and(|answer| answer.status == 401) {
            ensure!(
                answer.is_err() || answer.is_ok_and(|answer| answer.status == 431),
                "{what}"
            );
            continue;
        }
        let message = refused(&answer.with_context(|| what.to_owned())?).with_context(|| format!("a token {what}"))?;
        ensure!(!message.is_empty(), "a token {what}: no reason");
        let words: Vec<_> = token.split('.').filter(|part| part.len() > 8).collect();
        ensure!(
            !words.iter().any(|part| message.contains(part)),
            "a token {what} is told: {message}"
        );
    }
    // Both kinds of proof at once: which of them is meant?
    let caller = world.caller("eu", "bad-both").await?;
    let both = caller
        .door
        .clone()
        .with_token(&token)
        .get(&bearer.path("bad-token-both-"))
        .await?;
    refused(&both).context("a certificate and a token")?;
    let twice = [
        ("authorization", format!("Bearer {token}")),
        ("authorization", "Bearer x".to_owned()),
    ];
    let twice = twice.each_ref().map(|(name, value)| (*name, value.as_str()));
    let answer = world
        .door("eu", None)?
        .open(Version::Http1)
        .await?
        .get(&bearer.path("bad-token-twice-"), &twice)
        .await?;
    refused(&answer).context("two tokens")?;
    for scheme in ["Basic dXNlcjpwYXNz", "Bearer", "Bearer ", "bearer\u{a0}x"] {
        let header = [("authorization", scheme)];
        let answer = world
            .door("eu", None)?
            .open(Version::Http1)
            .await?
            .get(&bearer.path("bad-token-scheme-"), &header)
            .await?;
        refused(&answer).with_context(|| scheme.to_owned())?;
    }
    unseen(&world, "eu", "bad-token-")?;
    // The log says why, and says no token.
    let log = world.proxy("eu")?.logs()?;
    ensure!(
        !log.contains(signature) && !log.contains(&token),
        "a token is in the proxy's log"
    );
    let fine = bearer.get(&world, &token, "good").await?;
    ensure!(fine.status == 404, "{}", fine.text());
    Ok(())
}

/// RFC 2104.
fn hmac_sha256(key: &[u8], text: &[u8]) -> Vec<u8> {
    use sha2::{Digest, Sha256};
    let key = if key.len() > 64 {
        Sha256::digest(key).to_vec()
    } else {
        key.to_vec()
    };
    let mut padded = [0_u8; 64];
    padded[..key.len()].copy_from_slice(&key);
    let with = |byte: u8| padded.iter().map(|b| b ^ byte).collect::<Vec<_>>();
    let inner = Sha256::digest([&with(0x36)[..], text].concat());
    Sha256::digest([&with(0x5c)[..], &inner].concat()).to_vec()
}

async fn headers(world: Arc<World>) -> Result<()> {
    let caller = world.caller("us", "bad-headers").await?;
    for (number, name) in [
        "Impersonate-User",
        "impersonate-user",
        "Impersonate-Group",
        "Impersonate-Uid",
        "Impersonate-Extra-scopes",
        "X-Remote-User",
        "X-Remote-Group",
        "X-Remote-Extra-scopes",
        "X-Remote-Uid",
    ]
    .into_iter()
    .enumerate()
    {
        let path = caller.path(&format!("configmaps/bad-header-{number}-"));
        for version in [Version::Http1, Version::Http2] {
            for value in ["system:admin", "", caller.user.as_str()] {
                let name = name.to_ascii_lowercase();
                let headers = [(name.as_str(), value)];
                let answer = caller.door.open(version).await?.get(&path, &headers).await?;
                refused(&answer).with_context(|| format!("{version:?} {name}: {value}"))?;
            }
        }
    }
    // A token hides here, too: who may do everything in the target has sent it.
    let token = jwt::token(world.target("us"), "multicluster-scheduler", "multicluster-agent", None).await?;
    let protocol = format!(
        "base64url.bearer.authorization.k8s.io.{}",
        jwt::base64url(token.as_bytes())
    );
    for value in [protocol.clone(), format!("v5.channel.k8s.io, {protocol}")] {
        let headers = [("sec-websocket-protocol", value.as_str())];
        let path = caller.path("configmaps/bad-header-websocket-");
        let answer = caller.door.open(Version::Http1).await?.get(&path, &headers).await?;
        refused(&answer).context("a token among WebSocket's protocols")?;
    }
    unseen(&world, "us", "bad-header-")?;
    // Headers of one hop do not go on: what a caller calls one of these is not the proxy's to leave out.
    let mut stream = caller.door.raw(Version::Http1).await?;
    let path = caller.path("configmaps/odd-connection-");
    let request = format!(
        "GET {path} HTTP/1.1\r\nhost: x\r\nconnection: close, impersonate-user, authorization, impersonate-group\r\n\r\n"
    );
    stream.write_all(request.as_bytes()).await?;
    let mut answer = Vec::new();
    tokio::time::timeout(SOON, stream.read_to_end(&mut answer)).await??;
    for event in world.audits["us"].events("odd-connection-")? {
        ensure!(event["impersonatedUser"]["username"] == caller.user, "{event}");
    }
    Ok(())
}

/// Requests whose end two readers could see in different places, and what else is not HTTP.
async fn smuggling(world: Arc<World>) -> Result<()> {
    let caller = world.caller("us", "bad-requests").await?;
    let path = caller.path("configmaps/bad-request-");
    let hidden = format!("GET {path}hidden HTTP/1.1\r\nhost: x\r\nimpersonate-user: system:admin\r\n\r\n");
    let long = "a".repeat(1_000_000);
    let many: String = (0..20_000).map(|n| format!("x-{n}: 1\r\n")).collect();
    let length = hidden.len();
    let cases: Vec<(&str, String)> = vec![
        (
            "length and chunks",
            format!(
                "POST {path}1 HTTP/1.1\r\nhost: x\r\ncontent-length: {length}\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n{hidden}"
            ),
        ),
        (
            "chunks and length",
            format!(
                "POST {path}2 HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\ncontent-length: 3\r\n\r\n0\r\n\r\n{hidden}"
            ),
        ),
        (
            "two lengths",
            format!(
                "POST {path}3 HTTP/1.1\r\nhost: x\r\ncontent-length: 0\r\ncontent-length: {length}\r\n\r\n{hidden}"
            ),
        ),
        (
            "a list of lengths",
            format!("POST {path}4 HTTP/1.1\r\nhost: x\r\ncontent-length: 0, {length}\r\n\r\n{hidden}"),
        ),
        (
            "a length with a sign",
            format!("POST {path}5 HTTP/1.1\r\nhost: x\r\ncontent-length: +0\r\n\r\n{hidden}"),
        ),
        (
            "another encoding",
            format!("POST {path}6 HTTP/1.1\r\nhost: x\r\ntransfer-encoding: xchunked\r\n\r\n0\r\n\r\n{hidden}"),
        ),
        (
            "chunked is not the last",
            format!(
                "POST {path}7 HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked, identity\r\n\r\n0\r\n\r\n{hidden}"
            ),
        ),
        (
            "a space before the colon",
            format!("POST {path}8 HTTP/1.1\r\nhost: x\r\ntransfer-encoding : chunked\r\n\r\n0\r\n\r\n{hidden}"),
        ),
        (
            "a folded header",
            format!("GET {path}9 HTTP/1.1\r\nhost: x\r\nx-a: b\r\n impersonate-user: system:admin\r\n\r\n"),
        ),
        (
            "a line break in a header",
            format!("GET {path}10 HTTP/1.1\r\nhost: x\r\nx-a: b\rimpersonate-user: system:admin\r\n\r\n"),
        ),
        (
            "a null byte in a header",
            format!("GET {path}11 HTTP/1.1\r\nhost: x\r\nx-a: b\0c\r\n\r\n"),
        ),
        ("a long path", format!("GET {path}12{long} HTTP/1.1\r\nhost: x\r\n\r\n")),
        (
            "a long header",
            format!("GET {path}13 HTTP/1.1\r\nhost: x\r\nx-a: {long}\r\n\r\n"),
        ),
        (
            "many headers",
            format!("GET {path}14 HTTP/1.1\r\nhost: x\r\n{many}\r\n"),
        ),
        ("no version", format!("GET {path}15\r\n\r\n")),
        ("another version", format!("GET {path}16 HTTP/9.9\r\nhost: x\r\n\r\n")),
        ("no HTTP", "\u{16}\u{3}\u{1} is TLS in TLS\r\n\r\n".to_owned()),
        (
            "a tunnel",
            format!(
                "CONNECT 127.0.0.1:{} HTTP/1.1\r\nhost: x\r\n\r\n",
                world.proxy("us")?.port
            ),
        ),
    ];
    for (what, request) in cases {
        let mut stream = caller.door.raw(Version::Http1).await?;
        // The server may hang up in the middle.
        let _ = stream.write_all(request.as_bytes()).await;
        let _ = stream.flush().await;
        let mut answer = vec![0; 4096];
        let read = tokio::time::timeout(Duration::from_secs(20), stream.read(&mut answer)).await;
        let length = read.with_context(|| format!("{what}: no answer"))?.unwrap_or_default();
        let answer = String::from_utf8_lossy(&answer[..length]).into_owned();
        let refused = answer.is_empty() || answer.starts_with("HTTP/1.1 4") || answer.starts_with("HTTP/1.0 4");
        ensure!(refused, "{what}: {}", answer.lines().next().unwrap_or_default());
    }
    unseen(&world, "us", "hidden")?;
    unseen(&world, "us", "bad-request-")?;
    ensure!(caller.door.get(&caller.path("configmaps")).await?.status == 200);
    Ok(())
}

/// Hundreds of connections that say nothing, or next to nothing, are no reason not to serve others; and one that does not even
/// begin with TLS ends.
async fn slow(world: Arc<World>) -> Result<()> {
    let caller = world.caller("us", "bad-slow").await?;
    let path = caller.path("configmaps/never-whole-");
    let mut open = Vec::new();
    for number in 0..200 {
        let mut stream = caller.door.raw(Version::Http1).await?;
        if number % 2 == 0 {
            let begin = format!("GET {path} HTTP/1.1\r\nhost: x\r\nx-a: ");
            stream.write_all(begin.as_bytes()).await?;
            stream.flush().await?;
        }
        open.push(stream);
    }
    let mut plain = tokio::net::TcpStream::connect(("127.0.0.1", world.proxy("us")?.replicas.all()[0].port)).await?;
    let begin = Instant::now();
    let silent = tokio::spawn(async move {
        let mut rest = [0; 16];
        let end = tokio::time::timeout(SLOW, plain.read(&mut rest));
        end.await.map(drop).context("a connection without TLS is kept open")
    });
    for stream in &mut open {
        let _ = stream.write_all(b"a").await;
        let _ = stream.flush().await;
    }
    let served = Instant::now();
    ensure!(caller.door.get(&caller.path("configmaps")).await?.status == 200);
    ensure!(
        served.elapsed() < Duration::from_secs(2),
        "others wait {:?}",
        served.elapsed()
    );
    silent.await??;
    println!("silent ones are gone after {:.1?}", begin.elapsed());
    unseen(&world, "us", "never-whole-")
}
