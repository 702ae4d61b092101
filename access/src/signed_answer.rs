//! The answer of an introspection as a signed JWT (RFC 9701): what a gateway can hand on, so that a service learns who
//! calls and can prove where it knows that from.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Map, Value};

use crate::introspection::AnswerError;
use crate::json;
use crate::jwk::{Algorithm, Key};
use crate::signature::Verifier;

/// The media type of such an answer, as it is asked for.
pub const MEDIA_TYPE: &str = "application/token-introspection+jwt";

/// Takes a signed answer apart: the members of the introspection (RFC 7662 section 2.2).
///
/// `issuer`: what `iss` must be, if that is known. `keys`: those of the issuer; where there are none, the answer is believed
/// as an unsigned one would be, because it came from the configured server.
pub(crate) fn read(
    answer: &str,
    issuer: Option<&str>,
    keys: Option<&[Key]>,
    verifier: &Verifier,
) -> Result<Map<String, Value>, AnswerError> {
    let unsigned = AnswerError::Signed;
    let object = |part: &str| {
        let bytes = URL_SAFE_NO_PAD.decode(part).map_err(|_| unsigned)?;
        json::object(&bytes).map_err(|_| unsigned)
    };
    let (signed, signature) = answer.rsplit_once('.').ok_or(unsigned)?;
    let (header, payload) = signed.split_once('.').ok_or(unsigned)?;
    let header = object(header)?;
    let text = |name: &str| header.get(name).and_then(Value::as_str);
    let typ = text("typ").ok_or(unsigned)?;
    if header.contains_key("crit")
        || MEDIA_TYPE
            .split_once('/')
            .is_none_or(|(_, good)| !typ.eq_ignore_ascii_case(good))
    {
        return Err(unsigned);
    }
    let algorithm = text("alg").and_then(Algorithm::from_name).ok_or(unsigned)?;
    if let Some(keys) = keys {
        let signature = URL_SAFE_NO_PAD.decode(signature).map_err(|_| unsigned)?;
        let fits = |key: &&Key| key.fits(algorithm) && text("kid").is_none_or(|id| key.id() == Some(id));
        if !keys
            .iter()
            .filter(fits)
            .any(|key| verifier.verifies(key, algorithm, signed.as_bytes(), &signature))
        {
            return Err(unsigned);
        }
    }
    let mut payload = object(payload)?;
    if issuer.is_some() && payload.get("iss").and_then(Value::as_str) != issuer {
        return Err(unsigned);
    }
    match payload.remove("token_introspection") {
        Some(Value::Object(answer)) => Ok(answer),
        _ => Err(unsigned),
    }
}
