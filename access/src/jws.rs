//! Compact JWS (RFC 7515): from [`Unverified`] text to a [`Verified`] payload, by one function.
//!
//! Strict where the RFC leaves room: canonical base64url only, no key twice, bounded sizes, no `crit`, and no key that the
//! token brings along (`jwk`, `jku`, `x5u`). The algorithm belongs to the key, never to the token.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Map, Value};

use crate::json;
use crate::jwk::{Algorithm, Key};

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
}

/// The payload of a token whose signature was verified: a claims set that its issuer wrote.
#[derive(Debug)]
pub struct Verified {
    /// The claims (RFC 7519 section 4), in the order they were written.
    pub claims: Map<String, Value>,
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
    /// `jwk`, `jku` or `x5u`: a token does not choose its own key.
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
    /// Takes a token apart.
    pub fn parse(token: &'a str) -> Result<Self, JwsError> {
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
        Ok(Self {
            algorithm,
            key_id,
            signed,
            payload,
            signature,
        })
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

    /// The one way to a believable token: its signature, by this key and no other.
    pub fn verify(&self, key: &Key) -> Result<Verified, JwsError> {
        if key.algorithm() != self.algorithm {
            return Err(JwsError::Algorithm);
        }
        if !key.verifies(self.signed.as_bytes(), &self.signature) {
            return Err(JwsError::Signature);
        }
        Ok(Verified {
            claims: self.unverified_claims()?,
        })
    }

    fn unverified_claims(&self) -> Result<Map<String, Value>, JwsError> {
        json::object(&decode(self.payload)?).map_err(|_| JwsError::Claims)
    }
}

fn decode(part: &str) -> Result<Vec<u8>, JwsError> {
    // The engine refuses padding, foreign characters and non-zero trailing bits: one token has one spelling.
    URL_SAFE_NO_PAD
        .decode(part)
        .ok()
        .filter(|bytes| !bytes.is_empty())
        .ok_or(JwsError::NotCompact)
}

fn read_header(header: &Map<String, Value>) -> Result<(Algorithm, Option<String>), JwsError> {
    if header.contains_key("crit") || header.contains_key("b64") {
        return Err(JwsError::Critical);
    }
    if ["jwk", "jku", "x5u"].iter().any(|name| header.contains_key(*name)) {
        return Err(JwsError::EmbeddedKey);
    }
    let text = |name: &str| match header.get(name) {
        None => Ok(None),
        Some(Value::String(text)) => Ok(Some(text.as_str())),
        Some(_) => Err(JwsError::Header),
    };
    match text("typ")? {
        None => {}
        Some(typ)
            if ["JWT", "at+jwt", "application/at+jwt"]
                .iter()
                .any(|good| typ.eq_ignore_ascii_case(good)) => {}
        Some(_) => return Err(JwsError::Type),
    }
    let algorithm = text("alg")?.ok_or(JwsError::Header)?;
    let algorithm = Algorithm::from_name(algorithm).ok_or(JwsError::Algorithm)?;
    Ok((algorithm, text("kid")?.map(str::to_owned)))
}
