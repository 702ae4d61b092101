//! Reader authentication: gateways follow the feed and ask about tokens with a pair of `feed.credentials`. Who guesses is
//! slowed down: the feed carries the verifying secrets of the legacy profiles.

use axum::response::{IntoResponse as _, Response};
use http::{HeaderMap, HeaderValue, StatusCode, header};

use crate::app::App;
use crate::clock;
use crate::credentials;

/// Whether a reader of the feed is asking; otherwise the 401 for it. A wrong answer may take some seconds, but nobody is
/// turned away, see [`crate::throttle`].
pub async fn authenticate(app: &App, headers: &HeaderMap) -> Result<(), Response> {
    if credentials::presented(headers, &app.feed_credentials) {
        return Ok(());
    }
    if let Some(shown) = credentials::basic(headers).and_then(Result::ok) {
        let user = shown.split(|&byte| byte == b':').next().unwrap_or_default();
        tokio::time::sleep(app.throttle.wrong(("reader", user), clock::now_ms())).await;
    }
    let challenge = HeaderValue::from_static(r#"Basic realm="postern feed""#);
    Err((StatusCode::UNAUTHORIZED, [(header::WWW_AUTHENTICATE, challenge)]).into_response())
}
