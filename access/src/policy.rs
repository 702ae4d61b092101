//! The heart: may this request pass?
//!
//! In this order, cheapest and safest first: canonical path (or 400) → public route → exactly one token → known, or
//! verified now → revoked → who is calling, with the authorities that hold now → what the path requires → the answer.
//!
//! What a path requires is asked of the configuration first (`public` and `rules`, the most specific pattern of both); only
//! a path that nothing there names is looked up in the permission table of the login service; what that does not name
//! either is `unmatched`: refused, unless the configuration says otherwise.

use std::rc::Rc;

use crate::claims::{Claims, ClaimsError};
use crate::config::{Config, Rule, Unmatched};
use crate::denial::{Denial, Unavailable};
use crate::introspection::{self, AnswerError, Question, UnknownToken};
use crate::jwk::{JwkError, Key};
use crate::jws::{JwsError, Unverified};
use crate::path;
use crate::permission::{ClaimCondition, Conditions, Expected, Lacks};
use crate::principal::{Caller, Principal};
use crate::request::{Presented, Reader, Request, Shape, well_formed};
use crate::revocation::Marks;
use crate::route::{Pattern, Routes};
use crate::state::{NoCaller, State};

/// A compiled configuration. It never changes; what changes is in [`State`].
#[derive(Debug)]
pub struct Policy {
    config: Config,
    reader: Reader,
    routes: Routes<Requirement>,
    any_token: Conditions,
    /// The claims that rules compare.
    compared: Vec<String>,
}

/// What a path of the configuration requires.
#[derive(Debug, Clone)]
enum Requirement {
    Public,
    Token(Conditions),
}

/// May it pass?
#[derive(Debug)]
pub enum Decision {
    /// Yes.
    Allow(Allowed),
    /// No.
    Deny(Denial),
    /// That cannot be said before this is known. Fetch it, and decide again; if it cannot be had, refuse with
    /// [`Need::unavailable`].
    Need(Need),
}

/// A request that may pass.
#[derive(Debug)]
pub struct Allowed {
    /// Who is calling; `None` on a public path.
    pub caller: Option<Caller>,
    /// `:path` in canonical form, when it differs from what came: this is what must go upstream.
    pub rewritten: Option<String>,
}

/// What a decision waits for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Need {
    /// The first snapshots of the feeds.
    Snapshots,
    /// The key set of the issuer with this index.
    Keys(usize),
    /// What this user may do now.
    Authorities(String),
    /// What the auth server says of this token.
    Introspection(UnknownToken),
}

impl Need {
    /// The refusal when it cannot be had.
    pub fn unavailable(&self) -> Denial {
        Denial::Unavailable(match self {
            Need::Snapshots => Unavailable::NoSnapshot,
            Need::Keys(_) => Unavailable::Keys,
            Need::Authorities(_) => Unavailable::Authorities,
            Need::Introspection(_) => Unavailable::Introspection,
        })
    }
}

