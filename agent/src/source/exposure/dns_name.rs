//! Names under which applications are reached.

use std::fmt;
use std::net::IpAddr;

/// Longest name, without the dot at its end (RFC 1035).
const LONGEST: usize = 253;
/// Longest part of a name.
const LONGEST_LABEL: usize = 63;
/// What names begin with that stand between a host and the clusters of one region.
const REGIONAL: &str = "multicluster-";
/// Hex digits that keep regions apart whose names look alike as part of a name.
const HASH_DIGITS: usize = 8;

/// A host name in small letters, with or without `*.` at its front.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DnsName(String);

/// Why something is no name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotAName {
    /// The API server has the same rule for hosts.
    #[error("write names of small letters, digits and hyphens, like www.example.com or *.example.com")]
    Syntax,
    /// Too long.
    #[error("names have at most 253 characters, and their parts at most 63")]
    TooLong,
    /// An address.
    #[error("write a name, not an address")]
    Address,
    /// It could be taken for one of [`DnsName::in_region`].
    #[error("names that begin with multicluster- are kept for the regions of other names")]
    Reserved,
}

impl DnsName {
    /// A name as people write it: capitals and the dot at the end are taken as well.
    pub fn parse(text: &str) -> Result<Self, NotAName> {
        let name = text.trim().to_ascii_lowercase();
        let name = name.strip_suffix('.').unwrap_or(&name);
        let labels = name.strip_prefix("*.").unwrap_or(name);
        if name.len() > LONGEST || labels.split('.').any(|label| label.len() > LONGEST_LABEL) {
            return Err(NotAName::TooLong);
        }
        if name.parse::<IpAddr>().is_ok() {
            return Err(NotAName::Address);
        }
        if !labels.split('.').all(is_label) {
            return Err(NotAName::Syntax);
        }
        Ok(Self(name.to_owned()))
    }

    /// A name that users want to have: as [`Self::parse`], but none that could be taken for a region of another one.
    pub fn host(text: &str) -> Result<Self, NotAName> {
        let name = Self::parse(text)?;
        match name.0.starts_with(REGIONAL) {
            true => Err(NotAName::Reserved),
            false => Ok(name),
        }
    }

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// It is the name of one thing, no wildcard.
    pub fn is_plain(&self) -> bool {
        !self.0.starts_with('*')
    }

    /// The name for the clusters of one region: below this one, so that it lies in the same zone. `None` when that would
    /// be too long.
    pub fn in_region(&self, region: &str) -> Option<Self> {
        let fits = |label: &str| REGIONAL.len() + label.len() <= LONGEST_LABEL;
        let label = match is_label(region) && fits(region) {
            true => region.to_owned(),
            false => hashed(region),
        };
        let parent = match self.0.strip_prefix("*.") {
            Some(parent) => format!("any.{parent}"),
            None => self.0.clone(),
        };
        let name = format!("{REGIONAL}{label}.{parent}");
        (name.len() <= LONGEST).then_some(Self(name))
    }
}

/// A label for a text that is none.
fn hashed(text: &str) -> String {
    let plain = |c: char| match c.to_ascii_lowercase() {
        c @ ('a'..='z' | '0'..='9') => c,
        _ => '-',
    };
    let readable: String = text.chars().take(32).map(plain).collect();
    let hash = multicluster_api::virtual_node::short_hash(text, HASH_DIGITS);
    format!("{readable}-{hash}")
}

/// Is it a part of a name (RFC 1123)?
fn is_label(text: &str) -> bool {
    let inner = |c: u8| c.is_ascii_lowercase() || c.is_ascii_digit() || c == b'-';
    let no_hyphen = |c: Option<char>| c.is_some_and(|c| c != '-');
    text.len() <= LONGEST_LABEL
        && text.bytes().all(inner)
        && no_hyphen(text.chars().next())
        && no_hyphen(text.chars().last())
}

impl fmt::Display for DnsName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn names_are_taken_as_people_write_them() {
        for (text, name) in [
            ("www.example.com", "www.example.com"),
            (" WWW.Example.com. ", "www.example.com"),
            ("*.example.com", "*.example.com"),
            ("a", "a"),
            ("1.2.example", "1.2.example"),
        ] {
            assert_eq!(DnsName::parse(text).unwrap().as_str(), name);
        }
    }

    #[test]
    fn what_is_no_name_is_refused_with_the_reason() {
        let (long_label, long) = (format!("{}.com", "a".repeat(64)), ["a"; 128].join("."));
        for (text, reason) in [
            ("", NotAName::Syntax),
            ("*", NotAName::Syntax),
            ("a.*.com", NotAName::Syntax),
            ("*.*.com", NotAName::Syntax),
            ("a..com", NotAName::Syntax),
            ("-a.com", NotAName::Syntax),
            ("a_b.com", NotAName::Syntax),
            ("ä.com", NotAName::Syntax),
            ("a b.com", NotAName::Syntax),
            ("192.0.2.1", NotAName::Address),
            ("2001:db8::1", NotAName::Address),
            ("Multicluster-eu.example.com", NotAName::Reserved),
            (&long_label, NotAName::TooLong),
            (&long, NotAName::TooLong),
        ] {
            assert_eq!(DnsName::host(text), Err(reason), "{text}");
        }
    }

    #[test]
    fn a_region_has_a_name_below_the_host() {
        let name = |host: &str, region: &str| DnsName::parse(host).unwrap().in_region(region).map(|name| name.0);
        assert_eq!(
            name("www.example.com", "eu-west-3").unwrap(),
            "multicluster-eu-west-3.www.example.com"
        );
        assert_eq!(
            name("*.example.com", "eu-west-3").unwrap(),
            "multicluster-eu-west-3.any.example.com"
        );
        // Region labels may have characters that names must not have; such regions stay apart.
        assert_ne!(name("a.com", "EU_1"), name("a.com", "EU-1"));
        assert_eq!(name(&["abc"; 63].join("."), "eu-west-3"), None);
    }

    proptest! {
        #[test]
        fn nothing_panics_and_names_are_stable(text in "\\PC{0,40}|[a-zA-Z*.-]{0,300}", region in "\\PC{0,80}") {
            if let Ok(name) = DnsName::parse(&text) {
                prop_assert_eq!(DnsName::parse(name.as_str()), Ok(name.clone()));
                prop_assert!(name.in_region(&region).is_none_or(|name| DnsName::host(name.as_str()).is_err()));
                if let Some(regional) = name.in_region(&region) {
                    prop_assert!(regional.0.len() <= LONGEST && regional.0.split('.').all(is_label), "{}", regional);
                }
            }
        }
    }
}
