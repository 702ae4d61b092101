//! Verifying keys from JWK Sets (RFC 7517, 7518, 8037). There is no type for a private key here: the filter cannot sign.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use curve25519_dalek::edwards::CompressedEdwardsY;
use curve25519_dalek::traits::IsIdentity;
use jsonwebtoken::DecodingKey;
use jsonwebtoken::crypto::{JwtVerifier, rust_crypto};
use serde_json::{Map, Value};

use crate::der;

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

/// The registered name, the key type and curve that go with it, and the library's word for it.
type Row = (
    &'static str,
    &'static str,
    Option<&'static str>,
    Algorithm,
    jsonwebtoken::Algorithm,
);

const ALGORITHMS: [Row; 12] = [
    ("HS256", "oct", None, Algorithm::HS256, jsonwebtoken::Algorithm::HS256),
    ("HS384", "oct", None, Algorithm::HS384, jsonwebtoken::Algorithm::HS384),
    ("HS512", "oct", None, Algorithm::HS512, jsonwebtoken::Algorithm::HS512),
    ("RS256", "RSA", None, Algorithm::RS256, jsonwebtoken::Algorithm::RS256),
    ("RS384", "RSA", None, Algorithm::RS384, jsonwebtoken::Algorithm::RS384),
    ("RS512", "RSA", None, Algorithm::RS512, jsonwebtoken::Algorithm::RS512),
    ("PS256", "RSA", None, Algorithm::PS256, jsonwebtoken::Algorithm::PS256),
    ("PS384", "RSA", None, Algorithm::PS384, jsonwebtoken::Algorithm::PS384),
    ("PS512", "RSA", None, Algorithm::PS512, jsonwebtoken::Algorithm::PS512),
    (
        "ES256",
        "EC",
        Some("P-256"),
        Algorithm::ES256,
        jsonwebtoken::Algorithm::ES256,
    ),
    (
        "ES384",
        "EC",
        Some("P-384"),
        Algorithm::ES384,
        jsonwebtoken::Algorithm::ES384,
    ),
    (
        "EdDSA",
        "OKP",
        Some("Ed25519"),
        Algorithm::EdDSA,
        jsonwebtoken::Algorithm::EdDSA,
    ),
];

impl Algorithm {
    /// All of them.
    pub fn all() -> impl Iterator<Item = Self> {
        ALGORITHMS.iter().map(|row| row.3)
    }

    /// By its registered name, which is case-sensitive. `none` is not among them. RFC 9864 gives EdDSA on Ed25519 a name
    /// of its own.
    pub fn from_name(name: &str) -> Option<Self> {
        let name = if name == "Ed25519" { "EdDSA" } else { name };
        ALGORITHMS.iter().find(|row| row.0 == name).map(|row| row.3)
    }

    /// Its registered name.
    pub fn name(self) -> &'static str {
        self.row().0
    }

    fn row(self) -> &'static Row {
        // The table is in the order of the variants, which a test fixes.
        ALGORITHMS.get(self as usize).unwrap_or(&ALGORITHMS[0])
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

/// One verifying key. What it may verify is its own: a token that names another algorithm does not fit.
pub struct Key {
    id: Option<String>,
    /// The key in bytes: see [`Key::material`].
    material: Box<[u8]>,
    /// How long its signatures are, in bytes; HMAC: as long as the hash.
    signature_len: usize,
    /// Of an RSA key, big-endian, without zeros in front; else empty.
    modulus: Box<[u8]>,
    verifiers: Vec<(Algorithm, Box<dyn JwtVerifier>)>,
    /// The JWK had `d` in it (RFC 7518 sections 6.2.2 and 6.3.2, RFC 8037 section 2).
    with_private_half: bool,
}

impl std::fmt::Debug for Key {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Key")
            .field("id", &self.id)
            .field("algorithms", &self.algorithms().collect::<Vec<_>>())
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
    /// An RSA key under 2048 bits or with the structure of ROCA (CVE-2017-15361), an HMAC secret shorter than its hash, an
    /// Ed25519 point of small order.
    #[error("the key is too weak")]
    Weak,
}

