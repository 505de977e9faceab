//! cert-manager's part: a CertificateRequest, and what became of it.

use std::collections::BTreeMap;
use std::time::Duration;

use k8s_openapi::ByteString;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::api::{DeleteParams, ListParams, PostParams, Preconditions};
use kube::core::{ApiResource, GroupVersionKind, Object};
use kube::{Api, Client, Error};
use multicluster_api::names;
use serde::{Deserialize, Serialize};

use super::problem::{Problem, issuer, quote};
use crate::api_error;
use crate::source::link::call::{CallError, call};

/// X.520's bound of a common name. cert-manager's CA issuer signs longer ones, others may not.
const LONGEST_NAME: usize = 64;

/// What of a CertificateRequest (cert-manager.io/v1) is used.
pub type CertificateRequest = Object<Spec, Status>;

/// What is asked for.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Spec {
    /// PEM.
    pub request: ByteString,
    /// Life of the certificate.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub duration: Option<String>,
    /// Who is to issue it.
    pub issuer_ref: IssuerRef,
    /// What it is for.
    #[serde(default)]
    pub usages: Vec<String>,
}

/// An issuer.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct IssuerRef {
    /// `cert-manager.io`.
    #[serde(default)]
    pub group: String,
    /// `Issuer`.
    #[serde(default)]
    pub kind: String,
    /// Its name.
    pub name: String,
}

/// What became of it.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Status {
    /// `Ready`, `Approved`, `Denied`, `InvalidRequest`.
    pub conditions: Vec<Condition>,
    /// PEM, the certificate first.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub certificate: Option<ByteString>,
    /// PEM.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ca: Option<ByteString>,
}

/// A condition. cert-manager's have less than Kubernetes' own.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Condition {
    /// Which.
    #[serde(rename = "type")]
    pub type_: String,
    /// `True`, `False`, `Unknown`.
    pub status: String,
    /// Why, in one word.
    pub reason: String,
    /// Why.
    pub message: String,
}

/// How a request is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Progress {
    /// The certificate is there.
    Issued,
    /// It will never be.
    Failed(Problem),
    /// It may come still; for what it waits.
    Pending(Problem),
}

/// The kind, which is not ours.
pub fn resource() -> ApiResource {
    ApiResource::from_gvk(&GroupVersionKind::gvk("cert-manager.io", "v1", "CertificateRequest"))
}

/// How a request is, as its status says. `name` is the common name.
pub fn progress(status: Option<&Status>, name: &str) -> Progress {
    let conditions = status.map_or(&[][..], |status| status.conditions.as_slice());
    let find = |type_: &str| conditions.iter().find(|condition| condition.type_ == type_);
    let holds = |type_: &str| find(type_).filter(|condition| condition.status == "True");
    if let Some(denied) = holds("Denied") {
        return Progress::Failed(Problem::new("Denied", denial(&denied.message)));
    }
    if let Some(invalid) = holds("InvalidRequest") {
        let message = format!("{} calls the request invalid: {}", issuer(), quote(&invalid.message));
        return Progress::Failed(Problem::new("InvalidRequest", message + hint(name)));
    }
    let Some(ready) = find("Ready") else {
        let message = match holds("Approved") {
            None => {
                "cert-manager has not approved the request: see whether its controller runs, and may approve requests for "
            }
            Some(_) => "cert-manager has not looked at the request yet: see whether its controller runs, and the ",
        };
        return Progress::Pending(Problem::new("NotIssued", format!("{message}{}", issuer())));
    };
    let said = quote(&ready.message);
    match (ready.status.as_str(), ready.reason.as_str()) {
        ("True", _) => Progress::Issued,
        (_, "Denied") => Progress::Failed(Problem::new("Denied", denial(&ready.message))),
        (_, "Failed") => {
            let message = format!("{} has failed: {said}", issuer());
            Progress::Failed(Problem::new("IssuerFailed", message + hint(name)))
        }
        _ if said.starts_with("Referenced \"Issuer\" not found") => {
            let message = format!(
                "there is no {}: apply the manifests of this version, or write spec.token",
                issuer()
            );
            Progress::Pending(Problem::new("IssuerNotFound", message))
        }
        _ => {
            let message = format!(
                "{} is not ready: see its conditions (cert-manager says: {said})",
                issuer()
            );
            Progress::Pending(Problem::new("IssuerNotReady", message))
        }
    }
}

