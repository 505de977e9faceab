//! An API server that knows one pod and some chaperons, and writes down what it is asked.

use std::sync::Arc;
use std::time::Duration;

use axum::http::{Method, Request, Response};
use kube::Client;
use kube::client::Body;
use multicluster_api::raw::RawPod;
use multicluster_api::{DelegateRef, PodChaperon};
use parking_lot::Mutex;
use serde_json::{Value, json};

/// See the module.
#[derive(Default)]
pub struct Fake {
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    pod: Option<RawPod>,
    chaperons: Vec<PodChaperon>,
    writes: Vec<String>,
    lose_binding_answer: bool,
    change_after_read: Option<RawPod>,
    deny_chaperons: bool,
    fault: Option<Fault>,
    made: usize,
}

/// What the network does to requests.
#[derive(Clone, Copy)]
pub enum Fault {
    /// They are not answered.
    Silent,
    /// The connection is reset.
    Reset,
}

impl Fake {
    pub fn new() -> Arc<Self> {
        Arc::default()
    }

    /// Its chaperons' UIDs are counted from here.
    pub fn with_uids_from(made: usize) -> Arc<Self> {
        let fake = Self::default();
        fake.state.lock().made = made;
        Arc::new(fake)
    }

    pub fn with_pod(pod: RawPod) -> Arc<Self> {
        let fake = Self::default();
        fake.state.lock().pod = Some(pod);
        Arc::new(fake)
    }

    /// The next Binding is carried out, and answered with a conflict.
    pub fn lose_binding_answer(&self) {
        self.state.lock().lose_binding_answer = true;
    }

    pub fn deny_chaperons(&self) {
        self.state.lock().deny_chaperons = true;
    }

    pub fn fail(&self, fault: impl Into<Option<Fault>>) {
        self.state.lock().fault = fault.into();
    }

    pub fn set_pod(&self, pod: Option<RawPod>) {
        self.state.lock().pod = pod;
    }

    pub fn pod(&self) -> RawPod {
        self.state.lock().pod.clone().unwrap()
    }

    /// Somebody changes the pod right after it is read for the first time.
    pub fn change_after_read(&self, pod: RawPod) {
        self.state.lock().change_after_read = Some(pod);
    }

    pub fn put_chaperon(&self, chaperon: PodChaperon) {
        self.state.lock().chaperons.push(chaperon);
    }

    /// All chaperons there are.
    pub fn chaperons(&self) -> Vec<PodChaperon> {
        self.state.lock().chaperons.clone()
    }

    /// The node of the pod, once it is bound.
    pub fn pod_node(&self) -> Option<String> {
        let state = self.state.lock();
        state.pod.as_ref().and_then(|pod| pod.node_name().map(str::to_owned))
    }

    /// The delegates of all chaperons get a node.
    pub fn schedule_delegates(&self) {
        for chaperon in &mut self.state.lock().chaperons {
            let delegate = DelegateRef {
                node_name: "n1".into(),
                bound_resource_version: "7".into(),
                ..DelegateRef::default()
            };
            chaperon.status.get_or_insert_default().delegate = Some(delegate);
        }
    }

    /// What was written, events apart.
    pub fn writes(&self) -> Vec<String> {
        let writes = self.state.lock().writes.clone();
        writes.into_iter().filter(|write| !write.contains("events")).collect()
    }

