//! The pages for people: plain HTML from here, one style, no script, no image, nothing from elsewhere.

pub mod failure;
pub mod form_cookie;
pub mod login;
pub mod notice;

use std::sync::LazyLock;

use axum::body::Body;
use axum::response::{IntoResponse as _, Response};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::{HeaderMap, HeaderValue, StatusCode, header};
use maud::{DOCTYPE, Markup, PreEscaped, html};
use sha2::{Digest as _, Sha256};

use crate::form;

const STYLE: &str = include_str!("pages/style.css");

/// The one style that the pages may have, as a Content Security Policy names it.
static STYLE_HASH: LazyLock<String> = LazyLock::new(|| STANDARD.encode(Sha256::digest(STYLE)));

/// The languages of the pages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Language {
    /// Simplified.
    Chinese,
    /// For everybody who prefers it to Chinese.
    English,
}

impl Language {
    /// The one that `Accept-Language` (RFC 9110 section 12.5.4) likes best; Chinese, as in the original, if neither is
    /// there.
    pub fn of(headers: &HeaderMap) -> Self {
        let accepted = headers
            .get(header::ACCEPT_LANGUAGE)
            .and_then(|value| value.to_str().ok());
        let mut best = (Self::Chinese, 0.0);
        for range in accepted.unwrap_or_default().split(',') {
            let (tag, weight) = range.split_once(';').unwrap_or((range, "q=1"));
            let weight = weight.trim().strip_prefix("q=").and_then(|text| text.parse().ok());
            let weight: f32 = weight.unwrap_or(0.0);
            let primary = tag.trim().split('-').next().unwrap_or_default();
            let language = match primary.to_ascii_lowercase().as_str() {
                "zh" => Self::Chinese,
                "en" => Self::English,
                _ => continue,
            };
            if weight > best.1 {
                best = (language, weight);
            }
        }
        best.0
    }

    /// Whichever of the two texts is in this language.
    pub fn text<'a>(self, chinese: &'a str, english: &'a str) -> &'a str {
        match self {
            Self::Chinese => chinese,
            Self::English => english,
        }
    }

    fn tag(self) -> &'static str {
        self.text("zh-CN", "en")
    }
}

/// A page as an answer. Its form, if it has one, may lead to us, and on to `form_target`.
pub fn page(status: StatusCode, markup: Markup, form_target: Option<&str>) -> Response {
    let target = form_target.map(|uri| format!(" {}", origin(uri))).unwrap_or_default();
    let policy = format!(
        "default-src 'none'; style-src 'sha256-{}'; form-action 'self'{target}; frame-ancestors 'none'; base-uri 'none'",
        *STYLE_HASH
    );
    let mut headers = HeaderMap::new();
    headers.insert(
        header::CONTENT_TYPE,
        HeaderValue::from_static("text/html;charset=UTF-8"),
    );
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(header::VARY, HeaderValue::from_static("Accept-Language"));
    let Ok(policy) = HeaderValue::from_str(&policy) else {
        return StatusCode::INTERNAL_SERVER_ERROR.into_response();
    };
    headers.insert(header::CONTENT_SECURITY_POLICY, policy);
    private(&mut headers);
    (status, headers, Body::from(markup.into_string())).into_response()
}

/// A redirect URI with parameters in its query.
pub fn with_query<'a>(uri: &str, parameters: impl IntoIterator<Item = (&'a str, &'a str)>) -> String {
    let mark = if uri.contains('?') { '&' } else { '?' };
    format!("{uri}{mark}{}", form::encode(parameters))
}

/// 302 to an address that may carry a code or a token.
pub fn redirect(location: &str) -> Response {
    let Ok(mut location) = HeaderValue::from_str(location) else {
        return StatusCode::INTERNAL_SERVER_ERROR.into_response();
    };
    location.set_sensitive(true);
    let mut headers = HeaderMap::from_iter([(header::LOCATION, location)]);
    private(&mut headers);
    (StatusCode::FOUND, headers).into_response()
}

/// Nothing of a login stays in a cache or goes to another site.
fn private(headers: &mut HeaderMap) {
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(header::REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
}

/// What every page has around its content.
fn layout(language: Language, title: &str, content: &Markup) -> Markup {
    html! {
        (DOCTYPE)
        html lang=(language.tag()) {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                meta name="robots" content="noindex";
                title { (title) }
                style { (PreEscaped(STYLE)) }
            }
            body { main { (content) } }
        }
    }
}

/// The origin of an address as Content Security Policy writes sources; of an app's own scheme, the scheme. Browsers hold
/// `form-action` against the redirect that answers a form, too.
fn origin(uri: &str) -> &str {
    let Some((scheme, rest)) = uri.split_once(':') else {
        return "";
    };
    match rest.strip_prefix("//") {
        Some(rest) if scheme == "http" || scheme == "https" => {
            let authority = rest.find(['/', '?', '#']).unwrap_or(rest.len());
            &uri[..scheme.len() + 3 + authority]
        }
        _ => &uri[..=scheme.len()],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn language(accepted: &'static str) -> Language {
        Language::of(&HeaderMap::from_iter([(
            header::ACCEPT_LANGUAGE,
            HeaderValue::from_static(accepted),
        )]))
    }

    #[test]
    fn the_language_is_the_one_the_browser_likes_best() {
        assert_eq!(Language::of(&HeaderMap::new()), Language::Chinese);
        assert_eq!(language("en-US,en;q=0.9,zh;q=0.8"), Language::English);
        assert_eq!(language("zh-CN,zh;q=0.9,en;q=0.8"), Language::Chinese);
        assert_eq!(language("de, EN;q=0.5"), Language::English);
        assert_eq!(language("en;q=0.1, zh;q=0.2"), Language::Chinese);
        assert_eq!(language("en;q=0"), Language::Chinese);
        assert_eq!(language("fr, *"), Language::Chinese);
    }

    #[test]
    fn a_form_may_lead_on_to_the_origin_of_its_redirect_uri() {
        assert_eq!(
            origin("https://app.example.com:8443/cb?x=1"),
            "https://app.example.com:8443"
        );
        assert_eq!(origin("http://localhost"), "http://localhost");
        assert_eq!(origin("com.example.app:/cb"), "com.example.app:");
        assert_eq!(origin("myapp://cb"), "myapp:");
    }
}
