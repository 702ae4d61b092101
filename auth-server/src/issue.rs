//! The only place where tokens are made.
//!
//! "The same token while valid": a client that asks again for the same user and scope is given the very token it has,
//! with fewer seconds to live, until it expires. Its value is not stored; the stored claims are signed again. When it has
//! expired, the refresh token that was given with it is kept, if that still lives.
//!
//! That holds although the user's authorities may have changed since the token was made: its claims then say what no
//! longer is so. Clients of the legacy contract rely on the sameness, and no gateway relies on the claims: the login
//! service's feed names the user as changed, and the gateways ask for the authorities of now instead.

use std::collections::BTreeSet;
use std::sync::Arc;

use md5::Md5;
use sha2::{Digest as _, Sha256};

use crate::app::App;
use crate::clock;
use crate::db::Write;
use crate::db::access_token::{self, AccessToken};
use crate::db::client::{self, Client};
use crate::db::refresh_token::{self, RefreshToken};
use crate::entropy;
use crate::error::Refusal;
use crate::profiles::spring::claims::Claims;
use crate::profiles::{Format, Profile};
use crate::revoke;

/// To whom and for what a token is given.
pub struct Grantee {
    /// By which grant, as `grant_type` names it.
    pub grant: &'static str,
    /// The client.
    pub client: Arc<Client>,
    /// The user; `None`: the client speaks for itself.
    pub user: Option<User>,
    /// Sorted.
    pub authorities: Vec<String>,
    /// In the order of the answer.
    pub scope: Vec<String>,
}

/// A user, as the login service knows it.
#[derive(Clone)]
pub struct User {
    /// The id.
    pub id: String,
    /// The name it logged in with.
    pub name: String,
}

/// Tokens to be handed out.
pub struct Issued {
    /// The access token.
    pub access_token: String,
    /// Its id.
    pub token_id: String,
    /// The refresh token, if there is one.
    pub refresh_token: Option<String>,
    /// Its id.
    pub refresh_id: Option<String>,
    /// In the order of the answer.
    pub scope: Vec<String>,
    /// The user's id; `None`: the client's own token.
    pub user_id: Option<String>,
    /// When the access token was made.
    pub issued_at_ms: i64,
    /// `None`: never.
    pub expires_at_ms: Option<i64>,
    /// Whether it had been given before.
    pub repeated: bool,
}

/// Gives the token that there is for this client, user and scope, or makes one.
pub async fn issue(app: &App, grantee: &Grantee, now_ms: i64) -> Result<Issued, Refusal> {
    let key = Key::of(grantee);
    let repeats = grantee.client.profile.repeats();
    if repeats {
        if let Some(issued) = issue_own(app, grantee, &key, now_ms).await? {
            return Ok(issued);
        }
        let seen = app.current.reach().await?;
        // Most callers ask for what they already have: that needs no turn to write.
        let mut read = app.database.read().await?;
        if let Some(token) = find_reusable(&mut read, &key)
            .await?
            .filter(|token| token.user_id == key.user_id && lives(token.expires_at_ms, now_ms))
            && !authorities_moved(&mut read, &token, grantee).await?
        {
            app.signing.know(&mut read, &token.key_id).await?;
            let token = Arc::new(token);
            app.known_tokens.keep(seen, &token);
            return again(app, grantee.client.profile, &token);
        }
    }

    let mut write = app.database.write_for(key.client_id, key.user_name).await?;
    // The time may have moved on while this call waited for its turn.
    let now_ms = clock::now_ms().max(now_ms);
    ensure_registered(&mut write, &grantee.client).await?;
    let issued = issue_in(app, &mut write, grantee, now_ms).await?;
    write.commit().await?;
    Ok(issued)
}

