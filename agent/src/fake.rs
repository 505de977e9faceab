//! An API server for tests: it keeps objects of any kind, and lists, watches, makes, replaces, patches and deletes them.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

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
use tokio::sync::watch;

/// What of a request tells what it is about.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Path {
    /// `configmaps`, with `/status` where that is asked for.
    pub plural: String,
    /// Empty for objects of the cluster.
    pub namespace: String,
    /// Empty for a list.
    pub name: String,
}

impl Path {
    /// An object.
    pub fn new(plural: &str, namespace: &str, name: &str) -> Self {
        Self {
            plural: plural.into(),
            namespace: namespace.into(),
            name: name.into(),
        }
    }

    fn parse(path: &str) -> Self {
        let parts: Vec<_> = path.trim_matches('/').split('/').collect();
        let rest = if parts[0] == "api" { &parts[2..] } else { &parts[3..] };
        match rest {
            ["namespaces", namespace, plural, name, _] | ["namespaces", namespace, plural, name] => {
                Self::new(plural, namespace, name)
            }
            ["namespaces", namespace, plural] => Self::new(plural, namespace, ""),
            [plural, name] => Self::new(plural, "", name),
            [plural] => Self::new(plural, "", ""),
            other => panic!("{other:?}"),
        }
    }
}

type Answer = (u16, Value);
type Rule = Box<dyn Fn(&Method, &Path) -> Option<Answer> + Send>;

#[derive(Default)]
struct State {
    objects: BTreeMap<Path, Value>,
    /// All that happened: the version, the type of the event, the object.
    log: Vec<(u64, &'static str, Path, Value)>,
    version: u64,
    rules: HashMap<&'static str, Rule>,
    requests: Vec<(Method, Path)>,
    gives_addresses: bool,
}

/// The server. Clones are the same one.
#[derive(Clone)]
pub struct Fake {
    state: Arc<Mutex<State>>,
    changed: watch::Sender<u64>,
    user: &'static str,
}

type AnswerBody = UnsyncBoxBody<Bytes, std::io::Error>;

/// What an API server says when it refuses.
pub fn failure(code: u16, reason: &str, message: &str, kind: &str, name: &str) -> Answer {
    let details = json!({ "kind": kind, "name": name });
    let status = json!({
        "kind": "Status", "status": "Failure", "code": code, "reason": reason, "message": message, "details": details,
    });
    (code, status)
}

impl Fake {
    /// Without objects; it takes all clients for `user`.
    pub fn new(user: &'static str) -> Self {
        Self {
            state: Arc::default(),
            changed: watch::channel(0).0,
            user,
        }
    }

    /// The same cluster, which takes these clients for another user.
    pub fn taking_us_for(&self, user: &'static str) -> Self {
        Self { user, ..self.clone() }
    }

    /// A client for it.
    pub fn client(&self) -> Client {
        let fake = self.clone();
        let service = tower::service_fn(move |request: Request<Body>| {
            let fake = fake.clone();
            async move { Ok::<_, std::io::Error>(fake.serve(request).await) }
        });
        Client::new(service, "default")
    }

    /// Services that are made get cluster IPs from now on.
    pub fn give_addresses(&self) {
        self.state.lock().gives_addresses = true;
    }

    /// What this rule says is answered instead, until it is lifted.
    pub fn rule(&self, name: &'static str, rule: impl Fn(&Method, &Path) -> Option<Answer> + Send + 'static) {
        self.state.lock().rules.insert(name, Box::new(rule));
    }

    /// Lift a rule.
    pub fn lift(&self, name: &str) {
        self.state.lock().rules.remove(name);
    }

    /// Make or change an object, as somebody else.
    pub fn put(&self, plural: &str, mut object: Value) {
        let metadata = &object["metadata"];
        let text = |field: &str| metadata[field].as_str().unwrap_or_default().to_owned();
        let path = Path::new(plural, &text("namespace"), &text("name"));
        if metadata["uid"].is_null() {
            let uid = self
                .get(plural, &path.namespace, &path.name)
                .map(|known| known["metadata"]["uid"].clone());
            object["metadata"]["uid"] = uid.unwrap_or_else(|| json!(format!("uid-{}", self.state.lock().version)));
        }
        self.write(path, Some(object));
    }

    /// Change an object, as somebody else.
    pub fn edit(&self, plural: &str, namespace: &str, name: &str, change: impl FnOnce(&mut Value)) {
        let mut object = self.get(plural, namespace, name).unwrap();
        change(&mut object);
        self.put(plural, object);
    }

    /// Delete an object, as somebody else.
    pub fn remove(&self, plural: &str, namespace: &str, name: &str) {
        self.write(Path::new(plural, namespace, name), None);
    }

    /// An object.
    pub fn get(&self, plural: &str, namespace: &str, name: &str) -> Option<Value> {
        let path = Path::new(plural, namespace, name);
        self.state.lock().objects.get(&path).cloned()
    }

