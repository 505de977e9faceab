//! To which fenced chaperons of a target its heartbeat is echoed next. Pure; time is given by the caller.
//!
//! An echo on one chaperon counts for all of its namespace, so the number of writes does not grow with pods.

use std::collections::{BTreeMap, HashMap};
use std::time::{Duration, Instant};

use multicluster_api::fence;

use crate::changes::Key;

/// When each namespace had its last echo.
#[derive(Debug, Default)]
pub struct Echoes(HashMap<String, Instant>);

impl Echoes {
    /// The chaperons, one a namespace, that are due, of these that have a fence.
    pub fn due(&mut self, fenced: impl IntoIterator<Item = (Key, Duration)>, now: Instant) -> Vec<Key> {
        let mut first: BTreeMap<String, (String, Duration)> = BTreeMap::new();
        for ((namespace, name), fence) in fenced {
            match first.get_mut(&namespace) {
                Some(known) => {
                    known.1 = known.1.min(fence);
                    if name < known.0 {
                        known.0 = name;
                    }
                }
                None => {
                    first.insert(namespace, (name, fence));
                }
            }
        }
        self.0.retain(|namespace, _| first.contains_key(namespace));
        let is_due = |namespace: &String, fence: Duration| {
            let last = self.0.get(namespace);
            last.is_none_or(|last| now.duration_since(*last) >= fence::echo_period(fence))
        };
        first
            .into_iter()
            .filter(|(namespace, (_, fence))| is_due(namespace, *fence))
            .map(|(namespace, (name, _))| (namespace, name))
            .collect()
    }

    /// This namespace has had an echo.
    pub fn sent(&mut self, namespace: &str, now: Instant) {
        self.0.insert(namespace.to_owned(), now);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fenced(namespace: &str, name: &str, seconds: u64) -> (Key, Duration) {
        ((namespace.into(), name.into()), Duration::from_secs(seconds))
    }

    #[test]
    fn one_chaperon_a_namespace_four_times_in_the_shortest_fence() {
        let (mut echoes, start) = (Echoes::default(), Instant::now());
        let at = |seconds| start + Duration::from_secs(seconds);
        let all = [
            fenced("a", "web-1", 600),
            fenced("a", "web-0", 60),
            fenced("b", "db-0", 20),
        ];
        let both = [("a".into(), "web-0".into()), ("b".into(), "db-0".into())];
        assert_eq!(echoes.due(all.clone(), at(0)), both);
        assert_eq!(echoes.due(all.clone(), at(0)), both, "until it was sent");
        echoes.sent("a", at(0));
        echoes.sent("b", at(0));
        assert!(echoes.due(all.clone(), at(4)).is_empty());
        assert_eq!(echoes.due(all.clone(), at(5)), both[1..]);
        assert_eq!(echoes.due(all.clone(), at(15)), both);
        // A namespace that had none for a while starts over.
        assert!(echoes.due([], at(16)).is_empty());
        assert_eq!(echoes.due(all, at(16)), both);
    }
}
