//! The cryptography of tokens, by `ring`: the library brings others, none of which our programs contain.

use jsonwebtoken::crypto::{CryptoProvider, JwtVerifier, KeyUtils};
use jsonwebtoken::errors::{ErrorKind, Result};
use jsonwebtoken::signature::{self, Verifier};
use jsonwebtoken::{Algorithm, DecodingKey, DecodingKeyKind};
use ring::signature::{
    self as by, EcdsaVerificationAlgorithm, RsaParameters, RsaPublicKeyComponents, UnparsedPublicKey,
    VerificationAlgorithm,
};

/// It verifies and does nothing else.
static RING: CryptoProvider = CryptoProvider {
    signer_factory: |_, _| Err(ErrorKind::UnsupportedAlgorithm.into()),
    verifier_factory: |algorithm, key| Ok(Box::new(ByRing::new(*algorithm, key)?)),
    key_utils: KeyUtils::new_unimplemented(),
};

/// Make the library use `ring`, in this process.
pub(super) fn install() {
    // Only the first call does something.
    let _ = RING.install_default();
}

/// What an algorithm is in `ring`. The type of the key follows from it.
enum Scheme {
    Rsa(&'static RsaParameters),
    Ec(&'static EcdsaVerificationAlgorithm),
    Ed,
}

struct ByRing {
    algorithm: Algorithm,
    scheme: Scheme,
    key: DecodingKey,
}

impl ByRing {
    fn new(algorithm: Algorithm, key: &DecodingKey) -> Result<Self> {
        let scheme = match algorithm {
            Algorithm::RS256 => Scheme::Rsa(&by::RSA_PKCS1_2048_8192_SHA256),
            Algorithm::RS384 => Scheme::Rsa(&by::RSA_PKCS1_2048_8192_SHA384),
            Algorithm::RS512 => Scheme::Rsa(&by::RSA_PKCS1_2048_8192_SHA512),
            Algorithm::PS256 => Scheme::Rsa(&by::RSA_PSS_2048_8192_SHA256),
            Algorithm::PS384 => Scheme::Rsa(&by::RSA_PSS_2048_8192_SHA384),
            Algorithm::PS512 => Scheme::Rsa(&by::RSA_PSS_2048_8192_SHA512),
            Algorithm::ES256 => Scheme::Ec(&by::ECDSA_P256_SHA256_FIXED),
            Algorithm::ES384 => Scheme::Ec(&by::ECDSA_P384_SHA384_FIXED),
            Algorithm::EdDSA => Scheme::Ed,
            // HS*, and what there may be one day.
            _ => return Err(ErrorKind::UnsupportedAlgorithm.into()),
        };
        if key.family() != algorithm.family() {
            return Err(ErrorKind::InvalidKeyFormat.into());
        }
        Ok(Self {
            algorithm,
            scheme,
            key: key.clone(),
        })
    }
}

impl JwtVerifier for ByRing {
    fn algorithm(&self) -> Algorithm {
        self.algorithm
    }
}

impl Verifier<Vec<u8>> for ByRing {
    fn verify(&self, message: &[u8], signature: &Vec<u8>) -> std::result::Result<(), signature::Error> {
        let bad = |_| signature::Error::new();
        let raw = |algorithm: &'static dyn VerificationAlgorithm, key: &[u8]| {
            UnparsedPublicKey::new(algorithm, key)
                .verify(message, signature)
                .map_err(bad)
        };
        match (&self.scheme, self.key.kind()) {
            (Scheme::Rsa(parameters), DecodingKeyKind::RsaModulusExponent { n, e }) => {
                let key = RsaPublicKeyComponents { n, e };
                key.verify(parameters, message, signature).map_err(bad)
            }
            (Scheme::Ec(algorithm), DecodingKeyKind::SecretOrDer(point)) => raw(*algorithm, point),
            (Scheme::Ed, DecodingKeyKind::SecretOrDer(key)) => raw(&by::ED25519, key),
            _ => Err(signature::Error::new()),
        }
    }
}
