//! What operators are told of a decision: a line for the log, and a header for who has the secret.
//!
//! The line is JSON on one line of bounded length. What came from a client is escaped, so that nobody writes lines of their
//! own into a log; the token and the query, which may hold one, are never in it.

use std::fmt::Write;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use crate::denial::Denial;
use crate::json;
use crate::policy::{Policy, Trace};
use crate::request::Request;

/// How many characters of a client's value stand in a line.
const MAX_VALUE: usize = 200;

/// What became of a request.
#[derive(Debug, Clone, Copy)]
pub enum Verdict<'a> {
    /// It passed.
    Allowed,
    /// It was refused.
    Refused(&'a Denial),
    /// It passed in shadow mode, and would have been refused.
    WouldRefuse(&'a Denial),
    /// It passed in shadow mode before it could be decided.
    Undecided,
    /// It was paused until something is known.
    Held,
}

impl<'a> Verdict<'a> {
    /// The refusal, also one that was none in shadow mode.
    pub fn denial(&self) -> Option<&'a Denial> {
        match self {
            Verdict::Refused(denial) | Verdict::WouldRefuse(denial) => Some(denial),
            _ => None,
        }
    }

    fn name(&self) -> &'static str {
        match self {
            Verdict::Allowed => "allowed",
            Verdict::Refused(_) => "refused",
            Verdict::WouldRefuse(_) => "would_refuse",
            Verdict::Undecided => "undecided",
            Verdict::Held => "held",
        }
    }
}

/// The line of a refusal. `status`: of its answer.
pub fn line(
    policy: &Policy,
    request: &Request<'_>,
    verdict: &Verdict<'_>,
    denial: &Denial,
    trace: &Trace,
    status: u16,
) -> String {
    let mut line = format!(
        r#"{{"event":"{}","status":{status},"reason":"{}","detail":{}"#,
        verdict.name(),
        denial.name(),
        quoted(&denial.to_string())
    );
    let mut put = |key: &str, value: &str| {
        // Writing to a String cannot fail.
        let _ = write!(line, r#","{key}":{}"#, quoted(value));
    };
    if let Some(decider) = trace.decider {
        put("rule", &policy.name_of(decider));
    }
    match (&trace.principal, denial) {
        (Some(principal), _) => {
            let claims = &principal.claims;
            for (key, value) in [
                ("token_id", &claims.token_id),
                ("user_id", &claims.user_id),
                ("client_id", &claims.client_id),
            ] {
                if let Some(value) = value {
                    put(key, value);
                }
            }
        }
        // What a token says that was not found good: anybody may have written it.
        (None, Denial::BadToken { presented, .. }) => {
            if let Some(id) = claimed_id(presented) {
                put("claimed_token_id", &id);
            }
        }
        _ => {}
    }
    put("method", &String::from_utf8_lossy(request.method));
    if let Ok(host) = request.host() {
        put("host", &host);
    }
    let path = request.target.split(|&byte| byte == b'?').next().unwrap_or_default();
    put("path", &String::from_utf8_lossy(path));
    line.push('}');
    line
}

/// What the header says: `refused; reason=forbidden; detail="not permitted"; rule=rules[3]; time=12us`.
pub fn explanation(policy: &Policy, verdict: &Verdict<'_>, trace: &Trace, micros: Option<u64>) -> String {
    let mut text = verdict.name().to_owned();
    // Writing to a String cannot fail.
    if let Some(denial) = verdict.denial() {
        let _ = write!(
            text,
            "; reason={}; detail={}",
            denial.name(),
            quoted(&denial.to_string())
        );
    }
    if let Some(decider) = trace.decider {
        let _ = write!(text, "; rule={}", policy.name_of(decider));
    }
    if let Some(micros) = micros {
        let _ = write!(text, "; time={micros}us");
    }
    text
}

/// The `jti` of a token that was not found good.
fn claimed_id(token: &str) -> Option<String> {
    let payload = token.split('.').nth(1)?;
    let claims = json::object(&URL_SAFE_NO_PAD.decode(payload).ok()?).ok()?;
    claims.get("jti")?.as_str().map(str::to_owned)
}

/// A JSON string of visible ASCII, cut where it gets long.
fn quoted(text: &str) -> String {
    let mut out = String::from("\"");
    for (place, character) in text.chars().enumerate() {
        if place >= MAX_VALUE {
            out.push_str("...");
            break;
        }
        match character {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            ' '..='~' => out.push(character),
            _ => {
                for unit in character.encode_utf16(&mut [0; 2]) {
                    let _ = write!(out, "\\u{unit:04x}");
                }
            }
        }
    }
    out.push('"');
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::TokenError;

    fn parsed(denial: &Denial, target: &[u8]) -> serde_json::Value {
        let policy = Policy::parse(b"{}").unwrap();
        let headers: [(&[u8], &[u8]); 2] = [(b":method", b"GET"), (b":path", target)];
        let request = policy.read(headers.into_iter());
        let line = line(
            &policy,
            &request,
            &Verdict::Refused(denial),
            denial,
            &Trace::default(),
            401,
        );
        assert!(line.bytes().all(|byte| matches!(byte, b' '..=b'~')), "{line}");
        assert!(line.len() < 2000, "{line}");
        serde_json::from_str(&line).unwrap()
    }

    #[test]
    fn nobody_writes_a_line_of_their_own() {
        let line = parsed(
            &Denial::NoToken,
            "/a\"}\n{\"event\":\"x\u{1b}[31m\u{202e}\u{1f600}?token=secret".as_bytes(),
        );
        assert_eq!(line["path"], "/a\"}\n{\"event\":\"x\u{1b}[31m\u{202e}\u{1f600}");
        assert_eq!(line["event"], "refused");
        let long = parsed(&Denial::NoToken, &[0xff; 8192]);
        assert!(long["path"].as_str().unwrap().ends_with("..."));
    }

    #[test]
    fn a_bad_token_is_named_by_its_id_and_not_shown() {
        let token = format!("x.{}.y", URL_SAFE_NO_PAD.encode(r#"{"jti":"t1"}"#));
        let denial = Denial::BadToken {
            reason: TokenError::Revoked,
            presented: token.clone().into(),
        };
        let line = parsed(&denial, b"/a");
        assert_eq!(
            (&line["reason"], &line["claimed_token_id"]),
            (&"bad_token".into(), &"t1".into())
        );
        assert!(!line.to_string().contains(&token));
    }
}
