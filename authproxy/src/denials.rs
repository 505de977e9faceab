//! Who was not let in, told to people: in the log, as an Event on the TrustedIdentityProvider, as a metric.
//!
//! Anybody on the network can make denials. What is written for each is bounded: the log gets some lines a second, and an
//! identity an event every few minutes for each reason.

use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use hyper::HeaderMap;
use moka::sync::Cache;
use multicluster_trust::{Caller, Denied, ProviderRef, Trust, Trusted, certificates, tokens};
use parking_lot::Mutex;
use rustls_pki_types::CertificateDer;
use tokio::time::Instant;

use crate::authenticate::bearer;
use crate::events::Events;
use crate::jwks::FetchError;
use crate::keys::{Keys, Tell};
use crate::metrics::Metrics;
use crate::past::Past;
use crate::status::Failure;

/// An identity's next event of the same reason comes after so long at the earliest.
const QUIET: Duration = Duration::from_secs(300);
/// Identities and reasons that are remembered for that.
const REMEMBERED: u64 = 1024;
/// Events that may be written in a minute.
const EVENTS: u32 = 60;
/// Lines of the log that may be written in a second, of those that strangers can make.
const LINES: u32 = 50;

/// Who was not let in.
pub struct Denials {
    events: Arc<dyn Events>,
    metrics: Metrics,
    past: Arc<Past>,
    keys: Arc<Keys>,
    told: Cache<(String, &'static str), ()>,
    lines: Budget,
    notes: Budget,
    unreachable: Budget,
}

impl Denials {
    /// Nobody yet.
    pub fn new(events: Arc<dyn Events>, metrics: Metrics, past: Arc<Past>, keys: Arc<Keys>) -> Self {
        Self {
            events,
            metrics,
            past,
            keys,
            told: Cache::builder().max_capacity(REMEMBERED).time_to_live(QUIET).build(),
            lines: Budget::new(LINES, Duration::from_secs(1)),
            notes: Budget::new(EVENTS, Duration::from_secs(60)),
            unreachable: Budget::new(1, Duration::from_secs(1)),
        }
    }

    /// Somebody with these credentials may not call.
    pub fn denied(&self, peer: SocketAddr, denied: &Denied, chain: &[CertificateDer<'static>], headers: &HeaderMap) {
        let reason = denied.reason();
        match denied {
            Denied::NotAdmitted { provider, user } => {
                self.tell(peer, reason, &denied.to_string(), Some((provider, user)));
            }
            _ => match self.formerly(chain, headers) {
                Some((provider, user)) => {
                    let note = format!(
                        "{user} may not call: the TrustedIdentityProvider {}/{} is gone, or says something else by now",
                        provider.namespace, provider.name
                    );
                    self.tell(peer, reason, &note, Some((&provider, &user)));
                }
                None => self.tell(peer, reason, &denied.to_string(), None),
            },
        }
    }

    /// A request was not passed on, whoever has sent it.
    pub fn refused(&self, peer: SocketAddr, failure: &Failure, caller: Option<&Caller>) {
        let by = caller.map(|caller| (&caller.provider, caller.user.as_str()));
        let note = match caller {
            Some(caller) => format!("{}: {failure}", caller.user),
            None => failure.to_string(),
        };
        self.tell(peer, failure.reason(), &note, by);
    }

    /// What somebody has sent is no request.
    pub fn broke(&self, peer: SocketAddr, error: &dyn fmt::Display) {
        self.metrics.denied("Malformed", None);
        if self.lines.take() {
            tracing::warn!(%peer, reason = "Malformed", %error, "denied");
        }
    }

    /// The API server has not answered.
    pub fn unreachable(&self, failure: &Failure) {
        if matches!(failure, Failure::Unreachable | Failure::Lost) {
            self.metrics.upstream_failed();
            if self.unreachable.take() {
                tracing::warn!(error = %failure, "API server");
            }
        }
    }

    /// Requests in flight were cut, because these callers are not trusted any more.
    pub fn revoked(&self, callers: &[(Arc<Caller>, usize)]) {
        for (caller, requests) in callers {
            self.metrics.cut("Revoked", *requests);
            tracing::warn!(
                identity = caller.user,
                requests,
                "not trusted any more: requests in flight are cut"
            );
            let note = format!(
                "{} is not trusted any more: {requests} requests in flight were cut",
                caller.user
            );
            if self.notes.take() {
                self.events.warn(&caller.provider, "IdentityRevoked", "Cut", note);
            }
        }
    }

    fn tell(&self, peer: SocketAddr, reason: &'static str, note: &str, who: Option<(&ProviderRef, &str)>) {
        let identity = who.map(|(_, user)| user);
        self.metrics.denied(reason, identity);
        if self.lines.take() {
            tracing::warn!(%peer, reason, identity, error = note, "denied");
        }
        let Some((provider, user)) = who else {
            return;
        };
        let told = self.told.entry((user.to_owned(), reason)).or_insert(());
        if told.is_fresh() && self.notes.take() {
            let note = format!("{note} (from {})", peer.ip());
            self.events.warn(provider, "IdentityDenied", "Deny", note);
        }
    }

    /// Who this would have been not long ago.
    fn formerly(&self, chain: &[CertificateDer<'static>], headers: &HeaderMap) -> Option<(ProviderRef, String)> {
        let past = self.past.trust()?;
        let now = SystemTime::now();
        let keys = |provider: &ProviderRef| self.past.keys(provider).or_else(|| self.keys.of(provider));
        let token = bearer(headers).ok().flatten();
        let proven = match token {
            Some(token) => tokens::prove(&past, &keys, token, now).ok()?,
            None if chain.is_empty() => return None,
            None => certificates::prove(&past, chain, now).ok()?,
        };
        let user = user(&past, &proven)?;
        Some((proven.provider, user))
    }
}

fn user(trust: &Trust, proven: &multicluster_trust::Proven) -> Option<String> {
    let trusted: &Arc<Trusted> = trust.providers.get(&proven.provider)?.as_ref().ok()?;
    Some(trusted.provider.prefix.user(&proven.identity))
}

/// Tells of issuers' keys.
pub struct KeyNews(pub Arc<dyn Events>);

impl Tell for KeyNews {
    fn keys_unavailable(&self, provider: &ProviderRef, error: &FetchError) {
        let (namespace, name) = (&provider.namespace, &provider.name);
        tracing::warn!(namespace, provider = name, %error, "an issuer's keys cannot be had");
        let note = format!("the issuer's keys cannot be had, and its tokens not be checked: {error}");
        self.0.warn(provider, "IssuerKeysUnavailable", "FetchKeys", note);
    }
}

/// So many in a while.
struct Budget {
    most: u32,
    while_: Duration,
    left: Mutex<(Instant, u32)>,
}

impl Budget {
    fn new(most: u32, while_: Duration) -> Self {
        Self {
            most,
            while_,
            left: Mutex::new((Instant::now(), most)),
        }
    }

    fn take(&self) -> bool {
        let mut left = self.left.lock();
        if left.0.elapsed() >= self.while_ {
            *left = (Instant::now(), self.most);
        }
        let any = left.1 > 0;
        left.1 = left.1.saturating_sub(1);
        any
    }
}
