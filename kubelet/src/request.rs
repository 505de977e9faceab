//! The serving certificate, by the API server's CertificateSigningRequests (certificates.k8s.io/v1).
//!
//! Until the first one is there, a certificate is served that nobody vouches for: an API server without
//! `--kubelet-certificate-authority` (the default of most) does not look, and one that has the flag refuses by itself. Callers
//! are authenticated and authorised all the same.

use std::hash::{BuildHasher, RandomState};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use k8s_openapi::ByteString;
use k8s_openapi::api::certificates::v1::{
    CertificateSigningRequest as Csr, CertificateSigningRequestCondition as Condition, CertificateSigningRequestSpec,
};
use k8s_openapi::api::core::v1::ObjectReference;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::api::{DeleteParams, ListParams, PostParams};
use kube::{Api, Client, Resource, ResourceExt};
use multicluster_certs::ServingTls;
use tokio::time::{Instant, sleep};

use crate::certificate::{BadCertificate, Issued, Key, USAGES};
use crate::metrics::{Metrics, ReasonLabel};

/// Longest wait for an answer of the API server.
const PATIENCE: Duration = Duration::from_secs(10);
/// How often a request is looked at, soon after it was made and later.
const LOOK: (Duration, Duration) = (Duration::from_millis(300), Duration::from_secs(5));
/// After so long it is told that nobody has signed it.
const TELL_AFTER: Duration = Duration::from_secs(30);
/// Pauses before the next attempt: the first, which doubles, and the longest.
const PAUSES: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(300));
/// Shortest time from one certificate to the next, whatever life the signer gives them.
const SHORTEST: Duration = Duration::from_secs(5);
/// What approval is recorded with.
const APPROVED_BY_US: &str = "MulticlusterAgentApproved";

/// What is asked for, and of whom.
#[derive(Clone, Debug)]
pub struct Wish {
    /// Who is to sign.
    pub signer: String,
    /// We approve the request ourselves.
    pub approve: bool,
    /// Where the API server reaches us.
    pub address: IpAddr,
    /// Names by which it may.
    pub names: Vec<String>,
    /// Label by which our requests are found again: key and value.
    pub label: (&'static str, &'static str),
    /// Life of the certificate, if it is not the signer's to say.
    pub expiration: Option<Duration>,
}

/// What people are told.
pub trait Tell: Send + Sync + 'static {
    /// Something is wrong with a request: the object, the reason in one word, and what to do.
    fn warn(&self, request: ObjectReference, reason: &'static str, note: String);
}

