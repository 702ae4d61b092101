//! Tokens of the system before us, honoured until their own time is over.
//!
//! The key of its JWTs is gone (and had six characters), so no signature is looked at. What proves a presented token is
//! that the MD5 of all of it is one that the import brought: a second token with the same MD5 cannot be found (see
//! [`crate::db::imported_token`]). Only then is it parsed, and its claims are those the other system signed.

use std::sync::{PoisonError, RwLock};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use md5::{Digest as _, Md5};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use sqlx::AnyConnection;

use crate::app::App;
use crate::clock;
use crate::db::Write;
use crate::db::imported_token::{self, ImportedToken};
use crate::db::refresh_token::{self, RefreshToken};
use crate::error::Refusal;
use crate::issue::{User, lives};
use crate::profiles::spring::claims::Claims;
use crate::profiles::{Format, Profile};
use crate::revoke;

/// Longer tokens are not looked for, in bytes. A gateway's limit for all headers is of that size.
const LONGEST: usize = 16 << 10;

/// Which profiles have living imported tokens: where there are none, nothing is looked for.
#[derive(Default)]
pub struct Imports(RwLock<Vec<Profile>>);

impl Imports {
    /// Takes the tokens as they stand in the database.
    pub async fn load(&self, connection: &mut AnyConnection, now_ms: i64) -> sqlx::Result<()> {
        let profiles = imported_token::profiles(connection, now_ms).await?;
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = profiles;
        Ok(())
    }

    /// Whether there may be any for which that holds.
    pub fn any(&self, of: impl Fn(Profile) -> bool) -> bool {
        let profiles = self.0.read().unwrap_or_else(PoisonError::into_inner);
        profiles.iter().any(|profile| of(*profile))
    }
}

/// An imported token that was presented, whether it has expired or not.
pub struct Imported {
    /// The profile that honours it.
    pub profile: Profile,
    /// What was imported.
    pub token: ImportedToken,
    /// What it says of itself; of an opaque one, what the import said.
    pub claims: ImportedClaims,
    /// When it expires.
    pub expires_at_ms: i64,
}

/// What a token says.
pub struct ImportedClaims {
    /// The user; `None`: the client's own.
    pub user: Option<User>,
    /// The client, where it is named.
    pub client_id: Option<String>,
    /// In the order of the token.
    pub scope: Vec<String>,
    /// The token's own id.
    pub jti: Option<String>,
    /// Unix seconds; `None`: never.
    pub exp: Option<i64>,
    /// All that it says.
    pub payload: Payload,
}

/// All that a token says, for `check_token`.
#[derive(Serialize)]
#[serde(untagged)]
pub enum Payload {
    /// The payload of an imported JWT, in its own order.
    Jwt(Map<String, Value>),
    /// Of a token of ours, or of an imported one that is opaque.
    Claims(Claims),
}

/// Which of the two kinds is looked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// An access token.
    Access,
    /// A refresh token.
    Refresh,
}

/// The imported token with this value. `None`: none of that kind, or revoked, or its client is gone.
pub async fn find(app: &App, kind: Kind, value: &str) -> Result<Option<Imported>, Refusal> {
    if value.len() > LONGEST || !app.imports.any(|profile| app.serves(profile)) {
        return Ok(None);
    }
    let token = imported_token::find(&mut *app.database.read().await?, &md5_of(value)).await?;
    let Some(token) = token.filter(|token| (token.refresh != 0) == (kind == Kind::Refresh)) else {
        return Ok(None);
    };
    let profile: Profile = token
        .profile
        .parse()
        .map_err(|_| Refusal::Corrupt("the profile of an imported token is unknown"))?;
    let client = app.clients.of_profile(&app.database, profile, &token.client_id);
    let Some(client) = client.await?.filter(|_| app.serves(profile)) else {
        return Ok(None);
    };
    let claims = match profile.format() {
        Format::Jwt => ImportedClaims::read(profile, value).filter(|claims| claims.are_of(profile, &token)),
        Format::Opaque => Some(ImportedClaims::of_opaque(&token, client.sorted_authorities())),
    };
    let Some(claims) = claims else {
        tracing::debug!(
            client_id = token.client_id,
            "an imported token does not say what is needed; it is not honoured"
        );
        return Ok(None);
    };
    let Some(exp) = claims.exp else { return Ok(None) };
    let expires_at_ms = match token.expires_at_ms {
        0 => exp.saturating_mul(1000),
        known => known,
    };
    if token.expires_at_ms == 0 {
        learn_expiry(app, &token, expires_at_ms).await?;
    }
    Ok(Some(Imported {
        profile,
        token,
        claims,
        expires_at_ms,
    }))
}

