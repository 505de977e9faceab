//! What to do about a Kubeconfig now. Pure.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

use super::held::{Held, Issued, digest};

/// Credentials are renewed when two thirds of their life are over; up to this part of it earlier, so that a thousand that were
/// made at once are not renewed at once.
const JITTER: f64 = 0.05;
/// Credentials that live no longer than this when they come are of no use: clocks are apart.
pub const SHORTEST: Duration = Duration::from_secs(60);
/// How long cert-manager may take for a request. Another one may fare better.
pub const PATIENCE: Duration = Duration::from_secs(120);
/// After so long people are told what a request waits for.
pub const TELL: Duration = Duration::from_secs(5);
/// Pause after a failure; the next ones double up to [`MAX_PAUSE`].
const MIN_PAUSE: Duration = Duration::from_secs(2);
const MAX_PAUSE: Duration = Duration::from_secs(60);

/// For what credentials are made: when it changes, those that there are, and those that are under way, are out of date.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Purpose {
    /// Hash of what the spec asks for.
    pub wanted: String,
    /// The annotation [`multicluster_api::names::RENEW`].
    pub renew: Option<String>,
}

/// What is known.
#[derive(Clone, Debug)]
pub struct Facts<'a> {
    /// UID of the Kubeconfig.
    pub uid: &'a str,
    /// For what credentials are to be.
    pub purpose: &'a Purpose,
    /// What there is.
    pub held: &'a Held,
    /// A request that is under way: for what, and how old it is.
    pub pending: Option<(&'a Purpose, Duration)>,
    /// The last attempt has failed: for what, and how long to wait still.
    pub failed: Option<(&'a Purpose, Duration)>,
    /// The time.
    pub now: Timestamp,
}

/// What to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// Nothing: the credentials are good, and will be renewed then.
    Rest(Timestamp),
    /// Ask for credentials.
    Issue,
    /// See how the request is that was made.
    Look,
    /// Delete the request, and decide again: it is for something else.
    Drop,
    /// Delete the request: it takes too long.
    GiveUp,
    /// An attempt has failed; wait before the next one.
    Wait(Duration),
    /// Nothing: the Secret is somebody else's.
    Taken,
}

/// Decide.
pub fn decide(facts: &Facts<'_>) -> Step {
    let outdated = |(purpose, _): &(&Purpose, Duration)| *purpose != facts.purpose;
    let foreign = matches!(facts.held, Held::Foreign(_));
    let renewal = facts.held.issued().and_then(|issued| good_until(facts, issued));
    match facts.pending {
        Some(pending) if outdated(&pending) || foreign || renewal.is_some() => return Step::Drop,
        Some((_, age)) if age >= PATIENCE => return Step::GiveUp,
        Some(_) => return Step::Look,
        None if foreign => return Step::Taken,
        None => {}
    }
    match (renewal, facts.failed.filter(|failed| !outdated(failed))) {
        (Some(renewal), _) => Step::Rest(renewal),
        (None, Some((_, pause))) if !pause.is_zero() => Step::Wait(pause),
        (None, _) => Step::Issue,
    }
}

/// When these credentials will be renewed, if that is not now.
fn good_until(facts: &Facts<'_>, issued: &Issued) -> Option<Timestamp> {
    let Purpose { wanted, renew } = facts.purpose;
    let renewal = renewal(facts.uid, issued);
    let good = issued.wanted == *wanted && issued.renew == *renew && facts.now < renewal;
    good.then_some(renewal)
}

/// When credentials are renewed: the same for all who ask.
pub fn renewal(uid: &str, issued: &Issued) -> Timestamp {
    let life = issued.expires.duration_since(issued.at).max(SignedDuration::ZERO);
    let hash = digest(&format!("{uid} {}", issued.at));
    let hash = u32::from_str_radix(&hash[..8], 16).unwrap_or_default();
    let early = JITTER * f64::from(hash) / f64::from(u32::MAX);
    let until = Duration::try_from(life).unwrap_or_default().mul_f64(2.0 / 3.0 - early);
    issued.at.saturating_add(until).unwrap_or(issued.expires)
}

/// Pause after so many failures in a row.
pub fn pause(failures: u32) -> Duration {
    MIN_PAUSE
        .saturating_mul(1 << failures.saturating_sub(1).min(10))
        .min(MAX_PAUSE)
}

/// How soon to look at a request of this age again.
pub fn next_look(age: Duration) -> Duration {
    match age {
        age if age < Duration::from_secs(2) => Duration::from_millis(200),
        age if age < Duration::from_secs(10) => Duration::from_millis(500),
        _ => Duration::from_secs(2),
    }
}

#[cfg(test)]
#[path = "tests/decide.rs"]
mod tests;
