//! The living tokens that were asked for lately, in memory. What is told from here is as true as what the database says:
//! whoever looks here has seen to it before that memory is current ([`crate::current`]), and a row of a living token
//! changes in no other way than by a revocation, which is a change.
//!
//! Two generations bound the memory: when the young one is full it becomes the old one, and what is asked for again moves
//! over.

use std::collections::HashMap;
use std::mem;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Deserialize;
use sqlx::AnyConnection;
use subtle::ConstantTimeEq as _;

use crate::app::App;
use crate::clock;
use crate::db::access_token::{self, AccessToken};
use crate::db::change::Kind;
use crate::error::Refusal;
use crate::issue::{lives, token_hash};

/// How many bytes the tokens of a generation may take.
const BUDGET: usize = 16 << 20;

/// The tokens that are known.
#[derive(Default)]
pub struct KnownTokens(Mutex<Known>);

#[derive(Default)]
struct Known {
    /// The number of the newest change that is taken into account.
    number: i64,
    young: Generation,
    old: Generation,
}

/// A token is known by its id; what else leads to it may outlive it here.
#[derive(Default)]
struct Generation {
    tokens: HashMap<String, Arc<AccessToken>>,
    by_hash: HashMap<Vec<u8>, String>,
    by_authentication: HashMap<String, String>,
    bytes: usize,
}

/// The token with this value, of any profile, whether it has expired or not, as the database knows it now.
pub async fn find(app: &App, value: &str) -> Result<Option<Arc<AccessToken>>, Refusal> {
    let seen = app.current.reach().await?;
    if let Some(token) = app.known_tokens.by_hash(&token_hash(value), clock::now_ms()) {
        return Ok(Some(token));
    }
    let found = stored(app, &mut *app.database.read().await?, value)
        .await?
        .map(Arc::new);
    if let Some(token) = &found {
        app.known_tokens.keep(seen, token);
    }
    Ok(found)
}

/// The same, from the database alone.
pub async fn stored(app: &App, connection: &mut AnyConnection, value: &str) -> Result<Option<AccessToken>, Refusal> {
    let hash = token_hash(value);
    let Some(token_id) = jwt_id(value) else {
        return Ok(access_token::find(connection, &hash).await?);
    };
    let Some(found) = access_token::by_id(connection, &token_id).await? else {
        return Ok(None);
    };
    app.signing.know(connection, &found.key_id).await?;
    let is_it = match found.value(&app.signing) {
        Some(ours) => bool::from(ours.as_bytes().ct_eq(value.as_bytes())),
        // The key is forgotten once nothing that it signed lives any more.
        None => !lives(found.expires_at_ms, clock::now_ms()),
    };
    Ok(is_it.then_some(AccessToken {
        token_hash: Some(hash),
        ..found
    }))
}

/// What a JWT says its id is; nobody has checked that yet.
pub fn jwt_id(value: &str) -> Option<String> {
    #[derive(Deserialize)]
    struct Said {
        jti: String,
    }
    let mut parts = value.split('.');
    let (Some(_), Some(payload), Some(_), None) = (parts.next(), parts.next(), parts.next(), parts.next()) else {
        return None;
    };
    let payload = URL_SAFE_NO_PAD.decode(payload).ok()?;
    serde_json::from_slice(&payload).ok().map(|Said { jti }| jti)
}

impl KnownTokens {
    /// The living token with this SHA-256, if it is known.
    pub fn by_hash(&self, token_hash: &[u8], now_ms: i64) -> Option<Arc<AccessToken>> {
        self.lock()
            .find(now_ms, |generation| generation.by_hash.get(token_hash))
    }

    /// The living token that is given again for an authentication, if it is known: of a client's own tokens without a
    /// refresh token only.
    pub fn by_authentication(&self, authentication_id: &str, now_ms: i64) -> Option<Arc<AccessToken>> {
        self.lock()
            .find(now_ms, |generation| generation.by_authentication.get(authentication_id))
    }

    /// Remembers a token that was read or written after the change of a number had been seen, unless there were others
    /// since: one of them may be its revocation.
    pub fn keep(&self, seen: i64, token: &Arc<AccessToken>) {
        let mut known = self.lock();
        if known.number == seen && token.revoked_with_client == 0 {
            known.keep(Arc::clone(token));
        }
    }

    /// Takes changes into account, up to a number. `None`: too many to tell.
    pub fn apply(&self, number: i64, changes: Option<&[(Kind, String)]>) {
        let mut known = self.lock();
        for (kind, subject) in changes.unwrap_or_default() {
            match kind {
                Kind::TokenRevoked => {
                    known.young.tokens.remove(subject);
                    known.old.tokens.remove(subject);
                }
                Kind::ClientAdded => {}
                Kind::ClientRevoked | Kind::ClientReplaced | Kind::KeysChanged | Kind::ImportsChanged => known.clear(),
            }
        }
        if changes.is_none() {
            known.clear();
        }
        known.number = number;
    }

