//! Tokens that only their server can tell good from bad: opaque ones, of our auth server or of an issuer of the
//! configuration, and living JWTs of the system before ours, whose key is gone. That server is asked (RFC 7662), by a plain
//! or a signed answer (RFC 9701), and the identity is remembered as that of a JWT that was verified here: until it expires,
//! and what another issuer said no longer than its `max_age`.
//!
//! A question costs the server work, and any client can cause one. So there are only so many at a time, one for each
//! token however many requests bring it, and none about what cannot be such a token or was refused a moment ago.

use std::fmt;
use std::rc::Rc;

use serde::{Deserialize, Serialize};

use crate::claims::{Claims, ClaimsError};
use crate::config::{Duration, Issuer};
use crate::json;
use crate::jwk::{Algorithm, Key};
use crate::jws::{JwsError, Unverified};
use crate::policy::{Need, TokenError};
use crate::signature::Verifier;
use crate::signed_answer;
use crate::snapshot::Introspection;

/// The longest opaque token that is asked about, in bytes.
pub const MAX_OPAQUE: usize = 2048;

/// How many questions one VM may have open at our auth server; a request that would need one more is refused with 503.
pub const MAX_OPEN: usize = 64;

/// How many at any other issuer: one that does not answer takes nothing from the others.
pub const MAX_OPEN_ELSEWHERE: usize = MAX_OPEN / 2;

/// The longest answer that is read, in bytes.
pub const MAX_ANSWER: usize = 64 * 1024;

/// How long an answer without `exp` is relied on, in milliseconds.
const WITHOUT_EXPIRY: u64 = 10_000;

/// Where the opaque tokens of an issuer are asked about (RFC 7662).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct IntrospectionEndpoint {
    /// The host's name of the cluster.
    pub cluster: String,
    /// `https://authority/path` of the endpoint.
    pub uri: String,
    /// `client:secret` for HTTP Basic; absent: none is sent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub credentials: Option<String>,
    /// What the issuer's opaque tokens begin with. Absent: every opaque token that begins with nobody else's prefix.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prefix: Option<String>,
    /// What `aud` of a signed answer must name: what the issuer calls this gateway. Absent: it is not looked at.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub audience: Option<String>,
    /// How long an answer is relied on at most, as nobody tells us of a revocation there (`"60s"`); at least
    /// 1s.
    #[serde(default = "a_minute")]
    pub max_age: Duration,
}

fn a_minute() -> Duration {
    Duration::from_secs(60)
}

/// Who is asked about a token. A token is asked about in one place only: the others have no business to see it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Asked {
    /// Our auth server.
    AuthServer,
    /// The issuer of the configuration with this index.
    Issuer(usize),
}

/// A token of which nothing is known yet. Its text is not for logs: `Debug` does not show it.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct UnknownToken {
    text: Rc<str>,
    asked: Asked,
}

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
    /// What the opaque tokens of issuers begin with, the longest first, and the issuer's index.
    prefixes: Vec<(String, usize)>,
    open: Vec<Open>,
    /// How many questions there were.
    numbered: u64,
}

#[derive(Debug)]
struct Open {
    question: Question,
    /// It is on its way.
    sent: bool,
    /// Another VM asks: not before this time (Unix milliseconds; 0: at once).
    not_before: u64,
}

/// Why an answer says nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum AnswerError {
    /// Longer than [`MAX_ANSWER`].
    #[error("the answer is longer than 64 KiB")]
    TooLong,
    /// Not a strict JSON object.
    #[error("the answer is not a JSON object")]
    NotAnObject,
    /// Not the signed answer of that issuer (RFC 9701), or none where the upstream is to receive one.
    #[error("the answer is not a signed one (RFC 9701) that can be believed")]
    Signed,
    /// A signed answer for somebody else (`introspection.audience`).
    #[error("the signed answer names another audience than `introspection.audience`")]
    Audience,
    /// A signed answer of another time.
    #[error("the signed answer was not made just now, or says that it has expired; compare the clocks")]
    Time,
    /// `active` is missing, or no boolean.
    #[error("the answer does not say whether the token is active")]
    Active,
    /// A member has the wrong type, or `jti` is missing: such a token could not be revoked.
    #[error("a member of the answer is missing or has the wrong type")]
    Member,
}

impl UnknownToken {
    fn new(token: &str, asked: Asked) -> Self {
        let text = token.into();
        Self { text, asked }
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
        &self.token.text
    }

    /// Who is to be asked.
    pub fn asked(&self) -> Asked {
        self.token.asked
    }

    /// What the requests wait for that bring this token.
    pub fn need(&self) -> Need {
        Need::Introspection(self.token.clone())
    }
}

