//! The claims of a verified token: the checks every access token must pass, and what the rules need of them.

use serde_json::{Map, Value};

use crate::claim_names::{ClaimNames, ClaimPath, by_name};
use crate::config::{Expiry, Issuer};
use crate::confirmation::Confirmation;
use crate::jws::Verified;

/// What a token says once its signature, issuer, audience and times were found good.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Claims {
    /// The token's id, by which it is revoked.
    pub token_id: Option<String>,
    /// The user.
    pub user_id: Option<String>,
    /// The user is none of the login service's, see [`Issuer::foreign_users`].
    pub foreign_user: bool,
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
    /// What the token is bound to; `None`: whoever has it may use it.
    pub bound: Option<Box<Confirmation>>,
    /// How the user logged in (`acr`).
    pub acr: Option<String>,
    /// When the user logged in (`auth_time`), in Unix milliseconds.
    pub authenticated_at: Option<u64>,
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
    /// `cnf` (RFC 7800) of a kind that cannot be checked here: such a token is good in nobody's hands.
    #[error("the token is bound to its sender in a way that is not known here")]
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
        verified: &Verified<'_>,
        issuer: &Issuer,
        compared: &[String],
        now: u64,
        leeway: u64,
    ) -> Result<Self, ClaimsError> {
        let claims = verified.claims;
        if issuer.required_claims.iter().any(|name| !claims.contains_key(name))
            || issuer.forbidden_claims.iter().any(|name| claims.contains_key(name))
        {
            return Err(ClaimsError::Kind);
        }
        if another_kind(claims) {
            return Err(ClaimsError::Kind);
        }
        check_audience(claims, &issuer.audiences)?;
        let mut read = Self::named(claims, &issuer.claims, compared)?;
        read.foreign_user = issuer.foreign_users;
        if read.expires_at.is_none() && issuer.expiry == Expiry::Required {
            return Err(ClaimsError::NoExpiry);
        }
        read.check_expiry(now, leeway)?;
        let ahead = |time: Option<u64>| time.is_some_and(|time| time > now.saturating_add(leeway));
        if ahead(read.not_before) || ahead(read.issued_at) {
            return Err(ClaimsError::NotYet);
        }
        Ok(read)
    }

    /// Reads and checks what a server says of an active token (RFC 7662 section 2.2): our auth server, or that of `issuer`.
    ///
    /// Whether its time has begun is not asked again: the server has just said so, by the clock it issued the token with.
    pub fn introspected(
        answer: &Map<String, Value>,
        issuer: Option<&Issuer>,
        compared: &[String],
        now: u64,
        leeway: u64,
    ) -> Result<Self, ClaimsError> {
        // Refresh tokens may be introspected too, and then have no type of an access token (RFC 6749 section 7.1).
        match answer.get("token_type").and_then(Value::as_str) {
            Some(kind) if kind.eq_ignore_ascii_case("bearer") => {}
            // It must say to which key the token is bound.
            Some(kind) if kind.eq_ignore_ascii_case("dpop") && answer.contains_key("cnf") => {}
            Some(kind) if kind.eq_ignore_ascii_case("dpop") => return Err(ClaimsError::SenderConstrained),
            // Others need not say it, or say it by a member of their own.
            None if issuer.is_some() && !answer.contains_key("token_type") => {}
            Some("access_token") if issuer.is_some() => {}
            _ => return Err(ClaimsError::Kind),
        }
        if let Some(issuer) = issuer {
            return Self::introspected_elsewhere(answer, issuer, compared, now, leeway);
        }
        let names = ClaimNames {
            user_name: "username".into(),
            ..ClaimNames::default()
        };
        let mut read = Self::named(answer, &names, compared)?;
        read.foreign_user = match answer.get("foreign_user") {
            None => false,
            Some(said) => said.as_bool().ok_or(ClaimsError::Malformed)?,
        };
        if read.token_id.is_none() {
            return Err(ClaimsError::Malformed);
        }
        read.check_expiry(now, leeway)?;
        Ok(read)
    }

    /// The same for an issuer of the configuration, with what it says there.
    fn introspected_elsewhere(
        answer: &Map<String, Value>,
        issuer: &Issuer,
        compared: &[String],
        now: u64,
        leeway: u64,
    ) -> Result<Self, ClaimsError> {
        let text = |name: &str| answer.get(name).and_then(Value::as_str);
        let other_issuer = answer.contains_key("iss") && text("iss") != issuer.issuer.as_deref();
        let other_use = answer.contains_key("token_use") && text("token_use") != Some("access_token");
        if other_use
            || (other_issuer && issuer.issuer.is_some())
            || issuer.required_claims.iter().any(|name| !answer.contains_key(name))
            || issuer.forbidden_claims.iter().any(|name| answer.contains_key(name))
        {
            return Err(ClaimsError::Kind);
        }
        check_audience(answer, &issuer.audiences)?;
        let mut read = Self::named(answer, &issuer.claims, compared)?;
        // The names of RFC 7662, where the issuer's tokens have others.
        if read.user_name.is_none() {
            read.user_name = self::text(answer, &"username".into())?;
        }
        if read.client_id.is_none() {
            read.client_id = self::text(answer, &"client_id".into())?;
        }
        read.check_expiry(now, leeway)?;
        Ok(read)
    }

    /// Expired. The instant `exp` is the first at which the token is no longer good (RFC 7519 section 4.1.4).
    pub fn check_expiry(&self, now: u64, leeway: u64) -> Result<(), ClaimsError> {
        match self.expires_at {
            Some(expires_at) if now >= expires_at.saturating_add(leeway) => Err(ClaimsError::Expired),
            _ => Ok(()),
        }
    }

    fn named(claims: &Map<String, Value>, names: &ClaimNames, compared: &[String]) -> Result<Self, ClaimsError> {
        Ok(Self {
            token_id: text(claims, &names.token_id)?,
            user_id: text(claims, &names.user_id)?,
            foreign_user: false,
            user_name: text(claims, &names.user_name)?,
            client_id: text(claims, &names.client_id)?,
            authorities: authorities(claims, &names.authorities)?,
            scopes: words(names.scope.find(claims))?,
            expires_at: time(claims, "exp")?,
            not_before: time(claims, "nbf")?,
            issued_at: time(claims, "iat")?,
            compared: compared
                .iter()
                .filter_map(|name| Some((name.clone(), plain(by_name(claims, name)?)?)))
                .collect(),
            bound: Confirmation::read(claims)?,
            acr: claims.get("acr").and_then(plain),
            authenticated_at: time(claims, "auth_time")?,
        })
    }
}

