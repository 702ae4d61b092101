//! DPoP proofs (RFC 9449): a JWT that the client signs anew for each request, with the key its token is bound to.
//!
//! Everything of section 4.3 is checked, the signature last, as it costs the most.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::{Hmac, Mac};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::config::Duration;
use crate::confirmation::{Digest, sha256, thumbprint};
use crate::json;
use crate::jwk::{Algorithm, Key};
use crate::path;
use crate::replay::{UsedProof, UsedProofs};
use crate::signature::Verifier;

/// The longest proof that is looked at, in bytes.
pub const MAX_PROOF: usize = 8 * 1024;

/// The algorithms a proof may be signed with, as a challenge names them. Secrets are shared, so HMAC proves nothing.
pub const ALGORITHMS: &str = "ES256 ES384 EdDSA PS256 PS384 PS512 RS256 RS384 RS512";

/// How far ahead of ours a client's clock may be, in milliseconds; `leeway` comes on top.
const AHEAD: u64 = 10_000;

/// How proofs are checked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, default)]
pub struct Dpop {
    /// How old a proof may be (`"60s"`), at most 5 minutes. So long it is remembered, too.
    pub max_age: Duration,
    /// Whether a proof must carry a nonce that we gave out.
    pub nonce: bool,
    /// How long a nonce is good at least (`"5m"`).
    pub nonce_lifetime: Duration,
    /// The secret that nonces are made with, at least 32 characters; the same for all hosts that serve one client. Absent:
    /// each host draws one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub nonce_secret: Option<String>,
    /// Which scheme `htu` must have.
    #[serde(deserialize_with = "json::word")]
    pub scheme: Scheme,
}

impl Default for Dpop {
    fn default() -> Self {
        Self {
            max_age: Duration::from_secs(60),
            nonce: false,
            nonce_lifetime: Duration::from_secs(300),
            nonce_secret: None,
            scheme: Scheme::Host,
        }
    }
}

/// Where the scheme of a request is known from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum Scheme {
    /// `:scheme` of the host.
    Host,
    /// Always `https`: TLS ends before the host.
    Https,
    /// Always `http`.
    Http,
    /// The header `x-forwarded-proto`, which somebody before the host must set on every request.
    XForwardedProto,
}

/// What a proof must prove.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Expected<'a> {
    pub(crate) method: &'a str,
    /// `http` or `https`, in any case.
    pub(crate) scheme: &'a str,
    /// `:authority`.
    pub(crate) authority: &'a str,
    /// The canonical path.
    pub(crate) path: &'a str,
    pub(crate) token: &'a [u8],
    /// What the token is bound to.
    pub(crate) key: &'a Digest,
    /// If a nonce is needed.
    pub(crate) nonces: Option<&'a Nonces>,
    /// Among which it will be remembered.
    pub(crate) used: &'a UsedProofs,
    /// Unix milliseconds.
    pub(crate) now: u64,
    pub(crate) max_age: u64,
    pub(crate) leeway: u64,
    pub(crate) verifier: &'a Verifier,
}

/// What is wrong with a proof.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ProofError {
    /// No `DPoP` header.
    #[error("the request has no DPoP proof")]
    Missing,
    /// More than one.
    #[error("the request has more than one DPoP proof")]
    Several,
    /// Longer than [`MAX_PROOF`], not a compact JWS, or not strict JSON in it.
    #[error("the DPoP proof is not well-formed")]
    Malformed,
    /// `typ` is not `dpop+jwt`.
    #[error("the DPoP proof has another type")]
    Type,
    /// `none`, HMAC, or an algorithm that does not go with the key.
    #[error("the DPoP proof's algorithm is not accepted")]
    Algorithm,
    /// `crit`, or a key that is somewhere else.
    #[error("the DPoP proof's header has an extension that is not accepted")]
    Extension,
    /// `jwk` is missing, unusable, or a private key.
    #[error("the DPoP proof's key is not a usable public key")]
    Key,
    /// A needed claim is missing or has the wrong type.
    #[error("the DPoP proof's claims are not complete")]
    Claims,
    /// `htm`.
    #[error("the DPoP proof is for another method")]
    Method,
    /// `htu`.
    #[error("the DPoP proof is for another address")]
    Address,
    /// `iat`, `exp` or `nbf`.
    #[error("the DPoP proof is too old or not valid yet")]
    Time,
    /// `ath`.
    #[error("the DPoP proof is for another token")]
    Token,
    /// The thumbprint of `jwk` is not the token's `jkt`.
    #[error("the DPoP proof was made with another key than the token is bound to")]
    Thumbprint,
    /// No nonce, or not one of ours that is still good.
    #[error("the DPoP proof has no current nonce")]
    Nonce,
    /// The signature does not fit.
    #[error("the DPoP proof's signature is not valid")]
    Signature,
    /// It was used before.
    #[error("the DPoP proof was used before")]
    Replayed,
}

