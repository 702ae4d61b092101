//! What is answered to each refusal, and how: the contract's table of failures.
//!
//! Two kinds of error bodies: those of the OAuth endpoints (`error`, `error_description`), and those of Spring Boot
//! (`timestamp`, `status`, …) for what its filters refuse before an endpoint is reached.

use axum::response::Response;
use http::{HeaderValue, StatusCode, header};
use serde::Serialize;

use crate::app::App;
use crate::clock;
use crate::config::{Compat, EntryPoint, SpringOauth};
use crate::error::Refusal;
use crate::login::LoginError;
use crate::profiles::spring::json;

const CLIENT_CHALLENGE: &str = r#"Basic realm="oauth2/client""#;
const FULL_AUTHENTICATION: &str = "Full authentication is required to access this resource";

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

#[cfg(test)]
mod tests {
    use super::*;

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
}
