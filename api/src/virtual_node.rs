//! A target's identity, and the name of the virtual node that stands for it.

use std::fmt;

use sha2::{Digest, Sha256};

use crate::names;

/// What the names of virtual nodes begin with.
pub const NODE_PREFIX: &str = "admiralty-";
/// Longest name of a Kubernetes object, RFC 1123 subdomain.
const MAX_NAME: usize = 253;
/// Characters that a label's value may have.
const MAX_LABEL_VALUE: usize = 63;
/// Hex digits of the hash that keeps cut or ambiguous names apart.
const HASH_DIGITS: usize = 10;

/// Which Target (with a namespace) or ClusterTarget (without) is meant.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TargetRef {
    /// Namespace of a Target; `None` for a ClusterTarget.
    pub namespace: Option<String>,
    /// Name of the object.
    pub name: String,
}

impl TargetRef {
    /// A namespaced Target.
    pub fn namespaced(namespace: impl Into<String>, name: impl Into<String>) -> Self {
        Self {
            namespace: Some(namespace.into()),
            name: name.into(),
        }
    }

    /// A ClusterTarget.
    pub fn cluster(name: impl Into<String>) -> Self {
        Self {
            namespace: None,
            name: name.into(),
        }
    }

    /// A Target serves its own namespace, a ClusterTarget all of them.
    pub fn serves(&self, namespace: &str) -> bool {
        self.namespace.as_deref().is_none_or(|own| own == namespace)
    }

    /// The kind of the object, for messages and events.
    pub fn kind(&self) -> &'static str {
        if self.namespace.is_some() {
            "Target"
        } else {
            "ClusterTarget"
        }
    }

    /// Name of the virtual node that stands for this target.
    pub fn virtual_node(&self) -> VirtualNodeName {
        VirtualNodeName::of(self)
    }
}

impl fmt::Display for TargetRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.namespace {
            Some(namespace) => write!(f, "{namespace}/{}", self.name),
            None => f.write_str(&self.name),
        }
    }
}

/// Name of a virtual node.
///
/// `admiralty`, namespace and name joined by `-`. The hyphens make `a-b`/`c` and `a`/`b-c` look alike, so whenever a
/// part contains one, or the name would be too long, a hash over the parts joined by `/` (which no part can contain)
/// follows.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct VirtualNodeName(String);

impl VirtualNodeName {
    fn of(target: &TargetRef) -> Self {
        let namespace = target.namespace.as_deref().unwrap_or_default();
        let mut name = match namespace {
            "" => format!("admiralty-{}", target.name),
            namespace => format!("admiralty-{namespace}-{}", target.name),
        };
        if namespace.contains('-') || target.name.contains('-') || name.len() > MAX_NAME {
            let hash = short_hash(&format!("admiralty/{namespace}/{}", target.name), HASH_DIGITS);
            name.truncate(MAX_NAME - HASH_DIGITS - 1);
            name = format!("{name}-{hash}");
        }
        Self(name)
    }

    /// The name as Kubernetes knows it.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The value of the label [`names::CLUSTER`]: the name itself, or what no other node has when the name is longer than a
    /// label's value may be.
    pub fn label_value(&self) -> String {
        if self.0.len() <= MAX_LABEL_VALUE {
            return self.0.clone();
        }
        let cut: String = self.0.chars().take(MAX_LABEL_VALUE - HASH_DIGITS - 1).collect();
        format!("{cut}-{}", short_hash(&self.0, HASH_DIGITS))
    }
}

impl fmt::Display for VirtualNodeName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl From<VirtualNodeName> for String {
    fn from(name: VirtualNodeName) -> Self {
        name.0
    }
}

/// The node carries the labels of a virtual node.
pub fn is_virtual_node(labels: &std::collections::BTreeMap<String, String>) -> bool {
    labels
        .get(names::PROVIDER)
        .is_some_and(|value| value == names::PROVIDER_VALUE)
}

/// The first `digits` hex digits of SHA-256.
pub fn short_hash(text: &str, digits: usize) -> String {
    let mut hex: String = Sha256::digest(text).iter().map(|byte| format!("{byte:02x}")).collect();
    hex.truncate(digits);
    hex
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::syntax::is_label_value;

    #[test]
    fn names_follow_the_known_vectors() {
        for (target, name) in [
            (TargetRef::namespaced("default", "eu"), "admiralty-default-eu"),
            (
                TargetRef::namespaced("default", "eu-west-3-1"),
                "admiralty-default-eu-west-3-1-8984c76b96",
            ),
            (TargetRef::cluster("eu"), "admiralty-eu"),
        ] {
            assert_eq!(target.virtual_node().as_str(), name);
        }
    }

    #[test]
    fn hyphens_do_not_make_two_targets_one() {
        let a = TargetRef::namespaced("a-b", "c").virtual_node();
        let b = TargetRef::namespaced("a", "b-c").virtual_node();
        let c = TargetRef::cluster("a-b-c").virtual_node();
        assert!(a != b && b != c && a != c, "{a} {b} {c}");
    }

    #[test]
    fn long_names_are_cut_and_stay_apart() {
        let long =
            |end: &str| TargetRef::namespaced("n".repeat(63), format!("{}{end}", "t".repeat(250))).virtual_node();
        assert_eq!(long("x").as_str().len(), 253);
        assert_ne!(long("x"), long("y"));
    }

    #[test]
    fn label_values_stay_apart() {
        assert_eq!(TargetRef::cluster("eu").virtual_node().label_value(), "admiralty-eu");
        for cut in 1..=60 {
            let value = |end: &str| {
                let name = format!("{}.{}{end}", "t".repeat(cut), "t".repeat(60));
                TargetRef::cluster(name).virtual_node().label_value()
            };
            assert!(is_label_value(&value("x")), "{}", value("x"));
            assert_ne!(value("x"), value("y"));
        }
    }

    #[test]
    fn a_target_serves_its_namespace_only() {
        assert!(TargetRef::namespaced("a", "t").serves("a"));
        assert!(!TargetRef::namespaced("a", "t").serves("b"));
        assert!(TargetRef::cluster("t").serves("b"));
    }
}
