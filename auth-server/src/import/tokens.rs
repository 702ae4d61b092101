//! `oauth_access_token` and `oauth_refresh_token`: tokens that still live, so that nobody has to log in again.
//!
//! The tables know a token by the MD5 of its value, and keep it beside that as Java serialized it. Where that can be
//! read, the token itself says whose it is and when it expires; where not, a JWT will say when it is presented.

use std::collections::{HashMap, HashSet};

use postern_mysql_dump::{ColumnError, Row, Value};

use super::report::Report;
use super::serialized::{self, SerializedToken};
use super::{ACCESS_TOKENS, BATCH, Place, REFRESH_TOKENS, optional, turn};
use crate::db::Database;
use crate::db::change::{self, Kind};
use crate::db::client;
use crate::db::imported_token::{self, ImportedToken};
use crate::imported::{ImportedClaims, md5_of};
use crate::profiles::{Format, Profile};

/// The tokens that can be taken.
#[derive(Default)]
pub struct Tokens {
    access: Vec<(Place, ImportedToken)>,
    refresh: Vec<(Place, ImportedToken)>,
    /// Later encodings of the refresh tokens above, which are found beside access tokens only.
    encodings: Vec<ImportedToken>,
}

impl Tokens {
    /// How many there are, each encoding one.
    pub fn len(&self) -> usize {
        self.access.len() + self.refresh.len() + self.encodings.len()
    }

    /// Stores those whose clients are registered, some at a time. `wrote` is called with how many more are done.
    pub async fn store(
        self,
        database: &Database,
        profile: Profile,
        now_ms: i64,
        report: &mut Report,
        mut wrote: impl FnMut(usize),
    ) -> sqlx::Result<()> {
        let mut batches = 0;
        let encodings = self.encodings.into_iter().map(|token| (None, token)).collect();
        let rows = |tokens: Vec<(Place, ImportedToken)>| -> Vec<_> {
            let tokens = tokens.into_iter().map(|(place, token)| (Some(place), token));
            tokens.collect()
        };
        for (table, are_encodings, mut tokens) in [
            (ACCESS_TOKENS, false, rows(self.access)),
            (REFRESH_TOKENS, false, rows(self.refresh)),
            (REFRESH_TOKENS, true, encodings),
        ] {
            while !tokens.is_empty() {
                let batch: Vec<_> = tokens.drain(..tokens.len().min(BATCH)).collect();
                let rows = batch.len();
                let mut write = turn(database).await?;
                // In each turn, for a client may be removed between two of them.
                let registered = client::ids(&mut write, profile).await?;
                let mut taken = Vec::new();
                for (place, token) in batch {
                    if registered.contains(&token.client_id) {
                        taken.push(token);
                    } else if let Some(place) = place {
                        let subject = format!("client {}", token.client_id);
                        report.refuse(table, &place, &subject, "the client is not registered here");
                    }
                }
                let new = imported_token::insert(&mut write, &taken).await?;
                // The first ones make the servers look for such tokens at all.
                if new > 0 && batches == 0 {
                    change::append(&mut write, Kind::ImportsChanged, profile.name(), now_ms, None).await?;
                }
                write.commit().await?;
                batches += usize::from(new > 0);
                if are_encodings {
                    report.count_encodings(table, new);
                } else {
                    report.count_tokens(table, new, taken.len() as u64);
                }
                wrote(rows);
                database.let_others_write().await;
            }
        }
        if batches > 1 {
            // Once more for the gateways: one may have asked about a token before it was there.
            let mut write = turn(database).await?;
            change::append(&mut write, Kind::ImportsChanged, profile.name(), now_ms, None).await?;
            write.commit().await?;
        }
        Ok(())
    }
}