    /// The first chaperon, as soon as there is one.
    pub async fn chaperon(&self) -> PodChaperon {
        loop {
            if let Some(chaperon) = self.state.lock().chaperons.first().cloned() {
                return chaperon;
            }
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }

    pub fn client(self: &Arc<Self>) -> Client {
        let fake = self.clone();
        let service = tower::service_fn(move |request: Request<Body>| {
            let fake = fake.clone();
            async move {
                let (head, body) = request.into_parts();
                let body = body.collect_bytes().await.unwrap();
                let body = serde_json::from_slice(&body).unwrap_or_default();
                let fault = fake.state.lock().fault;
                match fault {
                    Some(Fault::Silent) => std::future::pending().await,
                    Some(Fault::Reset) => return Err(std::io::ErrorKind::ConnectionReset.into()),
                    None => {}
                }
                let (status, answer) = fake.state.lock().answer(&head.method, head.uri.path(), body);
                let answer = Body::from(serde_json::to_vec(&answer).unwrap());
                Ok::<_, std::io::Error>(Response::builder().status(status).body(answer).unwrap())
            }
        });
        Client::new(service, "default")
    }
}

impl State {
    fn answer(&mut self, method: &Method, path: &str, body: Value) -> (u16, Value) {
        let parts: Vec<_> = path.trim_matches('/').split('/').collect();
        if method != Method::GET {
            self.writes
                .push(format!("{method} {}", parts[parts.len().saturating_sub(2)..].join("/")));
        }
        match (method, parts.as_slice()) {
            (&Method::GET, [.., "pods", _]) => {
                let read = self.pod.as_ref().map(|pod| json!(pod));
                self.pod = self.change_after_read.take().or(self.pod.take());
                found(read)
            }
            (&Method::POST, [.., "pods", _, "binding"]) => self.bind(&body),
            (&Method::PATCH, [.., "pods", _, "status"]) => self.mark(&body),
            (&Method::POST, [.., "podchaperons"]) => self.create(body),
            (_, [.., "podchaperons", name]) => {
                let named = |c: &PodChaperon| c.metadata.name.as_deref() == Some(name);
                let position = self.chaperons.iter().position(named);
                let chaperon = position.map(|position| json!(self.chaperons[position]));
                if let (Some(position), &Method::DELETE) = (position, method) {
                    let uid = body["preconditions"]["uid"].as_str();
                    assert!(uid.is_some(), "a deletion must say which chaperon it means");
                    if uid != self.chaperons[position].metadata.uid.as_deref() {
                        return failure(409, "Conflict");
                    }
                    self.chaperons.remove(position);
                }
                found(chaperon)
            }
            _ => (200, body),
        }
    }

    fn bind(&mut self, body: &Value) -> (u16, Value) {
        let Some(pod) = &mut self.pod else {
            return failure(404, "NotFound");
        };
        let own = body["metadata"]["uid"].as_str() == pod.metadata.uid.as_deref();
        if !own || pod.node_name().is_some() || pod.metadata.deletion_timestamp.is_some() {
            return failure(409, "Conflict");
        }
        pod.spec.insert("nodeName".into(), body["target"]["name"].clone());
        match std::mem::take(&mut self.lose_binding_answer) {
            true => failure(409, "Conflict"),
            false => (
                201,
                json!({"kind": "Status", "apiVersion": "v1", "status": "Success", "code": 201}),
            ),
        }
    }

    fn mark(&mut self, body: &Value) -> (u16, Value) {
        let Some(pod) = &mut self.pod else {
            return failure(404, "NotFound");
        };
        let metadata = &mut pod.metadata;
        let same = |field: &str, value: &Option<String>| body["metadata"][field].as_str() == value.as_deref();
        if !same("uid", &metadata.uid) || !same("resourceVersion", &metadata.resource_version) {
            return failure(409, "Conflict");
        }
        let annotations: std::collections::BTreeMap<String, String> =
            serde_json::from_value(body["metadata"]["annotations"].clone()).unwrap();
        metadata.annotations.get_or_insert_default().extend(annotations);
        let version: u64 = metadata.resource_version.as_deref().unwrap_or("0").parse().unwrap();
        metadata.resource_version = Some((version + 1).to_string());
        (200, json!(pod))
    }

    fn create(&mut self, body: Value) -> (u16, Value) {
        let mut chaperon: PodChaperon = serde_json::from_value(body).unwrap();
        if self.deny_chaperons {
            return failure(403, "Forbidden");
        }
        if self
            .chaperons
            .iter()
            .any(|existing| existing.metadata.name == chaperon.metadata.name)
        {
            return failure(409, "AlreadyExists");
        }
        self.made += 1;
        chaperon.metadata.uid = Some(format!("c{}", self.made));
        self.chaperons.push(chaperon.clone());
        (201, json!(chaperon))
    }
}

fn found(object: Option<Value>) -> (u16, Value) {
    object.map_or_else(|| failure(404, "NotFound"), |object| (200, object))
}

fn failure(code: u16, reason: &str) -> (u16, Value) {
    let status = json!({"kind": "Status", "apiVersion": "v1", "status": "Failure", "code": code, "reason": reason, "message": reason});
    (code, status)
}
