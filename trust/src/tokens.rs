//! Proof by tokens of ServiceAccounts.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use crate::caller::{Denied, Proven};
use crate::decide::Trust;
use crate::provider::ProviderRef;

/// How far clocks may be apart.
pub const LEEWAY: Duration = Duration::from_secs(30);
/// Longest token that is looked at, in bytes.
pub const MAX_TOKEN: usize = 16 * 1024;

/// The keys of an issuer, parsed once.
#[derive(Debug, Default)]
pub struct KeySet {}

/// What is no key set.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a JSON Web Key Set with signing keys: {0}")]
pub struct InvalidKeySet(pub String);

impl KeySet {
    /// Read a JSON Web Key Set. Keys that do not serve for signatures are left out; at least one must be left.
    pub fn parse(_json: &[u8]) -> Result<Self, InvalidKeySet> {
        Err(InvalidKeySet("not implemented yet".into()))
    }
}

/// Who the token is of. `keys` gives the keys of a provider's issuer as they are known now, `None` while they could not be
/// had yet.
pub fn prove(
    _trust: &Trust,
    _keys: &dyn Fn(&ProviderRef) -> Option<Arc<KeySet>>,
    _token: &str,
    _now: SystemTime,
) -> Result<Proven, Denied> {
    Err(Denied::Unproven("not implemented yet".into()))
}
