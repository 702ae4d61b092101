//! Refusals: what happened, and the answer that a client sees.
//!
//! The variants are rich, for the operator; one match picks the public answer, which is poor, for the attacker.

use std::fmt::Write;

use crate::config::ErrorStyle;
use crate::dpop::ProofError;
use crate::host::HostError;
use crate::path::PathError;
use crate::permission::StepUp;
use crate::policy::TokenError;

/// Why a request is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Denial {
    /// Two parsers could read the path differently.
    #[error("ambiguous path: {0}")]
    Path(#[from] PathError),
    /// No rule can name the method: it has other characters than capital letters, digits, `-` and `_`.
    #[error("the method is not written in capital letters")]
    Method,
    /// Rules look at the host, and this one can be read in two ways or not at all.
    #[error("ambiguous host: {0}")]
    Host(#[from] HostError),
    /// More than one token.
    #[error("more than one token")]
    SeveralTokens,
    /// No token where one is needed.
    #[error("no token")]
    NoToken,
    /// A token that is not good. `presented` is echoed by the legacy error body only.
    #[error("{reason}")]
    BadToken {
        /// What is wrong with it.
        reason: TokenError,
        /// The token as it came.
        presented: Box<str>,
    },
    /// A good token whose holder may not do this, or a path that nothing names.
    #[error("not permitted")]
    Forbidden,
    /// A good token without these scopes.
    #[error("the scope `{0}` is missing")]
    Scope(String),
    /// A good token whose user must log in again, or by other means (RFC 9470).
    #[error("the user must log in again, or by other means")]
    StepUp(StepUp),
    /// A token that is bound to a key, with a proof that does not show it (RFC 9449 section 7.1).
    #[error("{reason}")]
    BadProof {
        /// What is wrong with the proof.
        reason: ProofError,
        /// The nonce that the next proof must have.
        nonce: Option<Box<str>>,
    },
    /// A feed has not answered yet, or not for too long; or a lookup failed.
    #[error("{0}")]
    Unavailable(Unavailable),
}

/// What is not to be had.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Unavailable {
    /// The first snapshot of a feed did not come in time.
    #[error("no snapshot of a feed has come yet")]
    NoSnapshot,
    /// A feed was lost for longer than `max_stale`.
    #[error("a feed has been lost for longer than max_stale")]
    Stale,
    /// The issuer's keys could not be fetched.
    #[error("the issuer's keys could not be fetched")]
    Keys,
    /// The login service did not say what a user may do now.
    #[error("the login service could not be asked")]
    Authorities,
    /// The auth server did not say whether a token is good.
    #[error("the auth server could not be asked about the token")]
    Introspection,
    /// The host did not say which certificate the client has.
    #[error("the host did not say which certificate the client has")]
    Certificate,
    /// So many DPoP proofs are remembered that no other one can be.
    #[error("too many DPoP proofs are remembered")]
    Proofs,
    /// The auth server is being asked about as many tokens as we ask about at a time.
    #[error("the auth server is being asked about too many other tokens")]
    Busy,
}

/// An answer to the client in place of the upstream's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// The status code.
    pub status: u16,
    /// Header names and values.
    pub headers: Vec<(&'static str, String)>,
    /// UTF-8 JSON.
    pub body: String,
}