/// Makes a refresh token one of ours, unless it is or was revoked meanwhile: it is then refreshed as all others are.
pub async fn adopt(app: &App, write: &mut Write, imported: &Imported, now_ms: i64) -> Result<(), Refusal> {
    let Imported { token, profile, .. } = imported;
    let living = imported_token::find(write, &token.token_md5).await?.is_some();
    if !living || refresh_token::find(write, &token.token_id).await?.is_some() {
        return Ok(());
    }
    let mut adopted = imported.as_ours();
    adopted.first_key_id = app.signing.active(write, *profile, now_ms).await?;
    adopted.issued_at_ms = now_ms;
    refresh_token::insert(write, &adopted).await?;
    Ok(())
}

/// Takes back an access token, and the refresh token it was given with.
pub async fn log_out(app: &App, imported: &Imported) -> Result<(), Refusal> {
    let Imported { token, .. } = imported;
    let mut write = app.database.write_for(&token.client_id, &token.user_name).await?;
    let now_ms = clock::now_ms();
    // Once more, where it counts: a refresh may have come between.
    if imported_token::find(&mut write, &token.token_md5).await?.is_none() {
        return Ok(());
    }
    match token.refresh_id.as_str() {
        "" => {
            let expires_at_ms = Some(imported.expires_at_ms);
            revoke::imported_access_token(&mut write, &token.token_id, expires_at_ms, now_ms).await?;
        }
        refresh_id => revoke::refresh_token(&mut write, refresh_id, now_ms).await?,
    }
    write.commit().await?;
    Ok(())
}

impl Imported {
    /// Whether its time is not over.
    pub fn lives(&self, now_ms: i64) -> bool {
        lives(Some(self.expires_at_ms), now_ms)
    }

    /// What the bearer may do today: of a user, what the login service says; of a client, what it is registered with, also
    /// where its token describes a `principal`. What the token itself says is older than the move.
    /// `None`: the user is gone.
    pub async fn authorities(&self, app: &App) -> Result<Option<Vec<String>>, Refusal> {
        match &self.claims.user {
            Some(user) if self.profile != Profile::Principal => Ok(app.login.authorities(&user.id).await?),
            _ => {
                let client = app.clients.find(&self.token.client_id);
                Ok(Some(
                    client.map(|client| client.sorted_authorities()).unwrap_or_default(),
                ))
            }
        }
    }

    /// A refresh token as it will be kept once it has been used; its key and time of issue are still to be filled in.
    pub fn as_ours(&self) -> RefreshToken {
        let user = self.claims.user.clone();
        let (user_id, user_name) = user.map(|user| (user.id, user.name)).unwrap_or_default();
        RefreshToken {
            token_id: self.token.token_id.clone(),
            token_hash: None,
            profile: self.token.profile.clone(),
            client_id: self.token.client_id.clone(),
            user_id,
            user_name,
            authorities: "[]".into(),
            scope: self.claims.scope.join(" "),
            grant_type: "refresh_token".into(),
            first_key_id: String::new(),
            issued_at_ms: 0,
            expires_at_ms: Some(self.expires_at_ms),
        }
    }
}

