//! The only holder of private keys: draws, rotates and uses them. Nothing else in the server sees a secret of a key.
//!
//! Keys of the legacy profiles are HS256 secrets of 256 bits, where the originals drew six characters. A rotation adds a
//! key that begins to sign a moment later, when the gateways know it; the keys before it go on verifying until no living
//! token needs them.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::{Hmac, KeyInit as _, Mac as _};
use p256::ecdsa::signature::Signer as _;
use serde_json::json;
use sha2::Sha256;
use sqlx::AnyConnection;
use tokio::sync::Mutex;

use crate::db::change::{self, Kind};
use crate::db::signing_key::{self, SigningKey};
use crate::db::{Database, Write};
use crate::entropy;
use crate::profiles::Profile;

/// How long before its first signature a key is handed out to the gateways.
const LEAD_MS: i64 = 1000;

/// How many keys a profile has at most. Its tokens do not say which one signed them, so a gateway tries them in turn; it
/// gives up after 64, and a user whose token needs the next one would be locked out.
const MOST_KEYS: i64 = 32;

/// The header of every legacy token: no `kid`, no spaces.
const HEADER: &str = r#"{"alg":"HS256","typ":"JWT"}"#;

/// Under what name the keys are kept that sign answers of the introspection (RFC 9701): ES256, as services verify them that
/// must not be able to sign. Beside the profiles' names.
pub const INTROSPECTION: &str = "introspection";

/// The keys of all profiles, in memory.
#[derive(Default)]
pub struct Signing {
    keys: RwLock<Arc<HashMap<String, SigningKey>>>,
    /// What was read earlier never replaces what was read later.
    reading: Mutex<()>,
}

impl Signing {
    /// Takes the keys as they stand in the database.
    pub async fn load(&self, connection: &mut AnyConnection) -> sqlx::Result<()> {
        let _turn = self.reading.lock().await;
        let keys = signing_key::all(connection)
            .await?
            .into_iter()
            .map(|key| (key.key_id.clone(), key))
            .collect();
        *self.keys.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(keys);
        Ok(())
    }

    /// The id of the key that signs new tokens now, as the database says: another process may just have rotated.
    pub async fn active(&self, write: &mut Write, profile: Profile, now_ms: i64) -> sqlx::Result<String> {
        let active = signing_key::active(write, profile.name(), now_ms)
            .await?
            .ok_or(sqlx::Error::RowNotFound)?;
        self.know(write, &active).await?;
        Ok(active)
    }

    /// The same, as memory has it.
    pub fn active_in_memory(&self, profile: Profile, now_ms: i64) -> Option<String> {
        let keys = self.keys();
        let of_profile = keys.values().filter(|key| key.profile == profile.name());
        let active = of_profile
            .filter(|key| key.active_from_ms <= now_ms)
            .max_by_key(|key| key.active_from_ms);
        active.map(|key| key.key_id.clone())
    }

    /// Sees to it that a key is in memory, if it is in the database: another process may have drawn it a moment ago.
    pub async fn know(&self, connection: &mut AnyConnection, key_id: &str) -> sqlx::Result<()> {
        if self.keys().contains_key(key_id) {
            Ok(())
        } else {
            self.load(connection).await
        }
    }

    /// The compact JWS of a payload. The same payload and key give the same token, byte for byte.
    /// `None`: the key is gone, because nothing signed with it lives any more.
    pub fn sign(&self, key_id: &str, payload: &str) -> Option<String> {
        let keys = self.keys();
        let key = keys.get(key_id)?;
        let mut token = format!("{}.{}", URL_SAFE_NO_PAD.encode(HEADER), URL_SAFE_NO_PAD.encode(payload));
        let signature = hmac(&key.secret, token.as_bytes()).finalize().into_bytes();
        token.push('.');
        URL_SAFE_NO_PAD.encode_string(signature, &mut token);
        Some(token)
    }

