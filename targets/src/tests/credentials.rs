//! A target over TLS, whose Secret changes while it is watched.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use base64::Engine;
use base64::prelude::{BASE64_STANDARD, BASE64_URL_SAFE_NO_PAD};
use bytes::Bytes;
use futures::channel::mpsc;
use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper_util::rt::TokioIo;
use k8s_openapi::api::core::v1::ConfigMap;
use kube::client::Body;
use kube::core::WatchEvent;
use multicluster_api::target::Access;
use multicluster_certs::dev::{CertKeyPem, DevCa};
use parking_lot::Mutex;
use rustls::crypto::ring;
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;
use tower::service_fn;

use super::*;

type Stream = mpsc::UnboundedSender<Result<Frame<Bytes>, std::io::Error>>;

/// What the target has seen.
#[derive(Default)]
struct Seen {
    /// Of each request, the client's certificate or token.
    callers: Mutex<Vec<Vec<u8>>>,
    watches: Mutex<Vec<Stream>>,
    refuses: AtomicBool,
}

/// A target, by its address; it answers each request with an object, and keeps watches open.
async fn target(ca: &DevCa, seen: Arc<Seen>) -> String {
    let CertKeyPem { cert, key } = ca.server(&["127.0.0.1"]).unwrap();
    let mut roots = RootCertStore::empty();
    roots
        .add(CertificateDer::from_pem_slice(ca.pem().as_bytes()).unwrap())
        .unwrap();
    let provider = Arc::new(ring::default_provider());
    let clients = WebPkiClientVerifier::builder_with_provider(roots.into(), provider.clone());
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_client_cert_verifier(clients.allow_unauthenticated().build().unwrap())
        .with_single_cert(
            vec![CertificateDer::from_pem_slice(cert.as_bytes()).unwrap()],
            PrivateKeyDer::from_pem_slice(key.as_bytes()).unwrap(),
        )
        .unwrap();
    let (acceptor, listener) = (
        TlsAcceptor::from(Arc::new(config)),
        TcpListener::bind("127.0.0.1:0").await.unwrap(),
    );
    let address = format!("https://{}", listener.local_addr().unwrap());
    tokio::spawn(async move {
        while let Ok((tcp, _)) = listener.accept().await {
            let (acceptor, seen) = (acceptor.clone(), seen.clone());
            tokio::spawn(async move {
                let Ok(tls) = acceptor.accept(tcp).await else { return };
                let shown = tls.get_ref().1.peer_certificates();
                let shown = shown.map(|certificates| certificates[0].to_vec());
                let answer = service_fn(move |request: Request<Incoming>| {
                    let answer = seen.answer(&request, shown.clone());
                    async move { Ok::<_, std::io::Error>(answer) }
                });
                let answer = hyper_util::service::TowerToHyperService::new(answer);
                let _ = hyper::server::conn::http1::Builder::new()
                    .serve_connection(TokioIo::new(tls), answer)
                    .await;
            });
        }
    });
    address
}

impl Seen {
    fn answer(
        &self,
        request: &Request<Incoming>,
        certificate: Option<Vec<u8>>,
    ) -> Response<http_body_util::combinators::UnsyncBoxBody<Bytes, std::io::Error>> {
        let token = request.headers().get(http::header::AUTHORIZATION);
        let caller = certificate.or(token.map(|token| token.as_bytes().to_vec()));
        self.callers.lock().push(caller.unwrap());
        if self.refuses.load(Ordering::Relaxed) {
            let body = json!({ "kind": "Status", "status": "Failure", "code": 401, "reason": "Unauthorized" });
            let body = Full::from(body.to_string()).map_err(|never| match never {});
            let answer = Response::builder().status(StatusCode::UNAUTHORIZED);
            return answer.body(body.boxed_unsync()).unwrap();
        }
        let body = match request.uri().query().unwrap_or_default().contains("watch") {
            true => {
                let (stream, events) = mpsc::unbounded();
                self.watches.lock().push(stream);
                StreamBody::new(events).boxed_unsync()
            }
            false => Full::from(json!({ "metadata": { "name": "a" } }).to_string())
                .map_err(|never| match never {})
                .boxed_unsync(),
        };
        Response::new(body)
    }

    /// An event for the last watch that was opened.
    fn tell(&self, name: &str) {
        let event = json!({ "type": "ADDED", "object": { "metadata": { "name": name } } });
        let frame = Frame::data(Bytes::from(format!("{event}\n")));
        self.watches.lock().last().unwrap().unbounded_send(Ok(frame)).unwrap();
    }