impl ImportedClaims {
    /// The claims of a JWT, whoever signed it. `None`: it is none, or lacks what the profile's tokens say.
    pub fn read(profile: Profile, value: &str) -> Option<Self> {
        let mut parts = value.split('.');
        let (_header, payload, _signature, None) = (parts.next()?, parts.next()?, parts.next()?, parts.next()) else {
            return None;
        };
        let payload = URL_SAFE_NO_PAD.decode(payload.trim_end_matches('=')).ok()?;
        // Bounded in depth by serde_json, in size by the token's.
        let payload: Map<String, Value> = serde_json::from_slice(&payload).ok()?;
        // It was bound to a key of its holder (RFC 7800), and nobody could check that any more.
        if payload.contains_key("cnf") {
            return None;
        }
        let said: Said = serde_json::from_value(Value::Object(payload.clone())).ok()?;
        let user = match profile {
            Profile::Principal => payload.get("principal").and_then(principal),
            // Half an identity is none.
            _ => match (said.user_id, said.user_name) {
                (Some(id), Some(name)) => Some(User { id: id.text(), name }),
                (None, None) => None,
                _ => return None,
            },
        };
        Some(Self {
            user,
            client_id: said.client_id,
            scope: said.scope.map(Words::list).unwrap_or_default(),
            jti: said.jti.filter(|jti| !jti.is_empty()),
            exp: said.exp,
            payload: Payload::Jwt(payload),
        })
    }

    fn of_opaque(token: &ImportedToken, authorities: Vec<String>) -> Self {
        let scope: Vec<String> = token.scope.split(' ').map(str::to_owned).collect();
        let claims = Claims {
            user_name: None,
            user_id: None,
            authorities,
            scope: scope.clone(),
            jti: token.token_id.clone(),
            ati: None,
            exp: Some(token.expires_at_ms / 1000),
            client_id: token.client_id.clone(),
            aud: Vec::new(),
            active: None,
        };
        Self {
            user: None,
            client_id: Some(token.client_id.clone()),
            scope,
            jti: None,
            exp: Some(token.expires_at_ms / 1000),
            payload: Payload::Claims(claims),
        }
    }

    /// Whether what was imported beside the token does not contradict it.
    fn are_of(&self, profile: Profile, token: &ImportedToken) -> bool {
        let client = self.client_id.as_ref().is_none_or(|id| *id == token.client_id);
        let user_name = self.user.as_ref().map_or("", |user| &user.name);
        client && (profile == Profile::Principal || user_name == token.user_name)
    }
}

/// The MD5 by which the legacy tables know a token.
pub fn md5_of(value: &str) -> String {
    format!("{:032x}", u128::from_be_bytes(Md5::digest(value).into()))
}

/// So that the janitor knows it too.
async fn learn_expiry(app: &App, token: &ImportedToken, expires_at_ms: i64) -> sqlx::Result<()> {
    let mut write = app.database.write_for(&token.client_id, &token.user_name).await?;
    imported_token::learn_expiry(&mut write, &token.token_md5, expires_at_ms).await?;
    write.commit().await
}

#[derive(Deserialize)]
struct Said {
    user_name: Option<String>,
    #[serde(rename = "userId")]
    user_id: Option<Id>,
    client_id: Option<String>,
    scope: Option<Words>,
    jti: Option<String>,
    exp: Option<i64>,
}

/// The user that a `principal` describes, as the gateways read it.
fn principal(principal: &Value) -> Option<User> {
    #[derive(Deserialize)]
    struct Principal {
        id: Id,
        username: String,
    }
    let Principal { id, username } = Principal::deserialize(principal).ok()?;
    Some(User {
        id: id.text(),
        name: username,
    })
}

/// Written as text or as a number, as its table had it.
#[derive(Deserialize)]
#[serde(untagged)]
enum Id {
    Text(String),
    Number(i64),
}

impl Id {
    fn text(self) -> String {
        match self {
            Self::Text(text) => text,
            Self::Number(number) => number.to_string(),
        }
    }
}

/// An array of words, or words with blanks between.
#[derive(Deserialize)]
#[serde(untagged)]
enum Words {
    List(Vec<String>),
    Text(String),
}

impl Words {
    fn list(self) -> Vec<String> {
        match self {
            Self::List(list) => list,
            Self::Text(text) => text.split_whitespace().map(str::to_owned).collect(),
        }
    }
}
