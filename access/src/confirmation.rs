//! What a token is bound to (`cnf`, RFC 7800): a key that its holder proves with each request (DPoP, RFC 9449), or the
//! client certificate of the connection (RFC 8705). Whoever has only the token has nothing.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Map, Value};
use sha2::Digest as _;

use crate::claims::ClaimsError;

/// A SHA-256 hash.
pub type Digest = [u8; 32];

/// SHA-256.
pub fn sha256(bytes: &[u8]) -> Digest {
    sha2::Sha256::digest(bytes).into()
}

/// What a token is bound to: at least one of both, and all that is there must be shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Confirmation {
    /// `jkt`: the thumbprint of a key (RFC 7638).
    pub key: Option<Digest>,
    /// `x5t#S256`: the hash of a certificate (DER).
    pub certificate: Option<Digest>,
}

impl Confirmation {
    /// Reads the `cnf` of a token. A binding of another kind cannot be checked here, so such a token is refused; `null` is
    /// no way to say that there is none.
    pub fn read(claims: &Map<String, Value>) -> Result<Option<Box<Self>>, ClaimsError> {
        let Some(cnf) = claims.get("cnf") else { return Ok(None) };
        let unknown = ClaimsError::SenderConstrained;
        let mut read = Self {
            key: None,
            certificate: None,
        };
        for (name, value) in cnf.as_object().ok_or(unknown)? {
            let digest = value.as_str().and_then(decode).ok_or(unknown)?;
            match name.as_str() {
                "jkt" => read.key = Some(digest),
                "x5t#S256" => read.certificate = Some(digest),
                _ => return Err(unknown),
            }
        }
        if read.key.is_none() && read.certificate.is_none() {
            return Err(unknown);
        }
        Ok(Some(Box::new(read)))
    }
}

fn decode(text: &str) -> Option<Digest> {
    URL_SAFE_NO_PAD.decode(text).ok()?.try_into().ok()
}

/// The thumbprint of a public key (RFC 7638): the hash of its required members and nothing else. `None`: a member is
/// missing, or the key is of another kind.
pub fn thumbprint(jwk: &Map<String, Value>) -> Option<Digest> {
    // In lexicographic order (section 3.2).
    let members: &[&str] = match jwk.get("kty")?.as_str()? {
        "RSA" => &["e", "kty", "n"],
        "EC" => &["crv", "kty", "x", "y"],
        "OKP" => &["crv", "kty", "x"],
        _ => return None,
    };
    let required = members.iter().map(|name| {
        let value = jwk.get(*name).filter(|value| value.is_string())?;
        Some(((*name).to_owned(), value.clone()))
    });
    let required: Map<String, Value> = required.collect::<Option<_>>()?;
    Some(sha256(Value::Object(required).to_string().as_bytes()))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_thumbprint_of_rfc_7638_section_3_1() {
        let jwk = json!({
            "kty": "RSA",
            "n": "0vx7agoebGcQSuuPiLJXZptN9nndrQmbXEps2aiAFbWhM78LhWx4cbbfAAtVT86zwu1RK7aPFFxuhDR1L6tSoc_BJECPebWKRXjBZCiFV4n3oknjhMstn64tZ_2W-5JsGY4Hc5n9yBXArwl93lqt7_RN5w6Cf0h4QyQ5v-65YGjQR0_FDW2QvzqY368QQMicAtaSqzs8KJZgnYb9c7d0zgdAZHzu6qMQvRL5hajrn1n91CbOpbISD08qNLyrdkt-bFTWhAI4vMQFh6WeZu0fM4lFd2NcRwr3XPksINHaQ-G_xBniIqbw0Ls1jF44-csFCur-kEgU8awapJzKnqDKgw",
            "e": "AQAB", "alg": "RS256", "kid": "2011-04-29"
        });
        let found = thumbprint(jwk.as_object().unwrap()).unwrap();
        assert_eq!(
            URL_SAFE_NO_PAD.encode(found),
            "NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs"
        );
    }

    /// The key and the thumbprint of the example in RFC 9449 section 6.1.
    #[test]
    fn the_thumbprint_of_rfc_9449() {
        let jwk = json!({
            "kty": "EC", "x": "l8tFrhx-34tV3hRICRDY9zCkDlpBhF42UQUfWVAWBFs",
            "y": "9VE4jf_Ok_o64zbTTlcuNJajHmt6v9TDVrU0CdvGRDA", "crv": "P-256"
        });
        let found = thumbprint(jwk.as_object().unwrap()).unwrap();
        assert_eq!(
            URL_SAFE_NO_PAD.encode(found),
            "0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I"
        );
    }

    #[test]
    fn a_binding_that_cannot_be_checked_is_refused() {
        let read = |cnf: Value| Confirmation::read(json!({ "cnf": cnf }).as_object().unwrap());
        let digest = URL_SAFE_NO_PAD.encode([7; 32]);
        let bound = read(json!({ "jkt": digest, "x5t#S256": digest })).unwrap().unwrap();
        assert_eq!((bound.key, bound.certificate), (Some([7; 32]), Some([7; 32])));
        for cnf in [
            json!(null),
            json!({}),
            json!("x"),
            json!({ "jkt": "x" }),
            json!({ "jkt": 7 }),
            json!({ "jkt": URL_SAFE_NO_PAD.encode([7; 31]) }),
            json!({ "jwk": {} }),
            json!({ "kid": "x" }),
            json!({ "jkt": digest, "jwk": {} }),
            json!({ "jkt": digest, "x5t#S256": null }),
        ] {
            assert_eq!(read(cnf.clone()), Err(ClaimsError::SenderConstrained), "{cnf}");
        }
        assert_eq!(Confirmation::read(&Map::new()), Ok(None));
    }
}