    /// 32 bytes that only the holder of a key can tell from a token's id: what the value of an opaque token is made of.
    /// The same id and key give the same bytes; `purpose` keeps values of different kinds apart. `None`: as for `sign`.
    pub fn derive(&self, key_id: &str, purpose: &str, token_id: &str) -> Option<[u8; 32]> {
        let keys = self.keys();
        let key = keys.get(key_id)?;
        // No JWS has a NUL in what is signed: the two uses of a key cannot meet.
        let mac = hmac(&key.secret, format!("{purpose}\0{token_id}").as_bytes());
        Some(mac.finalize().into_bytes().into())
    }

    /// The payload of a token that one of the profile's keys signed, whatever its claims say of its time.
    pub fn verify(&self, profile: Profile, token: &str) -> Option<Vec<u8>> {
        let (signed, signature) = token.rsplit_once('.')?;
        let (header, payload) = signed.split_once('.')?;
        // The header of our tokens is one constant: anything else, another algorithm above all, is not ours.
        if URL_SAFE_NO_PAD.decode(header).ok()? != HEADER.as_bytes() {
            return None;
        }
        let signature = URL_SAFE_NO_PAD.decode(signature).ok()?;
        self.keys()
            .values()
            .filter(|key| key.profile == profile.name())
            .any(|key| hmac(&key.secret, signed.as_bytes()).verify_slice(&signature).is_ok())
            .then(|| URL_SAFE_NO_PAD.decode(payload).ok())
            .flatten()
    }

    /// The keys a gateway verifies the profile's tokens with, as a JWK Set (RFC 7517), the newest first. These are the
    /// secrets themselves: for the feed's authenticated readers only.
    pub fn verifying_keys(&self, profile: Profile) -> serde_json::Value {
        let keys = self.keys();
        let mut keys: Vec<&SigningKey> = keys.values().filter(|key| key.profile == profile.name()).collect();
        keys.sort_by_key(|key| std::cmp::Reverse((key.active_from_ms, &key.key_id)));
        let keys: Vec<_> = keys
            .into_iter()
            .map(|key| json!({ "kty": "oct", "alg": "HS256", "use": "sig", "k": URL_SAFE_NO_PAD.encode(&key.secret) }))
            .collect();
        json!({ "keys": keys })
    }

    /// A signed answer of the introspection (RFC 9701 section 5). `None`: there is no key.
    pub fn sign_answer(&self, payload: &serde_json::Value, now_ms: i64) -> Option<String> {
        let keys = self.keys();
        let active = keys
            .values()
            .filter(|key| key.profile == INTROSPECTION && key.active_from_ms <= now_ms)
            .max_by_key(|key| (key.active_from_ms, &key.key_id))?;
        let header = json!({ "typ": "token-introspection+jwt", "alg": "ES256", "kid": active.key_id });
        let part = |value: &serde_json::Value| URL_SAFE_NO_PAD.encode(value.to_string());
        let mut token = format!("{}.{}", part(&header), part(payload));
        let key = p256::ecdsa::SigningKey::from_slice(&active.secret).ok()?;
        let signature: p256::ecdsa::Signature = key.sign(token.as_bytes());
        token.push('.');
        URL_SAFE_NO_PAD.encode_string(signature.to_bytes(), &mut token);
        Some(token)
    }

    /// The public keys of the server, as a JWK Set for anybody. Secrets of legacy profiles are not among them.
    pub fn public_keys(&self) -> serde_json::Value {
        let keys = self.keys();
        let mut keys: Vec<&SigningKey> = keys.values().filter(|key| key.profile == INTROSPECTION).collect();
        keys.sort_by_key(|key| std::cmp::Reverse((key.active_from_ms, &key.key_id)));
        let public = keys.into_iter().filter_map(|key| {
            let private = p256::ecdsa::SigningKey::from_slice(&key.secret).ok()?;
            let point = private.verifying_key().to_encoded_point(false);
            let coordinate = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
            Some(json!({
                "kty": "EC", "crv": "P-256", "use": "sig", "alg": "ES256", "kid": key.key_id,
                "x": coordinate(point.x()?), "y": coordinate(point.y()?)
            }))
        });
        json!({ "keys": public.collect::<Vec<_>>() })
    }