/// The same for a client's own token without a refresh token, when memory is enough: the token is known, or there is none
/// yet. `None`: the database has to be asked.
async fn issue_own(app: &App, grantee: &Grantee, key: &Key<'_>, now_ms: i64) -> Result<Option<Issued>, Refusal> {
    let client = &grantee.client;
    let profile = client.profile;
    if grantee.user.is_some() || profile.gives_refresh_token(grantee) {
        return Ok(None);
    }
    let known = || {
        let token = app.known_tokens.by_authentication(&key.authentication_id, now_ms)?;
        key.is_of(&token).then_some(token)
    };
    // What memory tells must be as new as this call; a token that it does not know is made from what it is now, and
    // stored only if nothing it was made from has changed since.
    let mut seen = app.feed.current().number;
    if known().is_some() {
        seen = app.current.reach().await?;
    }
    // Memory may be newer than the request's look at the client.
    let is_registered = app
        .clients
        .find(&client.client_id)
        .is_some_and(|now| now.is_still(client));
    if !is_registered {
        return Ok(None);
    }
    if let Some(token) = known() {
        return again(app, profile, &token).map(Some);
    }
    let Some(key_id) = app.signing.active_in_memory(profile, now_ms) else {
        return Ok(None);
    };
    let (token, issued) = new_token(app, grantee, None, key_id, now_ms)?;
    if app.new_tokens.insert(token, seen).await {
        return Ok(Some(issued));
    }
    // Of many calls at once, another one was first: perhaps here, a moment ago.
    app.current.reach().await?;
    known().map(|token| again(app, profile, &token)).transpose()
}

/// The same, as part of a transaction for the client and the user, which the caller commits.
pub async fn issue_in(app: &App, write: &mut Write, grantee: &Grantee, now_ms: i64) -> Result<Issued, Refusal> {
    let profile = grantee.client.profile;
    let mut earlier = None;
    if profile.repeats() {
        let key = Key::of(grantee);
        earlier = find_reusable(write, &key).await?;
        if let Some(token) = earlier.take_if(|token| token.user_id != key.user_id) {
            // Somebody else had this name when that was given: it is nobody's any more.
            match &token.refresh_id {
                Some(refresh_id) => revoke::refresh_token(write, refresh_id, now_ms).await?,
                None => revoke::access_token(write, &token.token_id, token.expires_at_ms, now_ms).await?,
            }
        }
    }
    if let Some(token) = &earlier
        && lives(token.expires_at_ms, now_ms)
    {
        if authorities_moved(write, token, grantee).await?
            && let Some(refresh_id) = &token.refresh_id
        {
            refresh_token::update_authorities(write, refresh_id, &authorities_text(&grantee.authorities)).await?;
        }
        app.signing.know(write, &token.key_id).await?;
        return again(app, profile, token);
    }

    let mut refresh = None;
    if let Some(expired) = earlier {
        access_token::delete(write, &expired.token_id).await?;
        if let Some(refresh_id) = expired.refresh_id {
            refresh = refresh_token::find(write, &refresh_id)
                .await?
                .filter(|kept| lives(kept.expires_at_ms, now_ms));
        }
    }
    if let Some(kept) = &mut refresh {
        kept.authorities = authorities_text(&grantee.authorities);
        refresh_token::update_authorities(write, &kept.token_id, &kept.authorities).await?;
    } else if profile.gives_refresh_token(grantee) {
        refresh = Some(make_refresh_token(app, write, grantee, now_ms).await?);
    }
    make_access_token(app, write, grantee, refresh.as_ref(), now_ms).await
}

/// Makes an access token in exchange for a refresh token. With `rotated`, a new refresh token takes the place of the
/// presented one, whose row the caller has deleted.
pub async fn refresh(
    app: &App,
    write: &mut Write,
    grantee: &Grantee,
    presented: RefreshToken,
    rotated: bool,
    now_ms: i64,
) -> Result<Issued, Refusal> {
    ensure_registered(write, &grantee.client).await?;
    let refresh = if rotated {
        make_refresh_token(app, write, grantee, now_ms).await?
    } else {
        presented
    };
    make_access_token(app, write, grantee, Some(&refresh), now_ms).await
}