    fn last_caller(&self) -> Vec<u8> {
        self.callers.lock().last().unwrap().clone()
    }
}

/// The source's API server, which knows one Secret: its kubeconfig is what was put last.
#[derive(Clone)]
struct Source(watch::Sender<(u64, String)>);

impl Source {
    fn new(kubeconfig: String) -> Self {
        Self(watch::channel((1, kubeconfig)).0)
    }

    fn put(&self, kubeconfig: String) {
        self.0.send_modify(|(version, content)| {
            *version += 1;
            *content = kubeconfig;
        });
    }

    fn secret(&self) -> Value {
        let (version, content) = self.0.borrow().clone();
        let data = json!({ "config": BASE64_STANDARD.encode(content) });
        json!({ "metadata": { "name": "eu", "namespace": "default", "resourceVersion": version.to_string() }, "data": data })
    }

    fn client(&self) -> Client {
        let source = self.clone();
        let service = service_fn(move |request: Request<Body>| {
            let source = source.clone();
            async move {
                let watched = request.uri().query().unwrap_or_default().contains("watch=true");
                let body = match watched {
                    true => {
                        let mut changes = source.0.subscribe();
                        changes.mark_unchanged();
                        let events = futures::stream::unfold((source, changes), async |(source, mut changes)| {
                            changes.changed().await.unwrap();
                            let event = json!({ "type": "MODIFIED", "object": source.secret() });
                            let frame = Frame::data(Bytes::from(format!("{event}\n")));
                            Some((Ok::<_, std::io::Error>(frame), (source, changes)))
                        });
                        StreamBody::new(events).boxed_unsync()
                    }
                    false => {
                        let list = json!({ "metadata": { "resourceVersion": "1" }, "items": [source.secret()] });
                        Full::from(list.to_string())
                            .map_err(|never| match never {})
                            .boxed_unsync()
                    }
                };
                Ok::<_, std::io::Error>(Response::new(body))
            }
        });
        Client::new(service, "default")
    }
}

/// Counts how often the work begins, and lends its client out.
struct Work {
    begun: AtomicUsize,
    client: watch::Sender<Option<Client>>,
}

impl Runner for Work {
    async fn run(&self, _: AnyTarget, client: Client, stop: CancellationToken) {
        self.begun.fetch_add(1, Ordering::SeqCst);
        self.client.send_replace(Some(client));
        stop.cancelled().await;
    }

    async fn failed(&self, _: AnyTarget, error: ConnectError) {
        panic!("{error}");
    }

    async fn removed(&self, _: AnyTarget, _: Option<Client>) {}
}

struct World {
    ca: DevCa,
    seen: Arc<Seen>,
    server: String,
    source: Source,
    work: Arc<Work>,
}

impl World {
    /// A target whose work has begun, by these credentials.
    async fn new(user: impl FnOnce(&DevCa) -> Value) -> Self {
        let (ca, seen) = (DevCa::new().unwrap(), Arc::new(Seen::default()));
        let server = target(&ca, seen.clone()).await;
        let source = Source::new(kubeconfig(&ca, &server, user(&ca)));
        let work = Arc::new(Work {
            begun: AtomicUsize::new(0),
            client: watch::channel(None).0,
        });
        let access = Access::Kubeconfig {
            namespace: "default".into(),
            secret: "eu".into(),
            key: "config".into(),
            context: None,
        };
        let target = AnyTarget {
            access,
            ..AnyTarget::from(&Target::new("eu", Default::default()))
        };
        tokio::spawn(drive(source.client(), work.clone(), target, CancellationToken::new()));
        let world = Self {
            ca,
            seen,
            server,
            source,
            work,
        };
        world.work.client.subscribe().wait_for(Option::is_some).await.unwrap();
        world
    }

    fn client(&self) -> Client {
        self.work.client.borrow().clone().unwrap()
    }

    fn put(&self, user: Value) {
        self.source.put(kubeconfig(&self.ca, &self.server, user));
    }

    async fn ask(&self, client: &Client) -> bool {
        Api::<ConfigMap>::default_namespaced(client.clone())
            .get("a")
            .await
            .is_ok()
    }

