//! What is put in front of identities, so that those of one provider cannot pass for anybody else.

use std::fmt;

use crate::identity::Identity;

/// What the names of a provider's users and groups begin with.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Prefix(String);

/// What is no prefix.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "spec.prefix cannot be used: write 2 to 253 letters, digits and . _ - : / that end with / or : and do not begin with \
     system:, for example spiffe://management/"
)]
pub struct InvalidPrefix;

impl Prefix {
    /// Read a prefix.
    pub fn parse(text: &str) -> Result<Self, InvalidPrefix> {
        let plain = |c: char| c.is_ascii_alphanumeric() || "._-:/".contains(c);
        let good = (2..=253).contains(&text.len())
            && text.chars().all(plain)
            && text.ends_with(['/', ':'])
            && !text.to_ascii_lowercase().starts_with("system:");
        if good {
            Ok(Self(text.to_owned()))
        } else {
            Err(InvalidPrefix)
        }
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The user that this identity is here.
    pub fn user(&self, identity: &Identity) -> String {
        format!("{}{identity}", self.0)
    }

    /// The identity behind a user, if it has this prefix.
    pub fn identity(&self, user: &str) -> Option<Identity> {
        Identity::parse(user.strip_prefix(&self.0)?).ok()
    }

    /// The group that this one is here.
    pub fn group(&self, group: &str) -> String {
        format!("{}{group}", self.0)
    }

    /// Could a name with one of these prefixes also be one with the other?
    pub fn overlaps(&self, other: &Self) -> bool {
        self.0.starts_with(&other.0) || other.0.starts_with(&self.0)
    }
}

impl fmt::Display for Prefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests;