/// Whether something that expires at a time still lives.
pub fn lives(expires_at_ms: Option<i64>, now_ms: i64) -> bool {
    expires_at_ms.is_none_or(|expires| expires > now_ms)
}

/// Authorities as a refresh token keeps them: a JSON array.
pub fn authorities_text(authorities: &[String]) -> String {
    serde_json::Value::from(authorities).to_string()
}

/// The SHA-256 by which a token value is known.
pub fn token_hash(token: &str) -> Vec<u8> {
    Sha256::digest(token).to_vec()
}

/// The key of "the same token while valid", as the legacy tables have it: the MD5 of `LinkedHashMap.toString()`. MD5
/// protects nothing here: client and user are compared beside it.
pub fn authentication_id(user_name: Option<&str>, client_id: &str, scope: &[String]) -> String {
    let user = user_name.map(|name| format!("username={name}, ")).unwrap_or_default();
    let sorted: BTreeSet<&str> = scope.iter().map(String::as_str).collect();
    let sorted: Vec<&str> = sorted.into_iter().collect();
    let text = format!("{{{user}client_id={client_id}, scope={}}}", sorted.join(" "));
    format!("{:032x}", u128::from_be_bytes(Md5::digest(text).into()))
}

const KEY_GONE: Refusal = Refusal::Corrupt("the active key is gone");

struct Key<'a> {
    profile: &'static str,
    client_id: &'a str,
    user_name: &'a str,
    /// Not part of the legacy key: names may pass from one user to another, what one was given does not.
    user_id: &'a str,
    authentication_id: String,
}

impl<'a> Key<'a> {
    fn of(grantee: &'a Grantee) -> Self {
        let user_name = grantee.user.as_ref().map(|user| user.name.as_str());
        let user_id = grantee.user.as_ref().map(|user| user.id.as_str());
        Self {
            profile: grantee.client.profile.name(),
            client_id: &grantee.client.client_id,
            user_name: user_name.unwrap_or_default(),
            user_id: user_id.unwrap_or_default(),
            authentication_id: authentication_id(user_name, &grantee.client.client_id, &grantee.scope),
        }
    }

    /// Whether a token was given for this.
    fn is_of(&self, token: &AccessToken) -> bool {
        token.profile == self.profile
            && token.client_id == self.client_id
            && token.user_name == self.user_name
            && token.authentication_id == self.authentication_id
    }
}

async fn find_reusable(connection: &mut sqlx::AnyConnection, key: &Key<'_>) -> sqlx::Result<Option<AccessToken>> {
    access_token::reusable(
        connection,
        key.profile,
        key.client_id,
        key.user_name,
        &key.authentication_id,
    )
    .await
}

/// A client that was removed while its request was under way gets nothing more, nor does one of its name that was
/// registered in its place: what is in memory may be older than what another process has written.
pub async fn ensure_registered(write: &mut Write, client: &Client) -> Result<(), Refusal> {
    match client::find(write, &client.client_id).await? {
        Some(stored) if stored.is_still(client) => Ok(()),
        _ => Err(Refusal::BadBasicCredentials),
    }
}

/// Whether the refresh token beside a token still has the authorities of an earlier login. The token itself is given
/// again all the same, see above; as in the original, what is stored beside it is brought up to date.
async fn authorities_moved(
    connection: &mut sqlx::AnyConnection,
    token: &AccessToken,
    grantee: &Grantee,
) -> sqlx::Result<bool> {
    let Some(refresh_id) = &token.refresh_id else {
        return Ok(false);
    };
    let refresh = refresh_token::find(connection, refresh_id).await?;
    Ok(refresh.is_some_and(|refresh| refresh.authorities != authorities_text(&grantee.authorities)))
}