fn denial(message: &str) -> String {
    format!(
        "the certificate request was denied: let cert-manager's approver admit requests for {} ({})",
        issuer(),
        quote(message)
    )
}

/// What else may be wrong with a request that others refuse.
fn hint(name: &str) -> &'static str {
    if name.len() > LONGEST_NAME {
        "; the identity is longer than 64 characters, which some issuers refuse: write shorter names, or spec.token"
    } else {
        ""
    }
}

/// CertificateRequests for Kubeconfigs.
#[derive(Clone)]
pub struct Requests(Api<CertificateRequest>);

impl Requests {
    /// In the source cluster of this client.
    pub fn new(client: Client) -> Self {
        Self(Api::namespaced_with(client, names::INSTALL_NAMESPACE, &resource()))
    }

    /// Ask for a certificate. `of` is the Kubeconfig: namespace and name, and UID.
    pub async fn create(&self, name: &str, of: (&str, &str), csr: String, life: Duration) -> Result<(), Problem> {
        let spec = Spec {
            request: ByteString(csr.into_bytes()),
            duration: Some(format!("{}s", life.as_secs())),
            issuer_ref: IssuerRef {
                group: "cert-manager.io".into(),
                kind: "Issuer".into(),
                name: names::IDENTITY_ISSUER.into(),
            },
            usages: vec!["client auth".into(), "digital signature".into()],
        };
        let mut request = CertificateRequest::new(name, &resource(), spec);
        request.metadata.labels = Some(BTreeMap::from([
            (names::MANAGED_BY.into(), names::MANAGED_BY_AGENT.into()),
            (names::KUBECONFIG_UID.into(), of.1.into()),
        ]));
        request.metadata.annotations = Some(BTreeMap::from([(names::KUBECONFIG.into(), of.0.into())]));
        match call(self.0.create(&PostParams::default(), &request)).await {
            Ok(_) => Ok(()),
            Err(error) => {
                // Of an earlier leader, or made by this call, whose answer has not come.
                if !matches!(&error, CallError::Kube(Error::Api(status)) if status.code != 409) {
                    self.delete(name).await;
                }
                Err(failed("ask cert-manager for a certificate", &error))
            }
        }
    }

    /// Read a request; `None` when it is gone.
    pub async fn get(&self, name: &str) -> Result<Option<CertificateRequest>, Problem> {
        let found = call(self.0.get_opt(name)).await;
        found.map_err(|error| failed("read certificate requests", &error))
    }

    /// Delete a request. One that is left all the same is found again by its label.
    pub async fn delete(&self, name: &str) {
        if let Err(error) = call(self.0.delete(name, &DeleteParams::default())).await
            && !matches!(&error, CallError::Kube(error) if api_error::is_not_found(error))
        {
            tracing::debug!(name, %error, "a certificate request is left for now");
        }
    }

    /// Delete the requests of earlier leaders, who alone knew their keys.
    pub async fn sweep(&self, in_use: impl Fn(&str) -> bool) -> Result<(), CallError> {
        let ours = format!(
            "{}={},{}",
            names::MANAGED_BY,
            names::MANAGED_BY_AGENT,
            names::KUBECONFIG_UID
        );
        for found in call(self.0.list_metadata(&ListParams::default().labels(&ours))).await? {
            let ObjectMeta {
                name: Some(name), uid, ..
            } = found.metadata
            else {
                continue;
            };
            if !in_use(&name) {
                let this = Preconditions {
                    uid,
                    resource_version: None,
                };
                let deleted = call(self.0.delete(&name, &DeleteParams::default().preconditions(this))).await;
                match deleted {
                    Err(CallError::Kube(error)) => api_error::ignore_gone::<()>(Err(error))?,
                    Err(error) => return Err(error),
                    Ok(_) => {}
                }
            }
        }
        Ok(())
    }
}

fn failed(what: &str, error: &CallError) -> Problem {
    match error {
        CallError::Kube(error) if api_error::is_not_found(error) && !api_error::is_object_not_found(error) => {
            Problem::no_cert_manager()
        }
        error => Problem::of_call(what, error),
    }
}

#[cfg(test)]
#[path = "tests/request.rs"]
mod tests;
