//! How far the copies in one target are. Pure; time is given by the caller.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::facts::Labels;
use super::held::Held;
use super::object::Kind;
use super::originals::Version;
use super::refusal::Refusal;

/// How far an object's copy is.
#[derive(Clone, Debug, Default)]
pub struct Progress {
    /// How it was found or left last.
    pub settled: Option<Settled>,
    /// Why it is not there.
    pub refused: Option<Refusal>,
    /// Since when nothing needs it.
    pub unneeded: Option<Instant>,
    /// How often it was put back lately after somebody had changed it, and when last.
    put_back: Option<(u32, Instant)>,
}

/// How an object's copy was found or left.
#[derive(Clone, Debug)]
pub enum Settled {
    /// It is there.
    Done(Done),
    /// The object, at this version, is not meant to follow pods.
    LeftOut(Version),
}

/// A copy in step.
#[derive(Clone, Debug)]
pub struct Done {
    /// With this version.
    pub version: Version,
    /// Of a Service: with this selector.
    pub selector: Option<Arc<Labels>>,
    /// As it is there.
    pub fingerprint: String,
    /// The object there.
    pub uid: String,
}

/// Is a copy as it should be?
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Standing {
    /// Yes.
    InStep,
    /// It cannot be.
    Refused(Refusal),
    /// Not yet.
    Pending,
}

/// A copy that somebody else changes is put back at once; one who goes on is answered less and less often.
const PUT_BACK_PAUSE: Duration = Duration::from_millis(500);
const LONGEST_PUT_BACK_PAUSE: Duration = Duration::from_secs(60);
/// After so long without a change it begins anew.
const PEACE: Duration = Duration::from_secs(120);

impl Progress {
    /// Is the copy, which is there like this, in step with this version of the object?
    pub fn standing(&self, held: Option<&Held>, version: &Version, selector: Option<&Arc<Labels>>) -> Standing {
        if let Some(refusal) = &self.refused {
            return Standing::Refused(refusal.clone());
        }
        let in_step = match (&self.settled, held) {
            (Some(Settled::Done(done)), Some(held)) => {
                let as_it_was = done.uid == held.uid && done.fingerprint == held.fingerprint;
                as_it_was && done.version.covers(version) && done.selector.as_ref() == selector
            }
            (Some(Settled::LeftOut(left_out)), _) => left_out.covers(version),
            _ => false,
        };
        if in_step { Standing::InStep } else { Standing::Pending }
    }

    /// Somebody has changed the copy. How long to wait before it is put back?
    pub fn pause(&self, now: Instant) -> Duration {
        match self.put_back {
            Some((times, last)) if now.duration_since(last) < PEACE => {
                let pause = PUT_BACK_PAUSE
                    .saturating_mul(1 << times.min(10))
                    .min(LONGEST_PUT_BACK_PAUSE);
                pause.saturating_sub(now.duration_since(last))
            }
            _ => Duration::ZERO,
        }
    }

    /// It was put back.
    pub fn put_back(&mut self, now: Instant) {
        let times = match self.put_back {
            Some((times, last)) if now.duration_since(last) < PEACE => times + 1,
            _ => 0,
        };
        self.put_back = Some((times, now));
    }
}

/// For how long a copy that nothing needs stays, since its pods may be about to come back.
///
/// A rolling restart has a new pod before the last one goes, but `Recreate` has none for a moment. To make a ConfigMap
/// again costs one write. A load balancer that goes takes its address with it, and the one that comes in its place takes
/// minutes: so what may have one waits for a person, or an autoscaler, who changes his mind. DNS does not wait: it goes by
/// ready pods.
pub fn grace(kind: Kind) -> Duration {
    match kind {
        Kind::ConfigMap | Kind::Secret => Duration::from_secs(5),
        Kind::Service | Kind::Ingress | Kind::HttpRoute => Duration::from_secs(20),
        // What nobody exports any more is gone at once.
        Kind::ServiceImport | Kind::EndpointSlice => Duration::ZERO,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_goes_on_changing_a_copy_is_answered_less_and_less() {
        let (mut progress, start) = (Progress::default(), Instant::now());
        let (mut now, mut times) = (start, 0);
        while now < start + Duration::from_secs(3600) {
            let pause = progress.pause(now);
            if pause.is_zero() {
                progress.put_back(now);
                times += 1;
                now += Duration::from_millis(10);
            } else {
                now += pause;
            }
        }
        assert!((60..75).contains(&times), "{times} in an hour");
        assert_eq!(progress.pause(now + PEACE), Duration::ZERO);
    }
}
