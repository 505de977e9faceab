//! Who calls: by certificate or by token.
//!
//! A proof is looked at once for each state of trust, and taken from memory afterwards: a certificate's on its connection,
//! a token's in a small cache. Whether it has expired is asked with each request.

use std::cell::RefCell;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use hyper::HeaderMap;
use hyper::header::AUTHORIZATION;
use moka::sync::Cache;
use multicluster_trust::tokens::{self, KeySet};
use multicluster_trust::{Caller, Denied, ProviderRef, Trust, certificates};
use parking_lot::Mutex;
use rustls_pki_types::CertificateDer;
use sha2::{Digest, Sha256};
use tokio::time::Instant;

use crate::flights::Admission;
use crate::headers;
use crate::keys::Keys;
use crate::knowledge::Known;
use crate::status::Failure;

/// For how long a bad certificate is not looked at again: it may become valid.
const BAD: Duration = Duration::from_secs(1);
/// Tokens that are remembered.
const TOKENS: u64 = 4096;
/// For how long a token is not looked at again, at most: its key may go.
const TOKEN_LIFE: Duration = Duration::from_secs(60);

/// What a connection has shown, and what came of it.
pub struct Shown {
    chain: Arc<[CertificateDer<'static>]>,
    verdict: Mutex<Option<Verdict>>,
}

struct Verdict {
    version: u64,
    at: Instant,
    result: Result<Arc<Caller>, Denied>,
}

impl Shown {
    /// A connection with these certificates, or none.
    pub fn new(chain: Arc<[CertificateDer<'static>]>) -> Self {
        Self {
            chain,
            verdict: Mutex::default(),
        }
    }

    /// The certificates.
    pub fn chain(&self) -> &Arc<[CertificateDer<'static>]> {
        &self.chain
    }

    fn judge(&self, known: &Known, now: SystemTime) -> Result<Arc<Caller>, Denied> {
        let mut verdict = self.verdict.lock();
        if let Some(Verdict { version, at, result }) = &*verdict
            && *version == known.version
        {
            match result {
                Ok(caller) if now < caller.expires => return result.clone(),
                Err(_) if at.elapsed() < BAD => return result.clone(),
                _ => {}
            }
        }
        let result = by_certificate(&known.trust, &self.chain, now);
        *verdict = Some(Verdict {
            version: known.version,
            at: Instant::now(),
            result: result.clone(),
        });
        result
    }
}

fn by_certificate(trust: &Trust, chain: &[CertificateDer<'_>], now: SystemTime) -> Result<Arc<Caller>, Denied> {
    let proven = certificates::prove(trust, chain, now)?;
    trust.admit(&proven).map(Arc::new)
}

/// A token that was good, when trust and its issuer's keys were these.
#[derive(Clone)]
struct Remembered {
    version: u64,
    keys: Option<Arc<KeySet>>,
    caller: Arc<Caller>,
}

/// Tells who calls.
pub struct Authenticator {
    keys: Arc<Keys>,
    tokens: Cache<[u8; 32], Remembered>,
}

impl Authenticator {
    /// With the keys of issuers.
    pub fn new(keys: Arc<Keys>) -> Self {
        let tokens = Cache::builder().max_capacity(TOKENS).time_to_live(TOKEN_LIFE).build();
        Self { keys, tokens }
    }

    /// Who sends this, over this connection?
    pub async fn authenticate(&self, known: &Known, shown: &Shown, headers: &HeaderMap) -> Result<Admission, Failure> {
        let now = SystemTime::now();
        if headers::has_websocket_token(headers) {
            let text = "a token in Sec-WebSocket-Protocol is not taken: write Authorization: Bearer TOKEN";
            return Err(Denied::Unproven(text.into()).into());
        }
        let token = bearer(headers)?;
        let certificate = (!shown.chain.is_empty()).then(|| shown.judge(known, now));
        let (caller, chain) = match (certificate, token) {
            (None, None) => return Err(Denied::NoCredentials.into()),
            // Known, but not let in, is believed, too.
            (Some(Ok(_) | Err(Denied::NotAdmitted { .. })), Some(_)) => return Err(Denied::TwoCredentials.into()),
            (Some(verdict), None) => (verdict?, Some(shown.chain.clone())),
            (_, Some(token)) => (self.by_token(known, token, now).await?, None),
        };
        Ok(Admission { caller, chain, at: now })
    }

    async fn by_token(&self, known: &Known, token: &str, now: SystemTime) -> Result<Arc<Caller>, Failure> {
        let hash: [u8; 32] = Sha256::digest(token.as_bytes()).into();
        if let Some(remembered) = self.tokens.get(&hash)
            && remembered.version == known.version
            && now < remembered.caller.expires
            && same(&remembered.keys, &self.keys.of(&remembered.caller.provider))
        {
            return Ok(remembered.caller);
        }
        let (mut result, mut missing) = self.look_at(known, token, now);
        let wanted = match &result {
            Err(Denied::UnknownKey(provider)) => Some(provider.clone()),
            _ => missing.clone(),
        };
        if let Some(provider) = wanted
            && self.keys.refresh(&provider).await
        {
            (result, missing) = self.look_at(known, token, now);
        }
        match (result, missing) {
            (Ok(caller), _) => {
                let remembered = Remembered {
                    version: known.version,
                    keys: self.keys.of(&caller.provider),
                    caller: caller.clone(),
                };
                self.tokens.insert(hash, remembered);
                Ok(caller)
            }
            (Err(_), Some(_)) => Err(Failure::NoKeys),
            (Err(denied), None) => Err(denied.into()),
        }
    }

    /// And whose keys were asked for in vain.
    fn look_at(
        &self,
        known: &Known,
        token: &str,
        now: SystemTime,
    ) -> (Result<Arc<Caller>, Denied>, Option<ProviderRef>) {
        let missing = RefCell::new(None);
        let keys = |provider: &ProviderRef| {
            let keys = self.keys.of(provider);
            if keys.is_none() {
                missing.replace(Some(provider.clone()));
            }
            keys
        };
        let proven = tokens::prove(&known.trust, &keys, token, now);
        let result = proven.and_then(|proven| known.trust.admit(&proven).map(Arc::new));
        (result, missing.into_inner())
    }
}

fn same(one: &Option<Arc<KeySet>>, other: &Option<Arc<KeySet>>) -> bool {
    matches!((one, other), (Some(one), Some(other)) if Arc::ptr_eq(one, other))
}

/// The token, if there is one.
pub fn bearer(headers: &HeaderMap) -> Result<Option<&str>, Denied> {
    let mut values = headers.get_all(AUTHORIZATION).iter();
    let Some(value) = values.next() else {
        return Ok(None);
    };
    if values.next().is_some() {
        return Err(Denied::Unproven("more than one header Authorization: write one".into()));
    }
    let token = value.to_str().ok().and_then(|text| text.split_once(' '));
    match token {
        Some((scheme, token)) if scheme.eq_ignore_ascii_case("bearer") && !token.trim().is_empty() => {
            Ok(Some(token.trim()))
        }
        _ => Err(Denied::Unproven(
            "not a bearer token: write Authorization: Bearer TOKEN".into(),
        )),
    }
}

/// Is somebody who was let in before still to be let in? Asked when trust has changed; `false` cuts their streams off.
///
/// That a certificate or a token has expired since cuts nothing: it was good. A certificate, which stays with its connection,
/// may still lead to somebody who is believed when its first authority is gone.
pub fn still_admits(trust: &Trust, admission: &Admission) -> bool {
    let again = |chain: &Arc<[CertificateDer<'static>]>| by_certificate(trust, chain, admission.at);
    trust.still_admits(&admission.caller)
        || admission
            .chain
            .as_ref()
            .is_some_and(|chain| again(chain).is_ok_and(|now| now.covers(&admission.caller)))
}
