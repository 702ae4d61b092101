//! Single sign-on: a browser that logged in at our pages once is not asked again. It holds a cookie; we hold the SHA-256
//! of it.

use http::{HeaderMap, HeaderValue};

use crate::app::App;
use crate::config::Mount;
use crate::db::login_session::{self, LoginSession};
use crate::entropy;
use crate::error::Refusal;
use crate::issue::{User, lives, token_hash};
use crate::profiles::{Profile, tkey};
use crate::{clock, cookie};

/// The name of the cookie.
const SESSION: &str = "tgc";

/// Who is logged in; `None`: nobody, or somebody who was disabled or removed since.
pub async fn user(app: &App, profile: Profile, headers: &HeaderMap) -> Result<Option<User>, Refusal> {
    let Some(value) = cookie::find(headers, SESSION) else {
        return Ok(None);
    };
    let found = login_session::find(&mut *app.database.read().await?, &token_hash(value)).await?;
    let is_good =
        |found: &LoginSession| found.profile == profile.name() && lives(Some(found.expires_at_ms), clock::now_ms());
    let Some(found) = found.filter(is_good) else {
        return Ok(None);
    };
    let authorities = app.login.authorities(&found.user_id).await?;
    Ok(authorities.map(|_| User {
        id: found.user_id,
        name: found.user_name,
    }))
}

/// Logs a user in for so many seconds; returns the cookie. The login that the browser had before ends.
pub async fn begin(
    app: &App,
    mount: &Mount,
    headers: &HeaderMap,
    user: &User,
    lifetime_s: i64,
) -> sqlx::Result<HeaderValue> {
    let value = tkey::token_value("TGC", &entropy::bytes());
    let mut write = app.database.write_for("", &user.name).await?;
    if let Some(earlier) = cookie::find(headers, SESSION) {
        login_session::delete(&mut write, &token_hash(earlier)).await?;
    }
    let session = LoginSession {
        session_hash: token_hash(&value),
        profile: mount.profile.name().to_owned(),
        user_id: user.id.clone(),
        user_name: user.name.clone(),
        expires_at_ms: clock::now_ms() + lifetime_s * 1000,
    };
    login_session::insert(&mut write, &session).await?;
    write.commit().await?;
    Ok(cookie::set(
        cookie::is_secure(mount, headers),
        SESSION,
        &value,
        Some(lifetime_s),
    ))
}

/// Ends the login of this browser, if there is one.
pub async fn end(app: &App, headers: &HeaderMap) -> sqlx::Result<()> {
    let Some(value) = cookie::find(headers, SESSION) else {
        return Ok(());
    };
    let mut write = app.database.write_for("", "").await?;
    login_session::delete(&mut write, &token_hash(value)).await?;
    write.commit().await
}

/// What removes the cookie from the browser.
pub fn removed_cookie(mount: &Mount, headers: &HeaderMap) -> HeaderValue {
    cookie::set(cookie::is_secure(mount, headers), SESSION, "", Some(0))
}