impl Introspections {
    /// For the issuers of a configuration.
    pub(crate) fn new(issuers: &[Issuer]) -> Self {
        let endpoints = issuers.iter().enumerate();
        let mut prefixes: Vec<_> = endpoints
            .filter_map(|(index, issuer)| {
                let endpoint = issuer.introspection.as_ref()?;
                Some((endpoint.prefix.clone().unwrap_or_default(), index))
            })
            .collect();
        prefixes.sort_by_key(|(prefix, _)| std::cmp::Reverse(prefix.len()));
        Self {
            prefixes,
            ..Self::default()
        }
    }

    /// The feed told which tokens to ask about.
    pub(crate) fn set_kinds(&mut self, kinds: Introspection) {
        self.kinds = kinds;
    }

    /// Which tokens to ask about.
    pub(crate) fn kinds(&self) -> Introspection {
        self.kinds
    }

    /// Whom to ask about a token that we would refuse for this reason.
    pub(crate) fn concerns(&self, token: &str, refused: TokenError) -> Option<Asked> {
        match refused {
            TokenError::Jws(JwsError::NotCompact) if token.len() <= MAX_OPAQUE && !looks_like_jws(token) => {
                let mut prefixes = self.prefixes.iter();
                match prefixes.find(|(prefix, _)| token.starts_with(prefix)) {
                    Some((_, index)) => Some(Asked::Issuer(*index)),
                    None => self.kinds.opaque.then_some(Asked::AuthServer),
                }
            }
            TokenError::Jws(JwsError::Signature) | TokenError::Key | TokenError::Issuer => {
                (self.kinds.imported && of_the_system_before(token)).then_some(Asked::AuthServer)
            }
            _ => None,
        }
    }

    /// The token as a need, if its question is open or there is room for one more.
    pub(crate) fn need(&self, token: &str, asked: Asked) -> Option<Need> {
        let open = self.open.iter().find(|open| &*open.question.token.text == token);
        match open {
            Some(open) => Some(open.question.need()),
            None if self.room(asked) => Some(Need::Introspection(UnknownToken::new(token, asked))),
            None => None,
        }
    }

    /// Whether one more may be open there.
    fn room(&self, asked: Asked) -> bool {
        let most = match asked {
            Asked::AuthServer => MAX_OPEN,
            Asked::Issuer(_) => MAX_OPEN_ELSEWHERE,
        };
        let there = |open: &&Open| open.question.token.asked == asked;
        self.open.iter().filter(there).count() < most
    }

    /// Opens a question, unless it is open.
    pub(crate) fn want(&mut self, token: &UnknownToken) {
        if !self.room(token.asked) || self.is_open(token) {
            return;
        }
        self.numbered = self.numbered.wrapping_add(1);
        self.open.push(Open {
            question: Question {
                token: token.clone(),
                number: self.numbered,
            },
            sent: false,
            not_before: 0,
        });
    }

    /// Whether the question about this token is open.
    pub(crate) fn is_open(&self, token: &UnknownToken) -> bool {
        self.open.iter().any(|open| open.question.token == *token)
    }

    /// Whether a question has not been sent yet, of those that are put off, or of the others.
    pub(crate) fn wanted(&self, put_off: bool) -> bool {
        let mut unsent = self.open.iter().filter(|open| !open.sent);
        unsent.any(|open| (open.not_before > 0) == put_off)
    }

    /// Puts a question off that was to be sent.
    pub(crate) fn put_off(&mut self, question: &Question, until: u64) {
        for open in &mut self.open {
            if open.question.number == question.number {
                (open.sent, open.not_before) = (false, until);
            }
        }
    }

    /// The questions to send. They count as sent.
    pub(crate) fn due(&mut self, now: u64) -> Vec<Question> {
        let unsent = self.open.iter_mut().filter(|open| !open.sent && open.not_before <= now);
        unsent
            .map(|open| {
                open.sent = true;
                open.question.clone()
            })
            .collect()
    }

    /// Whether a question is open and was not forgotten meanwhile.
    pub(crate) fn still_asks(&self, question: &Question) -> bool {
        self.open.iter().any(|open| open.question.number == question.number)
    }

    /// Closes a question. `false`: it had been forgotten.
    pub(crate) fn close(&mut self, question: &Question) -> bool {
        let before = self.open.len();
        self.open.retain(|open| open.question.number != question.number);
        self.open.len() < before
    }

    /// Forgets the questions to one party.
    pub(crate) fn forget_asked(&mut self, asked: Asked) {
        self.open.retain(|open| open.question.token.asked != asked);
    }

    /// Forgets every question: an answer from before does not count any more.
    pub(crate) fn forget(&mut self) {
        self.open.clear();
    }
}

/// What is needed to read an answer.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Reading<'a> {
    /// The issuer that was asked, and its keys; `None`: our auth server.
    pub(crate) issuer: Option<(&'a Issuer, Option<&'a [Key]>)>,
    /// The upstream is to receive the answer itself, so it must be signed.
    pub(crate) signed: bool,
    pub(crate) compared: &'a [String],
    pub(crate) now: u64,
    pub(crate) leeway: u64,
    pub(crate) verifier: &'a Verifier,
}

