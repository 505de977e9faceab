//! Issuers of tokens, and the tokens that they sign, good and bad.

use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::rand::SystemRandom;
use ring::rsa::{KeyPairComponents, PublicKeyComponents};
use ring::signature as by;
use ring::signature::KeyPair;
use serde_json::{Value, json};

use super::NOW;
use crate::tokens::KeySet;

pub(crate) const ISSUER: &str = "https://issuer.example.com/id";
pub(crate) const AUDIENCE: &str = "multicluster.admiralty.io/target.example.com:443";

/// A key that signs tokens.
pub(crate) enum Key {
    Rsa(by::RsaKeyPair),
    Ec(by::EcdsaKeyPair, &'static str),
    Ed(by::Ed25519KeyPair),
}

impl Key {
    /// A new key for this algorithm; for RSA, which `ring` does not make, always the same.
    pub(crate) fn of(algorithm: &str) -> Self {
        let random = SystemRandom::new();
        let ec = |algorithm, curve| {
            let pkcs8 = by::EcdsaKeyPair::generate_pkcs8(algorithm, &random).unwrap();
            Self::Ec(
                by::EcdsaKeyPair::from_pkcs8(algorithm, pkcs8.as_ref(), &random).unwrap(),
                curve,
            )
        };
        match algorithm {
            "ES256" => ec(&by::ECDSA_P256_SHA256_FIXED_SIGNING, "P-256"),
            "ES384" => ec(&by::ECDSA_P384_SHA384_FIXED_SIGNING, "P-384"),
            "EdDSA" => {
                let pkcs8 = by::Ed25519KeyPair::generate_pkcs8(&random).unwrap();
                Self::Ed(by::Ed25519KeyPair::from_pkcs8(pkcs8.as_ref()).unwrap())
            }
            _ => Self::Rsa(rsa()),
        }
    }

    /// Its public part.
    pub(crate) fn jwk(&self, id: &str) -> Value {
        match self {
            Self::Rsa(_) => {
                json!({"kty": "RSA", "kid": id, "use": "sig", "alg": "RS256", "n": rsa_part("n"), "e": rsa_part("e")})
            }
            Self::Ec(key, curve) => {
                let point = &key.public_key().as_ref()[1..];
                let (x, y) = point.split_at(point.len() / 2);
                json!({"kty": "EC", "kid": id, "use": "sig", "crv": curve, "x": encode(x), "y": encode(y)})
            }
            Self::Ed(key) => {
                json!({"kty": "OKP", "kid": id, "crv": "Ed25519", "x": encode(key.public_key().as_ref())})
            }
        }
    }

    /// Sign a message; for RSA by this algorithm.
    pub(crate) fn signature(&self, algorithm: &str, message: &str) -> Vec<u8> {
        let (random, message) = (SystemRandom::new(), message.as_bytes());
        match self {
            Self::Rsa(key) => {
                let padding: &dyn by::RsaEncoding = match algorithm {
                    "RS384" => &by::RSA_PKCS1_SHA384,
                    "RS512" => &by::RSA_PKCS1_SHA512,
                    "PS256" => &by::RSA_PSS_SHA256,
                    "PS384" => &by::RSA_PSS_SHA384,
                    "PS512" => &by::RSA_PSS_SHA512,
                    _ => &by::RSA_PKCS1_SHA256,
                };
                let mut signature = vec![0; key.public().modulus_len()];
                key.sign(padding, &random, message, &mut signature).unwrap();
                signature
            }
            Self::Ec(key, _) => key.sign(&random, message).unwrap().as_ref().to_vec(),
            Self::Ed(key) => key.sign(message).as_ref().to_vec(),
        }
    }

    /// A token.
    pub(crate) fn sign(&self, header: &Value, claims: &Value) -> String {
        let message = format!("{}.{}", encode(header.to_string()), encode(claims.to_string()));
        let algorithm = header["alg"].as_str().unwrap_or_default();
        format!("{message}.{}", encode(self.signature(algorithm, &message)))
    }
}

/// The key set of these public parts.
pub(crate) fn key_set(keys: &[Value]) -> Arc<KeySet> {
    Arc::new(KeySet::parse(json!({ "keys": keys }).to_string().as_bytes()).unwrap())
}

/// What a good token's header says.
pub(crate) fn header(algorithm: &str) -> Value {
    json!({"alg": algorithm, "kid": "k1"})
}

/// What a good token says, as Kubernetes writes it.
pub(crate) fn claims() -> Value {
    let now = NOW.as_secs();
    json!({
        "iss": ISSUER, "aud": [AUDIENCE], "sub": "system:serviceaccount:team-a:default",
        "iat": now - 60, "nbf": now - 60, "exp": now + 3600, "jti": "j",
        "kubernetes.io": {"namespace": "team-a", "serviceaccount": {"name": "default", "uid": "u"}},
    })
}

/// Some of a good token's claims changed: `null` takes one away.
pub(crate) fn claims_with(changes: Value) -> Value {
    let mut claims = claims();
    for (name, value) in changes.as_object().unwrap() {
        match value {
            Value::Null => drop(claims.as_object_mut().unwrap().remove(name)),
            value => claims[name] = value.clone(),
        }
    }
    claims
}

pub(crate) fn encode(bytes: impl AsRef<[u8]>) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

fn rsa() -> by::RsaKeyPair {
    let part = |name| URL_SAFE_NO_PAD.decode(rsa_part(name)).unwrap();
    let public_key = PublicKeyComponents {
        n: part("n"),
        e: part("e"),
    };
    let components = KeyPairComponents {
        public_key,
        d: part("d"),
        p: part("p"),
        q: part("q"),
        dP: part("dp"),
        dQ: part("dq"),
        qInv: part("qi"),
    };
    by::RsaKeyPair::from_components(&components).unwrap()
}

fn rsa_part(name: &str) -> &'static str {
    RSA.iter().find(|(part, _)| *part == name).unwrap().1
}

