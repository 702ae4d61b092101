//! Who a token speaks of: known from before, verified now, or said by the auth server.

use std::rc::Rc;

use super::{Need, Policy, Refused, bad_token};
use crate::claims::{Claims, ClaimsError};
use crate::denial::{Denial, Unavailable};
use crate::forwarded::Authorization;
use crate::introspection::{self, AnswerError, Asked, Found as Answered, Question, Reading};
use crate::jwk::Key;
use crate::jws::{JwsError, NoKey, Unverified};
use crate::principal::Principal;
use crate::remote_keys::NamedKey;
use crate::request::{Shape, well_formed};
use crate::revocation::Marks;
use crate::state::State;

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
    /// The issuer has several keys that the token could mean.
    #[error("the issuer has several keys that fit the token")]
    AmbiguousKey,
    /// It was good once.
    #[error("the token has been revoked")]
    Revoked,
    /// The auth server was asked, and said no.
    #[error("the auth server does not know the token, or not any more")]
    Inactive,
    /// It is bound to a key, and came without the proof of it (RFC 9449 section 7.2).
    #[error("the token is bound to a key and is no bearer token")]
    BoundToKey,
    /// It is bound to a certificate, and this connection has none or another one (RFC 8705 section 3).
    #[error("the token is bound to a client certificate that this connection does not have")]
    BoundToCertificate,
    /// It says `DPoP` and is bound to no key (RFC 9449 section 7.1).
    #[error("the token is not bound to a key, and DPoP would prove nothing")]
    NotBound,
}

/// How long a refused token is remembered, in milliseconds: a client that repeats a forgery costs a lookup.
const REMEMBER_BAD: u64 = 10_000;

/// How many keys are tried for a token that names none. Only legacy issuers have several: after each rotation one more,
/// until the last token signed with it has expired. The auth server keeps no more than half as many.
const MAX_TRIES: usize = 64;

impl Policy {
    /// Who a token speaks of: known, or verified now.
    pub(super) fn principal(&self, token: &[u8], state: &mut State, now: u64) -> Result<Rc<Principal>, Refused> {
        if let Some(principal) = state.tokens.get(token) {
            let principal = principal.clone();
            if let Err(error) = principal.claims.check_expiry(now, self.config.leeway.millis) {
                state.tokens.forget(token);
                return Err(bad_token(error.into(), &String::from_utf8_lossy(token)));
            }
            if principal.until.is_none_or(|until| now < until) {
                return Ok(principal);
            }
            state.tokens.forget(token);
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
            Ok((claims, ours, issuer)) => {
                let found = Answered {
                    claims,
                    until: None,
                    jwt: None,
                    issuer: if ours { None } else { issuer },
                };
                return Ok(self.remember(token, found, ours, state));
            }
            Err(Unproven::Bad(error)) => error,
            Err(Unproven::Keys(index, key)) => {
                state.want_keys(index, key, now);
                return Err(Refused::Need(Need::Keys(index)));
            }
        };
        if let Some(asked) = state.introspections.concerns(token, error) {
            return Err(match state.introspections.need(token, asked) {
                Some(need) => Refused::Need(need),
                None => Refused::Deny(Denial::Unavailable(Unavailable::Busy)),
            });
        }
        remember_bad(token, error, state, now);
        Err(bad_token(error, token))
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
        let issuer = match question.asked() {
            Asked::AuthServer => None,
            Asked::Issuer(index) => state.issuer(index),
        };
        let reading = Reading {
            issuer: issuer.map(|known| (&*known.issuer, known.issuer.jwks.as_ref().and_then(|_| known.keys(now)))),
            signed: self.config.forward.authorization == Authorization::Jwt,
            compared: &self.compared,
            now,
            leeway: self.config.leeway.millis,
            verifier: &state.verifier,
        };
        match introspection::read(answer, &reading)? {
            Ok(found) => drop(self.remember(question.token(), found, issuer.is_none(), state)),
            Err(error) => remember_bad(question.token(), error, state, now),
        }
        Ok(())
    }

