//! The wire contract of Spring Security OAuth 2.x, to the byte: how its requests are read and its answers written.
//!
//! Two kinds of error bodies: those of the OAuth endpoints (`error`, `error_description`), and those of Spring Boot
//! (`timestamp`, `status`, …) for what its filters refuse before an endpoint is reached.

pub mod claims;
mod parameters;

use std::sync::Arc;

use axum::body::{Body, to_bytes};
use axum::extract::FromRequest;
use axum::response::{IntoResponse as _, Response};
use http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use serde::Serialize;

use crate::app::App;
use crate::client_auth::Presented;
use crate::clock;
use crate::config::{Compat, EntryPoint, Mount, SpringOauth};
use crate::credentials;
use crate::error::Refusal;
use crate::issue::Issued;
use crate::login::LoginError;
use crate::profiles::Profile;
pub use parameters::Parameters;

/// Longer bodies are refused, in bytes. The longest honest one carries a refresh token of a few kilobytes.
const LONGEST_BODY: usize = 1 << 20;

const CLIENT_CHALLENGE: &str = r#"Basic realm="oauth2/client""#;
const FULL_AUTHENTICATION: &str = "Full authentication is required to access this resource";

/// A request as a servlet sees it.
pub struct Request {
    /// The contract at this place.
    pub mount: Arc<Mount>,
    /// The method.
    pub method: Method,
    /// The path, without the query.
    pub path: String,
    /// The headers.
    pub headers: HeaderMap,
    /// Query and body, merged.
    pub parameters: Parameters,
}

impl FromRequest<Arc<App>> for Request {
    type Rejection = Response;

    async fn from_request(request: axum::extract::Request, app: &Arc<App>) -> Result<Self, Response> {
        let (parts, body) = request.into_parts();
        let mount = parts.extensions.get::<Arc<Mount>>().cloned();
        let path = parts.uri.path().to_owned();
        let mount = mount.ok_or_else(|| refuse(app, &path, Refusal::NotFound))?;
        let body = to_bytes(body, LONGEST_BODY)
            .await
            .map_err(|_| mount.profile.refuse(app, &path, Refusal::BodyTooLarge))?;
        let content_type = parts
            .headers
            .get(header::CONTENT_TYPE)
            .and_then(|value| value.to_str().ok());
        Ok(Self {
            mount,
            parameters: Parameters::read(parts.uri.query(), content_type, &body),
            method: parts.method,
            headers: parts.headers,
            path,
        })
    }
}

impl Request {
    /// The credentials of the client: HTTP Basic (not URL-decoded), else the parameters.
    pub fn client_credentials(&self) -> Result<Presented, Refusal> {
        if let Some(decoded) = credentials::basic(&self.headers) {
            let decoded =
                decoded.map_err(|_| Refusal::MalformedBasic("Failed to decode basic authentication token"))?;
            let text = String::from_utf8_lossy(&decoded);
            let (client_id, secret) = text
                .split_once(':')
                .ok_or(Refusal::MalformedBasic("Invalid basic authentication token"))?;
            return Ok(Presented::Basic {
                client_id: client_id.to_owned(),
                secret: secret.to_owned(),
            });
        }
        let client_id = self.parameters.get("client_id").ok_or(Refusal::NoClientCredentials)?;
        let secret = self.parameters.get("client_secret").unwrap_or_default();
        Ok(Presented::Form {
            client_id: client_id.trim().to_owned(),
            secret: secret.to_owned(),
        })
    }

    /// The answer when the request is refused, in the words of its profile.
    pub fn refuse(&self, app: &App, refusal: Refusal) -> Response {
        self.mount.profile.refuse(app, &self.path, refusal)
    }

    /// The scopes asked for, sorted, as the original's `TreeSet` has them; blanks and plus signs part them.
    pub fn scope(&self) -> Vec<String> {
        parse_scope(self.parameters.get("scope").unwrap_or_default())
    }
}

/// The token of `Authorization: Bearer …`; the scheme in any case.
pub fn bearer(headers: &HeaderMap) -> Option<&str> {
    let (scheme, token) = headers
        .get(header::AUTHORIZATION)?
        .to_str()
        .ok()?
        .trim()
        .split_once(' ')?;
    let token = token.trim();
    (scheme.eq_ignore_ascii_case("bearer") && !token.is_empty()).then_some(token)
}