/// The token and its refresh token once more, from what was signed. The key is known.
fn again(app: &App, profile: Profile, token: &AccessToken) -> Result<Issued, Refusal> {
    const GONE: Refusal = Refusal::Corrupt("the signing key of a living token is gone");
    let refresh_token = match (&token.refresh_id, &token.refresh_claims) {
        (Some(id), Some(claims)) => Some(
            profile
                .refresh_token(&app.signing, &token.key_id, id, claims)
                .ok_or(GONE)?,
        ),
        _ => None,
    };
    let access_token = profile.access_token(&app.signing, &token.key_id, &token.token_id, &token.claims);
    Ok(Issued {
        access_token: access_token.ok_or(GONE)?,
        token_id: token.token_id.clone(),
        refresh_token,
        refresh_id: token.refresh_id.clone(),
        scope: token.scope.split(' ').map(str::to_owned).collect(),
        user_id: (!token.user_id.is_empty()).then(|| token.user_id.clone()),
        issued_at_ms: token.issued_at_ms,
        expires_at_ms: token.expires_at_ms,
        repeated: true,
    })
}

async fn make_refresh_token(
    app: &App,
    write: &mut Write,
    grantee: &Grantee,
    now_ms: i64,
) -> Result<RefreshToken, Refusal> {
    let client = &grantee.client;
    let validity = client
        .refresh_token_validity
        .unwrap_or(client.profile.refresh_token_validity());
    let token_id = entropy::time_ordered_uuid(now_ms);
    let key_id = app.signing.active(write, client.profile, now_ms).await?;
    let token_hash = match client.profile.format() {
        Format::Jwt => None,
        Format::Opaque => {
            let value = client.profile.refresh_token(&app.signing, &key_id, &token_id, "");
            Some(token_hash(&value.ok_or(KEY_GONE)?))
        }
    };
    let user = grantee.user.as_ref();
    let token = RefreshToken {
        token_id,
        token_hash,
        profile: client.profile.name().to_owned(),
        client_id: client.client_id.clone(),
        user_id: user.map(|user| user.id.clone()).unwrap_or_default(),
        user_name: user.map(|user| user.name.clone()).unwrap_or_default(),
        authorities: authorities_text(&grantee.authorities),
        scope: grantee.scope.join(" "),
        grant_type: grantee.grant.to_owned(),
        first_key_id: key_id,
        issued_at_ms: now_ms,
        expires_at_ms: expiry(validity, now_ms),
    };
    refresh_token::insert(write, &token).await?;
    Ok(token)
}

async fn make_access_token(
    app: &App,
    write: &mut Write,
    grantee: &Grantee,
    refresh: Option<&RefreshToken>,
    now_ms: i64,
) -> Result<Issued, Refusal> {
    let profile = grantee.client.profile;
    let mut key_id = app.signing.active(write, profile, now_ms).await?;
    if let Some(refresh) = refresh.filter(|_| profile.format() == Format::Opaque) {
        // Both values are derived with the one key that this row names; a refresh token keeps its value.
        key_id.clone_from(&refresh.first_key_id);
        app.signing.know(write, &key_id).await?;
    }
    let (token, issued) = new_token(app, grantee, refresh, key_id, now_ms)?;
    access_token::insert(write, &token).await?;
    Ok(issued)
}