/// Why a token is not good.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TokenError {
    /// Not a well-formed, rightly signed JWS.
    #[error(transparent)]
    Jws(#[from] JwsError),
    /// Its claims do not hold.
    #[error(transparent)]
    Claims(#[from] ClaimsError),
    /// `iss` names nobody we know, or is missing.
    #[error("the token's issuer is not known")]
    Issuer,
    /// The issuer has no such key.
    #[error("the issuer has no key that fits the token")]
    Key,
    /// It was good once.
    #[error("the token has been revoked")]
    Revoked,
    /// The auth server was asked, and said no.
    #[error("the auth server does not know the token, or not any more")]
    Inactive,
}

/// What is wrong with a configuration, and where: `rules[3].path: …`.
#[derive(Debug, thiserror::Error)]
#[error("plugin configuration: {key}: {message}")]
pub struct ConfigError {
    /// The key's path.
    pub key: String,
    /// A sentence.
    pub message: String,
}

/// How long a refused token is remembered, in milliseconds: a client that repeats a forgery costs a lookup.
const REMEMBER_BAD: u64 = 10_000;

/// How many keys are tried for a token that names none. Only legacy issuers have several: after each rotation one more,
/// until the last token signed with it has expired. The auth server keeps no more than half as many.
const MAX_TRIES: usize = 64;

impl Policy {
    /// Reads and compiles a plugin configuration.
    pub fn parse(json: &[u8]) -> Result<Self, ConfigError> {
        let mut deserializer = serde_json::Deserializer::from_slice(json);
        let config: Config = serde_path_to_error::deserialize(&mut deserializer).map_err(config_error)?;
        deserializer.end().map_err(|error| ConfigError {
            key: ".".into(),
            message: error.to_string(),
        })?;
        Self::compile(config)
    }

    /// Compiles a configuration.
    pub fn compile(config: Config) -> Result<Self, ConfigError> {
        let mut routes = Routes::default();
        for (index, text) in config.public.iter().enumerate() {
            let key = || format!("public[{index}]");
            let (method, pattern) = match text.split_once(' ') {
                Some((method, pattern)) => (Some(check_method(method, key)?), pattern.trim_start()),
                None => (None, text.as_str()),
            };
            let pattern = Pattern::parse(pattern).map_err(|error| at(key, error))?;
            put(&mut routes, &pattern, method, Requirement::Public, key)?;
        }
        for (index, rule) in config.rules.iter().enumerate() {
            let key = |part: &str| format!("rules[{index}].{part}");
            let pattern = Pattern::parse(&rule.path).map_err(|error| at(|| key("path"), error))?;
            let conditions = conditions(rule, &pattern).map_err(|(part, message)| ConfigError {
                key: key(part),
                message,
            })?;
            if rule.methods.is_empty() {
                put(
                    &mut routes,
                    &pattern,
                    None,
                    Requirement::Token(conditions.clone()),
                    || key("path"),
                )?;
            }
            for method in &rule.methods {
                let method = check_method(method, || key("methods"))?;
                put(
                    &mut routes,
                    &pattern,
                    Some(method),
                    Requirement::Token(conditions.clone()),
                    || key("path"),
                )?;
            }
        }
        for (index, issuer) in config.issuers.iter().enumerate() {
            if let crate::config::Jwks::Inline { inline } = &issuer.jwks {
                crate::jwk::key_set(inline)
                    .map_err(|error: JwkError| at(|| format!("issuers[{index}].jwks"), error))?;
            }
        }
        let nowhere = config.token.header.is_none() && config.token.cookie.is_none() && config.token.query.is_none();
        if nowhere {
            let message = "no place is left where a token could stand; name a header, a cookie or a query parameter";
            return Err(ConfigError {
                key: "token".into(),
                message: message.into(),
            });
        }
        let mut compared: Vec<String> = config
            .rules
            .iter()
            .flat_map(|rule| rule.claims.keys().cloned())
            .collect();
        compared.sort_unstable();
        compared.dedup();
        Ok(Self {
            reader: Reader::new(&config),
            config,
            routes,
            any_token: Conditions::default(),
            compared,
        })
    }

    /// The configuration it was compiled from.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// Reads a request from its headers, pseudo-headers included, names in lower case.
    pub fn read<'a>(&self, headers: impl Iterator<Item = (&'a [u8], &'a [u8])>) -> Request<'a> {
        self.reader.read(headers)
    }

    /// Whether only we may set a header of this name.
    pub fn is_identity(&self, name: &[u8]) -> bool {
        self.reader.is_identity(name)
    }

    /// May this request pass? `now` is in Unix milliseconds.
    pub fn decide(&self, request: &Request<'_>, state: &mut State, now: u64) -> Decision {
        self.try_decide(request, state, now)
            .unwrap_or_else(|refused| match refused {
                Refused::Deny(denial) => Decision::Deny(denial),
                Refused::Need(need) => Decision::Need(need),
            })
    }

    fn try_decide(&self, request: &Request<'_>, state: &mut State, now: u64) -> Result<Decision, Refused> {
        let target = path::canonical(request.target).map_err(Denial::from)?;
        let method = std::str::from_utf8(request.method).map_err(|_| Denial::Method)?;
        let required = self.routes.find(&target.path, method);
        if let Some(Requirement::Public) = required {
            return Ok(Decision::Allow(Allowed {
                caller: None,
                rewritten: target.rewritten(),
            }));
        }
        let token = match self.reader.token(request, target.query) {
            Presented::One(token) => token,
            Presented::None => return Err(Denial::NoToken.into()),
            Presented::Several => return Err(Denial::SeveralTokens.into()),
        };
        state.available(now).map_err(|unavailable| match unavailable {
            Unavailable::NoSnapshot => Refused::Need(Need::Snapshots),
            other => Refused::Deny(Denial::Unavailable(other)),
        })?;
        let principal = self.principal(token, state, now)?;
        if state.revocations.revoked(&principal.marks, principal.claims.issued_at) {
            return Err(bad_token(TokenError::Revoked, &String::from_utf8_lossy(token)));
        }
        let caller = state.caller(&principal).map_err(|unknown| match unknown {
            NoCaller::Changed(user) => Refused::Need(Need::Authorities(user)),
            NoCaller::Gone => bad_token(TokenError::Revoked, &String::from_utf8_lossy(token)),
        })?;
        let conditions = match required {
            Some(Requirement::Token(conditions)) => conditions,
            _ => match (state.permissions.find(&target.path, method), self.config.unmatched) {
                (Some(conditions), _) => conditions,
                (None, Unmatched::Authenticated) => &self.any_token,
                (None, Unmatched::Deny) => return Err(Denial::Forbidden.into()),
            },
        };
        conditions.check(&caller, &target.path).map_err(|lacks| match lacks {
            Lacks::Permission => Denial::Forbidden,
            Lacks::Scope(scope) => Denial::Scope(scope),
        })?;
        Ok(Decision::Allow(Allowed {
            caller: Some(caller),
            rewritten: target.rewritten(),
        }))
    }

    /// Takes what the auth server answered to a question about a token (RFC 7662 section 2.2). After an error nothing is
    /// known of the token: refuse who waits for it with [`Need::unavailable`] of [`Question::need`].
    pub fn introspected(
        &self,
        question: &Question,
        answer: &[u8],
        state: &mut State,
        now: u64,
    ) -> Result<(), AnswerError> {
        if !state.introspections.close(question) {
            // The keys changed meanwhile: who still waits asks again.
            return Ok(());
        }
        match introspection::read(answer, &self.compared, now, self.config.leeway.millis)? {
            Ok(claims) => drop(self.remember(question.token(), claims, true, state)),
            Err(error) => remember_bad(question.token(), error, state, now),
        }
        Ok(())
    }

    /// Who a token speaks of: known, or verified now.
    fn principal(&self, token: &[u8], state: &mut State, now: u64) -> Result<Rc<Principal>, Refused> {
        if let Some(principal) = state.tokens.get(token) {
            let principal = principal.clone();
            if let Err(error) = principal.claims.check_expiry(now, self.config.leeway.millis) {
                state.tokens.forget(token);
                return Err(bad_token(error.into(), &String::from_utf8_lossy(token)));
            }
            return Ok(principal);
        }
        if let Some(&(error, until)) = state.refused.get(token)
            && until > now
        {
            return Err(bad_token(error, &String::from_utf8_lossy(token)));
        }
        let token = match well_formed(token) {
            Shape::Token(token) => token,
            Shape::Several => return Err(Denial::SeveralTokens.into()),
            Shape::Malformed(presented) => return Err(bad_token(TokenError::Jws(JwsError::NotCompact), &presented)),
        };
        let error = match self.verify(token, state, now) {
            Ok((claims, ours)) => return Ok(self.remember(token, claims, ours, state)),
            Err(Unproven::Bad(error)) => error,
            Err(Unproven::Keys(index)) => {
                state.want_keys(index, now);
                return Err(Refused::Need(Need::Keys(index)));
            }
        };
        if state.introspections.concerns(token, error) {
            return Err(match state.introspections.need(token) {
                Some(need) => Refused::Need(need),
                None => Refused::Deny(Denial::Unavailable(Unavailable::Busy)),
            });
        }
        remember_bad(token, error, state, now);
        Err(bad_token(error, token))
    }

    /// Remembers who a good token speaks of. `ours`: it is one of our own auth server.
    fn remember(&self, token: &str, claims: Claims, ours: bool, state: &mut State) -> Rc<Principal> {
        // What our servers say of a user or a token id says nothing of somebody else's.
        let marks = if ours {
            state.revocations.marks(&claims)
        } else {
            Marks::default()
        };
        let ours = ours && !claims.foreign_user;
        let principal = Rc::new(Principal::new(claims, marks, ours, &self.config.forward));
        state.tokens.put(token.as_bytes(), principal.clone());
        principal
    }

    /// Signature, issuer, audience and times; and whether the token is one of our own auth server.
    fn verify(&self, token: &str, state: &State, now: u64) -> Result<(Claims, bool), Unproven> {
        let unverified = Unverified::parse(token)?;
        let claimed = unverified.claimed_issuer()?;
        let mut error = TokenError::Issuer;
        for (index, known) in state.issuers().filter(|(_, known)| known.issuer.issuer == claimed) {
            let Some(keys) = &known.keys else {
                return Err(Unproven::Keys(index));
            };
            let candidates = candidates(keys, &unverified);
            if candidates.is_empty() {
                if state.keys_may_change(index, now) {
                    return Err(Unproven::Keys(index));
                }
                error = TokenError::Key;
            }
            for key in candidates {
                match unverified.verify(key) {
                    Ok(verified) => {
                        let leeway = self.config.leeway.millis;
                        let claims = Claims::read(&verified, &known.issuer, &self.compared, now, leeway)?;
                        return Ok((claims, state.is_ours(index)));
                    }
                    Err(refused) => error = refused.into(),
                }
            }
        }
        Err(error.into())
    }
}

/// The keys that may have signed a token: the one it names; or, if it names none, those without a name, or else the only
/// one of its algorithm. There is no falling back from a named key to another.
fn candidates<'k>(keys: &'k [Key], token: &Unverified<'_>) -> Vec<&'k Key> {
    let fits = |key: &&Key| key.algorithm() == token.algorithm();
    match token.key_id() {
        Some(id) => keys
            .iter()
            .filter(fits)
            .filter(|key| key.id() == Some(id))
            .take(1)
            .collect(),
        None => {
            let unnamed: Vec<_> = keys
                .iter()
                .filter(fits)
                .filter(|key| key.id().is_none())
                .take(MAX_TRIES)
                .collect();
            let mut named = keys.iter().filter(fits);
            match (unnamed.is_empty(), named.next(), named.next()) {
                (true, Some(only), None) => vec![only],
                _ => unnamed,
            }
        }
    }
}

enum Refused {
    Deny(Denial),
    Need(Need),
}

impl From<Denial> for Refused {
    fn from(denial: Denial) -> Self {
        Refused::Deny(denial)
    }
}

enum Unproven {
    Bad(TokenError),
    Keys(usize),
}

impl<E: Into<TokenError>> From<E> for Unproven {
    fn from(error: E) -> Self {
        Unproven::Bad(error.into())
    }
}

fn remember_bad(token: &str, error: TokenError, state: &mut State, now: u64) {
    // A key or a start time may come any moment; everything else stays as it is.
    if !matches!(error, TokenError::Key | TokenError::Claims(ClaimsError::NotYet)) {
        let until = now.saturating_add(REMEMBER_BAD);
        state.refused.put(token.as_bytes(), (error, until));
    }
}

fn bad_token(reason: TokenError, presented: &str) -> Refused {
    Refused::Deny(Denial::BadToken {
        reason,
        presented: presented.into(),
    })
}

/// The host hands the configuration over in a form of its own, so a line and column in it would only mislead.
fn config_error(error: serde_path_to_error::Error<serde_json::Error>) -> ConfigError {
    let message = error.inner().to_string();
    let message = message.split(" at line ").next().unwrap_or(&message).to_owned();
    ConfigError {
        key: error.path().to_string(),
        message,
    }
}

fn at(key: impl FnOnce() -> String, error: impl ToString) -> ConfigError {
    ConfigError {
        key: key(),
        message: error.to_string(),
    }
}

fn put(
    routes: &mut Routes<Requirement>,
    pattern: &Pattern,
    method: Option<&str>,
    requirement: Requirement,
    key: impl FnOnce() -> String,
) -> Result<(), ConfigError> {
    let mut fresh = false;
    routes.entry(pattern, method, || {
        fresh = true;
        requirement
    });
    if fresh {
        Ok(())
    } else {
        Err(at(key, "the same pattern and method stand there twice"))
    }
}

fn check_method(method: &str, key: impl FnOnce() -> String) -> Result<&str, ConfigError> {
    if !method.is_empty() && method.bytes().all(|byte| byte.is_ascii_uppercase()) {
        Ok(method)
    } else {
        Err(at(
            key,
            format!("`{method}` is not a method; write it in capital letters, as in `GET /health`"),
        ))
    }
}

/// What a rule requires; or the part of it that is wrong, and why.
fn conditions(rule: &Rule, pattern: &Pattern) -> Result<Conditions, (&'static str, String)> {
    let claims = rule.claims.iter().map(|(claim, expected)| {
        let expected = match expected.strip_prefix('{').and_then(|name| name.strip_suffix('}')) {
            Some(name) if pattern.names(name) => Expected::Segment(pattern.clone(), name.into()),
            Some(name) => return Err(("claims", format!("`{{{name}}}` is no segment of `{}`", rule.path))),
            None => Expected::Text(expected.clone()),
        };
        Ok(ClaimCondition {
            claim: claim.clone(),
            expected,
        })
    });
    let requires = !rule.any_authority.is_empty()
        || !rule.all_authorities.is_empty()
        || !rule.scopes.is_empty()
        || !rule.claims.is_empty();
    if rule.deny && requires {
        let message = "it stands alone: who would meet the other requirements is refused all the same";
        return Err(("deny", message.into()));
    }
    Ok(Conditions {
        deny: rule.deny,
        any_authority: rule.any_authority.clone(),
        all_authorities: rule.all_authorities.clone(),
        scopes: rule.scopes.clone(),
        claims: claims.collect::<Result<_, _>>()?,
    })
}