/// Judges every row.
pub fn read(
    access: &[(Place, Row<'_>)],
    refresh: &[(Place, Row<'_>)],
    profile: Profile,
    now_ms: i64,
    report: &mut Report,
) -> Tokens {
    let judge = Judge { profile, now_ms };
    let mut tokens = Tokens::default();
    let mut given: Vec<(Place, Stored)> = Vec::new();
    for (place, row) in access {
        match Stored::read(row, true) {
            Ok(stored) => given.push((place.clone(), stored)),
            Err(reason) => report.refuse(ACCESS_TOKENS, place, "", reason),
        }
    }

    let owners: HashMap<&str, &Stored> = given
        .iter()
        .filter_map(|(_, stored)| Some((stored.refresh_md5.as_deref()?, stored)))
        .collect();
    let mut ids = HashMap::new();
    for (place, row) in refresh {
        let token = Stored::read(row, false)
            .map_err(Verdict::Refused)
            .and_then(|mut stored| {
                // The table of refresh tokens does not say whose they are; the access token beside it may.
                if let Some(owner) = owners.get(stored.md5.as_str()) {
                    stored.client_id.clone_from(&owner.client_id);
                    stored.user_name.clone_from(&owner.user_name);
                }
                judge.refresh_token(&stored)
            });
        match token {
            Ok(token) => {
                ids.insert(token.token_md5.clone(), token.token_id.clone());
                tokens.refresh.push((place.clone(), token));
            }
            Err(verdict) => verdict.report(REFRESH_TOKENS, place, report),
        }
    }

    let living: HashSet<&str> = ids.values().map(String::as_str).collect();
    for (place, stored) in &given {
        tokens.encodings.extend(
            judge
                .encoding(stored, &living)
                .filter(|token| !ids.contains_key(&token.token_md5)),
        );
        match judge.access_token(stored, &ids) {
            Ok(token) => tokens.access.push((place.clone(), token)),
            Err(verdict) => verdict.report(ACCESS_TOKENS, place, report),
        }
    }
    tokens
}

/// A row, read.
struct Stored {
    md5: String,
    client_id: String,
    user_name: String,
    refresh_md5: Option<String>,
    /// `None`: cannot be read.
    token: Option<SerializedToken>,
}

impl Stored {
    fn read(row: &Row<'_>, access: bool) -> Result<Self, String> {
        let text = |column| optional(row, column).map_err(|error| error.to_string());
        let md5 = text("token_id")?.and_then(md5_digits).ok_or("its token_id is no MD5")?;
        let token = match row.get("token") {
            None => return Err(ColumnError::Missing("token").to_string()),
            Some(Value::Bytes(bytes)) => serialized::read(bytes).ok(),
            Some(Value::Null | Value::Computed) => None,
        };
        if token.as_ref().is_some_and(|token| md5_of(&token.value) != md5) {
            return Err("its token_id is not the MD5 of the token beside it".into());
        }
        let mut stored = Self {
            md5,
            client_id: String::new(),
            user_name: String::new(),
            refresh_md5: None,
            token,
        };
        if access {
            stored.client_id = text("client_id")?.ok_or("it has no client_id")?.to_owned();
            stored.user_name = text("user_name")?.unwrap_or_default().to_owned();
            stored.refresh_md5 = text("refresh_token")?.and_then(md5_digits);
        }
        Ok(stored)
    }
}

/// Why a token is not taken.
enum Verdict {
    Expired,
    Refused(String),
}

impl Verdict {
    fn report(self, table: &'static str, place: &Place, report: &mut Report) {
        match self {
            Self::Expired => report.expire(table),
            Self::Refused(reason) => report.refuse(table, place, "", reason),
        }
    }
}

fn refused<T>(reason: impl Into<String>) -> Result<T, Verdict> {
    Err(Verdict::Refused(reason.into()))
}

const NEVER_EXPIRES: &str = "it never expires; whoever has it must ask for a new one";
const NO_USER: &str = "it does not say both the user's id (`userId`) and name (`user_name`)";

/// What is honoured, and as of when.
struct Judge {
    profile: Profile,
    now_ms: i64,
}

impl Judge {
    /// `ids`: the refresh tokens that are taken, by their MD5.
    fn access_token(&self, stored: &Stored, ids: &HashMap<String, String>) -> Result<ImportedToken, Verdict> {
        let mut token = match self.profile.format() {
            Format::Jwt => self.jwt(stored, false)?,
            Format::Opaque => self.opaque(stored)?,
        };
        // Also of a refresh token that is not taken: so much is known of who belongs together.
        let refresh = stored.refresh_md5.as_ref();
        token.refresh_id = match refresh {
            None => String::new(),
            Some(md5) => match (ids.get(md5), self.refresh_claims(stored)) {
                (Some(id), _) => id.clone(),
                (None, Some(claims)) => claims.jti.unwrap_or_else(|| md5.clone()),
                (None, None) => md5.clone(),
            },
        };
        Ok(token)
    }

    fn refresh_token(&self, stored: &Stored) -> Result<ImportedToken, Verdict> {
        if self.profile != Profile::Spring {
            return refused(format!("profile {} has no refresh tokens", self.profile.name()));
        }
        let token = self.jwt(stored, true)?;
        if token.client_id.is_empty() {
            return refused("nothing says which client it was given to");
        }
        Ok(token)
    }

    /// The refresh token that was last given with an access token, if it is another encoding of one that is taken: a
    /// refresh hands out the same refresh token in a new encoding, which the original did not store.
    fn encoding(&self, stored: &Stored, living: &HashSet<&str>) -> Option<ImportedToken> {
        let claims = self
            .refresh_claims(stored)
            .filter(|_| self.profile == Profile::Spring)?;
        let token_id = claims.jti.filter(|jti| living.contains(jti.as_str()))?;
        Some(ImportedToken {
            token_md5: stored.refresh_md5.clone()?,
            token_id,
            refresh: 1,
            profile: self.profile.name().to_owned(),
            client_id: stored.client_id.clone(),
            user_name: stored.user_name.clone(),
            refresh_id: String::new(),
            scope: String::new(),
            expires_at_ms: claims.exp?.saturating_mul(1000),
        })
    }

    /// What the refresh token says that was given with an access token.
    fn refresh_claims(&self, stored: &Stored) -> Option<ImportedClaims> {
        let value = stored.token.as_ref()?.refresh_value.as_ref()?;
        let known = stored.refresh_md5.as_ref() == Some(&md5_of(value));
        ImportedClaims::read(self.profile, value).filter(|_| known)
    }

    fn jwt(&self, stored: &Stored, refresh: bool) -> Result<ImportedToken, Verdict> {
        let mut token = ImportedToken {
            token_md5: stored.md5.clone(),
            token_id: stored.md5.clone(),
            refresh: refresh.into(),
            profile: self.profile.name().to_owned(),
            client_id: stored.client_id.clone(),
            user_name: stored.user_name.clone(),
            refresh_id: String::new(),
            scope: String::new(),
            expires_at_ms: 0,
        };
        let Some(serialized) = &stored.token else {
            // Known by its MD5; the rest it says itself.
            return Ok(token);
        };
        let Some(claims) = ImportedClaims::read(self.profile, &serialized.value) else {
            return match serialized.value.split('.').count() {
                3 => refused(NO_USER),
                _ => refused(format!(
                    "it is no JWT, and profile {} has no others",
                    self.profile.name()
                )),
            };
        };
        let Some(exp) = claims.exp else {
            return refused(NEVER_EXPIRES);
        };
        token.expires_at_ms = exp.saturating_mul(1000);
        if token.expires_at_ms <= self.now_ms {
            return Err(Verdict::Expired);
        }
        let user_name = claims.user.map(|user| user.name).unwrap_or_default();
        if self.profile == Profile::Spring {
            if stored.client_id.is_empty() {
                token.user_name.clone_from(&user_name);
            } else if token.user_name != user_name {
                return refused(NO_USER);
            }
        }
        match claims.client_id {
            Some(id) if token.client_id.is_empty() => token.client_id = id,
            Some(id) if token.client_id != id => {
                return refused("the token was given to another client than its row says");
            }
            _ => {}
        }
        token.token_id = claims.jti.unwrap_or(token.token_id);
        Ok(token)
    }

    /// A client's own token of profile `uaa`.
    fn opaque(&self, stored: &Stored) -> Result<ImportedToken, Verdict> {
        let Some(serialized) = &stored.token else {
            return refused("when it expires cannot be read, nor its scope");
        };
        if ImportedClaims::read(Profile::Spring, &serialized.value).is_some() {
            return refused(format!("it is a JWT, and profile {} has none", self.profile.name()));
        }
        if !stored.user_name.is_empty() {
            return refused(format!(
                "it is a user's, and profile {} has only clients",
                self.profile.name()
            ));
        }
        let Some(expires_at_ms) = serialized.expires_at_ms else {
            return refused(NEVER_EXPIRES);
        };
        if expires_at_ms <= self.now_ms {
            return Err(Verdict::Expired);
        }
        Ok(ImportedToken {
            token_md5: stored.md5.clone(),
            token_id: stored.md5.clone(),
            refresh: 0,
            profile: self.profile.name().to_owned(),
            client_id: stored.client_id.clone(),
            user_name: String::new(),
            refresh_id: String::new(),
            scope: serialized.scope.join(" "),
            expires_at_ms,
        })
    }
}

/// 32 hexadecimal digits, in lower case.
fn md5_digits(text: &str) -> Option<String> {
    let digits = text.len() == 32 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    digits.then(|| text.to_ascii_lowercase())
}
