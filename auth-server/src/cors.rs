//! Calls of browsers from pages of other origins (the CORS protocol of the Fetch standard, section 3.2). Only configured
//! origins are answered; for everybody else nothing changes. Cookies are never allowed along: the legacy clients send
//! their credentials themselves.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use http::uri::{Authority, Scheme, Uri};
use http::{HeaderMap, HeaderValue, Method, header};
use serde::Deserialize;

use crate::app::App;

/// What the endpoints of a mount are called with.
const METHODS: HeaderValue = HeaderValue::from_static("GET, POST, PUT, DELETE");
/// Seconds a browser may remember the answer to a preflight request.
const MAX_AGE: HeaderValue = HeaderValue::from_static("1800");

/// An origin of the configuration: exact, or with any port.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct Origin {
    /// As a browser writes it; without the port if any will do.
    serialized: String,
    any_port: bool,
}

impl Origin {
    /// Whether a browser's `Origin` is this one.
    pub fn matches(&self, origin: &str) -> bool {
        let Some(rest) = origin.strip_prefix(&self.serialized) else {
            return false;
        };
        let is_port = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        rest.is_empty() || (self.any_port && rest.strip_prefix(':').is_some_and(is_port))
    }

    /// Whether its pages come over a network without encryption.
    pub fn is_plain(&self) -> bool {
        self.serialized.starts_with("http:")
    }

    /// Whether every port of its host will do.
    pub fn any_port(&self) -> bool {
        self.any_port
    }

    /// As it stands in the configuration.
    pub fn text(&self) -> String {
        let port = if self.any_port { ":*" } else { "" };
        format!("{}{port}", self.serialized)
    }
}

impl TryFrom<String> for Origin {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let refuse = |what: &str| {
            Err(format!(
                "`{text}` {what}; write an origin as in https://app.example.com"
            ))
        };
        let (serialized, any_port) = match text.strip_suffix(":*") {
            Some(rest) => (rest, true),
            None => (text.as_str(), false),
        };
        if text == "*" || text == "null" {
            return refuse("stands for pages of strangers");
        }
        if serialized != serialized.to_ascii_lowercase() {
            return refuse("has capital letters, and browsers write small ones");
        }
        let Ok(uri) = serialized.parse::<Uri>() else {
            return refuse("is not an origin");
        };
        let (Some(scheme), Some(authority)) = (uri.scheme(), uri.authority()) else {
            return refuse("has no scheme or no host");
        };
        // Nothing behind the host and port: browsers write no slash there either.
        if serialized != format!("{scheme}://{authority}") || authority.as_str().contains(['@', '*']) {
            return refuse("is more than scheme, host and port, or has a * elsewhere than for the port");
        }
        if !matches!(scheme.as_str(), "http" | "https") {
            return refuse("is neither http nor https");
        }
        if is_default_port(scheme, authority) {
            return refuse("names the default port, which browsers leave out");
        }
        if any_port && authority.port().is_some() {
            return refuse("has two ports");
        }
        Ok(Self {
            serialized: serialized.to_owned(),
            any_port,
        })
    }
}

fn is_default_port(scheme: &Scheme, authority: &Authority) -> bool {
    let default = if *scheme == Scheme::HTTPS { 443 } else { 80 };
    authority.port_u16() == Some(default)
}

/// A layer over all mounts: answers preflight requests of configured origins, and lets their pages read every answer,
/// errors too.
pub async fn cors(State(app): State<Arc<App>>, request: Request, next: Next) -> Response {
    if app.cors_origins.is_empty() {
        return next.run(request).await;
    }
    let origin = request.headers().get(header::ORIGIN);
    let allowed = |origin: &&HeaderValue| {
        let text = origin.to_str().unwrap_or_default();
        app.cors_origins.iter().any(|configured| configured.matches(text))
    };
    let origin = origin.filter(allowed).cloned();
    let preflight = request.method() == Method::OPTIONS
        && request.headers().contains_key(header::ACCESS_CONTROL_REQUEST_METHOD)
        && origin.is_some();
    let mut response = if preflight {
        preflight_answer(request.headers())
    } else {
        next.run(request).await
    };
    let headers = response.headers_mut();
    // Also on the answers to others: a cache must not hand them to a page of a configured origin, or the other way round.
    headers.append(header::VARY, HeaderValue::from_static("Origin"));
    if let Some(origin) = origin {
        headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin);
    }
    response
}

fn preflight_answer(asked: &HeaderMap) -> Response {
    let mut response = ().into_response();
    let headers = response.headers_mut();
    headers.insert(header::ACCESS_CONTROL_ALLOW_METHODS, METHODS);
    if let Some(names) = asked.get(header::ACCESS_CONTROL_REQUEST_HEADERS) {
        headers.insert(header::ACCESS_CONTROL_ALLOW_HEADERS, names.clone());
    }
    headers.insert(header::ACCESS_CONTROL_MAX_AGE, MAX_AGE);
    let vary = "Access-Control-Request-Method, Access-Control-Request-Headers";
    headers.append(header::VARY, HeaderValue::from_static(vary));
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    fn origin(text: &str) -> Result<Origin, String> {
        Origin::try_from(text.to_owned())
    }

    #[test]
    fn an_origin_matches_itself_and_a_star_any_port() {
        let exact = origin("https://app.example.com").unwrap();
        assert!(exact.matches("https://app.example.com"));
        for other in [
            "http://app.example.com",
            "https://app.example.com:8443",
            "https://app.example.com.evil.org",
            "https://app.example.comx",
            "null",
            "",
        ] {
            assert!(!exact.matches(other), "{other}");
        }
        let any = origin("http://localhost:*").unwrap();
        for own in ["http://localhost", "http://localhost:3000", "http://localhost:1"] {
            assert!(any.matches(own), "{own}");
        }
        for other in [
            "https://localhost",
            "http://localhost:",
            "http://localhost:80x",
            "http://localhost.evil.org:3000",
            "http://localhost:1:2",
        ] {
            assert!(!any.matches(other), "{other}");
        }
        assert!(origin("http://[::1]:*").unwrap().matches("http://[::1]:3000"));
    }

    #[test]
    fn what_no_browser_writes_is_refused() {
        for (text, why) in [
            ("*", "strangers"),
            ("null", "strangers"),
            ("app.example.com", "no scheme"),
            ("https://App.example.com", "capital"),
            ("https://app.example.com/", "more than"),
            ("https://app.example.com/path", "more than"),
            ("https://user@app.example.com", "more than"),
            ("https://*.example.com", "elsewhere"),
            ("https://app.example.com:443", "default port"),
            ("http://app.example.com:80", "default port"),
            ("http://app.example.com:80:*", "default port"),
            ("ftp://app.example.com", "neither"),
            ("https://", "not an origin"),
            ("", "not an origin"),
        ] {
            let error = origin(text).unwrap_err();
            assert!(error.contains(why), "{text}: {error}");
        }
    }
}
