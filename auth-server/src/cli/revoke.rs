//! `postern-auth revoke`: takes back what somebody was given, without asking them.

use anyhow::{Context as _, bail};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use clap::Args;

use crate::clock;
use crate::db::{Database, Holder, Write, access_token, client, imported_token, refresh_token, user_ids};
use crate::imported::md5_of;
use crate::issue::token_hash;
use crate::revoke;

/// Whose tokens, or which one.
#[derive(Args)]
#[group(required = true, multiple = false)]
pub struct Revoke {
    /// Everything of a user, by the name they log in with: access and refresh tokens, codes, and logins at the pages. They
    /// can log in again, unless the login service has them disabled.
    #[arg(long, value_name = "NAME")]
    user: Option<String>,
    /// Everything that a client was given, of its users too. The client stays registered.
    #[arg(long, value_name = "ID")]
    client: Option<String>,
    /// One token by its id (`jti`), and what was given together with it; `-` reads an id or the token itself from the first
    /// line of standard input. A token does not belong on a command line, where other users of the machine can see it.
    #[arg(long, value_name = "ID", allow_hyphen_values = true)]
    token: Option<String>,
}

/// Does it, and says what was done.
pub async fn run(arguments: Revoke, database: Database) -> anyhow::Result<()> {
    // Before others have to wait for this.
    let shown = match arguments.token.as_deref() {
        Some("-") => Some(super::first_line_of_stdin().context("--token -")?),
        _ => None,
    };
    let mut write = database.write().await?;
    let now_ms = clock::now_ms();
    let done = match (&arguments.user, &arguments.client, &arguments.token) {
        (Some(name), ..) => user(&mut write, name, now_ms).await?,
        (_, Some(id), _) => client(&mut write, id, now_ms).await?,
        (_, _, Some(id)) => {
            let found = match &shown {
                Some(shown) => Found::by_value(&mut write, shown).await?,
                None => Found::by_id(&mut write, id).await?,
            };
            token(&mut write, found, now_ms).await?
        }
        // clap sees to it that one of them is there.
        (None, None, None) => bail!("name --user, --client or --token"),
    };
    write.commit().await?;
    println!("{done}");
    Ok(())
}

async fn user(write: &mut Write, name: &str, now_ms: i64) -> anyhow::Result<String> {
    if name.is_empty() {
        bail!("--user: the name is empty");
    }
    // Login services may take a name in several spellings; the id is the same.
    let ids = user_ids(write, name).await?;
    let mut living = revoke::everything_of(write, Holder::UserName(name), now_ms).await?;
    for id in &ids {
        living += revoke::everything_of(write, Holder::UserId(id), now_ms).await?;
    }
    Ok(format!(
        "user {name}: {} revoked; refresh tokens, codes and logins ended",
        access_tokens(living)
    ))
}

async fn client(write: &mut Write, id: &str, now_ms: i64) -> anyhow::Result<String> {
    if !client::exists(write, id).await? {
        bail!("there is no client {id}; `client list` shows those there are");
    }
    let living = revoke::everything_of(write, Holder::Client(id), now_ms).await?;
    Ok(format!(
        "client {id}: {} revoked; refresh tokens and codes ended; it stays registered",
        access_tokens(living)
    ))
}

async fn token(write: &mut Write, found: Option<Found>, now_ms: i64) -> anyhow::Result<String> {
    // What was given is not repeated: it may be a token.
    let Some(found) = found else {
        bail!("there is no such token (any more); `--token -` takes the token itself from standard input");
    };
    match &found.refresh_id {
        Some(refresh_id) => revoke::refresh_token(write, refresh_id, now_ms).await?,
        None if found.is_imported => {
            revoke::imported_access_token(write, &found.token_id, found.expires_at_ms, now_ms).await?;
        }
        None => revoke::access_token(write, &found.token_id, found.expires_at_ms, now_ms).await?,
    }
    Ok(format!(
        "token {}: revoked, with what was given together with it",
        found.token_id
    ))
}

fn access_tokens(count: u64) -> String {
    match count {
        1 => "1 access token".into(),
        count => format!("{count} access tokens"),
    }
}

/// A token that is to be taken back.
struct Found {
    token_id: String,
    /// The refresh token that it is, or that it was given with.
    refresh_id: Option<String>,
    /// Of an access token; `None`: never, or not known.
    expires_at_ms: Option<i64>,
    is_imported: bool,
}

impl Found {
    /// What a client shows; an id will do as well.
    async fn by_value(write: &mut Write, value: &str) -> sqlx::Result<Option<Self>> {
        let hash = token_hash(value);
        if let Some(token) = access_token::find(write, &hash).await? {
            return Ok(Some(Self::access(token)));
        }
        if let Some(token) = refresh_token::find_opaque(write, &hash).await? {
            return Ok(Some(Self::refresh(token.token_id)));
        }
        for id in [&md5_of(value), value] {
            if let Some(found) = Self::by_id(write, id).await? {
                return Ok(Some(found));
            }
        }
        match jti(value) {
            // Nobody checks its signature: who may name an id may name it so.
            Some(jti) => Self::by_id(write, &jti).await,
            None => Ok(None),
        }
    }

    async fn by_id(write: &mut Write, id: &str) -> sqlx::Result<Option<Self>> {
        if let Some(token) = access_token::by_id(write, id).await? {
            return Ok(Some(Self::access(token)));
        }
        if let Some(token) = refresh_token::find(write, id).await? {
            return Ok(Some(Self::refresh(token.token_id)));
        }
        let imported = imported_token::by_id(write, id).await?;
        Ok(imported.map(|token| match token.refresh {
            0 => Self {
                token_id: token.token_id,
                refresh_id: (!token.refresh_id.is_empty()).then_some(token.refresh_id),
                expires_at_ms: (token.expires_at_ms != 0).then_some(token.expires_at_ms),
                is_imported: true,
            },
            _ => Self::refresh(token.token_id),
        }))
    }

    fn access(token: access_token::AccessToken) -> Self {
        Self {
            token_id: token.token_id,
            refresh_id: token.refresh_id,
            expires_at_ms: token.expires_at_ms,
            is_imported: false,
        }
    }

    fn refresh(token_id: String) -> Self {
        Self {
            refresh_id: Some(token_id.clone()),
            token_id,
            expires_at_ms: None,
            is_imported: false,
        }
    }
}

/// What a JWT says its id is.
fn jti(value: &str) -> Option<String> {
    let payload = URL_SAFE_NO_PAD.decode(value.split('.').nth(1)?).ok()?;
    let claims: serde_json::Value = serde_json::from_slice(&payload).ok()?;
    Some(claims.get("jti")?.as_str()?.to_owned())
}