/// Checks a proof. What is left to do: see that it was not used before.
pub(crate) fn verify(proof: &[u8], expected: &Expected<'_>) -> Result<UsedProof, ProofError> {
    let text = std::str::from_utf8(proof).map_err(|_| ProofError::Malformed)?;
    if text.len() > MAX_PROOF {
        return Err(ProofError::Malformed);
    }
    let (signed, signature) = text.rsplit_once('.').ok_or(ProofError::Malformed)?;
    let (header, payload) = signed.split_once('.').ok_or(ProofError::Malformed)?;
    let header = json::object(&decode(header)?).map_err(|_| ProofError::Malformed)?;
    let claims = json::object(&decode(payload)?).map_err(|_| ProofError::Malformed)?;
    let signature = decode(signature)?;
    let jwk = public_key(&header)?;
    if thumbprint(&jwk).as_ref() != Some(expected.key) {
        return Err(ProofError::Thumbprint);
    }
    let jti = check_claims(&claims, expected)?;
    let algorithm = header.get("alg").and_then(Value::as_str).and_then(Algorithm::from_name);
    let key = Key::from_jwk(&jwk).map_err(|_| ProofError::Key)?;
    let algorithm = algorithm
        .filter(|algorithm| key.fits(*algorithm))
        .ok_or(ProofError::Algorithm)?;
    if !expected
        .verifier
        .verifies(&key, algorithm, signed.as_bytes(), &signature)
    {
        return Err(ProofError::Signature);
    }
    let until = expected
        .now
        .saturating_add(expected.max_age)
        .saturating_add(AHEAD)
        .saturating_add(expected.leeway.saturating_mul(2));
    Ok(expected.used.proof(expected.key, jti, until))
}

/// The key in the header, with the algorithm of the proof.
fn public_key(header: &Map<String, Value>) -> Result<Map<String, Value>, ProofError> {
    let text = |name: &str| header.get(name).and_then(Value::as_str);
    let typ = text("typ").ok_or(ProofError::Type)?;
    if !typ.eq_ignore_ascii_case("dpop+jwt") && !typ.eq_ignore_ascii_case("application/dpop+jwt") {
        return Err(ProofError::Type);
    }
    if ["crit", "b64", "jku", "x5u"]
        .iter()
        .any(|name| header.contains_key(*name))
    {
        return Err(ProofError::Extension);
    }
    let algorithm = text("alg").ok_or(ProofError::Algorithm)?;
    if !ALGORITHMS.split(' ').any(|known| known == algorithm) {
        return Err(ProofError::Algorithm);
    }
    let mut jwk = header
        .get("jwk")
        .and_then(Value::as_object)
        .ok_or(ProofError::Key)?
        .clone();
    // RFC 7518 sections 6.2.2, 6.3.2 and 6.4.1.
    let private = ["d", "p", "q", "dp", "dq", "qi", "oth", "k"];
    if private.iter().any(|name| jwk.contains_key(*name)) {
        return Err(ProofError::Key);
    }
    match jwk.get("alg") {
        None => drop(jwk.insert("alg".into(), algorithm.into())),
        Some(own) if own == algorithm => {}
        Some(_) => return Err(ProofError::Algorithm),
    }
    Ok(jwk)
}