    /// All objects of a kind in a namespace.
    pub fn all(&self, plural: &str, namespace: &str) -> Vec<Value> {
        let state = self.state.lock();
        let here = |path: &&Path| path.plural == plural && path.namespace == namespace;
        let objects = state.objects.iter().filter(|(path, _)| here(path));
        objects.map(|(_, object)| object.clone()).collect()
    }

    /// Grows with each write.
    pub fn version(&self) -> u64 {
        self.state.lock().version
    }

    /// All objects of a kind, in all namespaces.
    pub fn everywhere(&self, plural: &str) -> Vec<Value> {
        let state = self.state.lock();
        let objects = state.objects.iter().filter(|(path, _)| path.plural == plural);
        objects.map(|(_, object)| object.clone()).collect()
    }

    /// How many requests would write anything but events.
    pub fn writes(&self) -> usize {
        let state = self.state.lock();
        let writes = state.requests.iter().filter(|(method, _)| *method != Method::GET);
        writes.filter(|(_, path)| path.plural != "events").count()
    }

    /// Reasons of all events, in order.
    pub fn events(&self) -> Vec<String> {
        let state = self.state.lock();
        let events = state.log.iter().filter(|(_, _, path, _)| path.plural == "events");
        events
            .map(|(_, _, _, event)| event["reason"].as_str().unwrap_or_default().to_owned())
            .collect()
    }

    /// How often objects of this kind were asked for in this way.
    pub fn count(&self, method: &Method, plural: &str) -> usize {
        let state = self.state.lock();
        let same = |(seen, path): &&(Method, Path)| seen == method && path.plural == plural && !path.name.is_empty();
        state.requests.iter().filter(same).count()
    }

    fn write(&self, path: Path, object: Option<Value>) -> Value {
        let mut state = self.state.lock();
        state.version += 1;
        let version = state.version;
        let (kind, object) = match object {
            Some(mut object) => {
                object["metadata"]["resourceVersion"] = json!(version.to_string());
                let before = state.objects.insert(path.clone(), object.clone());
                (if before.is_some() { "MODIFIED" } else { "ADDED" }, object)
            }
            None => {
                let mut object = state.objects.remove(&path).unwrap_or_else(|| panic!("{path:?}"));
                object["metadata"]["resourceVersion"] = json!(version.to_string());
                ("DELETED", object)
            }
        };
        state.log.push((version, kind, path, object.clone()));
        drop(state);
        self.changed.send_replace(version);
        object
    }

    async fn serve(&self, request: Request<Body>) -> Response<AnswerBody> {
        let (head, body) = request.into_parts();
        let path = Path::parse(head.uri.path());
        let query: HashMap<_, _> = form_urlencoded(head.uri.query().unwrap_or_default());
        let body = body.collect_bytes().await.unwrap();
        let body: Value = serde_json::from_slice(&body).unwrap_or_default();
        let content = head.headers.get(http::header::CONTENT_TYPE);
        let content = content
            .and_then(|value| value.to_str().ok())
            .unwrap_or_default()
            .to_owned();
        let refused = {
            let mut state = self.state.lock();
            if !query.contains_key("watch") {
                state.requests.push((head.method.clone(), path.clone()));
            }
            state.rules.values().find_map(|rule| rule(&head.method, &path))
        };
        if refused.is_none() && query.contains_key("watch") {
            return Response::new(self.watch(path, &query));
        }
        let (code, answer) = match refused {
            Some((0, _)) => std::future::pending().await,
            Some(answer) => answer,
            None => self.answer(&head.method, path, &query, body, &content),
        };
        let answer = Full::from(serde_json::to_vec(&answer).unwrap());
        let answer = answer.map_err(|never| match never {}).boxed_unsync();
        Response::builder().status(code).body(answer).unwrap()
    }

    fn watch(&self, path: Path, query: &HashMap<String, String>) -> AnswerBody {
        let from = query["resourceVersion"].parse().unwrap_or(0);
        let begin = (self.clone(), self.changed.subscribe(), from, path, query.clone());
        let events = stream::unfold(begin, async |(fake, mut changed, from, path, query)| {
            loop {
                let news = {
                    let state = fake.state.lock();
                    let mut news = state.log.iter().filter(|(version, ..)| *version > from);
                    news.find(|(_, _, key, object)| selects(&path, &query, key, object))
                        .cloned()
                };
                if let Some((version, kind, _, object)) = news {
                    let mut line = serde_json::to_vec(&json!({ "type": kind, "object": object })).unwrap();
                    line.push(b'\n');
                    let frame = Ok::<_, std::io::Error>(Frame::data(Bytes::from(line)));
                    return Some((frame, (fake, changed, version, path, query)));
                }
                changed.changed().await.unwrap();
            }
        });
        StreamBody::new(events).boxed_unsync()
    }

