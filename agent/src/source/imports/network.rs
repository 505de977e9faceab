//! Which clusters see each other's pods.
//!
//! That packets find their way from a pod of one cluster to the address of a pod in another one is for whoever built the
//! network to say; nothing here can find out. Clusters are in one flat network when they have the same network's name.

use std::fmt;

/// The network that a cluster's pods are in.
///
/// Nobody needs to name anything where all clusters share one: a cluster without a name is in the default network, and
/// who exports a Service says by that that the network is flat.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Network(String);

impl Network {
    /// The network of this name; the empty one is the default network.
    pub fn new(name: impl Into<String>) -> Self {
        Self(name.into())
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.as_str() {
            "" => f.write_str("default network"),
            name => write!(f, "network {name}"),
        }
    }
}
