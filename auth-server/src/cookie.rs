//! Cookies: read from a request, and written for an answer.
//!
//! All are `HttpOnly` (no script needs them) and `SameSite=Lax` (no other site's form or frame carries them along). They
//! are `Secure` as the mount says; if it does not, when the request came by https as `X-Forwarded-Proto` has it: who lies
//! there only changes their own cookie. A host between that does not trust the proxy in front overwrites that header.

use http::{HeaderMap, HeaderValue, header};

use crate::config::Mount;

/// The value of a cookie of the request.
pub fn find<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers
        .get_all(header::COOKIE)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|text| text.split(';'))
        .filter_map(|pair| pair.trim().split_once('='))
        .find_map(|(key, value)| (key == name && !value.is_empty()).then_some(value))
}

/// A `Set-Cookie`; without `max_age_s` until the browser is closed.
pub fn set(is_secure: bool, name: &str, value: &str, max_age_s: Option<i64>) -> HeaderValue {
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
        assert_eq!(find(&headers, "tgc"), Some("TGC-x"));
        assert_eq!(find(&headers, "empty"), None);
        assert_eq!(find(&headers, "t"), None);
    }

    #[test]
    fn cookies_are_secure_when_the_request_came_by_https() {
        let plain = set(came_by_https(&HeaderMap::new()), "tgc", "v", Some(5));
        assert_eq!(
            plain.to_str().unwrap(),
            "tgc=v; Path=/; Max-Age=5; HttpOnly; SameSite=Lax"
        );
        let https = headers("x-forwarded-proto", "https, http");
        let secure = set(came_by_https(&https), "tgc", "v", None);
        assert_eq!(
            secure.to_str().unwrap(),
            "tgc=v; Path=/; HttpOnly; SameSite=Lax; Secure"
        );
    }
}
