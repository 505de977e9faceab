//! The keys of an issuer: JSON Web Key Sets, RFC 7517 and 7518.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::{Algorithm, DecodingKey};
use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::Value;

/// Longest key set that is looked at, in bytes.
pub const MAX_KEY_SET: usize = 256 * 1024;
/// Most keys of a set that are looked at.
const MAX_KEYS: usize = 64;
/// Sizes of the RSA keys that `ring` takes, in bytes: 2048 to 8192 bits.
const RSA_BYTES: std::ops::RangeInclusive<usize> = 256..=1024;

/// The keys of an issuer, parsed once.
#[derive(Debug, Default)]
pub struct KeySet {
    keys: Vec<Key>,
}

/// What is no key set.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a JSON Web Key Set with signing keys: {0}")]
pub struct InvalidKeySet(pub String);

impl KeySet {
    /// Read a JSON Web Key Set. Keys that do not serve for signatures are left out; at least one must be left.
    ///
    /// A set with a private key is refused: whoever has read it can sign.
    pub fn parse(json: &[u8]) -> Result<Self, InvalidKeySet> {
        let invalid = |text: &str| InvalidKeySet(text.into());
        if json.len() > MAX_KEY_SET {
            return Err(invalid("it is longer than 256 KiB"));
        }
        let set: RawSet = serde_json::from_slice(json)
            .map_err(|_| invalid("write {\"keys\": [...]}, as kubectl get --raw /openid/v1/jwks shows it"))?;
        if set.keys.iter().any(is_secret) {
            return Err(invalid(
                "it holds a private or shared key: write the public parts alone, and make a new key",
            ));
        }
        let raw = set.keys.into_iter().take(MAX_KEYS);
        let keys: Vec<_> = raw
            .filter_map(|value| RawKey::deserialize(value).ok()?.read())
            .collect();
        if keys.is_empty() {
            return Err(invalid(
                "none of its keys serves: write RSA keys of 2048 bits or more, or EC keys on P-256 or P-384, or Ed25519, with a kid",
            ));
        }
        Ok(Self { keys })
    }

    /// The IDs of its keys, for logs.
    pub fn ids(&self) -> impl Iterator<Item = &str> {
        self.keys.iter().map(|key| key.id.as_str())
    }

    /// The keys with this ID. There may be several, of different types.
    pub(super) fn named(&self, id: &str) -> impl Iterator<Item = &Key> {
        self.keys.iter().filter(move |key| key.id == id)
    }
}

/// A key that serves for signatures.
#[derive(Debug)]
pub(super) struct Key {
    id: String,
    algorithms: Vec<Algorithm>,
    decoding: DecodingKey,
}

impl Key {
    /// Is this algorithm one for keys of this type, and the one that the key names, if it names one?
    pub(super) fn fits(&self, algorithm: Algorithm) -> bool {
        self.algorithms.contains(&algorithm)
    }

    pub(super) fn decoding(&self) -> &DecodingKey {
        &self.decoding
    }
}

#[derive(Deserialize)]
struct RawSet {
    keys: Vec<Value>,
}

#[derive(Deserialize)]
struct RawKey {
    kty: String,
    kid: String,
    #[serde(rename = "use")]
    usage: Option<String>,
    key_ops: Option<Vec<String>>,
    alg: Option<String>,
    crv: Option<String>,
    n: Option<String>,
    e: Option<String>,
    x: Option<String>,
    y: Option<String>,
}

impl RawKey {
    fn read(self) -> Option<Key> {
        let for_signatures = self.usage.as_deref().is_none_or(|usage| usage == "sig");
        let verifies = self
            .key_ops
            .as_ref()
            .is_none_or(|ops| ops.iter().any(|op| op == "verify"));
        let (decoding, mut algorithms) = self.material()?;
        if let Some(named) = &self.alg {
            let named: Algorithm = named.parse().ok()?;
            algorithms.retain(|algorithm| *algorithm == named);
        }
        let serves = for_signatures && verifies && !algorithms.is_empty() && !self.kid.is_empty();
        serves.then_some(Key {
            id: self.kid,
            algorithms,
            decoding,
        })
    }

    fn material(&self) -> Option<(DecodingKey, Vec<Algorithm>)> {
        use Algorithm::{ES256, ES384, EdDSA, PS256, PS384, PS512, RS256, RS384, RS512};
        let bytes = |text: &Option<String>| URL_SAFE_NO_PAD.decode(text.as_deref()?).ok();
        match (self.kty.as_str(), self.crv.as_deref()) {
            ("RSA", _) => {
                let (n, e) = (bytes(&self.n)?, bytes(&self.e)?);
                let key = DecodingKey::from_rsa_raw_components(&n, &e);
                let algorithms = vec![RS256, RS384, RS512, PS256, PS384, PS512];
                RSA_BYTES.contains(&n.len()).then_some((key, algorithms))
            }
            ("EC", Some("P-256")) => Some((point(&bytes(&self.x)?, &bytes(&self.y)?, 32)?, vec![ES256])),
            ("EC", Some("P-384")) => Some((point(&bytes(&self.x)?, &bytes(&self.y)?, 48)?, vec![ES384])),
            ("OKP", Some("Ed25519")) => {
                let x = bytes(&self.x).filter(|x| x.len() == 32)?;
                Some((DecodingKey::from_ed_der(&x), vec![EdDSA]))
            }
            _ => None,
        }
    }
}

/// A point of a curve, uncompressed.
fn point(x: &[u8], y: &[u8], length: usize) -> Option<DecodingKey> {
    let fits = x.len() == length && y.len() == length;
    fits.then(|| DecodingKey::from_ec_der(&[&[4], x, y].concat()))
}

/// Does it have a member that only private and shared keys have?
fn is_secret(key: &Value) -> bool {
    #[derive(Deserialize)]
    struct Secret {
        d: Option<IgnoredAny>,
        k: Option<IgnoredAny>,
    }
    Secret::deserialize(key).is_ok_and(|secret| secret.d.is_some() || secret.k.is_some())
}
