//! An issuer that is none of our servers: a key of each kind, and tokens signed with it.

#[path = "../../access/tests/forged/keys.rs"]
mod keys;

use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD as BASE64URL};
use jsonwebtoken::Algorithm;
use serde_json::{Value, json};

use keys::{jwk, key};

/// The verifying keys, one for each of these algorithms; `kid` is the algorithm's name.
pub fn jwks(algorithms: &[Algorithm]) -> Value {
    let keys: Vec<Value> = algorithms.iter().map(|algorithm| jwk(*algorithm)).collect();
    json!({ "keys": keys })
}

/// A token with these claims.
///
/// # Panics
/// When it cannot be signed.
pub fn sign(algorithm: Algorithm, claims: &Value) -> String {
    let header = json!({ "alg": format!("{algorithm:?}"), "kid": format!("{algorithm:?}"), "typ": "at+jwt" });
    let encode = |part: &Value| BASE64URL.encode(part.to_string());
    let message = format!("{}.{}", encode(&header), encode(claims));
    let signature = jsonwebtoken::crypto::sign(message.as_bytes(), &key(algorithm), algorithm).expect("a good key");
    format!("{message}.{signature}")
}

/// The claims of one token with the signature of another.
pub fn forge(claims_of: &str, signature_of: &str) -> String {
    let before = claims_of.rsplit_once('.').unwrap_or_default().0;
    let after = signature_of.rsplit_once('.').unwrap_or_default().1;
    format!("{before}.{after}")
}