/// An RSA key of these tests, and of nobody else: everybody can read it.
#[rustfmt::skip]
const RSA: [(&str, &str); 8] = [
    ("n", "mJ2jEha7_38-Zlo5uDtIlFWjq_aaCQirh7ZRdOe2S4H5jmWY1asEVZkLJSCvTGbjz_epeBrfAiu93OkYmojKr8Q3bY1-opcadwdm1NGQsIP-y0kTYed_t2uc34jDNh-UeXC0TJvojz1Y0kwcyAfPMAIUZ66gTtqYzwcYj9Pt7U4uJE4-SBYyf2l9M4GAA1S2WGmqBynhVEHb_VVf9e1CI7RCWzm2Jcao4g2OuPBIkShsr-7Oyh7RwifQ8MR87l9vFihekk0BKK44rI9jPRVwTCcM-EEND12owUC23Q7PiMXIM6UAialOl0RFCCe3oG2MhW__o07k4x9SWi4TY3wHAw"),
    ("e", "AQAB"),
    ("d", "ENATm2tgFE0RyZfN_QhMPh8oc_TWUlbKAsjoigmkJlxawD-xXx9DJSTs5TmyZicoQ2HEIdmf-26921zd24RkroleFoER1C_zopebp1Kw7xPo2Wn4VdRO2HI6qtDiZI-FEqiCYbWD9hJq5bwB0wgyiyuSJjvxfXkNKt2GwgLgbBXXEAgcMvByhlD3TCYG56yIWs0oSq5A3jeDdEsP_aBEk88Pt6LlB5JzHsh93UX2yNc5OnG6OoOrbBdqcym1g-0Kwx3o7WHtlDpV_4y8qOZqxOnRFBKHEUSJQprDfTIEJOKBV4EKpiHCfyqsWYrRnH5G27v71YWC_3fa6vpZJG6A-Q"),
    ("p", "yhl_Oxp0iG-mW7bIfLf6sP_NfKNob4GuwK3awfneBWZ_AWPbZtTYe5W7Ygz3FKP4DC6E0ttNMbdJdzEq6v__SdP9sa920b4V6Of0sWQMH1N67nVQ5EkE4liaiD_k9WetGVKrgVOS2n2HaHa9J9ETfKUXDL3wd4JPkoczA5midbk"),
    ("q", "wVGYHAnTXyK4gFCzuk2Wc7Dn2lphn7ZHDKND7lZZibcm0MnLjjs-IjEJwKDMaVzQ5fUGp5Bo8aU6dnjxxWfB95hLMEtgpk0XU1Xm_6GyG4fRlKq_ZlS98PiSZK1EX9UodzWodt3aoCdV8cszYkPbyjmQqZw5htfzBaoTlp50wJs"),
    ("dp", "eMjEQY6OFvyjcCzNpbxPF3nKVbNTt1DKIF3HYCb1ikS3ox0LA2ox96qFUxRsluloVd93go2OlSf1wEaiX9Cfwn_wH0G-wZvZfFkk5N_mXtKFpf53WfhJ8v0BXmzRadmMmpXN6n0IR4y-YLCWXDWYb-Y64GKkVMiMxgYHdx9a-Q"),
    ("dq", "jZX0AP0VSUVFufzhVV7EBWGYveyaOX4n1VKySxoFI_73N83D_xzWqfYefW2HqNdozDNEN29l3S21ftWfxYPzpSJuVyWt2L73iXqN38YOi2lTDz5rRkhkgNudZI0eWc3lgEHVa5GbMNb-dEPuE1c934N_tymLXH5HKGvjQto1Cmc"),
    ("qi", "A1ukIm0ghtozYR4B3rFe6VeLBySBeXmLQrRMurxmT0f3D1UxvPlZldmG4CatnqjqyaOjyj2Nn8UkrPD0PeRQms0oaq_AoJeQuOhSSZ2smzsAIqzeZDMtgzzgen7OaXRZUKNiy6JcifG4UJEjkjpL5xFqCTe0SPYuc7cx8LXFsII"),
];
