//! Single sign-on: a browser that logged in at our pages once is not asked again. It holds a cookie; we hold the SHA-256
//! of it.
//!
//! Cookies are `HttpOnly` (no script needs them) and `SameSite=Lax` (no other site's form or frame carries them along). They are
//! `Secure` as the mount says; if it does not, when the request came by https as `X-Forwarded-Proto` has it: who lies
//! there only changes their own cookie. A host between that does not trust the proxy in front overwrites that header.

use http::{HeaderMap, HeaderValue, header};

use crate::app::App;
use crate::clock;
use crate::config::Mount;
use crate::db::login_session::{self, LoginSession};
use crate::entropy;
use crate::error::Refusal;
use crate::issue::{User, lives, token_hash};
use crate::profiles::{Profile, tkey};

/// The name of the cookie.
const SESSION: &str = "tgc";

/// Who is logged in; `None`: nobody, or somebody who was disabled or removed since.
pub async fn user(app: &App, profile: Profile, headers: &HeaderMap) -> Result<Option<User>, Refusal> {
    let Some(value) = cookie(headers, SESSION) else {
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
    if let Some(earlier) = cookie(headers, SESSION) {
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
    Ok(set_cookie(is_secure(mount, headers), SESSION, &value, Some(lifetime_s)))
}

/// Ends the login of this browser, if there is one.
pub async fn end(app: &App, headers: &HeaderMap) -> sqlx::Result<()> {
    let Some(value) = cookie(headers, SESSION) else {
        return Ok(());
    };
    let mut write = app.database.write_for("", "").await?;
    login_session::delete(&mut write, &token_hash(value)).await?;
    write.commit().await
}

/// What removes the cookie from the browser.
pub fn removed_cookie(mount: &Mount, headers: &HeaderMap) -> HeaderValue {
    set_cookie(is_secure(mount, headers), SESSION, "", Some(0))
}

/// The value of a cookie of the request.
pub fn cookie<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers
        .get_all(header::COOKIE)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|text| text.split(';'))
        .filter_map(|pair| pair.trim().split_once('='))
        .find_map(|(key, value)| (key == name && !value.is_empty()).then_some(value))
}

/// A `Set-Cookie`; without `max_age_s` until the browser is closed.
pub fn set_cookie(is_secure: bool, name: &str, value: &str, max_age_s: Option<i64>) -> HeaderValue {
    let max_age = max_age_s
        .map(|seconds| format!("; Max-Age={seconds}"))
        .unwrap_or_default();
    let secure = if is_secure { "; Secure" } else { "" };
    let text = format!("{name}={value}; Path=/{max_age}; HttpOnly; SameSite=Lax{secure}");
    let mut value = HeaderValue::from_str(&text).unwrap_or_else(|_| HeaderValue::from_static(""));
    value.set_sensitive(true);
    value
}

/// Whether a browser may send the cookies of a mount by https only.
pub fn is_secure(mount: &Mount, headers: &HeaderMap) -> bool {
    mount.secure_cookies.unwrap_or_else(|| came_by_https(headers))
}

fn came_by_https(headers: &HeaderMap) -> bool {
    let forwarded = headers.get("x-forwarded-proto").and_then(|value| value.to_str().ok());
    forwarded
        .and_then(|text| text.split(',').next())
        .is_some_and(|proto| proto.trim().eq_ignore_ascii_case("https"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(name: &'static str, value: &'static str) -> HeaderMap {
        HeaderMap::from_iter([(name.parse().unwrap(), HeaderValue::from_static(value))])
    }

    #[test]
    fn a_cookie_is_found_among_others() {
        let headers = headers("cookie", "a=1; tgc=TGC-x; tgcx=2; empty=");
        assert_eq!(cookie(&headers, "tgc"), Some("TGC-x"));
        assert_eq!(cookie(&headers, "empty"), None);
        assert_eq!(cookie(&headers, "t"), None);
    }

    #[test]
    fn cookies_are_secure_when_the_request_came_by_https() {
        let plain = set_cookie(came_by_https(&HeaderMap::new()), "tgc", "v", Some(5));
        assert_eq!(
            plain.to_str().unwrap(),
            "tgc=v; Path=/; Max-Age=5; HttpOnly; SameSite=Lax"
        );
        let https = headers("x-forwarded-proto", "https, http");
        let secure = set_cookie(came_by_https(&https), "tgc", "v", None);
        assert_eq!(
            secure.to_str().unwrap(),
            "tgc=v; Path=/; HttpOnly; SameSite=Lax; Secure"
        );
    }
}
