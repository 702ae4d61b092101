//! Tokens that only the auth server itself can tell good from bad: opaque ones, and living JWTs of the system before ours,
//! whose key is gone. They are asked about by `POST /oauth2/introspect` (RFC 7662), and the identity is remembered as that
//! of a JWT that was verified here.
//!
//! A question costs the auth server work, and any client can cause one. So there are only so many at a time, one for each
//! token however many requests bring it, and none about what cannot be such a token or was refused a moment ago.

use std::fmt;
use std::rc::Rc;

use crate::claims::{Claims, ClaimsError};
use crate::json;
use crate::jwk::Algorithm;
use crate::jws::{JwsError, Unverified};
use crate::policy::{Need, TokenError};
use crate::snapshot::Introspection;

/// The longest opaque token that is asked about, in bytes.
pub const MAX_OPAQUE: usize = 2048;

/// How many questions one VM may have open; a request that would need one more is refused with 503.
pub const MAX_OPEN: usize = 64;

/// A token of which nothing is known yet. Its text is not for logs: `Debug` does not show it.
#[derive(Clone, PartialEq, Eq)]
pub struct UnknownToken(Rc<str>);

/// A token to ask about. Hand it back with the answer.
#[derive(Debug, Clone)]
pub struct Question {
    token: UnknownToken,
    /// Numbers the questions of this VM: what was forgotten meanwhile is not answered by an old answer.
    number: u64,
}

/// What may be asked, and the questions that are open.
#[derive(Debug, Default)]
pub(crate) struct Introspections {
    kinds: Introspection,
    open: Vec<Open>,
    /// How many questions there were.
    numbered: u64,
}

#[derive(Debug)]
struct Open {
    question: Question,
    /// It is on its way.
    sent: bool,
}

/// Why an answer says nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum AnswerError {
    /// Not a strict JSON object.
    #[error("the answer is not a JSON object")]
    NotAnObject,
    /// `active` is missing, or no boolean.
    #[error("the answer does not say whether the token is active")]
    Active,
    /// A member has the wrong type, or `jti` is missing: such a token could not be revoked.
    #[error("a member of the answer is missing or has the wrong type")]
    Member,
}

impl UnknownToken {
    fn new(token: &str) -> Self {
        Self(token.into())
    }
}

impl fmt::Debug for UnknownToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("UnknownToken")
    }
}

impl Question {
    /// The token. It has the characters of `b64token` (RFC 6750 section 2.1), and no others.
    pub fn token(&self) -> &str {
        &self.token.0
    }

    /// What the requests wait for that bring this token.
    pub fn need(&self) -> Need {
        Need::Introspection(self.token.clone())
    }
}

impl Introspections {
    /// The feed told which tokens to ask about.
    pub(crate) fn set_kinds(&mut self, kinds: Introspection) {
        self.kinds = kinds;
    }

    /// Which tokens to ask about.
    pub(crate) fn kinds(&self) -> Introspection {
        self.kinds
    }

    /// Whether a token that we refuse for this reason may be one to ask about.
    pub(crate) fn concerns(&self, token: &str, refused: TokenError) -> bool {
        match refused {
            TokenError::Jws(JwsError::NotCompact) => {
                self.kinds.opaque && token.len() <= MAX_OPAQUE && !looks_like_jws(token)
            }
            TokenError::Jws(JwsError::Signature) | TokenError::Key | TokenError::Issuer => {
                self.kinds.imported && of_the_system_before(token)
            }
            _ => false,
        }
    }

    /// The token as a need, if its question is open or there is room for one more.
    pub(crate) fn need(&self, token: &str) -> Option<Need> {
        let open = self.open.iter().find(|open| &*open.question.token.0 == token);
        match open {
            Some(open) => Some(open.question.need()),
            None if self.open.len() < MAX_OPEN => Some(Need::Introspection(UnknownToken::new(token))),
            None => None,
        }
    }

    /// Opens a question, unless it is open.
    pub(crate) fn want(&mut self, token: &UnknownToken) {
        if self.open.len() >= MAX_OPEN || self.open.iter().any(|open| open.question.token == *token) {
            return;
        }
        self.numbered = self.numbered.wrapping_add(1);
        self.open.push(Open {
            question: Question {
                token: token.clone(),
                number: self.numbered,
            },
            sent: false,
        });
    }

    /// Whether a question has not been sent yet.
    pub(crate) fn wanted(&self) -> bool {
        self.open.iter().any(|open| !open.sent)
    }

    /// The questions to send. They count as sent.
    pub(crate) fn due(&mut self) -> Vec<Question> {
        let unsent = self.open.iter_mut().filter(|open| !open.sent);
        unsent
            .map(|open| {
                open.sent = true;
                open.question.clone()
            })
            .collect()
    }

    /// Closes a question. `false`: it had been forgotten.
    pub(crate) fn close(&mut self, question: &Question) -> bool {
        let before = self.open.len();
        self.open.retain(|open| open.question.number != question.number);
        self.open.len() < before
    }

    /// Forgets every question: an answer from before does not count any more.
    pub(crate) fn forget(&mut self) {
        self.open.clear();
    }
}