/// Method, address, time, token and nonce. Returns `jti`.
fn check_claims<'c>(claims: &'c Map<String, Value>, expected: &Expected<'_>) -> Result<&'c str, ProofError> {
    let text = |name: &str| claims.get(name).and_then(Value::as_str).ok_or(ProofError::Claims);
    let jti = text("jti")?;
    if jti.is_empty() {
        return Err(ProofError::Claims);
    }
    if text("htm")? != expected.method {
        return Err(ProofError::Method);
    }
    if !is_address(text("htu")?, expected) {
        return Err(ProofError::Address);
    }
    let (oldest, newest) = (
        expected
            .now
            .saturating_sub(expected.max_age)
            .saturating_sub(expected.leeway),
        expected.now.saturating_add(AHEAD).saturating_add(expected.leeway),
    );
    if !(oldest..=newest).contains(&time(claims, "iat")?.ok_or(ProofError::Claims)?) {
        return Err(ProofError::Time);
    }
    let expired = time(claims, "exp")?.is_some_and(|exp| exp.saturating_add(expected.leeway) <= expected.now);
    if expired || time(claims, "nbf")?.is_some_and(|nbf| nbf > newest) {
        return Err(ProofError::Time);
    }
    let hash = URL_SAFE_NO_PAD.encode(sha256(expected.token));
    if text("ath")? != hash {
        return Err(ProofError::Token);
    }
    if let Some(nonces) = expected.nonces {
        let nonce = claims.get("nonce").and_then(Value::as_str).ok_or(ProofError::Nonce)?;
        if !nonces.accepts(nonce, expected.now) {
            return Err(ProofError::Nonce);
        }
    }
    Ok(jti)
}

/// A NumericDate in Unix milliseconds.
fn time(claims: &Map<String, Value>, name: &str) -> Result<Option<u64>, ProofError> {
    /// The year 9999.
    const LATEST: f64 = 253_402_300_799.0;
    let Some(value) = claims.get(name) else { return Ok(None) };
    let seconds = value
        .as_f64()
        .filter(|seconds| (0.0..=LATEST).contains(seconds))
        .ok_or(ProofError::Claims)?;
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "between 0 and LATEST × 1000"
    )]
    Ok(Some((seconds * 1000.0) as u64))
}

/// Whether `htu` is the address of the request, without its query (section 4.3, step 9): scheme and authority in any case,
/// the scheme's own port written or not, the path in canonical form.
fn is_address(htu: &str, expected: &Expected<'_>) -> bool {
    let Some((scheme, rest)) = htu.split_once("://") else {
        return false;
    };
    let (authority, rest) = rest.split_at(rest.find(['/', '?', '#']).unwrap_or(rest.len()));
    let (path, _) = rest.split_at(rest.find(['?', '#']).unwrap_or(rest.len()));
    let path = if path.is_empty() { "/" } else { path };
    scheme.eq_ignore_ascii_case(expected.scheme)
        && !authority.is_empty()
        && !authority.contains('@')
        && without_port(authority, scheme).eq_ignore_ascii_case(without_port(expected.authority, scheme))
        && path::canonical(path.as_bytes()).is_ok_and(|canonical| canonical.path == expected.path)
}

fn without_port<'a>(authority: &'a str, scheme: &str) -> &'a str {
    let port = if scheme.eq_ignore_ascii_case("https") {
        ":443"
    } else {
        ":80"
    };
    authority.strip_suffix(port).unwrap_or(authority)
}

fn decode(part: &str) -> Result<Vec<u8>, ProofError> {
    // The engine refuses padding, foreign characters and non-zero trailing bits.
    URL_SAFE_NO_PAD
        .decode(part)
        .ok()
        .filter(|bytes| !bytes.is_empty())
        .ok_or(ProofError::Malformed)
}

/// Nonces that need not be remembered (section 8): the number of a stretch of time, and a MAC of it.
pub(crate) struct Nonces {
    secret: Digest,
    lifetime: u64,
}

impl std::fmt::Debug for Nonces {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Nonces")
    }
}

/// Bytes of the MAC in a nonce.
const MAC: usize = 16;

