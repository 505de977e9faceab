//! Who is let in: by client certificate or token, and then as the cluster's RBAC has it.
//!
//! As a kubelet does it with `--client-ca-file`, `--authentication-token-webhook`, `--authorization-mode=Webhook` and
//! `--anonymous-auth=false`: <https://kubernetes.io/docs/reference/access-authn-authz/kubelet-authn-authz/>.

use std::time::Duration;

use hyper::header::{AUTHORIZATION, SEC_WEBSOCKET_PROTOCOL};
use hyper::{HeaderMap, Method};
use moka::sync::Cache;
use rustls_pki_types::CertificateDer;
use sha2::{Digest, Sha256};

use crate::caller::Caller;
use crate::client_ca::ClientCa;
use crate::failure::Failure;
use crate::reviews::{Question, Reviews, Verdict};

/// For how long a token is not asked about again, as a kubelet's default is.
const TOKEN_LIFE: Duration = Duration::from_secs(120);
/// For how long one that was nobody's is not.
const BAD_TOKEN_LIFE: Duration = Duration::from_secs(10);
/// As a kubelet's `authorization.webhook.cacheAuthorizedTTL`.
const ALLOWED_LIFE: Duration = Duration::from_secs(300);
/// As its `cacheUnauthorizedTTL`.
const DENIED_LIFE: Duration = Duration::from_secs(30);
/// Answers of a kind that are remembered.
const REMEMBERED: u64 = 4096;
/// Longest token that is looked at, in bytes.
const LONGEST_TOKEN: usize = 16 << 10;
/// Tokens hide here, too: <https://github.com/kubernetes/kubernetes/pull/47740>.
const WEBSOCKET_TOKEN: &str = "base64url.bearer.authorization.k8s.io.";

/// Lets callers in.
pub struct Gate<R> {
    client_ca: ClientCa,
    reviews: R,
    tokens: Cache<[u8; 32], Caller>,
    bad_tokens: Cache<[u8; 32], ()>,
    allowed: Cache<Question, ()>,
    denied: Cache<Question, String>,
}

fn remember<K, V>(life: Duration) -> Cache<K, V>
where
    K: std::hash::Hash + Eq + Send + Sync + 'static,
    V: Clone + Send + Sync + 'static,
{
    Cache::builder().max_capacity(REMEMBERED).time_to_live(life).build()
}

impl<R: Reviews> Gate<R> {
    /// Who holds a certificate of this authority, or a token that the API server knows.
    pub fn new(client_ca: ClientCa, reviews: R) -> Self {
        Self {
            client_ca,
            reviews,
            tokens: remember(TOKEN_LIFE),
            bad_tokens: remember(BAD_TOKEN_LIFE),
            allowed: remember(ALLOWED_LIFE),
            denied: remember(DENIED_LIFE),
        }
    }

    /// Who sends this. A certificate that is in order counts, and else the token; there is no anonymous caller.
    pub async fn authenticate(&self, chain: &[CertificateDer<'_>], headers: &HeaderMap) -> Result<Caller, Failure> {
        if has_websocket_token(headers) {
            let text = "a token in Sec-WebSocket-Protocol is not taken: write Authorization: Bearer TOKEN";
            return Err(Failure::Unauthenticated(text.into()));
        }
        let flaw = match self.client_ca.judge(chain) {
            Ok(caller) => return Ok(caller),
            Err(flaw) => flaw,
        };
        match bearer(headers) {
            Some(token) => self.by_token(token).await,
            None if chain.is_empty() => {
                let text = "show a client certificate of the cluster, or write Authorization: Bearer TOKEN";
                Err(Failure::Unauthenticated(text.into()))
            }
            None => Err(Failure::Unauthenticated(flaw)),
        }
    }

    async fn by_token(&self, token: &str) -> Result<Caller, Failure> {
        let unknown = || Failure::Unauthenticated("the token is nobody's in this cluster".into());
        if token.len() > LONGEST_TOKEN {
            return Err(unknown());
        }
        let hash: [u8; 32] = Sha256::digest(token.as_bytes()).into();
        if let Some(caller) = self.tokens.get(&hash) {
            return Ok(caller);
        }
        if self.bad_tokens.contains_key(&hash) {
            return Err(unknown());
        }
        match self.reviews.token(token).await.map_err(|_| Failure::Unsure)? {
            Some(caller) => {
                self.tokens.insert(hash, caller.clone());
                Ok(caller)
            }
            None => {
                self.bad_tokens.insert(hash, ());
                Err(unknown())
            }
        }
    }

    /// May they do this to one of these subresources of a node?
    pub async fn authorize(
        &self,
        caller: &Caller,
        method: &Method,
        node: &str,
        subresources: &[&'static str],
    ) -> Result<(), Failure> {
        let verb = verb(method).ok_or(Failure::Method)?;
        let mut why = String::new();
        for subresource in subresources {
            let question = Question {
                caller: caller.clone(),
                verb,
                node: node.to_owned(),
                subresource,
            };
            match self.ask(question).await? {
                Verdict::Allowed => return Ok(()),
                Verdict::Denied(reason) => why = reason,
            }
        }
        let (user, all) = (&caller.user, subresources.join(", "));
        let mut text = format!("user={user}, verb={verb}, resource=nodes, subresource(s)=[{all}], node={node}");
        if !why.is_empty() {
            text = format!("{text}: {why}");
        }
        Err(Failure::Forbidden(text))
    }

    async fn ask(&self, question: Question) -> Result<Verdict, Failure> {
        if self.allowed.contains_key(&question) {
            return Ok(Verdict::Allowed);
        }
        if let Some(reason) = self.denied.get(&question) {
            return Ok(Verdict::Denied(reason));
        }
        let verdict = self.reviews.access(&question).await.map_err(|_| Failure::Unsure)?;
        match &verdict {
            Verdict::Allowed => self.allowed.insert(question, ()),
            Verdict::Denied(reason) => self.denied.insert(question, reason.clone()),
        }
        Ok(verdict)
    }
}

fn verb(method: &Method) -> Option<&'static str> {
    match *method {
        Method::GET => Some("get"),
        Method::POST => Some("create"),
        _ => None,
    }
}

fn bearer(headers: &HeaderMap) -> Option<&str> {
    let mut values = headers.get_all(AUTHORIZATION).iter();
    let (value, None) = (values.next()?, values.next()) else {
        return None;
    };
    let (scheme, token) = value.to_str().ok()?.split_once(' ')?;
    let token = token.trim();
    (scheme.eq_ignore_ascii_case("bearer") && !token.is_empty()).then_some(token)
}

fn has_websocket_token(headers: &HeaderMap) -> bool {
    headers.get_all(SEC_WEBSOCKET_PROTOCOL).iter().any(|value| {
        let text = String::from_utf8_lossy(value.as_bytes()).to_ascii_lowercase();
        text.contains(WEBSOCKET_TOKEN)
    })
}

#[cfg(test)]
mod tests;
