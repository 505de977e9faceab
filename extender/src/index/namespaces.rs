//! Which namespaces the webhook serves.
//!
//! There it has seen every pod. Elsewhere a proxy pod can only be one that somebody wrote by hand, past the webhook's
//! judgement, and it goes nowhere.

use ahash::AHashSet;
use parking_lot::RwLock;

use super::{Index, Refusal, State};

/// Most namespaces whose refused pods are remembered, to be woken when the namespace turns out to be served.
const MOST_REFUSED: usize = 10_000;

/// Namespaces by name.
#[derive(Debug, Default)]
pub(super) struct Namespaces(RwLock<Names>);

#[derive(Debug, Default)]
struct Names {
    served: AHashSet<String>,
    /// Not served when a pod of theirs was last looked at.
    refused: AHashSet<String>,
}

impl Namespaces {
    /// Is it served? If not, that is remembered.
    fn serve(&self, name: &str) -> bool {
        if self.0.read().served.contains(name) {
            return true;
        }
        // It may have been added in between: looked up and remembered under one lock, no pod is refused and then forgotten.
        let mut names = self.0.write();
        let served = names.served.contains(name);
        if !served && names.refused.len() < MOST_REFUSED {
            names.refused.insert(name.to_owned());
        }
        served
    }

    /// Returns whether pods of it have been refused.
    fn add(&self, name: &str) -> bool {
        let mut names = self.0.write();
        names.served.insert(name.to_owned());
        names.refused.remove(name)
    }

    fn remove(&self, name: &str) {
        self.0.write().served.remove(name);
    }

    fn names(&self) -> Vec<String> {
        self.0.read().served.iter().cloned().collect()
    }
}

impl Index {
    /// The webhook serves this namespace: it has the label.
    pub fn namespace_served(&self, name: &str) {
        if self.namespaces.add(name) {
            let state = self.state.read();
            let targets = state.targets.iter().filter(|(_, known)| known.target.serves(name));
            for (node, _) in targets {
                // The receiver only goes at shutdown.
                let _ = self.wakes.send(node.clone());
            }
        }
    }

    /// The namespace has lost its label, or is gone.
    pub fn namespace_left(&self, name: &str) {
        self.namespaces.remove(name);
    }

    /// All served namespaces were listed: there are no others than these.
    pub fn namespaces_listed(&self, listed: &AHashSet<String>) {
        let known = self.namespaces.names();
        let gone = known.iter().filter(|name| !listed.contains(*name));
        gone.for_each(|name| self.namespace_left(name));
    }

    /// May proxy pods of this namespace go to targets?
    ///
    /// # Errors
    ///
    /// [`Refusal::NamespaceNotServed`]. What has begun is brought to an end: a pod with a chaperon was admitted when that
    /// was made.
    pub fn admits(&self, namespace: &str, uid: &str) -> Result<(), Refusal> {
        self.admits_in(&self.state.read(), namespace, uid)
    }

    pub(super) fn admits_in(&self, state: &State, namespace: &str, uid: &str) -> Result<(), Refusal> {
        let begun = || {
            let mut targets = state.targets.values();
            targets.any(|known| known.attempts.get(uid).is_some_and(|attempt| attempt.is_live()))
        };
        match self.namespaces.serve(namespace) || begun() {
            true => Ok(()),
            false => Err(Refusal::NamespaceNotServed),
        }
    }
}
