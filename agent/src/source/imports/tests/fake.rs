//! An API server that keeps objects in memory.

use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;
use std::sync::Arc;

use http::{Method, Request, Response};
use kube::Client;
use kube::client::Body;
use parking_lot::Mutex;
use serde_json::{Value, json};

use crate::source::following::copy::Context;
use crate::source::following::object::{Kind, ObjectKey};
use crate::source::imports::there::{KINDS, There};

/// The API server.
#[derive(Clone, Default)]
pub struct Fake(Arc<Mutex<Inner>>);

#[derive(Default)]
struct Inner {
    objects: BTreeMap<String, Value>,
    writes: Vec<String>,
    /// Plurals that it refuses to take.
    forbidden: BTreeSet<&'static str>,
    version: u32,
}

/// Where the API server has an object.
pub fn path(kind: Kind, name: &str) -> String {
    let resource = kind.resource();
    let root = if resource.group.is_empty() { "/api" } else { "/apis" };
    format!(
        "{root}/{}/namespaces/shop/{}/{name}",
        resource.api_version, resource.plural
    )
}

impl Fake {
    /// A client of it.
    pub fn client(&self) -> Client {
        let fake = self.clone();
        let service = tower::service_fn(move |request: Request<Body>| {
            let fake = fake.clone();
            async move {
                let (head, body) = request.into_parts();
                let body = serde_json::from_slice(&body.collect_bytes().await.unwrap()).unwrap_or_default();
                let (code, answer) = fake.0.lock().answer(&head.method, head.uri.path(), body);
                let body = Body::from(serde_json::to_vec(&answer).unwrap());
                Ok::<_, std::io::Error>(Response::builder().status(code).body(body).unwrap())
            }
        });
        Client::new(service, "default")
    }

    /// What is there.
    pub fn get(&self, kind: Kind, name: &str) -> Option<Value> {
        self.0.lock().objects.get(&path(kind, name)).cloned()
    }

    /// All objects of a kind.
    pub fn all(&self, kind: Kind) -> Vec<Value> {
        let prefix = path(kind, "");
        let inner = self.0.lock();
        let of_kind = inner.objects.iter().filter(|(path, _)| path.starts_with(&prefix));
        of_kind.map(|(_, object)| object.clone()).collect()
    }

    /// Somebody else writes an object, or deletes it.
    pub fn put(&self, kind: Kind, name: &str, object: Option<Value>) {
        let mut inner = self.0.lock();
        match object {
            Some(object) => drop(inner.store(path(kind, name), object)),
            None => drop(inner.objects.remove(&path(kind, name))),
        }
    }

    /// Refuse to take objects of a kind.
    pub fn forbid(&self, plural: &'static str) {
        self.0.lock().forbidden.insert(plural);
    }

    /// What was written since the last call: method and path's end.
    pub fn writes(&self) -> Vec<String> {
        std::mem::take(&mut self.0.lock().writes)
    }

    /// What a watch of our objects would have told by now.
    pub fn tell(&self, there: &There, context: &Context<'_>) {
        there.restart();
        for kind in KINDS {
            for object in self.all(kind) {
                if !object["metadata"]["labels"][multicluster_api::names::IMPORT].is_null() {
                    there.put(kind, &object, context);
                }
            }
            there.set_listed(kind);
        }
    }
}

impl Inner {
    fn store(&mut self, path: String, mut object: Value) -> Value {
        self.version += 1;
        let version = self.version;
        let metadata = &mut object["metadata"];
        metadata["resourceVersion"] = version.to_string().into();
        if metadata["uid"].is_null() {
            metadata["uid"] = format!("uid-{version}").into();
        }
        if path.starts_with("/api/v1/") && object["spec"]["clusterIPs"].is_null() {
            let ip = Ipv4Addr::from(0x0a60_0000 + version).to_string();
            let ip = object["spec"]["clusterIP"].as_str().map_or(ip, str::to_owned);
            object["spec"]["clusterIP"] = ip.as_str().into();
            object["spec"]["clusterIPs"] = json!([ip]);
        }
        self.objects.insert(path, object.clone());
        object
    }

    fn answer(&mut self, method: &Method, path: &str, body: Value) -> (u16, Value) {
        let failure = |code: u16, reason: &str, details: Value| {
            let message = format!("{reason}: {path}");
            let status = json!({ "kind": "Status", "status": "Failure", "code": code, "reason": reason,
                "message": message, "details": details });
            (code, status)
        };
        let details = json!({ "name": path.rsplit('/').next(), "kind": "objects" });
        if method != Method::GET {
            let mut parts = path.rsplit('/');
            let end: Vec<_> = parts.by_ref().take(2).collect();
            self.writes.push(format!("{method} {}/{}", end[1], end[0]));
            if self.forbidden.iter().any(|plural| path.contains(&format!("/{plural}"))) {
                return failure(403, "Forbidden", details);
            }
        }
        let object = path.trim_end_matches("/status");
        let known = self.objects.get(object).cloned();
        match (method, known) {
            (&Method::GET, Some(known)) => (200, known),
            (&Method::POST, _) => {
                let path = format!("{path}/{}", body["metadata"]["name"].as_str().unwrap());
                match self.objects.contains_key(&path) {
                    true => failure(409, "AlreadyExists", details),
                    false => (201, self.store(path, body)),
                }
            }
            (&Method::PATCH, Some(mut known)) if path.ends_with("/status") => {
                known["status"] = body["status"].clone();
                (200, self.store(object.to_owned(), known))
            }
            (&Method::PATCH, Some(mut known)) => {
                let operations: json_patch::Patch = serde_json::from_value(body).unwrap();
                match json_patch::patch(&mut known, &operations) {
                    Ok(()) => (200, self.store(path.to_owned(), known)),
                    Err(_) => failure(422, "Invalid", json!({})),
                }
            }
            (&Method::DELETE, Some(known)) => {
                self.objects.remove(path);
                (200, known)
            }
            _ => failure(404, "NotFound", details),
        }
    }
}

/// An object's key.
pub fn key(kind: Kind, name: &str) -> ObjectKey {
    ObjectKey::new(kind, "shop", name)
}