impl Nonces {
    /// `secret` is random; `lifetime` in milliseconds.
    pub(crate) fn new(secret: &[u8], lifetime: u64) -> Self {
        Self {
            secret: sha256(secret),
            lifetime: lifetime.max(1),
        }
    }

    /// The nonce to give out now.
    pub(crate) fn current(&self, now: u64) -> String {
        self.at(self.stretch(now))
    }

    /// A nonce is good in its own stretch of time and in the next one.
    fn accepts(&self, nonce: &str, now: u64) -> bool {
        let stretch = self.stretch(now);
        [stretch, stretch.saturating_sub(1)]
            .into_iter()
            .any(|stretch| same(self.at(stretch).as_bytes(), nonce.as_bytes()))
    }

    fn stretch(&self, now: u64) -> u64 {
        now.checked_div(self.lifetime).unwrap_or(0)
    }

    fn at(&self, stretch: u64) -> String {
        let number = stretch.to_be_bytes();
        // A MAC takes a key of any length; if it did not, there would be no good nonce.
        let Ok(mut mac) = Hmac::<sha2::Sha256>::new_from_slice(&self.secret) else {
            return String::new();
        };
        mac.update(&number);
        let mac = mac.finalize().into_bytes();
        let mac = mac.get(..MAC).unwrap_or_default();
        URL_SAFE_NO_PAD.encode([number.as_slice(), mac].concat())
    }
}

/// Equality that takes the same time wherever the difference is.
fn same(one: &[u8], other: &[u8]) -> bool {
    !one.is_empty()
        && one.len() == other.len()
        && one.iter().zip(other).fold(0, |differs, (a, b)| differs | (a ^ b)) == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_compared_in_their_normal_form() {
        let verifier = Verifier::default();
        let used = UsedProofs::new(b"");
        let expected = |scheme, authority, path| Expected {
            method: "GET",
            scheme,
            authority,
            path,
            token: b"",
            key: &[0; 32],
            nonces: None,
            used: &used,
            now: 0,
            max_age: 0,
            leeway: 0,
            verifier: &verifier,
        };
        let https = expected("https", "api.example.com", "/orders/7");
        for htu in [
            "https://api.example.com/orders/7",
            "HTTPS://API.example.COM:443/orders/7",
            "https://api.example.com/%6frders/7",
            "https://api.example.com/orders/7?x=1#y",
        ] {
            assert!(is_address(htu, &https), "{htu}");
        }
        for htu in [
            "",
            "/orders/7",
            "http://api.example.com/orders/7",
            "https://api.example.com:80/orders/7",
            "https://api.example.com:8443/orders/7",
            "https://api.example.com.evil/orders/7",
            "https://me@api.example.com/orders/7",
            "https://api.example.com/orders/7/",
            "https://api.example.com/orders/8",
            "https://api.example.com/Orders/7",
            "https://api.example.com/orders/../orders/7",
            "https://api.example.com",
            "https:///orders/7",
        ] {
            assert!(!is_address(htu, &https), "{htu}");
        }
        let local = expected("http", "localhost:8081", "/");
        assert!(is_address("http://localhost:8081", &local));
        assert!(is_address("http://localhost:8081/", &local));
        assert!(!is_address("http://localhost/", &local));
        assert!(is_address(
            "http://localhost:80/a",
            &expected("http", "localhost", "/a")
        ));
    }

    #[test]
    fn a_nonce_is_good_for_its_lifetime_and_made_by_nobody_else() {
        let nonces = Nonces::new(b"secret", 300_000);
        let nonce = nonces.current(600_000);
        assert!(nonces.accepts(&nonce, 600_000));
        assert!(nonces.accepts(&nonce, 1_199_999));
        assert!(!nonces.accepts(&nonce, 1_200_000));
        assert!(!nonces.accepts(&nonce, 599_999), "of a time to come");
        assert!(!Nonces::new(b"other", 300_000).accepts(&nonce, 600_000));
        assert!(!nonces.accepts("", 600_000));
        assert!(!nonces.accepts(&nonce[1..], 600_000));
    }
}