/// Whether the claims are those of an ID token, a refresh token or a logout token of somebody who signs them with the same
/// keys, for the same audience and under the same header as access tokens: OpenID Connect Core 1.0 sections 2 and 3.1.3.6,
/// Back-Channel Logout 1.0 section 2.4, and the claims by which Keycloak (`typ`) and Cognito (`token_use`) tell them apart.
/// (Some put the `nonce` of a login into its access tokens too; those have a scope.)
fn another_kind(claims: &Map<String, Value>) -> bool {
    let has = |name: &str| claims.contains_key(name);
    let is = |name: &str, kinds: &[&str]| {
        let value = claims.get(name).map(|value| value.as_str().unwrap_or_default());
        value.map(|value| kinds.iter().any(|kind| value.eq_ignore_ascii_case(kind)))
    };
    has("at_hash")
        || has("c_hash")
        || has("s_hash")
        || has("events")
        || (has("nonce") && !has("scope") && !has("scp"))
        || is("token_use", &["access", "access_token"]) == Some(false)
        || is("typ", &["ID", "Refresh", "Offline", "Logout", "Serialized-ID"]) == Some(true)
        // Of what type it is nobody can tell.
        || claims.get("typ").is_some_and(|kind| !kind.is_string())
}

/// `aud` is a string or an array of strings (RFC 7519 section 4.1.3).
fn check_audience(claims: &Map<String, Value>, accepted: &[String]) -> Result<(), ClaimsError> {
    let named: Vec<&str> = match claims.get("aud") {
        None => Vec::new(),
        Some(Value::String(audience)) => vec![audience],
        Some(Value::Array(audiences)) => {
            let audiences = audiences
                .iter()
                .map(|audience| audience.as_str().ok_or(ClaimsError::Malformed));
            audiences.collect::<Result<_, _>>()?
        }
        Some(_) => return Err(ClaimsError::Malformed),
    };
    if accepted.is_empty() || accepted.iter().any(|name| named.contains(&name.as_str())) {
        Ok(())
    } else {
        Err(ClaimsError::Audience)
    }
}

