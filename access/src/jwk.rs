//! Verifying keys from JWK Sets (RFC 7517, 7518, 8037). There is no type for a private key here: the filter cannot sign.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::DecodingKey;
use jsonwebtoken::crypto::{JwtVerifier, rust_crypto};
use serde_json::{Map, Value};

/// The signature algorithms (RFC 7518 section 3.1, RFC 8037 section 3.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "each is the registered name")]
pub enum Algorithm {
    HS256,
    HS384,
    HS512,
    RS256,
    RS384,
    RS512,
    PS256,
    PS384,
    PS512,
    ES256,
    ES384,
    EdDSA,
}

/// The registered name, the key type that goes with it, and the library's word for it.
const ALGORITHMS: [(&str, &str, Algorithm, jsonwebtoken::Algorithm); 12] = [
    ("HS256", "oct", Algorithm::HS256, jsonwebtoken::Algorithm::HS256),
    ("HS384", "oct", Algorithm::HS384, jsonwebtoken::Algorithm::HS384),
    ("HS512", "oct", Algorithm::HS512, jsonwebtoken::Algorithm::HS512),
    ("RS256", "RSA", Algorithm::RS256, jsonwebtoken::Algorithm::RS256),
    ("RS384", "RSA", Algorithm::RS384, jsonwebtoken::Algorithm::RS384),
    ("RS512", "RSA", Algorithm::RS512, jsonwebtoken::Algorithm::RS512),
    ("PS256", "RSA", Algorithm::PS256, jsonwebtoken::Algorithm::PS256),
    ("PS384", "RSA", Algorithm::PS384, jsonwebtoken::Algorithm::PS384),
    ("PS512", "RSA", Algorithm::PS512, jsonwebtoken::Algorithm::PS512),
    ("ES256", "EC", Algorithm::ES256, jsonwebtoken::Algorithm::ES256),
    ("ES384", "EC", Algorithm::ES384, jsonwebtoken::Algorithm::ES384),
    ("EdDSA", "OKP", Algorithm::EdDSA, jsonwebtoken::Algorithm::EdDSA),
];

impl Algorithm {
    /// By its registered name, which is case-sensitive. `none` is not among them.
    pub fn from_name(name: &str) -> Option<Self> {
        ALGORITHMS.iter().find(|row| row.0 == name).map(|row| row.2)
    }

    /// The shortest HMAC secret, in bytes (RFC 7518 section 3.2): as long as the hash.
    fn least_secret(self) -> usize {
        match self {
            Algorithm::HS384 => 48,
            Algorithm::HS512 => 64,
            _ => 32,
        }
    }
}

/// One verifying key. Its algorithm is its own: a token that names another one does not fit.
pub struct Key {
    id: Option<String>,
    algorithm: Algorithm,
    verifier: Box<dyn JwtVerifier>,
}

impl std::fmt::Debug for Key {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Key")
            .field("id", &self.id)
            .field("algorithm", &self.algorithm)
            .finish_non_exhaustive()
    }
}

/// Why a JWK cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum JwkError {
    /// The set is not `{ "keys": [ … ] }`.
    #[error("a JWK Set is an object with an array `keys`")]
    NotASet,
    /// No key of the set can verify a signature.
    #[error("no key of the JWK Set can be used: {0}")]
    NoKey(String),
    /// A member is missing or malformed.
    #[error("`{0}` is missing or malformed")]
    Member(&'static str),
    /// `use` or `key_ops` say that the key is not for verifying.
    #[error("the key is not meant for verifying signatures")]
    Purpose,
    /// `alg` is unknown or does not go with `kty` and `crv`.
    #[error("`kty`, `crv` and `alg` do not go together or are not supported")]
    Kind,
    /// An RSA key under 2048 bits, or an HMAC secret shorter than its hash.
    #[error("the key is too weak")]
    Weak,
}

/// Reads a JWK Set. Keys of other kinds and purposes are passed over, as providers publish them too; a set without any
/// usable key is an error that names why the last one could not be used.
pub fn key_set(set: &Value) -> Result<Vec<Key>, JwkError> {
    let jwks = set.get("keys").and_then(Value::as_array).ok_or(JwkError::NotASet)?;
    let mut keys = Vec::new();
    let mut refused = JwkError::NotASet;
    for jwk in jwks {
        match jwk.as_object().ok_or(JwkError::NotASet).and_then(Key::from_jwk) {
            Ok(key) => keys.push(key),
            Err(error) => refused = error,
        }
    }
    match (keys.is_empty(), jwks.is_empty()) {
        (true, true) => Err(JwkError::NoKey("it is empty".into())),
        (true, false) => Err(JwkError::NoKey(refused.to_string())),
        _ => Ok(keys),
    }
}

