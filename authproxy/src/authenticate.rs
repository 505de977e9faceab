//! Who calls: by certificate or by token.
//!
//! A proof is looked at once for each state of trust, and taken from memory afterwards: a certificate's on its connection,
//! a token's in a small cache. Whether it has expired is asked with each request.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use hyper::HeaderMap;
use hyper::header::AUTHORIZATION;
use moka::sync::Cache;
use multicluster_trust::tokens::{self, KeySet};
use multicluster_trust::{Caller, Denied, ProviderRef, Trust, Trusted, certificates};
use parking_lot::Mutex;
use rustls_pki_types::CertificateDer;
use sha2::{Digest, Sha256};
use tokio::time::Instant;

use crate::flights::Admission;
use crate::headers;
use crate::keys::Keys;
use crate::knowledge::Known;

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

/// Somebody who is let in: who, and by whose word.
type Admitted = (Arc<Caller>, Arc<Trusted>);

struct Verdict {
    version: u64,
    at: Instant,
    result: Result<Admitted, Denied>,
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

    fn judge(&self, known: &Known, now: SystemTime) -> Result<Admitted, Denied> {
        let mut verdict = self.verdict.lock();
        if let Some(Verdict { version, at, result }) = &*verdict
            && *version == known.version
        {
            match result {
                Ok((caller, _)) if now < caller.expires => return result.clone(),
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

fn by_certificate(trust: &Trust, chain: &[CertificateDer<'_>], now: SystemTime) -> Result<Admitted, Denied> {
    let proven = certificates::prove(trust, chain, now)?;
    let caller = trust.admit(&proven)?;
    admitted(trust, caller)
}

fn admitted(trust: &Trust, caller: Caller) -> Result<Admitted, Denied> {
    match trust.providers.get(&caller.provider) {
        Some(Ok(trusted)) => Ok((Arc::new(caller), trusted.clone())),
        _ => Err(Denied::Unproven("its provider is not trusted any more".into())),
    }
}

/// A token that was good, when trust and its issuer's keys were these.
#[derive(Clone)]
struct Remembered {
    version: u64,
    keys: Option<Arc<KeySet>>,
    admitted: Admitted,
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
    pub async fn authenticate(&self, known: &Known, shown: &Shown, headers: &HeaderMap) -> Result<Admission, Denied> {
        let now = SystemTime::now();
        if headers::has_websocket_token(headers) {
            return Err(Denied::Unproven(
                "a token in Sec-WebSocket-Protocol: write Authorization: Bearer".into(),
            ));
        }
        let token = bearer(headers)?;
        let certificate = (!shown.chain.is_empty()).then(|| shown.judge(known, now));
        let ((caller, trusted), chain) = match (certificate, token) {
            (None, None) => return Err(Denied::NoCredentials),
            // Known, but not let in, is believed, too.
            (Some(Ok(_) | Err(Denied::NotAdmitted { .. })), Some(_)) => return Err(Denied::TwoCredentials),
            (Some(verdict), None) => (verdict?, Some(shown.chain.clone())),
            (_, Some(token)) => (self.by_token(known, token, now).await?, None),
        };
        Ok(Admission {
            caller,
            trusted,
            chain,
            at: now,
        })
    }

    async fn by_token(&self, known: &Known, token: &str, now: SystemTime) -> Result<Admitted, Denied> {
        let hash: [u8; 32] = Sha256::digest(token.as_bytes()).into();
        if let Some(remembered) = self.tokens.get(&hash)
            && remembered.version == known.version
            && now < remembered.admitted.0.expires
            && same(&remembered.keys, &self.keys.of(&remembered.admitted.0.provider))
        {
            return Ok(remembered.admitted);
        }
        let result = self.look_at(known, token, now);
        let result = match result {
            Err(Denied::UnknownKey(provider)) if self.keys.refresh(&provider).await => self.look_at(known, token, now),
            result => result,
        };
        if let Ok(admitted) = &result {
            let remembered = Remembered {
                version: known.version,
                keys: self.keys.of(&admitted.0.provider),
                admitted: admitted.clone(),
            };
            self.tokens.insert(hash, remembered);
        }
        result
    }

    fn look_at(&self, known: &Known, token: &str, now: SystemTime) -> Result<Admitted, Denied> {
        let keys = |provider: &ProviderRef| -> Option<Arc<KeySet>> { self.keys.of(provider) };
        let proven = tokens::prove(&known.trust, &keys, token, now)?;
        let caller = known.trust.admit(&proven)?;
        admitted(&known.trust, caller)
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
/// That a certificate or a token has expired since, or that an issuer has other keys by now, cuts nothing: it was good. That
/// the authority that signed a certificate is not believed any more does, and that a token may be for an audience that does
/// not count any more.
pub fn still_admits(trust: &Trust, admission: &Admission) -> bool {
    use multicluster_trust::Proof::{Certificates, Tokens};
    let caller = &*admission.caller;
    if !trust.still_admits(caller) {
        return false;
    }
    let Some(Ok(now)) = trust.providers.get(&caller.provider) else {
        return false;
    };
    match (&admission.trusted.provider.proof, &now.provider.proof, &admission.chain) {
        (Certificates(before), Certificates(now), Some(_)) if before == now => true,
        (Certificates(_), Certificates(_), Some(chain)) => {
            let proven = by_certificate(trust, chain, admission.at);
            proven.is_ok_and(|(again, _)| again.user == caller.user && again.provider == caller.provider)
        }
        (Tokens(before), Tokens(now), None) => {
            before.issuer == now.issuer && before.audiences.is_subset(&now.audiences)
        }
        _ => false,
    }
}