    fn keys(&self) -> Arc<HashMap<String, SigningKey>> {
        self.keys.read().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// Draws the first key of a profile, if it has none.
pub async fn create_missing(database: &Database, profile: Profile, now_ms: i64) -> sqlx::Result<()> {
    let mut write = database.write().await?;
    if signing_key::active(&mut write, profile.name(), now_ms).await?.is_none() {
        add(&mut write, profile, now_ms, now_ms).await?;
    }
    write.commit().await
}

/// Draws the key that signs answers of the introspection, if there is none.
pub async fn create_missing_for_answers(database: &Database, now_ms: i64) -> sqlx::Result<()> {
    let mut write = database.write().await?;
    if signing_key::active(&mut write, INTROSPECTION, now_ms).await?.is_none() {
        // Nearly every number of 256 bits is a private key; one that is not would sign nothing.
        let mut secret = entropy::bytes::<32>();
        while p256::ecdsa::SigningKey::from_slice(&secret).is_err() {
            secret = entropy::bytes::<32>();
        }
        let key = SigningKey {
            key_id: entropy::hex(&entropy::bytes::<8>()),
            profile: INTROSPECTION.to_owned(),
            secret: secret.to_vec(),
            created_at_ms: now_ms,
            active_from_ms: now_ms,
        };
        signing_key::insert(&mut write, &key).await?;
    }
    write.commit().await
}

/// Why there is no new key.
#[derive(Debug, thiserror::Error)]
pub enum RotateError {
    /// Another one could make the gateways miss the key of a token that is still good.
    #[error(
        "profile {0} has {MOST_KEYS} keys that must go on verifying until the last tokens signed with them have expired, and \
         a gateway tries only so many for each token; wait until the oldest key is gone (`keys list` shows how old it is)"
    )]
    TooMany(&'static str),
    /// The database failed.
    #[error(transparent)]
    Storage(#[from] sqlx::Error),
}

/// Draws a key that will sign from a moment later on. Returns its id.
pub async fn rotate(database: &Database, profile: Profile, now_ms: i64) -> Result<String, RotateError> {
    let mut write = database.write().await?;
    // The server forgets keys once a minute; here it must be known now.
    signing_key::delete_unneeded(&mut write, profile.name(), now_ms).await?;
    if signing_key::count(&mut write, profile.name()).await? >= MOST_KEYS {
        return Err(RotateError::TooMany(profile.name()));
    }
    let first = signing_key::active(&mut write, profile.name(), now_ms).await?.is_none();
    let key_id = add(
        &mut write,
        profile,
        now_ms,
        if first { now_ms } else { now_ms + LEAD_MS },
    )
    .await?;
    write.commit().await?;
    Ok(key_id)
}

async fn add(write: &mut Write, profile: Profile, now_ms: i64, active_from_ms: i64) -> sqlx::Result<String> {
    let key = SigningKey {
        key_id: entropy::hex(&entropy::bytes::<8>()),
        profile: profile.name().to_owned(),
        secret: entropy::bytes::<32>().to_vec(),
        created_at_ms: now_ms,
        active_from_ms,
    };
    signing_key::insert(write, &key).await?;
    change::append(write, Kind::KeysChanged, profile.name(), now_ms, None).await?;
    Ok(key.key_id)
}

#[expect(clippy::expect_used, reason = "HMAC takes a key of any length")]
fn hmac(secret: &[u8], message: &[u8]) -> Hmac<Sha256> {
    let mut mac = Hmac::<Sha256>::new_from_slice(secret).expect("HMAC takes a key of any length");
    mac.update(message);
    mac
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::db::Location;
    use crate::db::refresh_token::{self, RefreshToken};

    fn signing(secrets: &[(&str, u8)]) -> Signing {
        let keys = secrets.iter().map(|&(key_id, byte)| {
            let key = SigningKey {
                key_id: key_id.into(),
                profile: "spring".into(),
                secret: vec![byte; 32],
                created_at_ms: 0,
                active_from_ms: i64::from(byte),
            };
            (key.key_id.clone(), key)
        });
        Signing {
            keys: RwLock::new(Arc::new(keys.collect())),
            ..Signing::default()
        }
    }

    #[tokio::test]
    async fn a_rotation_that_would_lock_users_out_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let database = Database::open(&Location::Sqlite(folder.path().join("auth.db")))
            .await
            .unwrap();
        let first = rotate(&database, Profile::Spring, 0).await.unwrap();
        let mut write = database.write().await.unwrap();
        let refresh = RefreshToken {
            token_id: "refresh".into(),
            token_hash: None,
            profile: "spring".into(),
            client_id: "c".into(),
            user_id: "u".into(),
            user_name: "u".into(),
            authorities: "[]".into(),
            scope: "all".into(),
            grant_type: "password".into(),
            first_key_id: first,
            issued_at_ms: 0,
            expires_at_ms: Some(1_000_000),
        };
        refresh_token::insert(&mut write, &refresh).await.unwrap();
        write.commit().await.unwrap();
        for rotation in 1..MOST_KEYS {
            rotate(&database, Profile::Spring, rotation * 10_000).await.unwrap();
        }
        let refused = rotate(&database, Profile::Spring, 900_000).await.unwrap_err();
        assert!(matches!(refused, RotateError::TooMany("spring")), "{refused}");
        assert!(!refused.to_string().contains('\n'));
        rotate(&database, Profile::Spring, 1_000_001).await.unwrap();
        let left = signing_key::all(&mut database.read().await.unwrap()).await.unwrap();
        assert_eq!(
            left.len(),
            2,
            "the token has expired, and its key with all after it but the last is forgotten"
        );
    }

    #[test]
    fn a_payload_gives_the_same_token_again_and_verifies() {
        let signing = signing(&[("old", 1), ("new", 2)]);
        let token = signing.sign("old", r#"{"jti":"a"}"#).unwrap();
        assert_eq!(Some(&token), signing.sign("old", r#"{"jti":"a"}"#).as_ref());
        assert!(token.starts_with("eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9."));
        assert_eq!(signing.verify(Profile::Spring, &token).unwrap(), br#"{"jti":"a"}"#);
    }

    #[test]
    fn a_changed_token_or_another_algorithm_does_not_verify() {
        let signing = signing(&[("key", 1)]);
        let token = signing.sign("key", r#"{"jti":"a"}"#).unwrap();
        let (signed, signature) = token.rsplit_once('.').unwrap();
        let none = URL_SAFE_NO_PAD.encode(r#"{"alg":"none","typ":"JWT"}"#);
        let payload = signed.split_once('.').unwrap().1;
        for forged in [
            format!("{signed}x.{signature}"),
            format!("{signed}."),
            format!("{none}.{payload}."),
            format!("{none}.{payload}.{signature}"),
            "a.b.c".into(),
            String::new(),
        ] {
            assert_eq!(signing.verify(Profile::Spring, &forged), None, "{forged}");
        }
    }

    #[test]
    fn gateways_get_the_newest_key_first_and_no_key_ids() {
        let keys = signing(&[("old", 1), ("new", 2)]).verifying_keys(Profile::Spring);
        assert_eq!(keys["keys"][0]["k"], URL_SAFE_NO_PAD.encode([2; 32]));
        assert_eq!(keys["keys"][1]["k"], URL_SAFE_NO_PAD.encode([1; 32]));
        assert!(keys["keys"][0].get("kid").is_none());
    }
}