/// Reads a JWK Set. Keys of other kinds and purposes are passed over, as providers publish them too; a set without any
/// usable key is an error that names why the last one could not be used.
pub fn key_set(set: &Value) -> Result<Vec<Key>, JwkError> {
    let jwks = set.get("keys").and_then(Value::as_array).ok_or(JwkError::NotASet)?;
    let mut keys: Vec<Key> = Vec::new();
    let mut refused = JwkError::NotASet;
    let mut spoilt = Vec::new();
    for jwk in jwks {
        match jwk.as_object().ok_or(JwkError::NotASet).and_then(Key::from_jwk) {
            Ok(key) => keys.push(key),
            Err(error) => {
                if matches!(error, JwkError::Member(_) | JwkError::Weak) {
                    spoilt.extend(jwk.get("kid").and_then(Value::as_str));
                }
                refused = error;
            }
        }
    }
    // A name that two keys share means neither, also when one of them cannot be read. (A key for another purpose, or of a
    // kind that is not known here, may well be called the same.)
    keys.retain(|key| key.id().is_none_or(|id| !spoilt.contains(&id)));
    match (keys.is_empty(), jwks.is_empty()) {
        (true, true) => Err(JwkError::NoKey("it is empty".into())),
        (true, false) => Err(JwkError::NoKey(refused.to_string())),
        _ => Ok(keys),
    }
}

/// Whether these are the same keys, in whatever order and however they were written.
pub(crate) fn same_keys(one: &[Key], other: &[Key]) -> bool {
    fn sorted(keys: &[Key]) -> Vec<Identity<'_>> {
        let mut all: Vec<_> = keys.iter().map(Key::identity).collect();
        all.sort_unstable();
        all
    }
    sorted(one) == sorted(other)
}

/// Name, material and algorithms of a key.
type Identity<'a> = (Option<&'a str>, &'a [u8], Vec<&'static str>);

impl Key {
    /// Reads one JWK. Without `alg` it verifies every algorithm of its kind that it is strong enough for.
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
        check_purpose(text("use")?, jwk.get("key_ops"))?;
        let kind = text("kty")?.ok_or(JwkError::Member("kty"))?;
        let mut algorithms = algorithms(kind, text("crv")?, text("alg")?)?;
        let mut modulus_of_rsa: Box<[u8]> = Box::default();
        let (key, material, signature_len) = match kind {
            "oct" => {
                let secret = bytes("k")?;
                algorithms.retain(|algorithm| secret.len() >= algorithm.least_secret());
                (DecodingKey::from_secret(&secret), secret, 0)
            }
            "RSA" => {
                let (modulus, exponent) = (bytes("n")?, bytes("e")?);
                let (modulus, exponent) = (unsigned(&modulus), significant(&exponent)?);
                check_rsa(modulus, exponent)?;
                let key = DecodingKey::from_rsa_raw_components(modulus, exponent);
                modulus_of_rsa = modulus.into();
                (key, der::rsa_public_key(modulus, exponent), modulus.len())
            }
            "EC" => {
                let (x, y) = (bytes("x")?, bytes("y")?);
                let p384 = algorithms.contains(&Algorithm::ES384);
                let length = if p384 { 48 } else { 32 };
                if x.len() != length || y.len() != length {
                    return Err(JwkError::Member("x"));
                }
                let key = DecodingKey::from_ec_components(&URL_SAFE_NO_PAD.encode(&x), &URL_SAFE_NO_PAD.encode(&y))
                    .map_err(|_| JwkError::Member("x"))?;
                (key, der::ec_public_key(p384, &x, &y), length.saturating_mul(2))
            }
            _ => {
                let x = bytes("x")?;
                check_ed25519(&x)?;
                let key =
                    DecodingKey::from_ed_components(&URL_SAFE_NO_PAD.encode(&x)).map_err(|_| JwkError::Member("x"))?;
                (key, der::ed25519_public_key(&x), 64)
            }
        };
        if algorithms.is_empty() {
            return Err(JwkError::Weak);
        }
        let verifiers = algorithms
            .into_iter()
            .map(|algorithm| Ok((algorithm, verifier(algorithm, &key)?)))
            .collect::<Result<_, JwkError>>()?;
        Ok(Self {
            id: text("kid")?.map(str::to_owned),
            material: material.into(),
            signature_len,
            modulus: modulus_of_rsa,
            verifiers,
            with_private_half: jwk.contains_key("d"),
        })
    }

    /// `kid`.
    pub fn id(&self) -> Option<&str> {
        self.id.as_deref()
    }

    /// What this key verifies: the algorithm of its `alg`, or those of its kind.
    pub fn algorithms(&self) -> impl Iterator<Item = Algorithm> {
        self.verifiers.iter().map(|(algorithm, _)| *algorithm)
    }

    /// Whether this key verifies signatures of this algorithm.
    pub fn fits(&self, algorithm: Algorithm) -> bool {
        self.algorithms().any(|own| own == algorithm)
    }

    /// Whether who has read it could sign with it, too: an HMAC secret, or a key with its private half beside it.
    pub(crate) fn is_secret(&self) -> bool {
        self.with_private_half || self.algorithms().any(|algorithm| algorithm.row().1 == "oct")
    }

    fn identity(&self) -> Identity<'_> {
        (
            self.id(),
            &self.material,
            self.algorithms().map(Algorithm::name).collect(),
        )
    }

    /// The key in bytes, for a verifier outside of this crate: the DER `SubjectPublicKeyInfo` (RFC 5280 section 4.1) of a
    /// public key, the secret itself of an HMAC key.
    pub fn material(&self) -> &[u8] {
        &self.material
    }

    /// The one length that a signature of this key has (RFC 7518 section 3, RFC 8032 section 5.1.6).
    pub fn signature_len(&self, algorithm: Algorithm) -> usize {
        match algorithm {
            Algorithm::HS256 | Algorithm::HS384 | Algorithm::HS512 => algorithm.least_secret(),
            _ => self.signature_len,
        }
    }

    /// Whether the number that a signature of RSA is, of the right length, is smaller than the key's modulus (RFC 8017
    /// section 5.2.2): not every library asks, and a larger one would be the same signature written in another way.
    pub(crate) fn is_in_range(&self, signature: &[u8]) -> bool {
        self.modulus.is_empty() || *signature < *self.modulus
    }

    /// Whether this signature over this message was made with the key's other half, found out by the code of this crate.
    pub(crate) fn verifies_here(&self, algorithm: Algorithm, message: &[u8], signature: &[u8]) -> bool {
        self.verifiers
            .iter()
            .find(|(own, _)| *own == algorithm)
            .is_some_and(|(_, verifier)| verifier.verify(message, &signature.to_vec()).is_ok())
    }
}

