//! Whether all objects of a kind are known.

use crate::changes::Bar;

/// What is known of the objects of a kind in a cluster.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Listing {
    /// Not all of them yet.
    #[default]
    Pending,
    /// All of them.
    Listed,
    /// They cannot be watched.
    Barred(Bar),
}

impl Listing {
    /// Is it certain that what is not known is not there? Where the kind does not exist, nothing of it does.
    pub fn is_complete(self) -> bool {
        matches!(self, Self::Listed | Self::Barred(Bar::Missing))
    }
}
