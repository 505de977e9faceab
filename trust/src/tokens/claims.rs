//! The claims of a token, each of the type that RFC 7519 gives it: what has another type is not taken for absent.

use std::collections::HashMap;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde::de::{Error, IgnoredAny};
use serde::{Deserialize, Deserializer};
use serde_json::Value;

/// Latest time that is looked at: the end of the year 9999.
const LATEST: f64 = 253_402_300_799.0;

/// The claims that are looked at.
#[derive(Deserialize)]
pub(super) struct Claims {
    pub(super) iss: String,
    pub(super) sub: String,
    pub(super) aud: Audiences,
    pub(super) exp: Time,
    #[serde(default, deserialize_with = "present")]
    pub(super) nbf: Option<Time>,
    #[serde(default, deserialize_with = "present")]
    pub(super) iat: Option<Time>,
    #[serde(default)]
    pub(super) groups: Groups,
    /// A struct without this could be read from an array, too.
    #[serde(flatten)]
    _others: HashMap<String, IgnoredAny>,
}

/// Who a token says it is of.
#[derive(Deserialize)]
pub(super) struct Subject {
    pub(super) sub: String,
    #[serde(flatten)]
    _others: HashMap<String, IgnoredAny>,
}

/// Seconds since 1970, with a fraction maybe.
pub(super) struct Time(pub(super) SystemTime);

impl<'de> Deserialize<'de> for Time {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let seconds = f64::deserialize(deserializer)?;
        if !(0.0..=LATEST).contains(&seconds) {
            return Err(D::Error::custom("not a time"));
        }
        Ok(Self(UNIX_EPOCH + Duration::from_secs_f64(seconds)))
    }
}

/// `null` is not a time, and not an absent one.
fn present<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Time>, D::Error> {
    Time::deserialize(deserializer).map(Some)
}

/// One audience, or several.
#[derive(Deserialize)]
#[serde(from = "OneOrMore")]
pub(super) struct Audiences(pub(super) Vec<String>);

#[derive(Deserialize)]
#[serde(untagged)]
enum OneOrMore {
    One(String),
    More(Vec<String>),
}

impl From<OneOrMore> for Audiences {
    fn from(audiences: OneOrMore) -> Self {
        match audiences {
            OneOrMore::One(audience) => Self(vec![audience]),
            OneOrMore::More(audiences) => Self(audiences),
        }
    }
}

/// Groups: an array of texts, or none. Kubernetes writes no such claim, other issuers write what they like.
#[derive(Default)]
pub(super) struct Groups(pub(super) Vec<String>);

impl<'de> Deserialize<'de> for Groups {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let value = Value::deserialize(deserializer)?;
        Ok(Self(Vec::<String>::deserialize(value).unwrap_or_default()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn claims_are_an_object() {
        let array = r#"["i", "s", "a", 1, 1, 1, []]"#;
        let object =
            r#"{"iss": "i", "sub": "s", "aud": "a", "exp": 1, "nbf": 1, "iat": 1, "groups": [], "other": {"a": [1]}}"#;
        assert!(serde_json::from_str::<Claims>(array).is_err() && serde_json::from_str::<Subject>(r#"["s"]"#).is_err());
        assert!(serde_json::from_str::<Claims>(object).is_ok() && serde_json::from_str::<Subject>(object).is_ok());
    }
}
