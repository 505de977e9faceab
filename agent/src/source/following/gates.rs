//! Delegates that wait for files, in one target. Pure.

use std::collections::{HashMap, HashSet};
use std::time::Instant;

use super::object::ObjectKey;

/// Pods, by UID, whose delegates wait for files.
#[derive(Debug, Default)]
pub struct Gates {
    /// Since when each of them has waited, and for what.
    pods: HashMap<String, (Instant, Vec<ObjectKey>)>,
    /// Who waits for a file.
    waiting: HashMap<ObjectKey, HashSet<String>>,
}

impl Gates {
    /// This pod's delegate waits for these files. Returns since when.
    pub fn wait(&mut self, pod: &str, files: &[ObjectKey]) -> Instant {
        for file in files {
            self.waiting.entry(file.clone()).or_default().insert(pod.to_owned());
        }
        let (since, waits_for) = self.pods.entry(pod.to_owned()).or_insert((Instant::now(), vec![]));
        *waits_for = files.to_vec();
        *since
    }

    /// It waits no more.
    pub fn wait_no_more(&mut self, pod: &str) {
        for file in self.pods.remove(pod).into_iter().flat_map(|(_, files)| files) {
            if let Some(waiting) = self.waiting.get_mut(&file) {
                waiting.remove(pod);
                if waiting.is_empty() {
                    self.waiting.remove(&file);
                }
            }
        }
    }

    /// The pods that wait for this file.
    pub fn waiting_for(&self, file: &ObjectKey) -> impl Iterator<Item = &String> {
        self.waiting.get(file).into_iter().flatten()
    }
}

#[cfg(test)]
mod tests {
    use super::super::object::Kind;
    use super::*;

    #[test]
    fn who_waits_is_known_until_it_waits_no_more() {
        let file = |name: &str| ObjectKey::new(Kind::ConfigMap, "n", name);
        let mut gates = Gates::default();
        let since = gates.wait("a", &[file("x"), file("y")]);
        gates.wait("b", &[file("x")]);
        assert_eq!(gates.wait("a", &[file("x"), file("y")]), since, "since the first time");
        let waiting = |gates: &Gates, name| {
            let mut pods: Vec<_> = gates.waiting_for(&file(name)).cloned().collect();
            pods.sort();
            pods
        };
        assert_eq!(waiting(&gates, "x"), ["a", "b"]);
        gates.wait_no_more("a");
        assert_eq!(
            (waiting(&gates, "x"), waiting(&gates, "y")),
            (vec!["b".to_owned()], vec![])
        );
        gates.wait_no_more("b");
        assert!(gates.waiting.is_empty() && gates.pods.is_empty());
    }
}
