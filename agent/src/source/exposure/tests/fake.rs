//! An API server that keeps any objects in memory, and facts that a test may change.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use bytes::Bytes;
use futures::stream;
use http::{Method, Request, Response};
use http_body::Frame;
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full, StreamBody};
use kube::Client;
use kube::client::Body;
use parking_lot::Mutex;
use serde_json::{Value, json};
use tokio::sync::broadcast;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

use crate::source::exposure::facts::{Facts, Touched};
use crate::source::exposure::site::{Address, Exposed};
use crate::source::following::object::ObjectKey;

type Answer = UnsyncBoxBody<Bytes, std::io::Error>;

/// The API server.
#[derive(Clone)]
pub struct Fake {
    /// By path.
    pub objects: Arc<Mutex<BTreeMap<String, Value>>>,
    /// Writes: method and path.
    pub writes: Arc<Mutex<Vec<String>>>,
    /// Reasons and notes of events.
    pub events: Arc<Mutex<Vec<(String, String)>>>,
    /// Resources whose definitions are missing.
    pub missing: Arc<Mutex<BTreeSet<&'static str>>>,
    /// Paths of objects whose status a controller of the cluster writes.
    pub theirs: Arc<Mutex<BTreeSet<String>>>,
    changes: broadcast::Sender<(String, Value)>,
}

impl Default for Fake {
    fn default() -> Self {
        Self {
            objects: Arc::default(),
            writes: Arc::default(),
            events: Arc::default(),
            missing: Arc::default(),
            theirs: Arc::default(),
            changes: broadcast::channel(1000).0,
        }
    }
}

impl Fake {
    /// A client of it.
    pub fn client(&self) -> Client {
        let fake = self.clone();
        let service = tower::service_fn(move |request: Request<Body>| {
            let fake = fake.clone();
            async move {
                let (head, body) = request.into_parts();
                if head.uri.query().unwrap_or_default().contains("watch=true") {
                    return Ok::<_, std::io::Error>(Response::new(fake.watch(head.uri.path())));
                }
                let body = serde_json::from_slice(&body.collect_bytes().await.unwrap()).unwrap_or_default();
                let (code, answer) = fake.answer(&head.method, head.uri.path(), body);
                let answer = Full::from(serde_json::to_vec(&answer).unwrap()).map_err(|never| match never {});
                Ok(Response::builder().status(code).body(answer.boxed_unsync()).unwrap())
            }
        });
        Client::new(service, "default")
    }

    fn watch(&self, path: &str) -> Answer {
        let plural = path.rsplit('/').next().unwrap_or_default().to_owned();
        let events = stream::unfold((self.changes.subscribe(), plural), async |(mut changes, plural)| {
            loop {
                let Ok((of, event)) = changes.recv().await else {
                    return std::future::pending().await;
                };
                if of == plural {
                    let line = Bytes::from(format!("{event}\n"));
                    return Some((Ok::<_, std::io::Error>(Frame::data(line)), (changes, plural)));
                }
            }
        });
        StreamBody::new(events).boxed_unsync()
    }

    /// Somebody writes an object, or deletes it.
    pub fn put(&self, path: &str, object: Option<Value>) {
        let plural = path.rsplit('/').nth(1).unwrap_or_default().to_owned();
        let event = match object {
            Some(mut object) => {
                object["metadata"]["resourceVersion"] = json!("1");
                if object["metadata"]["uid"].is_null() {
                    object["metadata"]["uid"] = json!(format!("uid of {path}"));
                }
                self.objects.lock().insert(path.to_owned(), object.clone());
                json!({ "type": "MODIFIED", "object": object })
            }
            None => json!({ "type": "DELETED", "object": self.objects.lock().remove(path) }),
        };
        let _ = self.changes.send((plural, event));
    }

