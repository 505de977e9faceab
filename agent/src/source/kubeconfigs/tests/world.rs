//! A source cluster with an agent in it, and cert-manager, or what passes for it.

use std::sync::Arc;
use std::time::Duration;

use http::Method;
use jiff::Timestamp;
use k8s_openapi::ByteString;
use multicluster_api::names;
use parking_lot::Mutex;
use prometheus_client::registry::Registry;
use rcgen::{
    BasicConstraints, CertificateParams, CertificateSigningRequestParams, CertifiedIssuer, ExtendedKeyUsagePurpose,
    IsCa, KeyPair, PublicKeyData,
};
use serde_json::{Value, json};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::super::controller::Kubeconfigs;
use crate::events::Events;
use crate::fake::{Fake, failure};
use crate::leader::fence::Fence;
use crate::metrics::Metrics;

/// What cert-manager does with requests.
#[derive(Clone)]
pub enum Issuer {
    /// It signs them.
    Signs,
    /// It signs another key.
    SignsAnotherKey,
    /// It sets this condition.
    Says(Value),
    /// It does not run.
    Sleeps,
}

/// The world of a test. Dropped, all ends.
pub struct World {
    /// The API server.
    pub fake: Fake,
    /// The agent's.
    pub metrics: Arc<Metrics>,
    issuer: Arc<Mutex<Issuer>>,
    cert_manager: JoinHandle<()>,
    term: Option<Leader>,
}

struct Leader {
    stop: CancellationToken,
    fence: Fence,
    run: JoinHandle<()>,
}

impl Drop for World {
    fn drop(&mut self) {
        self.cert_manager.abort();
        if let Some(leader) = &self.term {
            leader.run.abort();
        }
    }
}

const KINDS: [(&str, &str); 2] = [("kubeconfigs", "default"), ("secrets", "default")];

impl World {
    /// A cluster whose agent leads.
    pub fn new(issuer: Issuer) -> Self {
        let (fake, issuer) = (Fake::new("agent"), Arc::new(Mutex::new(issuer)));
        let mut world = Self {
            cert_manager: tokio::spawn(cert_manager(fake.clone(), issuer.clone())),
            fake,
            metrics: Arc::default(),
            issuer,
            term: None,
        };
        world.lead();
        world
    }

    /// A term begins.
    pub fn lead(&mut self) {
        let stop = CancellationToken::new();
        let fence = Fence::until(tokio::time::Instant::now() + Duration::from_secs(1_000_000));
        let client = fence.guard(self.fake.client());
        let agent = Kubeconfigs::new(client.clone(), Events::new(client), self.metrics.clone());
        let run = tokio::spawn(agent.run(stop.clone()));
        self.term = Some(Leader { stop, fence, run });
    }

    /// The term ends, at once.
    pub async fn lose(&mut self) {
        let leader = self.term.take().unwrap();
        leader.fence.close();
        leader.stop.cancel();
        tokio::time::timeout(Duration::from_secs(1), leader.run)
            .await
            .unwrap()
            .unwrap();
        self.metrics.end_term();
    }

    /// cert-manager changes its mind.
    pub fn set_issuer(&self, issuer: Issuer) {
        *self.issuer.lock() = issuer;
    }

    /// The API server gives tokens that live so long; `None`: there is no ServiceAccount.
    pub fn give_tokens(&self, life: Option<Duration>) {
        let count = Mutex::new(0);
        self.fake.rule("tokens", move |method, path| {
            if (method, path.plural.as_str()) != (&Method::POST, "serviceaccounts") {
                return None;
            }
            let Some(life) = life else {
                return Some(failure(404, "NotFound", "not found", "serviceaccounts", &path.name));
            };
            *count.lock() += 1;
            let status = json!({
                "token": format!("s3cret-{}", *count.lock()),
                "expirationTimestamp": (Timestamp::now() + life).to_string(),
            });
            let audiences = ["multicluster.admiralty.io/eu.example:6443"];
            Some((
                201,
                json!({ "metadata": {}, "spec": { "audiences": audiences }, "status": status }),
            ))
        });
    }

    /// A user makes or changes the Kubeconfig `eu`.
    pub fn put(&self, change: impl FnOnce(&mut Value)) {
        let mut object = self.fake.get("kubeconfigs", "default", "eu").unwrap_or_else(|| {
            json!({
                "apiVersion": "multicluster.admiralty.io/v1alpha1", "kind": "Kubeconfig",
                "metadata": { "name": "eu", "namespace": "default", "generation": 0, "annotations": {} },
                "spec": { "secretName": "eu", "cluster": { "server": "https://eu.example:6443" } },
            })
        });
        let generation = object["metadata"]["generation"].as_i64().unwrap();
        object["metadata"]["generation"] = json!(generation + 1);
        change(&mut object);
        self.fake.put("kubeconfigs", object);
    }

