//! Where pods will most likely be bound that were prioritized a moment ago.
//!
//! kube-scheduler goes on with the next pod while a bind is under way, and a bind counts its pod only after it has read it.
//! In between, a burst of pods would all be sent to the target that was best for the first of them. Guesses change scores
//! alone: a wrong one refuses nobody.

use std::time::{Duration, Instant};

use ahash::AHashMap;
use parking_lot::Mutex;

/// How long a bind may take to count its pod.
const LIFE: Duration = Duration::from_secs(2);
/// Most pods that are remembered: so many are not prioritized within [`LIFE`].
const MOST: usize = 10_000;

/// The best node of each pod that was prioritized lately and is not counted yet, by the pod's UID.
#[derive(Debug, Default)]
pub(super) struct Guesses(Mutex<AHashMap<String, (String, Instant)>>);

impl Guesses {
    /// The pod goes to this node, most likely.
    pub fn guess(&self, uid: &str, node: &str, now: Instant) {
        let mut guesses = self.0.lock();
        if guesses.len() >= MOST {
            guesses.retain(|_, (_, since)| now < *since + LIFE);
        }
        if guesses.len() < MOST {
            guesses.insert(uid.to_owned(), (node.to_owned(), now));
        }
    }

    /// The pod is counted from now on, or goes nowhere.
    pub fn forget(&self, uid: &str) {
        self.0.lock().remove(uid);
    }

    /// How many other pods are on their way to each of these nodes.
    pub fn others<'a>(&self, uid: &str, nodes: impl Iterator<Item = &'a str>, now: Instant) -> Vec<i64> {
        let guesses = self.0.lock();
        let mut counts: AHashMap<&str, i64> = AHashMap::new();
        for (other, (node, since)) in guesses.iter() {
            if other != uid && now < *since + LIFE {
                *counts.entry(node).or_default() += 1;
            }
        }
        nodes
            .map(|node| counts.get(node).copied().unwrap_or_default())
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_guess_counts_for_others_until_it_is_known_or_old() {
        let guesses = Guesses::default();
        let (start, nodes) = (Instant::now(), ["a", "b"]);
        let others = |uid: &str, now| guesses.others(uid, nodes.into_iter(), now);
        guesses.guess("1", "a", start);
        guesses.guess("2", "a", start);
        guesses.guess("2", "b", start);
        assert_eq!(others("3", start), [1, 1], "the later guess counts");
        assert_eq!(others("1", start), [0, 1], "not the pod itself");
        guesses.forget("2");
        assert_eq!(others("3", start), [1, 0]);
        assert_eq!(others("3", start + LIFE), [0, 0]);
    }

    #[test]
    fn their_number_is_bounded() {
        let (guesses, start) = (Guesses::default(), Instant::now());
        for uid in 0..2 * MOST {
            guesses.guess(&uid.to_string(), "a", start);
        }
        assert_eq!(guesses.others("x", ["a"].into_iter(), start), [MOST as i64]);
        guesses.guess("new", "b", start + LIFE);
        assert_eq!(guesses.others("x", ["a", "b"].into_iter(), start + LIFE), [0, 1]);
    }
}
