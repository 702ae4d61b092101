//! A look into JWTs.

use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use serde_json::Value;

/// The header of a JWT, as its text.
pub fn header(token: &str) -> String {
    part(token, 0)
}

/// The claims of a JWT, in the order in which they stand.
pub fn claims(token: &str) -> Value {
    serde_json::from_str(&part(token, 1)).unwrap_or_else(|error| panic!("{token}: claims are not JSON: {error}"))
}

/// The keys of a JSON object, in the order in which they stand.
pub fn keys(object: &Value) -> Vec<&str> {
    object
        .as_object()
        .map(|map| map.keys().map(String::as_str).collect())
        .unwrap_or_default()
}

fn part(token: &str, index: usize) -> String {
    let part = token
        .split('.')
        .nth(index)
        .unwrap_or_else(|| panic!("{token}: not a JWT"));
    let bytes = BASE64_URL_SAFE_NO_PAD
        .decode(part)
        .unwrap_or_else(|error| panic!("{token}: {error}"));
    String::from_utf8(bytes).unwrap_or_else(|error| panic!("{token}: {error}"))
}
