//! Proof by tokens of ServiceAccounts.
//!
//! Nothing in a token is taken for true before its signature is: `iss`, `aud` and `kid` only choose the key to try it with.

mod claims;
mod crypto;
mod keys;

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use jsonwebtoken::errors::ErrorKind;
use jsonwebtoken::{Algorithm, AlgorithmFamily, Header, Validation, dangerous};

pub use keys::{InvalidKeySet, KeySet};

use crate::caller::{Denied, Evidence, Proven};
use crate::decide::{Trust, Trusted};
use crate::identity::Identity;
use crate::provider::{Issuer, Proof, ProviderRef};
use claims::{Claims, Subject};

/// How far clocks may be apart.
pub const LEEWAY: Duration = Duration::from_secs(30);
/// Longest token that is looked at, in bytes.
pub const MAX_TOKEN: usize = 16 * 1024;

/// Who the token is of. `keys` gives the keys of a provider's issuer as they are known now, `None` while they could not be
/// had yet.
///
/// The proof expires [`LEEWAY`] after the token does, as long as the token would be taken.
pub fn prove(
    trust: &Trust,
    keys: &dyn Fn(&ProviderRef) -> Option<Arc<KeySet>>,
    token: &str,
    now: SystemTime,
) -> Result<Proven, Denied> {
    if token.len() > MAX_TOKEN {
        return Err(Denied::unproven("the token is too long"));
    }
    let (algorithm, kid) = read_header(token)?;
    let unproved: Claims = dangerous::insecure_decode_claims(token).map_err(unreadable_claims)?;
    let (trusted, issuer) = choose(trust, &unproved)?;
    let reference = &trusted.provider.reference;
    let keys =
        keys(reference).ok_or_else(|| Denied::unproven("the keys of the token's issuer are not known here yet"))?;
    let claims = verify(&keys, reference, token, algorithm, &kid)?;
    check_times(&claims, now)?;
    let identity = Identity::of_service_account(&claims.sub).map_err(|_| {
        Denied::unproven("the token is not of a ServiceAccount: its sub must be system:serviceaccount:NAMESPACE:NAME")
    })?;
    let expires = claims.exp.0.checked_add(LEEWAY).unwrap_or(claims.exp.0);
    Ok(Proven {
        provider: reference.clone(),
        identity,
        evidence: Evidence::of_token(issuer, &claims.aud.0),
        groups: claims.groups.0,
        expires,
    })
}

/// Who the token says it is of. Nobody has checked it: good for a line in a log about who was denied, and for nothing else.
pub fn claimed(token: &str) -> Option<Identity> {
    let short = (token.len() <= MAX_TOKEN).then_some(token)?;
    let claims: Subject = dangerous::insecure_decode_claims(short).ok()?;
    Identity::of_service_account(&claims.sub).ok()
}

/// The algorithm and the key that a token names. What else its header says (keys, URLs of keys) is not looked at.
fn read_header(token: &str) -> Result<(Algorithm, String), Denied> {
    let Header { alg, kid, crit, .. } = jsonwebtoken::decode_header(token).map_err(|_| {
        Denied::unproven(
            "the token cannot be read: it must be a signed JWT (RS, PS, ES or EdDSA; none is no signature)",
        )
    })?;
    if alg.family() == AlgorithmFamily::Hmac {
        return Err(Denied::unproven(
            "the token is signed by a shared secret: it must be RS, PS, ES or EdDSA",
        ));
    }
    if crit.is_some() {
        return Err(Denied::unproven(
            "the token has critical headers that nobody here understands",
        ));
    }
    let kid = kid.ok_or_else(|| Denied::unproven("the token does not name its key (kid)"))?;
    Ok((alg, kid))
}

/// The provider whose token it would be.
fn choose<'a>(trust: &'a Trust, claims: &Claims) -> Result<(&'a Trusted, &'a Issuer), Denied> {
    let of_issuer = trust.trusted().filter_map(|trusted| match &trusted.provider.proof {
        Proof::Tokens(issuer) if issuer.issuer == claims.iss => Some((trusted.as_ref(), issuer)),
        _ => None,
    });
    let mut of_issuer = of_issuer.peekable();
    if of_issuer.peek().is_none() {
        return Err(Denied::unproven("the token is of an issuer that nobody here trusts"));
    }
    let mut fit =
        of_issuer.filter(|(_, issuer)| claims.aud.0.iter().any(|audience| issuer.audiences.contains(audience)));
    match (fit.next(), fit.next()) {
        (Some(chosen), None) => Ok(chosen),
        (None, _) => Err(Denied::unproven("the token is for another audience")),
        (Some(_), Some(_)) => Err(Denied::unproven("the token is for audiences that are believed apart")),
    }
}

/// The token's claims, if one of the keys that it names has signed it.
fn verify(
    keys: &KeySet,
    provider: &ProviderRef,
    token: &str,
    algorithm: Algorithm,
    kid: &str,
) -> Result<Claims, Denied> {
    crypto::install();
    let mut named = keys.named(kid).peekable();
    if named.peek().is_none() {
        return Err(Denied::UnknownKey(provider.clone()));
    }
    let mut validation = Validation::new(algorithm);
    // Versions of the library took a claim of the wrong type for none at all (CVE-2026-25537): the times are ours to check.
    validation.required_spec_claims.clear();
    validation.validate_exp = false;
    validation.validate_aud = false;
    let mut denied = Denied::unproven("the token's algorithm is not one of its key");
    for key in named.filter(|key| key.fits(algorithm)) {
        match jsonwebtoken::decode::<Claims>(token, key.decoding(), &validation) {
            Ok(token) => return Ok(token.claims),
            Err(error) => {
                denied = match error.kind() {
                    ErrorKind::Json(_) => unreadable_claims(error),
                    _ => Denied::unproven("the token's signature is not its issuer's"),
                }
            }
        }
    }
    Err(denied)
}

fn check_times(claims: &Claims, now: SystemTime) -> Result<(), Denied> {
    let earliest = now.checked_sub(LEEWAY).unwrap_or(SystemTime::UNIX_EPOCH);
    let latest = now.checked_add(LEEWAY).unwrap_or(now);
    if claims.exp.0 <= earliest {
        return Err(Denied::unproven("the token has expired"));
    }
    for not_before in [&claims.nbf, &claims.iat].into_iter().flatten() {
        if not_before.0 > latest {
            return Err(Denied::unproven(
                "the token is not valid yet: compare the clusters' clocks",
            ));
        }
    }
    Ok(())
}

/// The library's text may quote a claim.
fn unreadable_claims(_: jsonwebtoken::errors::Error) -> Denied {
    Denied::unproven(
        "the token's claims cannot be read: iss, sub (texts), aud (a text or texts) and exp (a number) must be there, nbf and iat \
         may",
    )
}

#[cfg(test)]
mod tests;