    /// Ask until the target sees this caller.
    async fn is_called_by(&self, client: &Client, caller: &[u8]) {
        for _ in 0..1000 {
            self.ask(client).await;
            if self.seen.last_caller() == caller {
                return;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("the old credentials are still in use");
    }

    async fn begins_anew(&self) {
        let mut clients = self.work.client.subscribe();
        tokio::time::timeout(Duration::from_secs(20), clients.changed())
            .await
            .unwrap()
            .unwrap();
    }

    fn begun(&self) -> usize {
        self.work.begun.load(Ordering::SeqCst)
    }
}

fn kubeconfig(ca: &DevCa, server: &str, user: Value) -> String {
    let cluster = json!({ "server": server, "certificate-authority-data": BASE64_STANDARD.encode(ca.pem()) });
    json!({
        "apiVersion": "v1", "kind": "Config", "current-context": "c",
        "contexts": [{ "name": "c", "context": { "cluster": "k", "user": "u" } }],
        "clusters": [{ "name": "k", "cluster": cluster }], "users": [{ "name": "u", "user": user }],
    })
    .to_string()
}

/// A certificate as kubeconfigs hold it, and as the target sees it.
fn certificate(ca: &DevCa, name: &str) -> (Value, Vec<u8>) {
    let CertKeyPem { cert, key } = ca.client(name).unwrap();
    let der = CertificateDer::from_pem_slice(cert.as_bytes()).unwrap().to_vec();
    let (cert, key) = (BASE64_STANDARD.encode(cert), BASE64_STANDARD.encode(key));
    (json!({ "client-certificate-data": cert, "client-key-data": key }), der)
}

fn token(subject: &str, id: u32) -> (Value, Vec<u8>) {
    let claims = json!({ "iss": "https://issuer", "sub": subject, "jti": id }).to_string();
    let token = format!("e30.{}.c2ln", BASE64_URL_SAFE_NO_PAD.encode(claims));
    (json!({ "token": token }), format!("Bearer {token}").into_bytes())
}

async fn next(events: &mut (impl futures::Stream<Item = kube::Result<WatchEvent<ConfigMap>>> + Unpin)) -> String {
    match tokio::time::timeout(Duration::from_secs(20), events.next())
        .await
        .unwrap()
    {
        Some(Ok(WatchEvent::Added(object))) => object.metadata.name.unwrap(),
        other => panic!("{other:?}"),
    }
}

async fn swapped(world: World, first: Vec<u8>, again: (Value, Vec<u8>)) {
    let client = world.client();
    let api = Api::<ConfigMap>::default_namespaced(client.clone());
    let watch = api.watch(&Default::default(), "0").await.unwrap();
    let mut watch = std::pin::pin!(watch);
    world.seen.tell("before");
    assert_eq!(next(&mut watch).await, "before");
    assert_eq!(world.seen.last_caller(), first);

    world.put(again.0);
    world.is_called_by(&client, &again.1).await;

    world.seen.tell("after");
    assert_eq!(next(&mut watch).await, "after");
    assert_eq!(world.begun(), 1);
}

#[tokio::test]
async fn another_certificate_of_the_same_user_is_used_while_watches_stay_open() {
    let mut first = vec![];
    let world = World::new(|ca| {
        let (user, der) = certificate(ca, "ns/default/id/eu");
        first = der;
        user
    })
    .await;
    let again = certificate(&world.ca, "ns/default/id/eu");
    swapped(world, first, again).await;
}

#[tokio::test]
async fn another_token_of_the_same_user_is_used_while_watches_stay_open() {
    let (user, first) = token("a", 1);
    swapped(World::new(|_| user).await, first, token("a", 2)).await;
}

#[tokio::test]
async fn for_another_user_the_work_begins_anew() {
    let world = World::new(|ca| certificate(ca, "ns/default/id/eu").0).await;
    assert!(world.ask(&world.client()).await);
    let (user, caller) = certificate(&world.ca, "ns/default/id/us");
    world.put(user);
    world.begins_anew().await;
    assert!(world.ask(&world.client()).await);
    assert_eq!((world.seen.last_caller(), world.begun()), (caller, 2));
}

#[tokio::test]
async fn for_another_server_the_work_begins_anew() {
    let world = World::new(|_| token("a", 1).0).await;
    assert!(world.ask(&world.client()).await);
    let other = target(&world.ca, world.seen.clone()).await;
    world.source.put(kubeconfig(&world.ca, &other, token("a", 1).0));
    world.begins_anew().await;
    assert_eq!(world.begun(), 2);
}

#[tokio::test]
async fn what_was_refused_begins_anew_with_the_next_credentials() {
    let world = World::new(|_| token("a", 1).0).await;
    world.seen.refuses.store(true, Ordering::Relaxed);
    assert!(!world.ask(&world.client()).await);
    world.seen.refuses.store(false, Ordering::Relaxed);
    world.put(token("a", 2).0);
    world.begins_anew().await;
    assert!(world.ask(&world.client()).await);
    assert_eq!((world.seen.last_caller(), world.begun()), (token("a", 2).1, 2));
}