/// Why there is no certificate.
#[derive(Debug, thiserror::Error)]
enum Failed {
    #[error("{0}")]
    Api(#[from] kube::Error),
    #[error("the API server does not answer")]
    Silent,
    #[error("{0}")]
    Bad(#[from] BadCertificate),
    #[error("it was denied: {0}")]
    Denied(String),
    #[error("the signer has failed: {0}")]
    Signer(String),
    #[error("the request was deleted before it was signed")]
    Deleted,
    #[error("{0}")]
    NotUsable(#[from] multicluster_certs::CertError),
}

impl Failed {
    fn reason(&self) -> &'static str {
        match self {
            Self::Api(_) | Self::Silent => "APIServerError",
            Self::Bad(_) | Self::NotUsable(_) => "CertificateNotUsable",
            Self::Denied(_) => "CertificateRequestDenied",
            Self::Signer(_) => "CertificateRequestFailed",
            Self::Deleted => "CertificateRequestDeleted",
        }
    }
}

/// Keeps the serving certificate.
pub struct Requester {
    requests: Api<Csr>,
    wish: Wish,
    tls: ServingTls,
    tell: Arc<dyn Tell>,
    metrics: Metrics,
}

impl Requester {
    /// For this server, by the API server of this client.
    pub fn new(client: Client, wish: Wish, tls: ServingTls, tell: Arc<dyn Tell>, metrics: Metrics) -> Self {
        Self {
            requests: Api::all(client),
            wish,
            tls,
            tell,
            metrics,
        }
    }

    /// Ask, install, and ask again in time, for ever.
    pub async fn run(self) {
        let mut pause = PAUSES.0;
        loop {
            match self.obtain().await {
                Ok(issued) => {
                    pause = PAUSES.0;
                    self.metrics.certificate_expiry.set(issued.expiry());
                    self.sweep().await;
                    sleep(issued.renew_in(SystemTime::now(), chance()).max(SHORTEST)).await;
                }
                Err(error) => {
                    let reason = error.reason();
                    tracing::warn!(%error, reason, signer = self.wish.signer, "serving certificate of the virtual nodes");
                    let label = ReasonLabel { reason };
                    self.metrics.certificate_failures.get_or_create(&label).inc();
                    sleep(pause.mul_f64(1.0 + chance() / 2.0)).await;
                    pause = (pause * 2).min(PAUSES.1);
                }
            }
        }
    }

    async fn obtain(&self) -> Result<Issued, Failed> {
        let key = Key::generate(self.wish.address, &self.wish.names)?;
        let request = self.create(&key).await?;
        if self.wish.approve
            && let Err(error) = self.approve(request.clone()).await
        {
            // Somebody else may do it.
            let note = format!(
                "the agent may not approve its request for a serving certificate ({error}): write `kubectl certificate \
                 approve {}`, or let it approve for the signer {}",
                request.name_any(),
                self.wish.signer
            );
            self.tell.warn(request.object_ref(&()), "CertificateNotApproved", note);
        }
        let chain = self.wait(&request).await?;
        let issued = key.accept(&chain)?;
        self.tls.install(&issued.chain, &key.pem())?;
        tracing::info!(
            request = request.name_any(),
            expiry = issued.expiry(),
            "serving certificate of the virtual nodes"
        );
        Ok(issued)
    }

    async fn create(&self, key: &Key) -> Result<Csr, Failed> {
        let seconds = self.wish.expiration.and_then(|life| i32::try_from(life.as_secs()).ok());
        let (label, value) = self.wish.label;
        let request = Csr {
            metadata: ObjectMeta {
                generate_name: Some("multicluster-kubelet-".into()),
                labels: Some([(label.to_owned(), value.to_owned())].into()),
                ..Default::default()
            },
            spec: CertificateSigningRequestSpec {
                request: ByteString(key.request()?.into_bytes()),
                signer_name: self.wish.signer.clone(),
                usages: Some(USAGES.map(str::to_owned).to_vec()),
                expiration_seconds: seconds,
                ..Default::default()
            },
            ..Default::default()
        };
        let params = PostParams::default();
        in_time(self.requests.create(&params, &request)).await
    }

    async fn approve(&self, mut request: Csr) -> Result<(), Failed> {
        let name = request.name_any();
        let status = request.status.get_or_insert_default();
        status.conditions.get_or_insert_default().push(Condition {
            type_: "Approved".into(),
            status: "True".into(),
            reason: Some(APPROVED_BY_US.into()),
            message: Some("the agent asks for the virtual nodes that it serves".into()),
            ..Default::default()
        });
        let params = PostParams::default();
        let approval = self.requests.replace_subresource("approval", &name, &params, &request);
        in_time(approval).await.map(drop)
    }

    /// Wait until it is signed, or never will be.
    async fn wait(&self, request: &Csr) -> Result<Vec<u8>, Failed> {
        let (name, began, mut told) = (request.name_any(), Instant::now(), false);
        loop {
            let waited = began.elapsed();
            sleep(if waited < TELL_AFTER { LOOK.0 } else { LOOK.1 }).await;
            let current = match in_time(self.requests.get_opt(&name)).await {
                Ok(current) => current.ok_or(Failed::Deleted)?,
                Err(error) => {
                    tracing::debug!(%error, request = name, "reading the request for a serving certificate");
                    continue;
                }
            };
            match progress(&current) {
                Progress::Signed(chain) => return Ok(chain),
                Progress::Denied(why) => {
                    let note = format!(
                        "somebody denied the virtual nodes' serving certificate ({why}); it is asked for again in a while"
                    );
                    self.tell
                        .warn(current.object_ref(&()), "CertificateRequestDenied", note);
                    return Err(Failed::Denied(why));
                }
                Progress::Failed(why) => {
                    let note = format!("the signer {} has failed: {why}", self.wish.signer);
                    self.tell
                        .warn(current.object_ref(&()), "CertificateRequestFailed", note);
                    return Err(Failed::Signer(why));
                }
                progress @ (Progress::NotApproved | Progress::NotSigned) if !told && waited > TELL_AFTER => {
                    told = true;
                    let (reason, note) = self.advice(&name, &progress);
                    tracing::warn!(request = name, reason, note, "serving certificate of the virtual nodes");
                    self.metrics
                        .certificate_failures
                        .get_or_create(&ReasonLabel { reason })
                        .inc();
                    self.tell.warn(current.object_ref(&()), reason, note);
                }
                Progress::NotApproved | Progress::NotSigned => {}
            }
        }
    }

    fn advice(&self, name: &str, progress: &Progress) -> (&'static str, String) {
        let signer = &self.wish.signer;
        match progress {
            Progress::NotApproved => (
                "CertificateNotApproved",
                format!(
                    "the virtual nodes' serving certificate waits for approval: write `kubectl certificate approve {name}`"
                ),
            ),
            _ => (
                "CertificateNotSigned",
                format!(
                    "nobody signs for {signer}: see whether its controller runs, or name another signer (--kubelet-signer)"
                ),
            ),
        }
    }

    /// Requests that have served, and those of agents that are gone.
    async fn sweep(&self) {
        let (label, value) = self.wish.label;
        let ours = ListParams::default().labels(&format!("{label}={value}"));
        let listed = match in_time(self.requests.list_metadata(&ours)).await {
            Ok(listed) => listed,
            Err(error) => return tracing::debug!(%error, "listing old requests for certificates"),
        };
        for request in listed {
            let name = request.name_any();
            if let Err(error) = in_time(self.requests.delete(&name, &DeleteParams::default())).await {
                tracing::debug!(%error, request = name, "deleting an old request for a certificate");
            }
        }
    }
}

async fn in_time<T>(asked: impl Future<Output = Result<T, kube::Error>>) -> Result<T, Failed> {
    let answer = tokio::time::timeout(PATIENCE, asked).await;
    Ok(answer.map_err(|_| Failed::Silent)??)
}

/// A number from 0 to 1.
fn chance() -> f64 {
    let random = RandomState::new().hash_one(SystemTime::now());
    f64::from((random >> 32) as u32) / f64::from(u32::MAX)
}

/// How a request is.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Progress {
    NotApproved,
    NotSigned,
    Denied(String),
    Failed(String),
    Signed(Vec<u8>),
}

fn progress(request: &Csr) -> Progress {
    let status = request.status.clone().unwrap_or_default();
    if let Some(ByteString(chain)) = status.certificate.filter(|chain| !chain.0.is_empty()) {
        return Progress::Signed(chain);
    }
    let conditions = status.conditions.unwrap_or_default();
    let holds = |type_: &str| {
        let condition = conditions.iter().find(|condition| condition.type_ == type_)?;
        (condition.status == "True").then(|| {
            let words = [condition.reason.as_deref(), condition.message.as_deref()];
            let words: Vec<_> = words.into_iter().flatten().filter(|word| !word.is_empty()).collect();
            words.join(": ")
        })
    };
    if let Some(why) = holds("Denied") {
        return Progress::Denied(why);
    }
    if let Some(why) = holds("Failed") {
        return Progress::Failed(why);
    }
    match holds("Approved") {
        Some(_) => Progress::NotSigned,
        None => Progress::NotApproved,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn request(status: serde_json::Value) -> Csr {
        let spec = json!({ "request": "", "signerName": "s" });
        serde_json::from_value(json!({ "metadata": {}, "spec": spec, "status": status })).unwrap()
    }

    #[test]
    fn how_a_request_is() {
        let condition =
            |type_: &str| json!({ "conditions": [{ "type": type_, "status": "True", "reason": "r", "message": "m" }] });
        for (status, expected) in [
            (json!({}), Progress::NotApproved),
            (condition("Approved"), Progress::NotSigned),
            (condition("Denied"), Progress::Denied("r: m".into())),
            (condition("Failed"), Progress::Failed("r: m".into())),
            (json!({ "certificate": "Y2VydA==" }), Progress::Signed(b"cert".to_vec())),
            (json!({ "certificate": "" }), Progress::NotApproved),
        ] {
            assert_eq!(progress(&request(status.clone())), expected, "{status}");
        }
    }

    #[test]
    fn chance_is_a_part() {
        let chances: Vec<f64> = (0..100).map(|_| chance()).collect();
        assert!(chances.iter().all(|chance| (0.0..=1.0).contains(chance)));
        assert!(chances.windows(2).any(|pair| pair[0] != pair[1]));
    }
}