    fn lock(&self) -> MutexGuard<'_, Known> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Known {
    fn find(&mut self, now_ms: i64, id: impl Fn(&Generation) -> Option<&String>) -> Option<Arc<AccessToken>> {
        let found = |generation: &Generation| generation.tokens.get(id(generation)?).cloned();
        let token = match found(&self.young) {
            Some(token) => token,
            None => {
                let token = found(&self.old)?;
                self.keep(Arc::clone(&token));
                token
            }
        };
        lives(token.expires_at_ms, now_ms).then_some(token)
    }

    fn keep(&mut self, token: Arc<AccessToken>) {
        // The rest of a row is short: ids, names, and the places that lead to it.
        let bytes =
            1024 + token.claims.len() + token.scope.len() + token.refresh_claims.as_ref().map_or(0, String::len);
        if self.young.bytes + bytes > BUDGET {
            self.old = mem::take(&mut self.young);
        }
        let Generation {
            tokens,
            by_hash,
            by_authentication,
            bytes: taken,
        } = &mut self.young;
        *taken += bytes;
        if let Some(hash) = &token.token_hash {
            by_hash.insert(hash.clone(), token.token_id.clone());
        }
        if token.reusable != 0 && token.user_name.is_empty() && token.refresh_id.is_none() {
            by_authentication.insert(token.authentication_id.clone(), token.token_id.clone());
        }
        tokens.insert(token.token_id.clone(), token);
    }

    fn clear(&mut self) {
        self.young = Generation::default();
        self.old = Generation::default();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn token(number: usize) -> Arc<AccessToken> {
        let text = || "x".to_owned();
        Arc::new(AccessToken {
            token_id: format!("id{number}"),
            token_hash: Some(vec![number as u8]),
            authentication_id: format!("a{number}"),
            profile: text(),
            client_id: text(),
            user_id: String::new(),
            user_name: String::new(),
            scope: text(),
            grant_type: text(),
            claims: text(),
            refresh_id: None,
            refresh_claims: None,
            key_id: text(),
            issued_at_ms: 0,
            expires_at_ms: Some(1000),
            reusable: 1,
            revoked_with_client: 0,
        })
    }

    fn known(tokens: &KnownTokens, number: usize) -> bool {
        let by_hash = tokens.by_hash(&[number as u8], 0).is_some();
        assert_eq!(by_hash, tokens.by_authentication(&format!("a{number}"), 0).is_some());
        by_hash
    }

    #[test]
    fn a_revoked_token_is_not_known() {
        let tokens = KnownTokens::default();
        tokens.keep(0, &token(1));
        tokens.keep(0, &token(2));
        tokens.apply(7, Some(&[(Kind::TokenRevoked, "id1".into())]));
        assert!(!known(&tokens, 1));
        assert!(known(&tokens, 2));
        tokens.apply(8, Some(&[(Kind::ClientRevoked, "x".into())]));
        assert!(!known(&tokens, 2));
    }

    #[test]
    fn what_was_read_before_a_change_is_not_kept_after_it() {
        let tokens = KnownTokens::default();
        tokens.apply(7, Some(&[(Kind::TokenRevoked, "id1".into())]));
        tokens.keep(6, &token(1));
        assert!(!known(&tokens, 1));
        tokens.keep(7, &token(2));
        assert!(known(&tokens, 2));
        tokens.apply(9, None);
        assert!(!known(&tokens, 2));
    }

    #[test]
    fn an_expired_token_is_not_told_from_memory() {
        let tokens = KnownTokens::default();
        tokens.keep(0, &token(1));
        assert!(tokens.by_hash(&[1], 999).is_some());
        assert!(tokens.by_hash(&[1], 1000).is_none());
    }

    #[test]
    fn of_many_tokens_those_that_are_asked_for_stay() {
        let tokens = KnownTokens::default();
        tokens.keep(0, &token(1));
        let long = |number| {
            Arc::new(AccessToken {
                claims: "x".repeat(BUDGET / 8),
                ..AccessToken::clone(&token(number))
            })
        };
        for number in 2..100 {
            tokens.keep(0, &long(number));
            assert!(known(&tokens, 1), "{number}");
        }
        assert!(known(&tokens, 99));
        assert!(!known(&tokens, 50));
        tokens.apply(1, Some(&[(Kind::TokenRevoked, "id1".into())]));
        assert!(!known(&tokens, 1), "in neither generation");
    }
}
