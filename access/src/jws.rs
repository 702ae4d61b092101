//! Compact JWS (RFC 7515): from [`Unverified`] text to a [`Verified`] payload, by one function.
//!
//! Strict where the RFC leaves room: canonical base64url only, no key twice, bounded sizes, no `crit`, and no key that the
//! token brings along (`jwk`, `jku`, `x5u`, `x5c`). The algorithm belongs to the key, never to the token.

use std::cell::OnceCell;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Map, Value};

use crate::json;
use crate::jwk::{Algorithm, Key};
use crate::signature::Verifier;

/// The longest token that is looked at, in bytes.
pub const MAX_TOKEN: usize = 16 * 1024;

/// The longest protected header, in encoded bytes.
const MAX_HEADER: usize = 4 * 1024;

/// A token that was taken apart and nothing more: nothing it says is to be believed.
#[derive(Debug)]
pub struct Unverified<'a> {
    algorithm: Algorithm,
    key_id: Option<String>,
    /// `header.payload`, as it was signed.
    signed: &'a str,
    payload: &'a str,
    signature: Vec<u8>,
    /// The payload, read once somebody asked.
    claims: OnceCell<Map<String, Value>>,
}

/// Why no key is there for a token.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NoKey {
    /// None has the token's `kid`; or the token names none, and none is of its algorithm.
    #[error("no key has the id that the token names")]
    Unknown,
    /// The key that the token names is for another algorithm.
    #[error("the key that the token names is for another algorithm")]
    Algorithm,
    /// Several keys could be meant. Trying them in turn would let a token choose among keys.
    #[error("several keys could be the one that the token names")]
    Ambiguous,
}

/// The payload of a token whose signature was verified: a claims set that its issuer wrote.
#[derive(Debug)]
pub struct Verified<'t> {
    /// The claims (RFC 7519 section 4).
    pub claims: &'t Map<String, Value>,
}

/// Why a token was refused before any claim was looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum JwsError {
    /// Longer than [`MAX_TOKEN`], or a header longer than 4 KiB.
    #[error("the token is too long")]
    TooLong,
    /// Not three parts of canonical base64url.
    #[error("the token is not a compact JWS")]
    NotCompact,
    /// The header is not a strict JSON object with the right types.
    #[error("the token's header is not well-formed")]
    Header,
    /// `none`, or an algorithm that is not supported.
    #[error("the token's algorithm is not accepted")]
    Algorithm,
    /// `crit` (RFC 7515 section 4.1.11) or `b64` (RFC 7797): nothing of the kind is understood here.
    #[error("the token's header has a critical extension")]
    Critical,
    /// `jwk`, `jku`, `x5u` or `x5c`: a token does not choose its own key.
    #[error("the token's header brings a key along")]
    EmbeddedKey,
    /// `typ` says that this is not an access token (RFC 8725 section 3.11).
    #[error("the token's type is not that of an access token")]
    Type,
    /// The signature does not fit.
    #[error("the token's signature is not valid")]
    Signature,
    /// The payload is not a strict JSON object.
    #[error("the token's claims are not well-formed")]
    Claims,
}

impl<'a> Unverified<'a> {
    /// Takes an access token apart.
    pub fn parse(token: &'a str) -> Result<Self, JwsError> {
        let (token, header) = Self::take_apart(token)?;
        check_type(&header)?;
        Ok(token)
    }

    /// Takes a JWS apart that may be of any type and have any payload.
    pub fn parse_any(token: &'a str) -> Result<Self, JwsError> {
        Ok(Self::take_apart(token)?.0)
    }

    /// Takes a JWS of this type apart: `typ` must be there, with or without `application/`.
    pub(crate) fn parse_typed(token: &'a str, typ: &str) -> Result<Self, JwsError> {
        let (token, header) = Self::take_apart(token)?;
        let is = |named: &str| {
            let (class, name) = named.split_once('/').unwrap_or(("application", named));
            class.eq_ignore_ascii_case("application") && name.eq_ignore_ascii_case(typ)
        };
        match text(&header, "typ")? {
            Some(named) if is(named) => Ok(token),
            _ => Err(JwsError::Type),
        }
    }

    fn take_apart(token: &'a str) -> Result<(Self, Map<String, Value>), JwsError> {
        if token.len() > MAX_TOKEN {
            return Err(JwsError::TooLong);
        }
        let (signed, signature) = token.rsplit_once('.').ok_or(JwsError::NotCompact)?;
        let (header, payload) = signed.split_once('.').ok_or(JwsError::NotCompact)?;
        if payload.contains('.') {
            return Err(JwsError::NotCompact);
        }
        if header.len() > MAX_HEADER {
            return Err(JwsError::TooLong);
        }
        let header = json::object(&decode(header)?).map_err(|_| JwsError::Header)?;
        let signature = decode(signature)?;
        let (algorithm, key_id) = read_header(&header)?;
        if signature.is_empty() {
            return Err(JwsError::NotCompact);
        }
        let token = Self {
            algorithm,
            key_id,
            signed,
            payload,
            signature,
            claims: OnceCell::new(),
        };
        Ok((token, header))
    }

