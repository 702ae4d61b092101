//! The answer of an introspection as a signed JWT (RFC 9701): what a gateway can hand on, so that a service learns who
//! calls and can prove where it knows that from.

use serde_json::{Map, Value};

use crate::claims::time;
use crate::introspection::{AnswerError, Reading};
use crate::jws::Unverified;

/// The media type of such an answer, as it is asked for.
pub const MEDIA_TYPE: &str = "application/token-introspection+jwt";

/// Its `typ` (section 5).
const TYPE: &str = "token-introspection+jwt";

/// How old an answer may be, and how far ahead its server's clock, in milliseconds; `leeway` comes on top.
const FRESH: u64 = 300_000;

/// Takes a signed answer apart: the members of the introspection (RFC 7662 section 2.2).
///
/// Of an issuer with keys it is verified as a token is: with the one key that it names, or with the only one of its
/// algorithm. Where there are no keys, it is believed as an unsigned one would be, because it came from the configured
/// server; but it is a JWT in its one spelling all the same, since it may be handed on in a header.
pub(crate) fn read(answer: &str, reading: &Reading<'_>) -> Result<Map<String, Value>, AnswerError> {
    let unsigned = AnswerError::Signed;
    let jws = Unverified::parse_typed(answer, TYPE).map_err(|_| unsigned)?;
    let claims = match reading.issuer {
        Some((issuer, keys)) if issuer.jwks.is_some() => {
            // An issuer whose keys have not come yet cannot be believed yet.
            let key = jws.key(keys.ok_or(unsigned)?).map_err(|_| unsigned)?;
            jws.verify(key, reading.verifier).map_err(|_| unsigned)?.claims
        }
        _ => jws.unverified_claims().map_err(|_| unsigned)?,
    };
    let issuer = reading.issuer.map(|(issuer, _)| issuer);
    let name = issuer.and_then(|issuer| issuer.issuer.as_deref());
    if name.is_some() && claims.get("iss").and_then(Value::as_str) != name {
        return Err(unsigned);
    }
    let audience = issuer
        .and_then(|issuer| issuer.introspection.as_ref())
        .and_then(|endpoint| endpoint.audience.as_deref());
    if !audience.is_none_or(|audience| is_for(claims, audience)) {
        return Err(AnswerError::Audience);
    }
    let issued_at = time(claims, "iat").ok().flatten().ok_or(unsigned)?;
    let expires_at = time(claims, "exp").map_err(|_| unsigned)?;
    if reading.now.abs_diff(issued_at) > FRESH.saturating_add(reading.leeway)
        || expires_at.is_some_and(|at| reading.now >= at.saturating_add(reading.leeway))
    {
        return Err(AnswerError::Time);
    }
    match claims.get("token_introspection") {
        Some(Value::Object(answer)) => Ok(answer.clone()),
        _ => Err(unsigned),
    }
}

/// Whether `aud`, a string or an array of strings, names this audience.
fn is_for(claims: &Map<String, Value>, audience: &str) -> bool {
    match claims.get("aud") {
        Some(Value::Array(named)) => named.iter().any(|named| named == audience),
        Some(named) => named == audience,
        None => false,
    }
}