    fn answer(&self, method: &Method, path: &str, body: Value) -> (u16, Value) {
        let failure = |code: u16, reason: &str, details: Value| {
            let status = json!({ "kind": "Status", "status": "Failure", "code": code, "reason": reason, "message": reason, "details": details });
            (code, status)
        };
        if path.contains("/events") {
            let text = |field: &str| body[field].as_str().unwrap_or_default().to_owned();
            self.events.lock().push((text("reason"), text("note")));
            return (201, body);
        }
        if self.missing.lock().iter().any(|plural| path.contains(plural)) {
            return (404, json!("404 page not found"));
        }
        let known = self.objects.lock().get(path.trim_end_matches("/status")).cloned();
        if method != Method::GET {
            self.writes.lock().push(format!("{method} {path}"));
        }
        match (method, known) {
            (&Method::GET, Some(known)) => (200, known),
            (&Method::GET, None) if path.rsplit('/').next().is_some_and(|end| end.ends_with('s')) => {
                let plural = format!("/{}/", path.rsplit('/').next().unwrap_or_default());
                let objects = self.objects.lock();
                let items: Vec<_> = objects
                    .iter()
                    .filter(|(path, _)| path.contains(&plural))
                    .map(|(_, object)| object)
                    .collect();
                (200, json!({ "metadata": { "resourceVersion": "1" }, "items": items }))
            }
            (&Method::POST, _) => {
                let path = format!("{path}/{}", body["metadata"]["name"].as_str().unwrap());
                if self.objects.lock().contains_key(&path) {
                    return failure(409, "AlreadyExists", json!({}));
                }
                self.put(&path, Some(body));
                (201, self.objects.lock()[&path].clone())
            }
            (&Method::PATCH, Some(_)) if self.theirs.lock().contains(path.trim_end_matches("/status")) => {
                let causes = json!({ "causes": [{ "reason": "FieldManagerConflict", "field": ".status" }] });
                failure(409, "Conflict", causes)
            }
            (&Method::PATCH, Some(mut known)) => {
                match path.strip_suffix("/status") {
                    // Applied: what is not said any more is taken away.
                    Some(path) => {
                        known["status"] = body["status"].clone();
                        self.put(path, Some(known.clone()));
                    }
                    None => {
                        merge(&mut known, &body);
                        self.put(path, Some(known.clone()));
                    }
                }
                (200, known)
            }
            (&Method::DELETE, Some(known)) => {
                self.put(path, None);
                (200, known)
            }
            _ => failure(404, "NotFound", json!({ "name": "x" })),
        }
    }
}

/// RFC 7386.
fn merge(target: &mut Value, patch: &Value) {
    match (target, patch) {
        (Value::Object(target), Value::Object(patch)) => {
            for (key, value) in patch {
                match value {
                    Value::Null => drop(target.remove(key)),
                    value => merge(target.entry(key.clone()).or_insert(Value::Null), value),
                }
            }
        }
        (target, patch) => *target = patch.clone(),
    }
}

/// Facts that a test may change.
#[derive(Default)]
pub struct World {
    exposed: Mutex<BTreeMap<ObjectKey, Exposed>>,
    gateways: Mutex<BTreeMap<(String, String, String), Vec<Address>>>,
    subscribers: Mutex<Vec<UnboundedSender<Touched>>>,
    unknown: AtomicBool,
}

impl World {
    /// An object is so now.
    pub fn put(&self, exposed: Exposed) {
        let key = exposed.key.clone();
        self.exposed.lock().insert(key.clone(), exposed);
        self.tell(Touched::Object(key));
    }

    /// An object is gone.
    pub fn remove(&self, key: &ObjectKey) {
        self.exposed.lock().remove(key);
        self.tell(Touched::Object(key.clone()));
    }

    /// A target's Gateway has these addresses.
    pub fn gateway(&self, node: &str, namespace: &str, name: &str, addresses: Vec<Address>) {
        let key = (node.into(), namespace.into(), name.into());
        self.gateways.lock().insert(key, addresses);
        self.tell(Touched::Gateway(namespace.into(), name.into()));
    }

    /// Not all is known yet, or it is.
    pub fn set_known(&self, known: bool) {
        self.unknown.store(!known, Ordering::SeqCst);
    }

    fn tell(&self, touched: Touched) {
        self.subscribers
            .lock()
            .retain(|subscriber| subscriber.send(touched.clone()).is_ok());
    }
}

impl Facts for World {
    fn exposed(&self, key: &ObjectKey) -> Option<Exposed> {
        self.exposed.lock().get(key).cloned()
    }

    fn keys(&self) -> BTreeSet<ObjectKey> {
        self.exposed.lock().keys().cloned().collect()
    }

    fn gateway(&self, node: &str, namespace: &str, name: &str) -> Vec<Address> {
        let key = (node.into(), namespace.into(), name.into());
        self.gateways.lock().get(&key).cloned().unwrap_or_default()
    }

    fn is_known(&self, _: &ObjectKey) -> bool {
        self.is_complete()
    }

    fn is_complete(&self) -> bool {
        !self.unknown.load(Ordering::SeqCst)
    }

    fn subscribe(&self) -> UnboundedReceiver<Touched> {
        let (send, receive) = unbounded_channel();
        self.subscribers.lock().push(send);
        receive
    }
}