fn text(claims: &Map<String, Value>, path: &ClaimPath) -> Result<Option<String>, ClaimsError> {
    match path.find(claims) {
        None | Some(Value::Null) => Ok(None),
        // Nobody is called `true`.
        Some(Value::Bool(_)) => Err(ClaimsError::Malformed),
        Some(value) => plain(value).map(Some).ok_or(ClaimsError::Malformed),
    }
}

/// A claim as text: strings, and numbers as ids sometimes are. Only whole ones of 64 bits: of others two would be one, as
/// 100000000000000000001 and 100000000000000000002 are.
fn plain(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) if number.is_u64() || number.is_i64() => Some(number.to_string()),
        Value::Bool(value) => Some(value.to_string()),
        _ => None,
    }
}

fn authorities(claims: &Map<String, Value>, paths: &[ClaimPath]) -> Result<Vec<String>, ClaimsError> {
    let mut all = Vec::new();
    for value in paths.iter().flat_map(|path| path.find_all(claims)) {
        all.extend(words(Some(value))?);
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
pub(crate) fn time(claims: &Map<String, Value>, name: &str) -> Result<Option<u64>, ClaimsError> {
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

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// The claims of the legacy profile `principal`: the identity is one level down, and ids are numbers.
    #[test]
    fn names_may_be_paths_and_ids_numbers() {
        let names = ClaimNames {
            user_id: "principal.id".into(),
            user_name: "principal.username".into(),
            authorities: vec!["principal.authorities".into(), "realm_access.roles".into()],
            ..ClaimNames::default()
        };
        let read = |claims: Value| {
            let claims = claims.as_object().unwrap();
            Claims::named(
                claims,
                &names,
                &["principal.orgDTO.id".to_owned(), "principal".to_owned()],
            )
        };
        let claims = read(json!({
            "principal": { "id": 1, "username": "admin", "authorities": ["ROLE_B", "ROLE_A"], "orgDTO": { "id": 7 } },
            "realm_access": { "roles": ["ROLE_A", "ROLE_C"] },
            "scope": ["read"], "exp": 1_582_541_908, "jti": "t1", "client_id": "platform"
        }))
        .unwrap();
        assert_eq!(
            claims,
            Claims {
                token_id: Some("t1".into()),
                user_id: Some("1".into()),
                user_name: Some("admin".into()),
                client_id: Some("platform".into()),
                authorities: ["ROLE_A", "ROLE_B", "ROLE_C"].map(str::to_owned).into(),
                scopes: vec!["read".into()],
                expires_at: Some(1_582_541_908_000),
                compared: vec![("principal.orgDTO.id".into(), "7".into())],
                ..Claims::default()
            }
        );

        // The ids that a 64-bit database hands out keep all their digits.
        let id = |id: Value| read(json!({ "principal": { "id": id } })).map(|claims| claims.user_id);
        assert_eq!(id(json!(u64::MAX)), Ok(Some(u64::MAX.to_string())));
        assert_eq!(id(json!("u1")), Ok(Some("u1".into())));
        assert_eq!(id(Value::Null), Ok(None));
        assert_eq!(id(json!({ "x": 1 })), Err(ClaimsError::Malformed));
        for nobody in ["100000000000000000001", "1.5", "1.0", "1e3", "-0", "true", "[]"] {
            let nobody: Value = serde_json::from_str(nobody).unwrap();
            assert_eq!(id(nobody.clone()), Err(ClaimsError::Malformed), "{nobody}");
        }
        // What is only compared need not be an id, and then equals nothing.
        let odd = read(json!({ "principal": { "orgDTO": { "id": 1.5 } } })).unwrap();
        assert_eq!(odd.compared, []);
        // A client's own token has no such object, and a claim that is no object has nothing inside.
        assert_eq!(read(json!({ "principal": null })), Ok(Claims::default()));
        assert_eq!(read(json!({ "principal": "admin" })).unwrap().user_id, None);
        // A claim of exactly this name comes before the path.
        let both = json!({ "principal.id": "a", "principal": { "id": "b" } });
        assert_eq!(read(both).unwrap().user_id.as_deref(), Some("a"));
    }
}