    /// Remembers who a good token speaks of. `ours`: it is one of our own auth server.
    fn remember(&self, token: &str, found: Answered, ours: bool, state: &mut State) -> Rc<Principal> {
        let Answered {
            claims,
            until,
            jwt,
            issuer,
        } = found;
        // What our servers say of a user or a token id says nothing of somebody else's.
        let marks = if ours {
            state.revocations.marks(&claims)
        } else {
            Marks::default()
        };
        let ours = ours && !claims.foreign_user;
        let mut principal = Principal::new(claims, marks, ours, &self.config.forward);
        principal.issuer = issuer;
        principal.until = until;
        principal.jwt = jwt;
        let principal = Rc::new(principal);
        state
            .tokens
            .put_with(token.as_bytes(), principal.size(), principal.clone());
        principal
    }

    /// Signature, issuer, audience and times; whether the token is one of our own auth server, and what its issuer is called.
    fn verify(&self, token: &str, state: &State, now: u64) -> Result<(Claims, bool, Option<String>), Unproven> {
        let unverified = Unverified::parse(token)?;
        let claimed = unverified.claimed_issuer()?;
        let mut error = TokenError::Issuer;
        let named = || state.issuers().filter(|(_, known)| known.issuer.issuer == claimed);
        // What our auth server says of an issuer of its own holds, keys and revocations alike. An entry of the configuration
        // with that name can only ask for more.
        let ours = named().any(|(index, _)| state.is_ours(index));
        for (index, known) in named().filter(|(index, _)| state.is_ours(*index) == ours) {
            let Some(keys) = known.keys(now) else {
                return Err(Unproven::Keys(index, None));
            };
            let candidates = match candidates(keys, &unverified, state.is_ours(index)) {
                Ok(candidates) => candidates,
                Err(NoKey::Ambiguous) => return Err(TokenError::AmbiguousKey.into()),
                Err(NoKey::Unknown) => {
                    let key = NamedKey {
                        algorithm: unverified.algorithm(),
                        id: unverified.key_id().map(str::to_owned),
                    };
                    if state.key_may_come(index, &key, now) {
                        return Err(Unproven::Keys(index, Some(key)));
                    }
                    error = TokenError::Key;
                    continue;
                }
                Err(NoKey::Algorithm) => {
                    error = TokenError::Key;
                    continue;
                }
            };
            for key in candidates {
                match unverified.verify(key, &state.verifier) {
                    Ok(verified) => {
                        let leeway = self.config.leeway.millis;
                        let claims = Claims::read(&verified, &known.issuer, &self.compared, now, leeway)?;
                        for (_, stricter) in named().filter(|(index, _)| ours && !state.is_ours(*index)) {
                            Claims::read(&verified, &stricter.issuer, &self.compared, now, leeway)?;
                        }
                        return Ok((claims, ours, claimed));
                    }
                    Err(refused) => error = refused.into(),
                }
            }
        }
        Err(error.into())
    }
}

/// The keys that may have signed a token: [`Unverified::key`]; but of our own auth server, whose legacy tokens name none,
/// all that have no name either.
fn candidates<'k>(keys: &'k [Key], token: &Unverified<'_>, ours: bool) -> Result<Vec<&'k Key>, NoKey> {
    if ours && token.key_id().is_none() {
        let unnamed = keys
            .iter()
            .filter(|key| key.id().is_none() && key.fits(token.algorithm()));
        let unnamed: Vec<_> = unnamed.take(MAX_TRIES).collect();
        if !unnamed.is_empty() {
            return Ok(unnamed);
        }
    }
    token.key(keys).map(|key| vec![key])
}

enum Unproven {
    Bad(TokenError),
    /// The issuer with this index has no keys yet, or not this one.
    Keys(usize, Option<NamedKey>),
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