    fn answer(
        &self,
        method: &Method,
        mut path: Path,
        query: &HashMap<String, String>,
        body: Value,
        content: &str,
    ) -> Answer {
        let name = path.name.clone();
        let failure = |code, reason: &str| failure(code, reason, reason, &path.plural, &name);
        if path.plural == "selfsubjectreviews" {
            return (
                201,
                json!({ "metadata": {}, "status": { "userInfo": { "username": self.user } } }),
            );
        }
        let known = self.state.lock().objects.get(&path).cloned();
        match *method {
            Method::GET if path.name.is_empty() => {
                let state = self.state.lock();
                let items = state
                    .objects
                    .iter()
                    .filter(|(key, object)| selects(&path, query, key, object));
                let items: Vec<_> = items.map(|(_, object)| object.clone()).collect();
                (
                    200,
                    json!({ "metadata": { "resourceVersion": state.version.to_string() }, "items": items }),
                )
            }
            Method::GET => known.map_or_else(|| failure(404, "NotFound"), |object| (200, object)),
            Method::POST => {
                let mut object = body;
                path.name = object["metadata"]["name"].as_str().unwrap_or("generated").to_owned();
                if self.state.lock().objects.contains_key(&path) {
                    return super::fake::failure(409, "AlreadyExists", "exists", &path.plural, &path.name);
                }
                object["metadata"]["uid"] = json!(format!("uid-{}", self.state.lock().version));
                object["metadata"]["namespace"] = json!(path.namespace);
                if path.plural == "services" && self.state.lock().gives_addresses {
                    let (spec, address) = (&mut object["spec"], format!("10.96.0.{}", self.version() % 255 + 1));
                    let address = spec["clusterIP"].as_str().map_or(address, str::to_owned);
                    (spec["clusterIP"], spec["clusterIPs"]) = (json!(address), json!([address]));
                }
                (201, self.write(path, Some(object)))
            }
            Method::PUT => {
                let Some(before) = known else {
                    return failure(404, "NotFound");
                };
                let mut object = body;
                let metadata = &object["metadata"];
                let is = |field: &str| metadata[field].is_null() || metadata[field] == before["metadata"][field];
                if !is("uid") || !is("resourceVersion") {
                    return failure(409, "Conflict");
                }
                object["metadata"]["uid"] = before["metadata"]["uid"].clone();
                (200, self.write(path, Some(object)))
            }
            Method::PATCH => {
                let Some(mut object) = known else {
                    return failure(404, "NotFound");
                };
                let before = object.clone();
                if content.contains("json-patch") {
                    let patch: json_patch::Patch = serde_json::from_value(body).unwrap();
                    if json_patch::patch(&mut object, &patch).is_err() {
                        return super::fake::failure(422, "", "the server rejected our request", "", "");
                    }
                } else {
                    match content.contains("apply-patch") {
                        // Statuses are applied, each by one owner: what is said no more is taken away.
                        true => object["status"] = body["status"].clone(),
                        false => json_patch::merge(&mut object, &body),
                    }
                    let metadata = &body["metadata"];
                    let is = |field: &str| metadata[field].is_null() || metadata[field] == before["metadata"][field];
                    if !is("uid") || !is("resourceVersion") {
                        return failure(409, "Conflict");
                    }
                }
                match object == before {
                    true => (200, object),
                    false => (200, self.write(path, Some(object))),
                }
            }
            Method::DELETE => {
                let Some(object) = known else {
                    return failure(404, "NotFound");
                };
                let wanted = &body["preconditions"];
                let is = |field: &str| wanted[field].is_null() || wanted[field] == object["metadata"][field];
                if !is("uid") || !is("resourceVersion") {
                    return failure(409, "Conflict");
                }
                (200, self.write(path, None))
            }
            _ => failure(405, "MethodNotAllowed"),
        }
    }
}

fn form_urlencoded(query: &str) -> HashMap<String, String> {
    let pairs = query.split('&').filter_map(|pair| pair.split_once('='));
    let decode = |text: &str| {
        text.replace("%3D", "=")
            .replace("%2F", "/")
            .replace("%2C", ",")
            .replace("%21", "!")
    };
    pairs.map(|(key, value)| (key.to_owned(), decode(value))).collect()
}

fn selects(path: &Path, query: &HashMap<String, String>, key: &Path, object: &Value) -> bool {
    let labels = query
        .get("labelSelector")
        .into_iter()
        .flat_map(|selector| selector.split(','));
    let mut labels = labels.filter(|term| !term.is_empty());
    let labelled = labels.all(|term| match term.split_once('=') {
        Some((key, value)) if key.ends_with('!') => object["metadata"]["labels"][key.trim_end_matches('!')] != value,
        Some((key, value)) => object["metadata"]["labels"][key] == value,
        None => match term.strip_prefix('!') {
            Some(key) => object["metadata"]["labels"][key].is_null(),
            None => !object["metadata"]["labels"][term].is_null(),
        },
    });
    let fields = query
        .get("fieldSelector")
        .into_iter()
        .flat_map(|selector| selector.split(','));
    let mut fields = fields.filter_map(|term| term.split_once('='));
    let has_fields = fields.all(|(field, value)| match field {
        "metadata.name" => key.name == value,
        "spec.nodeName" => object["spec"]["nodeName"] == value,
        "type" => object["type"] == value,
        other => panic!("{other}"),
    });
    let namespace = path.namespace.is_empty() || path.namespace == key.namespace;
    key.plural == path.plural && namespace && labelled && has_fields
}