impl Key {
    /// Reads one JWK.
    pub fn from_jwk(jwk: &Map<String, Value>) -> Result<Self, JwkError> {
        let text = |name: &'static str| match jwk.get(name) {
            None => Ok(None),
            Some(Value::String(text)) => Ok(Some(text.as_str())),
            Some(_) => Err(JwkError::Member(name)),
        };
        let bytes = |name: &'static str| {
            let text = text(name)?.ok_or(JwkError::Member(name))?;
            URL_SAFE_NO_PAD.decode(text).map_err(|_| JwkError::Member(name))
        };
        if text("use")?.is_some_and(|purpose| purpose != "sig") {
            return Err(JwkError::Purpose);
        }
        if let Some(operations) = jwk.get("key_ops") {
            let operations = operations.as_array().ok_or(JwkError::Member("key_ops"))?;
            if !operations.iter().any(|operation| operation == "verify") {
                return Err(JwkError::Purpose);
            }
        }
        let kind = text("kty")?.ok_or(JwkError::Member("kty"))?;
        let algorithm = algorithm(kind, text("crv")?, text("alg")?)?;
        let key = match kind {
            "oct" => {
                let secret = bytes("k")?;
                if secret.len() < algorithm.least_secret() {
                    return Err(JwkError::Weak);
                }
                DecodingKey::from_secret(&secret)
            }
            "RSA" => {
                let (modulus, exponent) = (bytes("n")?, bytes("e")?);
                check_rsa(&modulus, &exponent)?;
                DecodingKey::from_rsa_raw_components(&modulus, &exponent)
            }
            "EC" => {
                let (x, y) = (bytes("x")?, bytes("y")?);
                let length = if algorithm == Algorithm::ES256 { 32 } else { 48 };
                if x.len() != length || y.len() != length {
                    return Err(JwkError::Member("x"));
                }
                DecodingKey::from_ec_components(&URL_SAFE_NO_PAD.encode(x), &URL_SAFE_NO_PAD.encode(y))
                    .map_err(|_| JwkError::Member("x"))?
            }
            _ => {
                let x = bytes("x")?;
                if x.len() != 32 {
                    return Err(JwkError::Member("x"));
                }
                DecodingKey::from_ed_components(&URL_SAFE_NO_PAD.encode(x)).map_err(|_| JwkError::Member("x"))?
            }
        };
        let id = text("kid")?.map(str::to_owned);
        Ok(Self {
            id,
            algorithm,
            verifier: verifier(algorithm, &key)?,
        })
    }

    /// `kid`.
    pub fn id(&self) -> Option<&str> {
        self.id.as_deref()
    }

    /// The one algorithm this key verifies.
    pub fn algorithm(&self) -> Algorithm {
        self.algorithm
    }

    /// Whether this signature over this message was made with the key's other half.
    pub fn verifies(&self, message: &[u8], signature: &[u8]) -> bool {
        self.verifier.verify(message, &signature.to_vec()).is_ok()
    }
}

/// The algorithm of a key: its own `alg`, or the usual one of its kind where the provider left it out.
fn algorithm(kind: &str, curve: Option<&str>, name: Option<&str>) -> Result<Algorithm, JwkError> {
    let by_kind = match (kind, curve) {
        ("oct", None) => "HS256",
        ("RSA", None) => "RS256",
        ("EC", Some("P-256")) => "ES256",
        ("EC", Some("P-384")) => "ES384",
        ("OKP", Some("Ed25519")) => "EdDSA",
        _ => return Err(JwkError::Kind),
    };
    let name = name.unwrap_or(by_kind);
    // RFC 9864 gives Ed25519 a name of its own; tokens still say EdDSA.
    let name = if name == "Ed25519" { "EdDSA" } else { name };
    // On an elliptic curve there is only one algorithm.
    if curve.is_some() && name != by_kind {
        return Err(JwkError::Kind);
    }
    ALGORITHMS
        .iter()
        .find(|row| row.0 == name && row.1 == kind)
        .map(|row| row.2)
        .ok_or(JwkError::Kind)
}

/// At least 2048 bits (RFC 7518 section 3.3), at most 4096 (what the library verifies), an odd exponent over 1.
fn check_rsa(modulus: &[u8], exponent: &[u8]) -> Result<(), JwkError> {
    let significant = |bytes: &[u8]| {
        bytes
            .iter()
            .position(|&byte| byte != 0)
            .map_or(0, |zeros| bytes.len().saturating_sub(zeros))
    };
    let (modulus_len, exponent_len) = (significant(modulus), significant(exponent));
    let top = modulus.iter().find(|&&byte| byte != 0).copied().unwrap_or(0);
    if modulus_len < 256 || (modulus_len == 256 && top < 0x80) {
        return Err(JwkError::Weak);
    }
    if modulus_len > 512 {
        return Err(JwkError::Member("n"));
    }
    let last = exponent.last().copied().unwrap_or(0);
    if exponent_len == 0 || exponent_len > 4 || last.is_multiple_of(2) || (exponent_len == 1 && last < 3) {
        return Err(JwkError::Member("e"));
    }
    Ok(())
}

fn verifier(algorithm: Algorithm, key: &DecodingKey) -> Result<Box<dyn JwtVerifier>, JwkError> {
    let name = ALGORITHMS
        .iter()
        .find(|row| row.2 == algorithm)
        .map(|row| row.3)
        .ok_or(JwkError::Kind)?;
    // The provider is named, not looked up: the library's default panics when a build turns on none or two of them.
    (rust_crypto::DEFAULT_PROVIDER.verifier_factory)(&name, key).map_err(|_| JwkError::Member("x"))
}