/// The answer of the token endpoint. Members in the order of Spring's serializer; of the profiles only `spring` has a
/// `jti` in it.
pub fn token_answer(profile: Profile, issued: &Issued, now_ms: i64) -> Response {
    #[derive(Serialize)]
    struct Answer<'a> {
        access_token: &'a str,
        token_type: &'a str,
        #[serde(skip_serializing_if = "Option::is_none")]
        refresh_token: Option<&'a str>,
        #[serde(skip_serializing_if = "Option::is_none")]
        expires_in: Option<i64>,
        scope: String,
        #[serde(rename = "userId", skip_serializing_if = "Option::is_none")]
        user_id: Option<&'a str>,
        #[serde(skip_serializing_if = "Option::is_none")]
        jti: Option<&'a str>,
    }
    // Truncated, and never measured in the millisecond of issue itself: a fresh token of twelve hours says 43199.
    let now_ms = now_ms.max(issued.issued_at_ms + 1);
    let answer = Answer {
        access_token: &issued.access_token,
        token_type: "bearer",
        refresh_token: issued.refresh_token.as_deref(),
        expires_in: issued.expires_at_ms.map(|expires| (expires - now_ms) / 1000),
        scope: issued.scope.join(" "),
        user_id: issued.user_id.as_deref(),
        jti: (profile == Profile::Spring).then_some(issued.token_id.as_str()),
    };
    json(StatusCode::OK, &answer)
}

/// A JSON answer with the headers that every answer of the profile has.
pub fn json(status: StatusCode, body: &impl Serialize) -> Response {
    let Ok(body) = serde_json::to_vec(body) else {
        return StatusCode::INTERNAL_SERVER_ERROR.into_response();
    };
    let mut response = Response::new(Body::from(body));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(header::PRAGMA, HeaderValue::from_static("no-cache"));
    headers.insert(
        header::CONTENT_TYPE,
        HeaderValue::from_static("application/json;charset=UTF-8"),
    );
    response
}

/// The answer to a request that was refused where no profile is known yet.
pub fn refuse(app: &App, path: &str, refusal: Refusal) -> Response {
    refuse_as(&app.compat, app, path, refusal)
}

/// The answer to a refused request with these switches; counts it, and logs what an operator must know.
pub fn refuse_as(compat: &Compat, app: &App, path: &str, refusal: Refusal) -> Response {
    refusal.log(path);
    let answer = answer_to(compat, refusal);
    app.metrics.refused(answer.error);
    answer.write(compat.spring_oauth, path, clock::now_ms())
}

/// A refusal as it is told at a redirect URI: `error` and `error_description` of RFC 6749 section 4.1.2.1. Counts and logs
/// it likewise.
pub fn told(app: &App, path: &str, refusal: Refusal) -> (&'static str, String) {
    refusal.log(path);
    let answer = answer_to(&app.compat, refusal);
    app.metrics.refused(answer.error);
    (answer.error, answer.description)
}

/// What is answered to a refusal.
#[derive(Debug)]
struct Answer {
    status: StatusCode,
    /// The `error` of an OAuth body; of a Boot body only what the metrics call it.
    error: &'static str,
    description: String,
    /// The extra member `scope`.
    scope: Option<String>,
    challenge: Challenge,
    kind: Kind,
    /// The header `Retry-After`.
    retry_after: Option<String>,
    /// The header `Allow`.
    allow: Option<&'static str>,
}