/// Reads the answer to a question: who it is, or why the token is not good.
pub(crate) fn read(
    answer: &[u8],
    compared: &[String],
    now: u64,
    leeway: u64,
) -> Result<Result<Claims, TokenError>, AnswerError> {
    let answer = json::object(answer).map_err(|_| AnswerError::NotAnObject)?;
    match answer.get("active").and_then(serde_json::Value::as_bool) {
        None => Err(AnswerError::Active),
        Some(false) => Ok(Err(TokenError::Inactive)),
        Some(true) => match Claims::introspected(&answer, compared, now, leeway) {
            Ok(claims) => Ok(Ok(claims)),
            Err(ClaimsError::Malformed) => Err(AnswerError::Member),
            Err(error) => Ok(Err(error.into())),
        },
    }
}

/// Three parts: such a token is a JWT or nothing.
fn looks_like_jws(token: &str) -> bool {
    token.bytes().filter(|&byte| byte == b'.').count() == 2
}

/// The systems before ours signed with HS256.
fn of_the_system_before(token: &str) -> bool {
    Unverified::parse(token).is_ok_and(|token| token.algorithm() == Algorithm::HS256)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_question_for_a_token_and_only_so_many_at_a_time() {
        let mut asked = Introspections::default();
        for n in 0..MAX_OPEN {
            let need = asked.need(&format!("token-{n}"));
            let Some(Need::Introspection(token)) = need else {
                panic!("{n}: {need:?}")
            };
            asked.want(&token);
            asked.want(&token);
        }
        assert_eq!(asked.need("one-more"), None);
        assert!(asked.need("token-0").is_some(), "it is being asked about");
        let due = asked.due();
        assert_eq!((due.len(), asked.due().len(), asked.wanted()), (MAX_OPEN, 0, false));
        assert!(asked.close(&due[0]));
        assert!(!asked.close(&due[0]));
        assert!(asked.need("one-more").is_some());
        asked.forget();
        assert!(!asked.close(&due[1]), "an answer from before");
    }

    #[test]
    fn a_token_is_not_shown() {
        let token = UnknownToken::new("secret");
        assert!(!format!("{:?}", Need::Introspection(token)).contains("secret"));
    }

    #[test]
    fn an_answer_is_read_strictly() {
        let read = |answer: &str| read(answer.as_bytes(), &[], 10_000, 0);
        assert_eq!(read(r#"{"active":false}"#), Ok(Err(TokenError::Inactive)));
        for (answer, error) in [
            ("", AnswerError::NotAnObject),
            ("[]", AnswerError::NotAnObject),
            (r#"{"active":true,"active":false}"#, AnswerError::NotAnObject),
            ("{}", AnswerError::Active),
            (r#"{"active":"true"}"#, AnswerError::Active),
            (r#"{"active":true,"token_type":"Bearer"}"#, AnswerError::Member),
            (
                r#"{"active":true,"token_type":"Bearer","jti":"t","exp":"soon"}"#,
                AnswerError::Member,
            ),
            (
                r#"{"active":true,"token_type":"Bearer","jti":"t","authorities":[1]}"#,
                AnswerError::Member,
            ),
            (
                r#"{"active":true,"token_type":"Bearer","jti":"t","foreign_user":"yes"}"#,
                AnswerError::Member,
            ),
        ] {
            assert_eq!(read(answer), Err(error), "{answer}");
        }
        for (answer, why) in [
            (
                r#"{"active":true,"token_type":"Bearer","jti":"t","exp":10}"#,
                ClaimsError::Expired,
            ),
            (r#"{"active":true,"jti":"t"}"#, ClaimsError::Kind),
            (
                r#"{"active":true,"jti":"t","token_type":"refresh_token"}"#,
                ClaimsError::Kind,
            ),
            (
                r#"{"active":true,"jti":"t","token_type":"DPoP"}"#,
                ClaimsError::SenderConstrained,
            ),
            (
                r#"{"active":true,"jti":"t","token_type":"Bearer","cnf":{"jkt":"x"}}"#,
                ClaimsError::SenderConstrained,
            ),
        ] {
            assert_eq!(read(answer), Ok(Err(why.into())), "{answer}");
        }
        // The auth server's clock may be ahead of ours; that it calls the token active is enough.
        let good = r#"{"active":true,"client_id":"c","username":"n","sub":"u","scope":"a b","exp":11,"iat":12,"nbf":12,
            "jti":"t","authorities":["ROLE_B","ROLE_A"],"token_type":"bearer"}"#;
        let claims = read(good).unwrap().unwrap();
        assert_eq!(
            claims,
            Claims {
                token_id: Some("t".into()),
                user_id: Some("u".into()),
                foreign_user: false,
                user_name: Some("n".into()),
                client_id: Some("c".into()),
                authorities: vec!["ROLE_A".into(), "ROLE_B".into()],
                scopes: vec!["a".into(), "b".into()],
                expires_at: Some(11_000),
                not_before: Some(12_000),
                issued_at: Some(12_000),
                compared: Vec::new(),
            }
        );
    }
}