/// `use` and `key_ops` (RFC 7517 sections 4.2 and 4.3).
fn check_purpose(purpose: Option<&str>, operations: Option<&Value>) -> Result<(), JwkError> {
    if purpose.is_some_and(|purpose| purpose != "sig") {
        return Err(JwkError::Purpose);
    }
    let Some(operations) = operations else { return Ok(()) };
    let operations = operations.as_array().ok_or(JwkError::Member("key_ops"))?;
    let repeated = |(index, operation)| operations.iter().skip(index).skip(1).any(|other| other == operation);
    if !operations.iter().all(Value::is_string) || operations.iter().enumerate().any(repeated) {
        return Err(JwkError::Member("key_ops"));
    }
    // Section 4.3: both must say the same. Without `use` other operations may stand beside: the section advises against it,
    // but Azure Key Vault names all that a key can do, and what it verifies is bound to its algorithm anyway.
    let of_signatures = |operation: &Value| operation == "verify" || operation == "sign";
    if purpose.is_some() && !operations.iter().all(of_signatures) {
        return Err(JwkError::Member("key_ops"));
    }
    if operations.iter().any(|operation| operation == "verify") {
        Ok(())
    } else {
        Err(JwkError::Purpose)
    }
}

/// The algorithms of a key: its own `alg`, or those of its kind where the provider left it out.
fn algorithms(kind: &str, curve: Option<&str>, name: Option<&str>) -> Result<Vec<Algorithm>, JwkError> {
    let named = match name {
        Some(name) => Some(Algorithm::from_name(name).ok_or(JwkError::Kind)?),
        None => None,
    };
    let algorithms: Vec<_> = ALGORITHMS
        .iter()
        .filter(|row| row.1 == kind && row.2 == curve && named.is_none_or(|named| named == row.3))
        .map(|row| row.3)
        .collect();
    if algorithms.is_empty() {
        return Err(JwkError::Kind);
    }
    Ok(algorithms)
}