#[derive(Debug)]
enum Kind {
    OAuth,
    Boot { exception: Option<&'static str> },
}

#[derive(Debug)]
enum Challenge {
    None,
    /// Just this. Also where the description repeats a presented token: proxies log headers.
    Fixed(&'static str),
    /// The scheme, with the members of the body after it.
    WithError(&'static str),
}

impl Answer {
    fn oauth(status: u16, error: &'static str, description: impl Into<String>) -> Self {
        let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let challenge = if status == StatusCode::UNAUTHORIZED {
            Challenge::WithError("Bearer ")
        } else {
            Challenge::None
        };
        let description = description.into();
        Self {
            status,
            error,
            description,
            scope: None,
            challenge,
            kind: Kind::OAuth,
            retry_after: None,
            allow: None,
        }
    }

    fn boot(status: StatusCode, error: &'static str, message: impl Into<String>) -> Self {
        let description = message.into();
        let (challenge, kind) = (Challenge::None, Kind::Boot { exception: None });
        Self {
            status,
            error,
            description,
            scope: None,
            challenge,
            kind,
            retry_after: None,
            allow: None,
        }
    }

    fn scope(self, scope: &[String]) -> Self {
        Self {
            scope: Some(scope.join(" ")),
            ..self
        }
    }

    fn challenge(self, challenge: Challenge) -> Self {
        Self { challenge, ..self }
    }

    fn thrown(self, exception: &'static str) -> Self {
        Self {
            kind: Kind::Boot {
                exception: Some(exception),
            },
            ..self
        }
    }

    fn write(self, version: SpringOauth, path: &str, now_ms: i64) -> Response {
        let challenge = match self.challenge {
            Challenge::None => None,
            Challenge::Fixed(text) => Some(text.to_owned()),
            Challenge::WithError(scheme) => {
                let scope = self.scope.as_ref().map(|scope| format!(r#", scope="{scope}""#));
                Some(format!(
                    r#"{scheme}error="{}", error_description="{}"{}"#,
                    self.error,
                    self.description,
                    scope.unwrap_or_default()
                ))
            }
        };
        let mut response = match self.kind {
            Kind::OAuth => json(
                self.status,
                &OAuthError {
                    error: self.error,
                    error_description: escape(version, self.description),
                    scope: self.scope,
                },
            ),
            Kind::Boot { exception } => json(
                self.status,
                &BootError {
                    timestamp: now_ms,
                    status: self.status.as_u16(),
                    error: self.status.canonical_reason().unwrap_or_default(),
                    exception,
                    message: &self.description,
                    path,
                },
            ),
        };
        let headers = response.headers_mut();
        for (name, value) in [
            (header::WWW_AUTHENTICATE, challenge),
            (header::RETRY_AFTER, self.retry_after),
        ] {
            if let Some(value) = value.and_then(|value| HeaderValue::from_str(&value).ok()) {
                headers.insert(name, value);
            }
        }
        if let Some(methods) = self.allow {
            headers.insert(header::ALLOW, HeaderValue::from_static(methods));
        }
        response
    }
}

#[derive(Serialize)]
struct OAuthError {
    error: &'static str,
    error_description: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    scope: Option<String>,
}

#[derive(Serialize)]
struct BootError<'a> {
    timestamp: i64,
    status: u16,
    error: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    exception: Option<&'static str>,
    message: &'a str,
    path: &'a str,
}

/// The table of failures.
fn answer_to(compat: &Compat, refusal: Refusal) -> Answer {
    let version = compat.spring_oauth;
    match refusal {
        Refusal::NoClientCredentials if compat.client_entry_point == EntryPoint::OAuth2 => {
            Answer::oauth(401, "unauthorized", FULL_AUTHENTICATION).challenge(Challenge::Fixed(CLIENT_CHALLENGE))
        }
        Refusal::NoClientCredentials => Answer::boot(StatusCode::UNAUTHORIZED, "unauthorized", FULL_AUTHENTICATION)
            .challenge(Challenge::Fixed(CLIENT_CHALLENGE)),
        Refusal::MalformedBasic(what) => {
            Answer::boot(StatusCode::UNAUTHORIZED, "unauthorized", what).challenge(Challenge::Fixed(CLIENT_CHALLENGE))
        }
        Refusal::BadBasicCredentials => Answer::boot(StatusCode::UNAUTHORIZED, "unauthorized", "Bad credentials")
            .challenge(Challenge::Fixed(CLIENT_CHALLENGE)),
        Refusal::BadFormCredentials => Answer::oauth(401, "invalid_client", "Bad client credentials").challenge(
            Challenge::WithError(match version {
                SpringOauth::V2_0_7 => r#"Form realm="oauth", "#,
                _ => r#"Form realm="oauth2/client", "#,
            }),
        ),
        Refusal::ClientMismatch => Answer::oauth(
            401,
            "invalid_client",
            "Given client ID does not match authenticated client",
        ),
        Refusal::InvalidScope { scope, registered } => {
            Answer::oauth(400, "invalid_scope", format!("Invalid scope: {}", scope.0)).scope(&registered)
        }
        Refusal::EmptyScope => Answer::oauth(
            400,
            "invalid_scope",
            "Empty scope (either the client or the user is not allowed the requested scopes)",
        ),
        Refusal::MissingGrantType => Answer::oauth(400, "invalid_request", "Missing grant type"),
        Refusal::UnsupportedGrantType(grant) => Answer::oauth(
            400,
            "unsupported_grant_type",
            match version {
                SpringOauth::V2_5 => "Unsupported grant type".to_owned(),
                _ => format!("Unsupported grant type: {}", grant.0),
            },
        ),
        Refusal::ImplicitAtTokenEndpoint => Answer::oauth(
            400,
            "invalid_grant",
            "Implicit grant type not supported from token endpoint",
        ),
        Refusal::GrantNotRegistered(grant) => {
            Answer::oauth(401, "invalid_client", format!("Unauthorized grant type: {grant}"))
        }
        Refusal::BadUserCredentials(message) => Answer::oauth(400, "invalid_grant", message),
        Refusal::MissingRefreshToken => match version {
            SpringOauth::V2_5 => Answer::oauth(400, "invalid_request", "refresh_token parameter not provided"),
            _ => Answer::oauth(400, "invalid_grant", "Invalid refresh token: null"),
        },
        Refusal::InvalidRefreshToken(token) => {
            Answer::oauth(400, "invalid_grant", echo(version, "Invalid refresh token", &token.0))
        }
        Refusal::ForeignRefreshToken(token) => Answer::oauth(
            400,
            "invalid_grant",
            echo(version, "Wrong client for this refresh token", &token.0),
        ),
        Refusal::ExpiredRefreshToken(token) => Answer::oauth(
            401,
            "invalid_token",
            echo(version, "Invalid refresh token (expired)", &token.0),
        )
        .challenge(Challenge::Fixed(
            r#"Bearer error="invalid_token", error_description="Invalid refresh token (expired)""#,
        )),
        Refusal::WiderScope { requested, granted } => {
            let text = format!(
                "Unable to narrow the scope of the client authentication to [{}].",
                requested.0
            );
            Answer::oauth(400, "invalid_scope", text).scope(&granted)
        }
        Refusal::MissingCode => Answer::oauth(400, "invalid_request", "An authorization code must be supplied."),
        Refusal::UnsupportedResponseType(name) => Answer::oauth(
            400,
            "unsupported_response_type",
            format!("Unsupported response types: [{}]", name.0),
        ),
        Refusal::InvalidCode(code) => Answer::oauth(
            400,
            "invalid_grant",
            echo(version, "Invalid authorization code", &code.0),
        ),
        Refusal::ForeignCode => Answer::oauth(401, "invalid_client", "Client ID mismatch"),
        Refusal::RedirectMismatch => Answer::oauth(400, "invalid_grant", "Redirect URI mismatch."),
        Refusal::WrongVerifier => Answer::oauth(400, "invalid_grant", "Invalid code verifier"),
        Refusal::MethodNotAllowed(method) => {
            let text = format!("Request method '{method}' not supported");
            let answer = match version {
                SpringOauth::V2_0_7 => method_not_supported(text),
                _ => Answer::oauth(405, "method_not_allowed", text),
            };
            Answer {
                allow: Some("POST"),
                ..answer
            }
        }
        Refusal::NeitherGetNorPost(method) => Answer {
            allow: Some("GET, POST"),
            ..method_not_supported(format!("Request method '{method}' not supported"))
        },
        Refusal::MissingParameter(name) => Answer::boot(
            StatusCode::BAD_REQUEST,
            "invalid_request",
            format!("Required String parameter '{name}' is not present"),
        )
        .thrown("org.springframework.web.bind.MissingServletRequestParameterException"),
        Refusal::Malformed(name) => Answer::oauth(400, "invalid_request", format!("Invalid parameter: {name}")),
        Refusal::UnknownClient => Answer::oauth(401, "invalid_client", "Bad client credentials"),
        Refusal::UnregisteredRedirectUri => Answer::oauth(400, "invalid_grant", "Invalid redirect"),
        Refusal::ForgedForm => Answer::oauth(400, "invalid_request", "The login form has expired"),
        Refusal::BodyTooLarge => Answer::boot(StatusCode::PAYLOAD_TOO_LARGE, "invalid_request", "No message available"),
        Refusal::UnknownToken => Answer::oauth(400, "invalid_token", "Token was not recognised"),
        Refusal::ExpiredToken => Answer::oauth(400, "invalid_token", "Token has expired"),
        Refusal::ClientGone(client) => Answer::oauth(400, "invalid_token", format!("Client not valid: {client}")),
        Refusal::UnreadableToken => Answer::oauth(400, "invalid_token", "Cannot convert access token to JSON"),
        Refusal::RefreshTokenAsAccessToken => Answer::oauth(400, "invalid_token", "Encoded token is a refresh token"),
        Refusal::SecretInQuery(name) => Answer::oauth(
            400,
            "invalid_request",
            format!("Parameter {name} is a secret and may not stand in the query"),
        ),
        Refusal::TooManyAttempts => Answer {
            retry_after: Some("1".into()),
            ..Answer::oauth(429, "temporarily_unavailable", "Too many failed attempts")
        },
        Refusal::NoBearerToken => Answer::oauth(401, "unauthorized", FULL_AUTHENTICATION)
            .challenge(Challenge::WithError(r#"Bearer realm="oauth2-resource", "#)),
        Refusal::BadBearerToken(token) => Answer::oauth(
            401,
            "invalid_token",
            match version {
                SpringOauth::V2_5 => "Invalid access token".to_owned(),
                _ => token.0,
            },
        )
        .challenge(Challenge::Fixed(
            r#"Bearer realm="oauth2-resource", error="invalid_token""#,
        )),
        Refusal::UnknownBearerToken(token) => {
            let text = echo(version, "Invalid access token", &token.0);
            Answer::oauth(401, "invalid_token", text).challenge(Challenge::Fixed(
                r#"Bearer realm="oauth2-resource", error="invalid_token", error_description="Invalid access token""#,
            ))
        }
        Refusal::ExpiredBearerToken(token) => {
            let text = echo(version, "Access token expired", &token.0);
            Answer::oauth(401, "invalid_token", text).challenge(Challenge::Fixed(
                r#"Bearer realm="oauth2-resource", error="invalid_token", error_description="Access token expired""#,
            ))
        }
        Refusal::ClientOfBearerGone(client) => {
            Answer::oauth(401, "invalid_token", format!("Client not valid: {client}"))
                .challenge(Challenge::WithError(r#"Bearer realm="oauth2-resource", "#))
        }
        Refusal::InsufficientScope(scope) => {
            Answer::oauth(403, "insufficient_scope", "Insufficient scope for this resource")
                .scope(&[scope.to_owned()])
                .challenge(Challenge::WithError("Bearer "))
        }
        Refusal::UnusableClientId(why) => {
            Answer::boot(StatusCode::BAD_REQUEST, "invalid_request", format!("clientId {why}"))
        }
        Refusal::ClientExists(client) => {
            let message = format!("Client already exists: {}", client.0);
            Answer::boot(StatusCode::INTERNAL_SERVER_ERROR, "client_exists", message)
                .thrown("org.springframework.security.oauth2.provider.ClientAlreadyExistsException")
        }
        Refusal::NoSuchClient(client) => {
            let message = format!("No client with requested id: {}", client.0);
            Answer::boot(StatusCode::INTERNAL_SERVER_ERROR, "no_such_client", message)
                .thrown("org.springframework.security.oauth2.provider.NoSuchClientException")
        }
        Refusal::NotFound => Answer::boot(StatusCode::NOT_FOUND, "not_found", "No message available"),
        Refusal::Login(LoginError::Saturated(retry_after)) => saturated(retry_after),
        Refusal::Saturated => saturated(None),
        Refusal::Login(_) | Refusal::Storage(_) | Refusal::Corrupt(_) => {
            Answer::oauth(500, "server_error", "Internal Server Error")
        }
    }
}

fn saturated(retry_after: Option<String>) -> Answer {
    Answer {
        retry_after: Some(retry_after.unwrap_or_else(|| "1".into())),
        ..Answer::oauth(503, "temporarily_unavailable", "Service Unavailable")
    }
}

fn method_not_supported(message: String) -> Answer {
    Answer::boot(StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed", message)
        .thrown("org.springframework.web.HttpRequestMethodNotSupportedException")
}

/// Until 2.5.2 the original repeats the presented token.
fn echo(version: SpringOauth, text: &str, token: &str) -> String {
    match version {
        SpringOauth::V2_5 => text.to_owned(),
        _ => format!("{text}: {token}"),
    }
}

/// 2.0.12 to 2.0.16 and 2.3.0 to 2.3.3 escape descriptions for HTML.
fn escape(version: SpringOauth, text: String) -> String {
    match version {
        SpringOauth::V2_0_7 | SpringOauth::V2_5 => text,
        SpringOauth::V2_0_13 | SpringOauth::V2_3 => text
            .replace('&', "&amp;")
            .replace('<', "&lt;")
            .replace('>', "&gt;")
            .replace('"', "&quot;")
            .replace('\'', "&#39;"),
    }
}

fn parse_scope(text: &str) -> Vec<String> {
    let parts = text.split(|c: char| c.is_ascii_whitespace() || c == '\u{b}' || c == '+');
    let mut scope: Vec<String> = parts.filter(|part| !part.is_empty()).map(str::to_owned).collect();
    scope.sort_unstable();
    scope.dedup();
    scope
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_scope_is_parted_by_blanks_and_plus_signs_and_sorted() {
        assert_eq!(parse_scope("write read+all  read"), ["all", "read", "write"]);
        assert!(parse_scope("  ").is_empty());
    }

    #[test]
    fn descriptions_are_escaped_in_the_versions_that_did() {
        let text = || "<a href='x'>&\"".to_owned();
        assert_eq!(
            escape(SpringOauth::V2_0_13, text()),
            "&lt;a href=&#39;x&#39;&gt;&amp;&quot;"
        );
        assert_eq!(escape(SpringOauth::V2_5, text()), text());
    }

    #[test]
    fn the_versions_differ_where_the_table_says() {
        let compat = |spring_oauth| Compat {
            spring_oauth,
            ..Compat::default()
        };
        let description = |version, refusal| answer_to(&compat(version), refusal).description;
        let refresh = || Refusal::InvalidRefreshToken(crate::error::Presented("t".into()));
        assert_eq!(description(SpringOauth::V2_0_13, refresh()), "Invalid refresh token: t");
        assert_eq!(description(SpringOauth::V2_5, refresh()), "Invalid refresh token");
        let grant = || Refusal::UnsupportedGrantType(crate::error::Presented("x".into()));
        assert_eq!(description(SpringOauth::V2_3, grant()), "Unsupported grant type: x");
        assert_eq!(description(SpringOauth::V2_5, grant()), "Unsupported grant type");
        let get = answer_to(&compat(SpringOauth::V2_0_7), Refusal::MethodNotAllowed("GET".into()));
        assert!(matches!(get.kind, Kind::Boot { exception: Some(_) }));
    }

    #[test]
    fn no_presented_token_reaches_a_header_or_a_log() {
        for refusal in [
            Refusal::ExpiredRefreshToken(crate::error::Presented("secret-token".into())),
            Refusal::BadBearerToken(crate::error::Presented("secret-token".into())),
        ] {
            assert!(!format!("{refusal:?}").contains("secret-token"));
            let response = answer_to(&Compat::default(), refusal).write(SpringOauth::V2_0_13, "/oauth/token", 0);
            let challenge = response.headers()[header::WWW_AUTHENTICATE].to_str().unwrap();
            assert!(
                challenge.contains("invalid_token") && !challenge.contains("secret-token"),
                "{challenge}"
            );
        }
    }

    #[test]
    fn the_bearer_scheme_counts_in_any_case() {
        let headers =
            |value: &'static str| HeaderMap::from_iter([(header::AUTHORIZATION, HeaderValue::from_static(value))]);
        assert_eq!(bearer(&headers("bearer a.b.c")), Some("a.b.c"));
        assert_eq!(bearer(&headers("BEARER  a.b.c ")), Some("a.b.c"));
        assert_eq!(bearer(&headers("Basic a.b.c")), None);
        assert_eq!(bearer(&headers("bearer ")), None);
    }
}