    /// The algorithm that the header claims; a key with another one does not fit.
    pub fn algorithm(&self) -> Algorithm {
        self.algorithm
    }

    /// The key that the header asks for.
    pub fn key_id(&self) -> Option<&str> {
        self.key_id.as_deref()
    }

    /// The claimed `iss`, to find the issuer whose keys to verify with. Not to be believed before that.
    pub fn claimed_issuer(&self) -> Result<Option<String>, JwsError> {
        let claims = self.unverified_claims()?;
        match claims.get("iss") {
            None => Ok(None),
            Some(Value::String(issuer)) => Ok(Some(issuer.clone())),
            Some(_) => Err(JwsError::Claims),
        }
    }

    /// The one key that must have signed the token: the one it names, or, if it names none, the only one of its algorithm.
    /// There is no falling back to another.
    pub fn key<'k>(&self, keys: &'k [Key]) -> Result<&'k Key, NoKey> {
        let named = |key: &&Key| self.key_id.is_none() || key.id() == self.key_id();
        let mut fitting = keys.iter().filter(named).filter(|key| key.fits(self.algorithm));
        match (fitting.next(), fitting.next()) {
            (Some(only), None) => Ok(only),
            (Some(_), Some(_)) => Err(NoKey::Ambiguous),
            (None, _) if self.key_id.is_some() && keys.iter().any(|key| named(&key)) => Err(NoKey::Algorithm),
            (None, _) => Err(NoKey::Unknown),
        }
    }

    /// The one way to a believable token: its signature, by this key and no other.
    pub fn verify(&self, key: &Key, verifier: &Verifier) -> Result<Verified<'_>, JwsError> {
        self.verify_signature(key, verifier)?;
        Ok(Verified {
            claims: self.unverified_claims()?,
        })
    }

    /// The payload of any JWS, if this key signed it.
    pub fn verify_payload(&self, key: &Key, verifier: &Verifier) -> Result<Vec<u8>, JwsError> {
        self.verify_signature(key, verifier)?;
        decode(self.payload)
    }

    fn verify_signature(&self, key: &Key, verifier: &Verifier) -> Result<(), JwsError> {
        if !key.fits(self.algorithm) {
            return Err(JwsError::Algorithm);
        }
        if !verifier.verifies(key, self.algorithm, self.signed.as_bytes(), &self.signature) {
            return Err(JwsError::Signature);
        }
        Ok(())
    }

    /// The payload, whoever wrote it.
    pub(crate) fn unverified_claims(&self) -> Result<&Map<String, Value>, JwsError> {
        if let Some(claims) = self.claims.get() {
            return Ok(claims);
        }
        let claims = json::object(&decode(self.payload)?).map_err(|_| JwsError::Claims)?;
        Ok(self.claims.get_or_init(|| claims))
    }
}

/// The engine refuses padding, foreign characters and non-zero trailing bits: one token has one spelling.
fn decode(part: &str) -> Result<Vec<u8>, JwsError> {
    URL_SAFE_NO_PAD.decode(part).map_err(|_| JwsError::NotCompact)
}

fn read_header(header: &Map<String, Value>) -> Result<(Algorithm, Option<String>), JwsError> {
    if header.contains_key("crit") || header.contains_key("b64") {
        return Err(JwsError::Critical);
    }
    if ["jwk", "jku", "x5u", "x5c"]
        .iter()
        .any(|name| header.contains_key(*name))
    {
        return Err(JwsError::EmbeddedKey);
    }
    // `enc` makes it a JWE (RFC 7516 section 9), `zip` has no meaning in a JWS, and a nested token is not one of ours.
    if ["enc", "zip"].iter().any(|name| header.contains_key(*name)) {
        return Err(JwsError::Header);
    }
    for name in ["typ", "cty"] {
        text(header, name)?;
    }
    let algorithm = text(header, "alg")?.ok_or(JwsError::Header)?;
    let algorithm = Algorithm::from_name(algorithm).ok_or(JwsError::Algorithm)?;
    Ok((algorithm, text(header, "kid")?.map(str::to_owned)))
}

/// `typ`: none, or that of an access token (RFC 9068 section 2.1) or of a JWT of no particular kind. A name without a
/// slash is short for one with `application/` (RFC 7515 section 4.1.9).
fn check_type(header: &Map<String, Value>) -> Result<(), JwsError> {
    const GOOD: [&str; 4] = ["JWT", "at+jwt", "application/jwt", "application/at+jwt"];
    match text(header, "typ")? {
        Some(typ) if !GOOD.iter().any(|good| typ.eq_ignore_ascii_case(good)) => Err(JwsError::Type),
        _ => Ok(()),
    }
}

fn text<'h>(header: &'h Map<String, Value>, name: &str) -> Result<Option<&'h str>, JwsError> {
    match header.get(name) {
        None => Ok(None),
        Some(Value::String(text)) => Ok(Some(text)),
        Some(_) => Err(JwsError::Header),
    }
}