impl Denial {
    /// A short name for logs and metrics, which stays the same.
    pub fn name(&self) -> &'static str {
        match self {
            Denial::Path(_) => "path",
            Denial::Method => "method",
            Denial::Host(_) => "host",
            Denial::SeveralTokens => "several_tokens",
            Denial::NoToken => "no_token",
            Denial::BadToken { .. } => "bad_token",
            Denial::Forbidden => "forbidden",
            Denial::Scope(_) => "scope",
            Denial::StepUp(_) => "step_up",
            Denial::BadProof { .. } => "bad_proof",
            Denial::Unavailable(_) => "unavailable",
        }
    }

    /// The answer in the configured style. `now` is in Unix milliseconds, `target` is `:path` as it came.
    pub fn answer(&self, style: ErrorStyle, now: u64, target: &[u8]) -> Answer {
        match style {
            ErrorStyle::Spring => self.spring(now, target),
            ErrorStyle::Rfc6750 => self.rfc6750(),
        }
    }

    /// As Spring Boot 1.5 and Spring Security OAuth 2.0.13 answer.
    fn spring(&self, now: u64, target: &[u8]) -> Answer {
        match self {
            Denial::Path(_) | Denial::Method | Denial::Host(_) | Denial::SeveralTokens => {
                boot(400, "Bad Request", now, target)
            }
            Denial::NoToken => {
                let description = "Full authentication is required to access this resource";
                let challenge = format!(
                    r#"Bearer realm="oauth2-resource", error="unauthorized", error_description="{description}""#
                );
                spring_oauth(challenge, "unauthorized", description)
            }
            // The original names the token in the header too; a header ends up in logs, so ours does not.
            Denial::BadToken { presented, .. } => spring_oauth(
                r#"Bearer realm="oauth2-resource", error="invalid_token""#.into(),
                "invalid_token",
                &html_escaped(presented),
            ),
            Denial::BadProof { reason, nonce } => {
                let (error, description) = proof_error(*reason);
                let challenge = format!(r#"DPoP error="{error}", error_description="{description}""#);
                with_nonce(spring_oauth(challenge, error, description), nonce)
            }
            Denial::StepUp(login) => {
                let challenge = step_up(login);
                spring_oauth(challenge, "insufficient_user_authentication", LOG_IN_AGAIN)
            }
            Denial::Forbidden | Denial::Scope(_) => boot(403, "Forbidden", now, target),
            Denial::Unavailable(_) => retry_later(boot(503, "Service Unavailable", now, target)),
        }
    }

    /// As RFC 6750 section 3 says.
    fn rfc6750(&self) -> Answer {
        let plain = |status, error: &str, description: &str| {
            let body = format!(
                r#"{{"error":{},"error_description":{}}}"#,
                json_string(error),
                json_string(description)
            );
            let headers = vec![
                ("content-type", "application/json".into()),
                ("cache-control", "no-store".into()),
            ];
            Answer { status, headers, body }
        };
        let challenged = |mut answer: Answer, challenge: String| {
            answer.headers.push(("www-authenticate", challenge));
            answer
        };
        match self {
            Denial::Path(_) | Denial::Method | Denial::Host(_) => {
                plain(400, "invalid_request", "The request target is not acceptable")
            }
            Denial::SeveralTokens => {
                let description = "More than one access token was presented";
                let challenge = format!(r#"Bearer error="invalid_request", error_description="{description}""#);
                challenged(plain(400, "invalid_request", description), challenge)
            }
            // Without a token the challenge names no error (RFC 6750 section 3.1).
            Denial::NoToken => challenged(
                plain(401, "unauthorized", "An access token is required"),
                "Bearer".into(),
            ),
            Denial::BadToken { .. } => {
                let description = "The access token is invalid, expired or revoked";
                let challenge = format!(r#"Bearer error="invalid_token", error_description="{description}""#);
                challenged(plain(401, "invalid_token", description), challenge)
            }
            Denial::BadProof { reason, nonce } => {
                let (error, description) = proof_error(*reason);
                let challenge = format!(r#"DPoP error="{error}", error_description="{description}""#);
                with_nonce(challenged(plain(401, error, description), challenge), nonce)
            }
            Denial::StepUp(login) => challenged(
                plain(401, "insufficient_user_authentication", LOG_IN_AGAIN),
                step_up(login),
            ),
            Denial::Forbidden => {
                let challenge = r#"Bearer error="insufficient_scope""#.into();
                challenged(
                    plain(403, "insufficient_scope", "The access token does not permit this"),
                    challenge,
                )
            }
            Denial::Scope(scope) => {
                // A scope-token has no quote and no backslash (RFC 6749 section 3.3); a rule may still hold one.
                let scope = quotable(scope);
                let challenge = format!(r#"Bearer error="insufficient_scope", scope="{scope}""#);
                challenged(
                    plain(403, "insufficient_scope", "The access token lacks a scope"),
                    challenge,
                )
            }
            Denial::Unavailable(_) => retry_later(plain(
                503,
                "temporarily_unavailable",
                "The access decision cannot be made now",
            )),
        }
    }
}

const LOG_IN_AGAIN: &str = "The user must log in again, or by other means";

/// The challenge of RFC 9470 section 3.
fn step_up(login: &StepUp) -> String {
    let mut challenge =
        format!(r#"Bearer error="insufficient_user_authentication", error_description="{LOG_IN_AGAIN}""#);
    // Writing to a String cannot fail.
    if !login.acr.is_empty() {
        let _ = write!(challenge, r#", acr_values="{}""#, quotable(&login.acr.join(" ")));
    }
    if let Some(seconds) = login.max_age {
        let _ = write!(challenge, r#", max_age="{seconds}""#);
    }
    challenge
}

/// The error codes of RFC 9449 sections 7.1 and 9. What is wrong with a proof is the operator's to know.
fn proof_error(reason: ProofError) -> (&'static str, &'static str) {
    match reason {
        ProofError::Nonce => ("use_dpop_nonce", "The DPoP proof needs the nonce of this answer"),
        _ => (
            "invalid_dpop_proof",
            "The DPoP proof is missing, invalid or used before",
        ),
    }
}

fn with_nonce(mut answer: Answer, nonce: &Option<Box<str>>) -> Answer {
    if let Some(nonce) = nonce {
        answer.headers.push(("dpop-nonce", nonce.to_string()));
    }
    answer
}

/// What may stand in a quoted string as it is; the rest is left out.
pub(crate) fn quotable(text: &str) -> String {
    text.chars()
        .filter(|c| matches!(c, ' '..='~') && !matches!(c, '"' | '\\'))
        .collect()
}

/// The body of Spring Security OAuth's `OAuth2AuthenticationEntryPoint`.
fn spring_oauth(challenge: String, error: &str, description: &str) -> Answer {
    Answer {
        status: 401,
        headers: vec![
            ("cache-control", "no-store".into()),
            ("pragma", "no-cache".into()),
            ("www-authenticate", challenge),
            ("content-type", "application/json;charset=UTF-8".into()),
        ],
        body: format!(
            r#"{{"error":{},"error_description":{}}}"#,
            json_string(error),
            json_string(description)
        ),
    }
}

/// The body of Spring Boot's `BasicErrorController`, for errors without a message.
fn boot(status: u16, error: &str, now: u64, target: &[u8]) -> Answer {
    let path = target.split(|&byte| byte == b'?').next().unwrap_or(target);
    let path = json_string(&String::from_utf8_lossy(path));
    Answer {
        status,
        headers: vec![("content-type", "application/json;charset=UTF-8".into())],
        body: format!(
            r#"{{"timestamp":{now},"status":{status},"error":"{error}","message":"No message available","path":{path}}}"#
        ),
    }
}

fn retry_later(mut answer: Answer) -> Answer {
    answer.headers.push(("retry-after", "1".into()));
    answer
}

/// As Spring's `HtmlUtils` escapes what OAuth2ExceptionJackson2Serializer 2.0.13 writes.
fn html_escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            _ => out.push(character),
        }
    }
    out
}

fn json_string(text: &str) -> String {
    let mut out = String::with_capacity(text.len().saturating_add(2));
    out.push('"');
    for character in text.chars() {
        match character {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            // Writing to a String cannot fail.
            '\0'..='\x1f' | '\x7f' => drop(write!(out, "\\u{:04x}", u32::from(character))),
            _ => out.push(character),
        }
    }
    out.push('"');
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header<'a>(answer: &'a Answer, name: &str) -> Option<&'a str> {
        answer
            .headers
            .iter()
            .find(|(n, _)| *n == name)
            .map(|(_, value)| value.as_str())
    }

    #[test]
    fn spring_bodies_are_those_of_the_originals() {
        let answer = Denial::NoToken.answer(ErrorStyle::Spring, 1, b"/x");
        assert_eq!(answer.status, 401);
        assert_eq!(
            answer.body,
            r#"{"error":"unauthorized","error_description":"Full authentication is required to access this resource"}"#
        );
        assert_eq!(
            header(&answer, "www-authenticate").unwrap(),
            r#"Bearer realm="oauth2-resource", error="unauthorized", error_description="Full authentication is required to access this resource""#
        );
        assert_eq!(header(&answer, "cache-control"), Some("no-store"));

        let answer = Denial::Forbidden.answer(ErrorStyle::Spring, 1_539_075_243_574, b"/demo/test2?a=b");
        assert_eq!(answer.status, 403);
        assert_eq!(
            answer.body,
            r#"{"timestamp":1539075243574,"status":403,"error":"Forbidden","message":"No message available","path":"/demo/test2"}"#
        );
    }

    #[test]
    fn a_bad_token_is_echoed_escaped_in_the_body_and_nowhere_else() {
        let presented = "a<b>&\"'\\.c".into();
        let answer = Denial::BadToken {
            reason: TokenError::Revoked,
            presented,
        }
        .answer(ErrorStyle::Spring, 1, b"/x");
        assert_eq!(
            answer.body,
            r#"{"error":"invalid_token","error_description":"a&lt;b&gt;&amp;&quot;&#39;\\.c"}"#
        );
        assert!(
            answer
                .headers
                .iter()
                .all(|(_, value)| !value.contains("a<b") && !value.contains("a&lt;b"))
        );
        let presented = "secret-token".into();
        let answer = Denial::BadToken {
            reason: TokenError::Revoked,
            presented,
        }
        .answer(ErrorStyle::Rfc6750, 1, b"/x");
        assert!(!format!("{answer:?}").contains("secret-token"));
    }

    #[test]
    fn rfc6750_challenges() {
        for (denial, status, challenge) in [
            (Denial::NoToken, 401, Some("Bearer")),
            (Denial::Forbidden, 403, Some(r#"Bearer error="insufficient_scope""#)),
            (
                Denial::Scope("a b".into()),
                403,
                Some(r#"Bearer error="insufficient_scope", scope="a b""#),
            ),
            (Denial::Path(PathError::DotSegment), 400, None),
            (Denial::Unavailable(Unavailable::Stale), 503, None),
        ] {
            let answer = denial.answer(ErrorStyle::Rfc6750, 1, b"/x");
            assert_eq!(
                (answer.status, header(&answer, "www-authenticate")),
                (status, challenge),
                "{denial:?}"
            );
            assert!(serde_json::from_str::<serde_json::Value>(&answer.body).is_ok());
        }
    }

    #[test]
    fn a_hostile_path_cannot_break_out_of_the_body() {
        let answer = Denial::Path(PathError::Control).answer(ErrorStyle::Spring, 1, b"/\"\x00\xff\n");
        let body: serde_json::Value = serde_json::from_str(&answer.body).unwrap();
        assert_eq!(body["path"], "/\"\0\u{fffd}\n");
    }
}
