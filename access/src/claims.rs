//! The claims of a verified token: the checks every access token must pass, and what the rules need of them.

use serde_json::{Map, Value};

use crate::config::{Expiry, Issuer};
use crate::jws::Verified;

/// What a token says once its signature, issuer, audience and times were found good.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Claims {
    /// The token's id, by which it is revoked.
    pub token_id: Option<String>,
    /// The user.
    pub user_id: Option<String>,
    /// The user's name.
    pub user_name: Option<String>,
    /// The OAuth client.
    pub client_id: Option<String>,
    /// Sorted, none twice.
    pub authorities: Vec<String>,
    /// In the token's order.
    pub scopes: Vec<String>,
    /// Unix milliseconds; `None`: never.
    pub expires_at: Option<u64>,
    /// Unix milliseconds of `nbf`.
    pub not_before: Option<u64>,
    /// Unix milliseconds of `iat`.
    pub issued_at: Option<u64>,
    /// The claims that some rule compares, by name, as text.
    pub compared: Vec<(String, String)>,
}

/// Why a token with a good signature was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ClaimsError {
    /// `exp` has passed.
    #[error("the token has expired")]
    Expired,
    /// `nbf` or `iat` lies ahead.
    #[error("the token is not valid yet")]
    NotYet,
    /// No `exp`.
    #[error("the token never expires")]
    NoExpiry,
    /// `aud` does not name us.
    #[error("the token is for another audience")]
    Audience,
    /// A required claim is missing, or one marks this as another kind of token.
    #[error("the token is not an access token of this kind")]
    Kind,
    /// `cnf` (RFC 7800): such a token is no bearer token.
    #[error("the token is bound to a sender")]
    SenderConstrained,
    /// A claim has the wrong type.
    #[error("a claim of the token has the wrong type")]
    Malformed,
}

impl Claims {
    /// Reads and checks the claims of a token of `issuer`, whose key verified it.
    ///
    /// `compared`: the names of the claims that rules compare. Times are Unix milliseconds.
    pub fn read(
        verified: &Verified,
        issuer: &Issuer,
        compared: &[String],
        now: u64,
        leeway: u64,
    ) -> Result<Self, ClaimsError> {
        let claims = &verified.claims;
        if claims.get("cnf").is_some_and(|cnf| !cnf.is_null()) {
            return Err(ClaimsError::SenderConstrained);
        }
        if issuer.required_claims.iter().any(|name| !claims.contains_key(name))
            || issuer.forbidden_claims.iter().any(|name| claims.contains_key(name))
        {
            return Err(ClaimsError::Kind);
        }
        check_audience(claims, &issuer.audiences)?;
        let read = Self {
            token_id: text(claims, &issuer.claims.token_id)?,
            user_id: text(claims, &issuer.claims.user_id)?,
            user_name: text(claims, &issuer.claims.user_name)?,
            client_id: text(claims, &issuer.claims.client_id)?,
            authorities: authorities(claims, &issuer.claims.authorities)?,
            scopes: words(find(claims, &issuer.claims.scope))?,
            expires_at: time(claims, "exp")?,
            not_before: time(claims, "nbf")?,
            issued_at: time(claims, "iat")?,
            compared: compared
                .iter()
                .filter_map(|name| Some((name.clone(), plain(find(claims, name)?)?)))
                .collect(),
        };
        if read.expires_at.is_none() && issuer.expiry == Expiry::Required {
            return Err(ClaimsError::NoExpiry);
        }
        read.check_times(now, leeway)?;
        Ok(read)
    }

    /// Expired, or not valid yet. The instant `exp` is the first at which the token is no longer good (RFC 7519 4.1.4).
    pub fn check_times(&self, now: u64, leeway: u64) -> Result<(), ClaimsError> {
        if self
            .expires_at
            .is_some_and(|expires_at| now >= expires_at.saturating_add(leeway))
        {
            return Err(ClaimsError::Expired);
        }
        let ahead = |time: Option<u64>| time.is_some_and(|time| time > now.saturating_add(leeway));
        if ahead(self.not_before) || ahead(self.issued_at) {
            return Err(ClaimsError::NotYet);
        }
        Ok(())
    }
}

fn check_audience(claims: &Map<String, Value>, accepted: &[String]) -> Result<(), ClaimsError> {
    if accepted.is_empty() {
        return Ok(());
    }
    let named = match claims.get("aud") {
        Some(Value::String(audience)) => accepted.contains(audience),
        Some(Value::Array(audiences)) => audiences
            .iter()
            .any(|audience| audience.as_str().is_some_and(|name| accepted.iter().any(|a| a == name))),
        _ => false,
    };
    if named { Ok(()) } else { Err(ClaimsError::Audience) }
}

/// A claim by its whole name or, where there is none, by its path: `realm_access.roles`. Names may have dots themselves.
fn find<'c>(claims: &'c Map<String, Value>, name: &str) -> Option<&'c Value> {
    claims.get(name).or_else(|| {
        let (first, rest) = name.split_once('.')?;
        find(claims.get(first)?.as_object()?, rest)
    })
}

fn text(claims: &Map<String, Value>, name: &str) -> Result<Option<String>, ClaimsError> {
    match find(claims, name) {
        None | Some(Value::Null) => Ok(None),
        Some(value) => plain(value).map(Some).ok_or(ClaimsError::Malformed),
    }
}

/// A claim as text: strings, and numbers as ids sometimes are.
fn plain(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        Value::Bool(value) => Some(value.to_string()),
        _ => None,
    }
}

fn authorities(claims: &Map<String, Value>, names: &[String]) -> Result<Vec<String>, ClaimsError> {
    let mut all = Vec::new();
    for name in names {
        all.extend(words(find(claims, name))?);
    }
    all.sort_unstable();
    all.dedup();
    Ok(all)
}

/// An array of strings, or one string of words.
fn words(value: Option<&Value>) -> Result<Vec<String>, ClaimsError> {
    match value {
        None | Some(Value::Null) => Ok(Vec::new()),
        Some(Value::String(text)) => Ok(text.split_ascii_whitespace().map(str::to_owned).collect()),
        Some(Value::Array(items)) => items
            .iter()
            .map(|item| item.as_str().map(str::to_owned).ok_or(ClaimsError::Malformed))
            .collect(),
        Some(_) => Err(ClaimsError::Malformed),
    }
}

/// A NumericDate (RFC 7519 section 2) in Unix milliseconds.
fn time(claims: &Map<String, Value>, name: &str) -> Result<Option<u64>, ClaimsError> {
    /// The year 9999; beyond it a number is a mistake (milliseconds) or an attack.
    const LATEST: f64 = 253_402_300_799.0;
    let Some(value) = claims.get(name) else { return Ok(None) };
    let seconds = value
        .as_f64()
        .filter(|seconds| (0.0..=LATEST).contains(seconds))
        .ok_or(ClaimsError::Malformed)?;
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "between 0 and LATEST × 1000"
    )]
    Ok(Some((seconds * 1000.0) as u64))
}