    /// The Secret of this name.
    pub fn secret(&self, name: &str) -> Option<Value> {
        self.fake.get("secrets", "default", name)
    }

    /// Change the Secret `eu`, as somebody else.
    pub fn edit_secret(&self, change: impl FnOnce(&mut Value)) {
        self.fake.edit("secrets", "default", "eu", change);
    }

    /// Status and reason of the condition.
    pub fn ready(&self) -> (String, String) {
        let object = self.fake.get("kubeconfigs", "default", "eu").unwrap();
        let condition = &object["status"]["conditions"][0];
        let text = |field: &str| condition[field].as_str().unwrap_or_default().to_owned();
        (text("status"), text("reason"))
    }

    /// Wait until the condition is so.
    pub async fn is(&self, status: &str, reason: &str) {
        let what = format!("{status} {reason}");
        self.until(&what, || self.ready() == (status.into(), reason.into()))
            .await;
    }

    /// Wait until it is so.
    pub async fn until(&self, what: &str, holds: impl Fn() -> bool) {
        for _ in 0..6000 {
            if holds() {
                return;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        let objects = KINDS.map(|(plural, namespace)| self.fake.all(plural, namespace));
        panic!("never: {what}\n{objects:#?}\n{:?}", self.fake.events());
    }

    /// Wait until other credentials are in the Secret.
    pub async fn other_than(&self, before: &Value) {
        let data = |secret: &Value| secret["data"]["config"].clone();
        let other = || self.secret("eu").is_some_and(|now| data(&now) != data(before));
        self.until("other credentials", other).await;
    }

    /// Requests that are there.
    pub fn requests(&self) -> Vec<Value> {
        self.fake.all("certificaterequests", names::INSTALL_NAMESPACE)
    }

    /// All metrics.
    pub fn shown(&self) -> String {
        let (mut registry, mut text) = (Registry::default(), String::new());
        self.metrics.register(&mut registry);
        prometheus_client::encoding::text::encode(&mut text, &registry).unwrap();
        text
    }
}

/// The text of the kubeconfig in a Secret.
pub fn content(secret: &Value) -> String {
    let content: ByteString = serde_json::from_value(secret["data"]["config"].clone()).unwrap();
    String::from_utf8(content.0).unwrap()
}

async fn cert_manager(fake: Fake, issuer: Arc<Mutex<Issuer>>) {
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let authority = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
    loop {
        tokio::time::sleep(Duration::from_millis(70)).await;
        let issuer = issuer.lock().clone();
        for mut request in fake.all("certificaterequests", names::INSTALL_NAMESPACE) {
            let status = match &issuer {
                Issuer::Signs => signed(&request, &authority, None),
                Issuer::SignsAnotherKey => signed(&request, &authority, Some(KeyPair::generate().unwrap())),
                Issuer::Says(condition) => json!({ "conditions": [condition] }),
                Issuer::Sleeps => continue,
            };
            if request["status"]["conditions"] != status["conditions"] {
                request["status"] = status;
                fake.put("certificaterequests", request);
            }
        }
    }
}

fn signed(request: &Value, authority: &CertifiedIssuer<'_, KeyPair>, other: Option<KeyPair>) -> Value {
    let spec = &request["spec"];
    assert_eq!(spec["issuerRef"]["name"], names::IDENTITY_ISSUER);
    assert_eq!(spec["usages"], json!(["client auth", "digital signature"]));
    let csr: ByteString = serde_json::from_value(spec["request"].clone()).unwrap();
    let mut csr = CertificateSigningRequestParams::from_pem(std::str::from_utf8(&csr.0).unwrap()).unwrap();
    let life = spec["duration"].as_str().unwrap().strip_suffix('s').unwrap();
    let now = std::time::SystemTime::now();
    csr.params.not_before = now.into();
    csr.params.not_after = (now + Duration::from_secs(life.parse().unwrap())).into();
    csr.params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
    let certificate = match other {
        None => csr.signed_by(authority).unwrap(),
        Some(key) => {
            assert_ne!(key.subject_public_key_info(), csr.public_key.subject_public_key_info());
            csr.params.signed_by(&key, authority).unwrap()
        }
    };
    json!({
        "conditions": [{ "type": "Ready", "status": "True", "reason": "Issued", "message": "fetched" }],
        "certificate": ByteString(certificate.pem().into_bytes()),
        "ca": ByteString(authority.pem().into_bytes()),
    })
}