/// A modulus without the octet of its sign, which Java's `BigInteger` writes before numbers whose first bit is 1. RFC 7518
/// section 6.3.1.1 forbids it, but it does not change the number, and issuers do it. What begins with a zero even then is refused.
fn unsigned(number: &[u8]) -> &[u8] {
    match number {
        [0, rest @ ..] if rest.first().is_some_and(|first| *first >= 0x80) => rest,
        _ => number,
    }
}

/// An exponent without zeros in front; some write it in four octets.
fn significant(number: &[u8]) -> Result<&[u8], JwkError> {
    let zeros = number.iter().take_while(|&&byte| byte == 0).count();
    number
        .get(zeros..)
        .filter(|_| number.len() <= 4)
        .ok_or(JwkError::Member("e"))
}

/// At least 2048 bits (RFC 7518 section 3.3), at most 4096 (what the library verifies), odd; an odd exponent over 1 and
/// under 2³².
fn check_rsa(modulus: &[u8], exponent: &[u8]) -> Result<(), JwkError> {
    let top = modulus.first().copied().unwrap_or(0);
    if top == 0 {
        return Err(JwkError::Member("n"));
    }
    if modulus.len() < 256 || (modulus.len() == 256 && top < 0x80) || roca(modulus) {
        return Err(JwkError::Weak);
    }
    let even = |number: &[u8]| number.last().is_none_or(|last| last.is_multiple_of(2));
    if modulus.len() > 512 || even(modulus) {
        return Err(JwkError::Member("n"));
    }
    if exponent.is_empty() || exponent.len() > 4 || even(exponent) || exponent == [1] {
        return Err(JwkError::Member("e"));
    }
    Ok(())
}

/// Whether a modulus was made by the library of CVE-2017-15361: modulo every small prime it is a power of 65537. Of other
/// moduli one in 2²⁷ is.
fn roca(modulus: &[u8]) -> bool {
    /// Those that were used for every length, of which 65537 is not a generator for some.
    const PRIMES: [u32; 38] = [
        3, 5, 7, 11, 13, 17, 19, 23, 29, 31, 37, 41, 43, 47, 53, 59, 61, 67, 71, 73, 79, 83, 89, 97, 101, 103, 107,
        109, 113, 127, 131, 137, 139, 149, 151, 157, 163, 167,
    ];
    let below = |number: u32, prime: u32| number.checked_rem(prime).unwrap_or(0);
    PRIMES.iter().all(|&prime| {
        let rest = modulus.iter().fold(0u32, |rest, &byte| {
            below(rest.wrapping_mul(256).wrapping_add(u32::from(byte)), prime)
        });
        let step = |power: &u32| Some(below(power.wrapping_mul(below(65537, prime)), prime));
        // Every power has come up after as many steps as there are remainders.
        std::iter::successors(Some(1), step)
            .take(usize::try_from(prime).unwrap_or(0))
            .any(|power| power == rest)
    })
}

/// A point of the prime-order subgroup in its canonical encoding: on it every verifier says the same of every signature
/// (RFC 8032 section 8.4 and after), and nobody can sign for a key of small order.
fn check_ed25519(x: &[u8]) -> Result<(), JwkError> {
    let encoded = CompressedEdwardsY::from_slice(x).map_err(|_| JwkError::Member("x"))?;
    let point = encoded.decompress().ok_or(JwkError::Member("x"))?;
    if point.compress() != encoded {
        return Err(JwkError::Member("x"));
    }
    if point.is_identity() || !point.is_torsion_free() {
        return Err(JwkError::Weak);
    }
    Ok(())
}

fn verifier(algorithm: Algorithm, key: &DecodingKey) -> Result<Box<dyn JwtVerifier>, JwkError> {
    // The provider is named, not looked up: the library's default panics when a build turns on none or two of them.
    (rust_crypto::DEFAULT_PROVIDER.verifier_factory)(&algorithm.row().4, key).map_err(|_| JwkError::Member("x"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_in_the_order_of_the_variants() {
        for algorithm in Algorithm::all() {
            assert_eq!(Algorithm::from_name(algorithm.name()), Some(algorithm));
            assert_eq!(format!("{algorithm:?}"), algorithm.name());
        }
    }
}
