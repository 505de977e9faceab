//! What is done for one Kubeconfig: ask, look, store, delete.

use jiff::Timestamp;
use kube::{Resource, ResourceExt};
use multicluster_api::Kubeconfig;
use multicluster_trust::kubeconfig_spec::{Proof, Wanted};
use tokio::time::Instant;

use super::certificate::Key;
use super::content::{self, Credentials};
use super::controller::Kubeconfigs;
use super::decide::Purpose;
use super::held::{Held, Issued};
use super::problem::Problem;
use super::request::{Progress, progress};
use super::work::{Pending, State};
use super::{secret, token};

impl Kubeconfigs {
    /// Ask for credentials: a token comes at once, a certificate later.
    pub(super) async fn ask(
        &self,
        object: &Kubeconfig,
        wanted: &Wanted,
        purpose: &Purpose,
        state: &mut State,
    ) -> Result<Option<Credentials>, Problem> {
        let namespace = object.namespace().unwrap_or_default();
        match &wanted.proof {
            Proof::Token {
                service_account,
                audience,
                lifetime,
            } => {
                let now = Timestamp::now();
                let token = token::issue(&self.client, &namespace, service_account, audience, *lifetime, now);
                Ok(Some(token.await?))
            }
            Proof::Certificate { lifetime } => {
                let key = Key::generate()?;
                let csr = key.request(&wanted.identity)?;
                state.attempts += 1;
                let name = format!("kubeconfig-{}-{}", state.uid, state.attempts);
                let of = format!("{namespace}/{}", object.name_any());
                self.in_use.lock().insert(name.clone());
                let asked = self.requests.create(&name, (&of, &state.uid), csr, *lifetime).await;
                if asked.is_err() {
                    self.in_use.lock().remove(&name);
                }
                asked?;
                state.pending = Some(Pending {
                    name,
                    key,
                    purpose: purpose.clone(),
                    since: Instant::now(),
                    waits_for: None,
                });
                Ok(None)
            }
        }
    }

    /// See how the request is; `None` while nothing is known.
    pub(super) async fn look_at(&self, state: &mut State, wanted: &Wanted) -> Option<Result<Credentials, Problem>> {
        let pending = state.pending.as_mut()?;
        let request = match self.requests.get(&pending.name).await {
            Ok(Some(request)) => request,
            Ok(None) => {
                let message = "somebody has deleted the certificate request";
                return Some(Err(Problem::new("RequestDeleted", message)));
            }
            // It is there still; the next look may be answered.
            Err(problem) => {
                pending.waits_for = Some(problem);
                return None;
            }
        };
        match progress(request.status.as_ref(), &wanted.identity.to_string()) {
            Progress::Pending(problem) => {
                pending.waits_for = Some(problem);
                None
            }
            Progress::Failed(problem) => Some(Err(problem)),
            Progress::Issued => {
                let status = request.status.unwrap_or_default();
                let chain = status.certificate.unwrap_or_default().0;
                let authority = status.ca.as_ref().map(|ca| ca.0.as_slice());
                Some(
                    pending
                        .key
                        .accept(&chain, authority, &wanted.identity, Timestamp::now()),
                )
            }
        }
    }

    pub(super) async fn store(
        &self,
        object: &Kubeconfig,
        wanted: &Wanted,
        purpose: &Purpose,
        held: &Held,
        credentials: Credentials,
    ) -> Result<Issued, Problem> {
        let content = content::kubeconfig(&object.name_any(), wanted, &credentials.proof)?;
        let issued = Issued {
            wanted: purpose.wanted.clone(),
            renew: purpose.renew.clone(),
            at: Timestamp::now(),
            expires: credentials.expires,
        };
        secret::write(
            &self.client,
            object,
            &wanted.secret_name,
            held.clone(),
            &content,
            &issued,
        )
        .await?;
        let reason = match held {
            Held::Missing => "Issued",
            Held::Ours { .. } | Held::Foreign(_) => "Renewed",
        };
        let (kind, expires) = (credentials.proof.kind(), issued.expires);
        let (namespace, name) = (object.namespace().unwrap_or_default(), object.name_any());
        tracing::info!(namespace, name, identity = %wanted.identity, kind, %expires, "issued");
        self.metrics.kubeconfig_issued(kind);
        let note = format!(
            "Secret {} has a {kind} of {}, good until {}",
            wanted.secret_name,
            wanted.identity,
            expires.strftime("%FT%TZ")
        );
        self.events.normal(object.object_ref(&()), reason, "Issue", note);
        Ok(issued)
    }

    /// Nobody waits for the request any more, if there is one.
    pub(super) async fn drop_request(&self, state: &mut State) {
        if let Some(pending) = state.pending.take() {
            self.requests.delete(&pending.name).await;
            self.in_use.lock().remove(&pending.name);
        }
    }

    /// Delete what was written under a former `spec.secretName`.
    pub(super) async fn delete_former(&self, object: &Kubeconfig) {
        let namespace = object.namespace().unwrap_or_default();
        for (name, version) in self.former(object) {
            if let Err(error) = secret::delete(&self.client, &namespace, &name, &version).await {
                tracing::warn!(namespace, name, %error, "deleting a Kubeconfig's former Secret");
            }
        }
    }
}
