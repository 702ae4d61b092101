//! Secrets in the query of a URL: histories, proxies and logs keep them there (RFC 9700 section 4.3.2). Refused, unless
//! `compat.query_credentials` says that the clients cannot do better. What is no secret (`grant_type`, `scope`,
//! `client_id`, `username`) may always stand there; so may a `code`, which is good for one use and came in a query.

use std::sync::Arc;

use axum::Extension;
use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::Response;
use http::{HeaderValue, header};

use crate::app::App;
use crate::config::Mount;
use crate::error::Refusal;
use crate::servlet::Parameters;

/// The parameters that carry secrets, in any of the contracts.
const SECRETS: [&str; 6] = [
    "password",
    "client_secret",
    "clientSecret",
    "access_token",
    "refresh_token",
    "token",
];

/// A layer over all mounts: refuses such a request, or tells the browser to keep its URL to itself.
pub async fn query_credentials(
    State(app): State<Arc<App>>,
    Extension(mount): Extension<Arc<Mount>>,
    request: Request,
    next: Next,
) -> Response {
    let Some(parameter) = secret_in(request.uri().query().unwrap_or_default()) else {
        return next.run(request).await;
    };
    if !app.compat.query_credentials {
        let refusal = Refusal::SecretInQuery(parameter);
        return mount.profile.refuse(&app, request.uri().path(), refusal);
    }
    let mut response = next.run(request).await;
    let headers = response.headers_mut();
    headers.insert(header::REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

/// The first parameter of a query that carries a secret.
fn secret_in(query: &str) -> Option<&'static str> {
    let parameters = Parameters::read(Some(query), None, b"");
    SECRETS.into_iter().find(|name| parameters.get(name).is_some())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_found_however_they_are_written() {
        assert_eq!(
            secret_in("grant_type=password&scope=a&client_id=c&username=u&code=x"),
            None
        );
        assert_eq!(secret_in("grant_type=password&password="), Some("password"));
        assert_eq!(secret_in("client%5Fsecret=x"), Some("client_secret"));
        assert_eq!(secret_in("a=b&token"), Some("token"));
        assert_eq!(secret_in(""), None);
    }
}