/// A new access token, as it is stored and as it is handed out. The key is known.
fn new_token(
    app: &App,
    grantee: &Grantee,
    refresh: Option<&RefreshToken>,
    key_id: String,
    now_ms: i64,
) -> Result<(AccessToken, Issued), Refusal> {
    let Grantee {
        grant,
        client,
        user,
        authorities,
        scope,
    } = grantee;
    let validity = client
        .access_token_validity
        .unwrap_or(client.profile.access_token_validity());
    let expires_at_ms = expiry(validity, now_ms);
    let claims = Claims {
        user_name: user.as_ref().map(|user| user.name.clone()),
        user_id: user.as_ref().map(|user| user.id.clone()),
        authorities: authorities.clone(),
        scope: scope.clone(),
        jti: entropy::time_ordered_uuid(now_ms),
        ati: None,
        exp: expires_at_ms.map(|ms| ms / 1000),
        client_id: client.client_id.clone(),
        aud: client.resource_ids.clone(),
        active: None,
    };
    let refresh_claims = refresh.map(|refresh| Claims {
        jti: refresh.token_id.clone(),
        ati: Some(claims.jti.clone()),
        exp: refresh.expires_at_ms.map(|ms| ms / 1000),
        ..claims.clone()
    });
    let profile = client.profile;
    let write_claims = |claims: &Claims| {
        let unwritable = |_| Refusal::Corrupt("claims cannot be written as JSON");
        profile.payload(claims, client).map_err(unwritable)
    };
    let payload = write_claims(&claims)?;
    let refresh_payload = refresh_claims.as_ref().map(write_claims).transpose()?;
    let access_token = profile.access_token(&app.signing, &key_id, &claims.jti, &payload);
    let access_token = access_token.ok_or(KEY_GONE)?;
    let refresh_token = match (refresh, &refresh_payload) {
        (Some(refresh), Some(payload)) => {
            let value = profile.refresh_token(&app.signing, &key_id, &refresh.token_id, payload);
            Some(value.ok_or(KEY_GONE)?)
        }
        _ => None,
    };
    let user_name = user.as_ref().map(|user| user.name.as_str());
    let row = AccessToken {
        token_hash: Some(token_hash(&access_token)),
        authentication_id: authentication_id(user_name, &client.client_id, scope),
        token_id: claims.jti,
        profile: client.profile.name().to_owned(),
        client_id: client.client_id.clone(),
        user_id: user.as_ref().map(|user| user.id.clone()).unwrap_or_default(),
        user_name: user_name.unwrap_or_default().to_owned(),
        scope: scope.join(" "),
        grant_type: (*grant).to_owned(),
        claims: payload,
        refresh_id: refresh.map(|refresh| refresh.token_id.clone()),
        refresh_claims: refresh_payload,
        key_id,
        issued_at_ms: now_ms,
        expires_at_ms,
        reusable: 1,
        revoked_with_client: 0,
    };
    let issued = Issued {
        access_token,
        token_id: row.token_id.clone(),
        refresh_token,
        refresh_id: row.refresh_id.clone(),
        scope: scope.clone(),
        user_id: user.as_ref().map(|user| user.id.clone()),
        issued_at_ms: now_ms,
        expires_at_ms,
        repeated: false,
    };
    Ok((row, issued))
}

/// When something made now expires; a validity of 0 or less seconds means never.
fn expiry(validity_s: i64, now_ms: i64) -> Option<i64> {
    (validity_s > 0).then(|| now_ms.saturating_add(validity_s.saturating_mul(1000)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_key_of_the_same_token_is_that_of_the_legacy_tables() {
        let all = ["all".to_owned()];
        assert_eq!(
            authentication_id(Some("ufuck"), "fuck", &all),
            "1853745bfc5d176c17dee8923bd0d7ef"
        );
        let admin = ["ADMIN".to_owned()];
        assert_eq!(
            authentication_id(None, "admin", &admin),
            "1e5e1738bc69793b34703a5d703bc546"
        );
    }

    #[test]
    fn the_order_of_scopes_does_not_make_another_key() {
        let (ab, ba) = (["a".to_owned(), "b".to_owned()], ["b".to_owned(), "a".to_owned()]);
        assert_eq!(
            authentication_id(Some("u"), "c", &ab),
            authentication_id(Some("u"), "c", &ba)
        );
    }

    #[test]
    fn a_validity_of_zero_means_never() {
        assert_eq!(expiry(0, 5), None);
        assert_eq!(expiry(-1, 5), None);
        assert_eq!(expiry(2, 5), Some(2005));
        assert!(lives(None, 5));
        assert!(lives(Some(6), 5));
        assert!(!lives(Some(5), 5));
    }
}