/// What an answer says of a token that is good.
#[derive(Debug, PartialEq)]
pub(crate) struct Found {
    pub(crate) claims: Claims,
    /// Unix milliseconds until which it may be relied on.
    pub(crate) until: Option<u64>,
    /// The signed answer.
    pub(crate) jwt: Option<Box<str>>,
    /// What the issuer is called, if it is not our auth server.
    pub(crate) issuer: Option<String>,
}

/// Reads the answer to a question: who it is, or why the token is not good.
pub(crate) fn read(answer: &[u8], reading: &Reading<'_>) -> Result<Result<Found, TokenError>, AnswerError> {
    if answer.len() > MAX_ANSWER {
        return Err(AnswerError::TooLong);
    }
    let issuer = reading.issuer.map(|(issuer, _)| issuer);
    let signed = std::str::from_utf8(answer)
        .ok()
        .filter(|text| text.starts_with("eyJ"))
        .map(str::trim_ascii);
    let members = match signed {
        Some(text) => signed_answer::read(text, reading)?,
        None => json::object(answer).map_err(|_| AnswerError::NotAnObject)?,
    };
    match members.get("active").and_then(serde_json::Value::as_bool) {
        None => Err(AnswerError::Active),
        Some(false) => Ok(Err(TokenError::Inactive)),
        Some(true) if reading.signed && signed.is_none() => Err(AnswerError::Signed),
        Some(true) => match Claims::introspected(&members, issuer, reading.compared, reading.now, reading.leeway) {
            Ok(claims) => Ok(Ok(Found {
                until: issuer
                    .and_then(|issuer| issuer.introspection.as_ref())
                    .map(|endpoint| relied_on(&claims, endpoint, reading.now)),
                claims,
                jwt: signed.filter(|_| reading.signed).map(Into::into),
                issuer: issuer.and_then(|issuer| issuer.issuer.clone()),
            })),
            Err(ClaimsError::Malformed) => Err(AnswerError::Member),
            Err(error) => Ok(Err(error.into())),
        },
    }
}

/// Nobody tells us of revocations at another issuer, so what it said is asked again before long.
fn relied_on(claims: &Claims, endpoint: &IntrospectionEndpoint, now: u64) -> u64 {
    let longest = match claims.expires_at {
        Some(_) => endpoint.max_age.millis,
        None => endpoint.max_age.millis.min(WITHOUT_EXPIRY),
    };
    now.saturating_add(longest)
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
            let need = asked.need(&format!("token-{n}"), Asked::AuthServer);
            let Some(Need::Introspection(token)) = need else {
                panic!("{n}: {need:?}")
            };
            asked.want(&token);
            asked.want(&token);
        }
        assert_eq!(asked.need("one-more", Asked::AuthServer), None);
        assert!(
            asked.need("token-0", Asked::AuthServer).is_some(),
            "it is being asked about"
        );
        let due = asked.due(1);
        assert_eq!(
            (due.len(), asked.due(1).len(), asked.wanted(false)),
            (MAX_OPEN, 0, false)
        );
        // Another VM asks: this one looks again.
        asked.put_off(&due[3], 7);
        assert_eq!(
            (asked.wanted(false), asked.wanted(true), asked.due(6).len()),
            (false, true, 0)
        );
        assert_eq!((asked.due(7).len(), asked.wanted(true)), (1, false));
        assert!(asked.close(&due[0]));
        assert!(!asked.close(&due[0]));
        assert!(asked.need("one-more", Asked::AuthServer).is_some());
        asked.forget();
        assert!(!asked.close(&due[1]), "an answer from before");
    }

    #[test]
    fn who_does_not_answer_takes_no_room_of_others() {
        let mut asked = Introspections::default();
        let mut open = |asked_of: Asked, most: usize| {
            for n in 0..most {
                let need = asked.need(&format!("{asked_of:?}-{n}"), asked_of);
                let Some(Need::Introspection(token)) = need else {
                    panic!("{asked_of:?} {n}: {need:?}")
                };
                asked.want(&token);
            }
            assert_eq!(asked.need("one-more", asked_of), None, "{asked_of:?}");
        };
        open(Asked::Issuer(0), MAX_OPEN / 2);
        open(Asked::Issuer(1), MAX_OPEN / 2);
        open(Asked::AuthServer, MAX_OPEN);
    }

    #[test]
    fn a_token_is_not_shown() {
        let token = UnknownToken::new("secret", Asked::AuthServer);
        assert!(!format!("{:?}", Need::Introspection(token)).contains("secret"));
    }

    #[test]
    fn an_answer_is_read_strictly() {
        let reading = Reading {
            issuer: None,
            signed: false,
            compared: &[],
            now: 10_000,
            leeway: 0,
            verifier: &Verifier::default(),
        };
        let read = |answer: &str| {
            let found = read(answer.as_bytes(), &reading)?;
            Ok(found.map(|found| found.claims))
        };
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
                ..Claims::default()
            }
        );
    }
}
