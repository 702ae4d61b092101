//! The heart: may this request pass?
//!
//! In this order, cheapest and safest first: canonical path (or 400) → public route → exactly one token → known, or
//! verified now → revoked → who is calling, with the authorities that hold now → what the path requires → the answer.
//!
//! What a path requires is asked of the configuration first (`public` and `rules`, the most specific pattern of both); only
//! a path that nothing there names is looked up in the permission table of the login service; what that does not name
//! either is `unmatched`: refused, unless the configuration says otherwise.

use std::borrow::Cow;
use std::rc::Rc;

use crate::challenge;
use crate::claims::{Claims, ClaimsError};
use crate::config::{Config, Mode, Unmatched};
use crate::config_check;
use crate::config_text;
pub use crate::config_text::ConfigError;
use crate::denial::{Answer, Denial, Unavailable};
use crate::dpop::{self, Dpop, ProofError, Scheme};
use crate::forwarded::{Authorization, Unchecked};
use crate::introspection::{self, AnswerError, Asked, Found as Answered, Question, Reading, UnknownToken};
use crate::jwk::Key;
use crate::jws::{JwsError, NoKey, Unverified};
use crate::path;
use crate::permission::{Conditions, Lacks};
use crate::principal::{Caller, Principal};
use crate::remote_keys::NamedKey;
use crate::replay::UsedProof;
use crate::request::{Certificate, Found, Place, Presented, Reader, Request, Shape, well_formed};
use crate::revocation::Marks;
use crate::state::{NoCaller, State};
use crate::streamed;
pub use crate::table::Decider;
use crate::table::{Requirement, Table};

/// A compiled configuration. It never changes; what changes is in [`State`].
#[derive(Debug)]
pub struct Policy {
    config: Config,
    reader: Reader,
    table: Table,
    any_token: Conditions,
    dpop: Dpop,
    /// The claims that rules compare.
    compared: Vec<String>,
}

/// How far a decision came, and by what: for logs, metrics and explanations.
#[derive(Debug, Default)]
pub struct Trace {
    /// What decided; `None` if the request was refused before anything was looked up.
    pub decider: Option<Decider>,
    /// Who the token speaks of, once it was found good.
    pub principal: Option<Rc<Principal>>,
    pub(crate) caller: Option<Caller>,
    pub(crate) rewritten: Option<String>,
    /// A proof that was good, whatever came after it.
    pub(crate) proof: Option<UsedProof>,
    pub(crate) shadow: bool,
}

impl Trace {
    /// Whether the rule that decided only reports.
    pub fn shadows(&self) -> bool {
        self.shadow
    }
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
    /// In shadow mode: what would have become of it otherwise. Such a request never waits.
    pub shadowed: Option<Shadowed>,
    /// A proof that must not have been used before: [`State::remember`], and what other VMs remember. Who does not look
    /// lets replays pass.
    pub proof: Option<UsedProof>,
    /// On a public path: what becomes of the token that nobody looked at.
    pub(crate) public: Option<Unchecked>,
}

/// What a request that passes in shadow mode would have met.
#[derive(Debug)]
pub enum Shadowed {
    /// A refusal.
    Denial(Denial),
    /// That cannot be said before this is known. Fetch it for the requests that will come.
    Need(Need),
}

/// What a decision waits for.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Need {
    /// The first snapshots of the feeds.
    Snapshots,
    /// The key set of the issuer with this index.
    Keys(usize),
    /// What this user may do now.
    Authorities(String),
    /// What the auth server says of this token.
    Introspection(UnknownToken),
    /// The certificate of the client, of the host: put it into the request and decide again at once.
    ClientCertificate,
}

impl Need {
    /// The refusal when it cannot be had.
    pub fn unavailable(&self) -> Denial {
        Denial::Unavailable(match self {
            Need::Snapshots => Unavailable::NoSnapshot,
            Need::Keys(_) => Unavailable::Keys,
            Need::Authorities(_) => Unavailable::Authorities,
            Need::Introspection(_) => Unavailable::Introspection,
            Need::ClientCertificate => Unavailable::Certificate,
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
    /// Reads and compiles a plugin configuration.
    pub fn parse(json: &[u8]) -> Result<Self, ConfigError> {
        match streamed::read(json) {
            Some((config, table)) => Self::compile_with(config, table),
            None => Self::compile(config_text::read(json)?),
        }
    }

    /// Compiles a configuration.
    pub fn compile(mut config: Config) -> Result<Self, ConfigError> {
        let mut table = Table::default();
        table.add_rules(std::mem::take(&mut config.rules))?;
        Self::compile_with(config, table)
    }

    /// Compiles the rest of a configuration whose rules are in the table.
    fn compile_with(mut config: Config, mut table: Table) -> Result<Self, ConfigError> {
        let tokens = config.forward.authorization.unchecked();
        table.add_all_public(std::mem::take(&mut config.public), tokens)?;
        let compared = table.compared().map(str::to_owned).collect();
        config_check::check(&mut config)?;
        Ok(Self {
            reader: Reader::new(&config),
            dpop: config.dpop.clone().unwrap_or_default(),
            config,
            table,
            any_token: Conditions::default(),
            compared,
        })
    }

    /// The configuration it was compiled from, without `public` and `rules`, which were compiled.
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

    /// What a rule is called: by its `name`, or by its place.
    pub fn name_of(&self, decider: Decider) -> Cow<'_, str> {
        match self.table.name_of(decider) {
            Some(name) => name.into(),
            None => decider.to_string().into(),
        }
    }

    /// Whether some entry of the configuration is for some hosts only; if not, the host of a request is not looked at.
    pub fn by_host(&self) -> bool {
        self.table.by_host()
    }

    /// How many rules there are.
    pub fn rules(&self) -> usize {
        self.table.rules()
    }

    /// May this request pass? `now` is in Unix milliseconds.
    pub fn decide(&self, request: &Request<'_>, state: &mut State, now: u64) -> Decision {
        self.trace(request, state, now, &mut Trace::default())
    }

    /// [`Policy::decide`], which notes by what it decided. `trace` begins empty.
    pub fn trace(&self, request: &Request<'_>, state: &mut State, now: u64, trace: &mut Trace) -> Decision {
        match self.try_decide(request, state, now, trace) {
            Ok(allowed) => Decision::Allow(allowed),
            Err(refused) if trace.shadow || self.config.mode == Mode::Shadow => Decision::Allow(Allowed {
                caller: trace.caller.take(),
                rewritten: trace.rewritten.take(),
                shadowed: Some(match refused {
                    Refused::Deny(denial) => Shadowed::Denial(denial),
                    Refused::Need(need) => Shadowed::Need(need),
                }),
                // It is used up by this request too: the upstream is told whose it is.
                proof: trace.proof.take(),
                public: None,
            }),
            Err(Refused::Deny(denial)) => Decision::Deny(denial),
            Err(Refused::Need(need)) => Decision::Need(need),
        }
    }

    fn try_decide(
        &self,
        request: &Request<'_>,
        state: &mut State,
        now: u64,
        trace: &mut Trace,
    ) -> Result<Allowed, Refused> {
        let target = path::canonical(request.target).map_err(Denial::from)?;
        trace.rewritten = target.rewritten();
        let method = request.method().ok_or(Denial::Method)?;
        let host = if self.table.by_host() {
            request.host().map_err(Denial::from)?
        } else {
            "".into()
        };
        let entry = self.table.find(&target.path, &host, method);
        if let Some(entry) = entry {
            trace.decider = Some(entry.decider);
            trace.shadow = entry.shadow;
        }
        if let Some(Requirement::Public(tokens)) = entry.map(|entry| &entry.requirement) {
            return Ok(Allowed {
                caller: None,
                rewritten: trace.rewritten.take(),
                shadowed: None,
                proof: None,
                public: Some(*tokens),
            });
        }
        let (token, dpop) = match self.reader.token(request, target.query) {
            Presented::One(token) => (token, false),
            Presented::Dpop(token) => (token, true),
            Presented::None => return Err(Denial::NoToken.into()),
            Presented::Several => return Err(Denial::SeveralTokens.into()),
        };
        state.available(now).map_err(|unavailable| match unavailable {
            Unavailable::NoSnapshot => Refused::Need(Need::Snapshots),
            other => Refused::Deny(Denial::Unavailable(other)),
        })?;
        let principal = self.principal(token, state, now)?;
        trace.principal = Some(principal.clone());
        if state.revocations.revoked(&principal.marks, principal.claims.issued_at) {
            return Err(bad_token(TokenError::Revoked, &String::from_utf8_lossy(token)));
        }
        trace.proof = self.check_sender(request, method, &target.path, token, dpop, &principal, state, now)?;
        let caller = state.caller(&principal).map_err(|unknown| match unknown {
            NoCaller::Changed(user) => Refused::Need(Need::Authorities(user)),
            NoCaller::Gone => bad_token(TokenError::Revoked, &String::from_utf8_lossy(token)),
        })?;
        let caller = trace.caller.insert(caller);
        let conditions = match entry.map(|entry| &entry.requirement) {
            Some(Requirement::Token(conditions)) => conditions,
            _ => match (
                state.permissions.find(&target.path, &host, method),
                self.config.unmatched,
            ) {
                (Some(conditions), _) => {
                    trace.decider = Some(Decider::Permissions);
                    conditions
                }
                (None, unmatched) => {
                    trace.decider = Some(Decider::Unmatched);
                    match unmatched {
                        Unmatched::Authenticated => &self.any_token,
                        Unmatched::Deny => return Err(Denial::Forbidden.into()),
                    }
                }
            },
        };
        let leeway = self.config.leeway.millis;
        conditions
            .check(caller, &target.path, now, leeway)
            .map_err(|lacks| match lacks {
                Lacks::Permission => Denial::Forbidden,
                Lacks::Scope(scope) => Denial::Scope(scope),
                Lacks::Authentication(login) => Denial::StepUp(login),
            })?;
        Ok(Allowed {
            caller: trace.caller.take(),
            rewritten: trace.rewritten.take(),
            shadowed: None,
            proof: trace.proof.take(),
            public: None,
        })
    }

    /// Whether the sender is whom the token is bound to, if it is: by the key of a proof, by the certificate of the
    /// connection, or by both.
    #[expect(
        clippy::too_many_arguments,
        reason = "the parts of one request, taken apart by its only caller"
    )]
    fn check_sender(
        &self,
        request: &Request<'_>,
        method: &str,
        path: &str,
        token: &[u8],
        dpop: bool,
        principal: &Principal,
        state: &State,
        now: u64,
    ) -> Result<Option<UsedProof>, Refused> {
        let bad = |reason| bad_token(reason, &String::from_utf8_lossy(token));
        let Some(bound) = &principal.claims.bound else {
            return if dpop { Err(bad(TokenError::NotBound)) } else { Ok(None) };
        };
        // Elsewhere than in its header it stands as a plain bearer token would (RFC 9449 section 7.1).
        if self.place(request) != Place::Header {
            return Err(bad(match bound.key {
                Some(_) => TokenError::BoundToKey,
                None => TokenError::BoundToCertificate,
            }));
        }
        if let Some(expected) = bound.certificate {
            match request.certificate {
                Certificate::Unasked => return Err(Refused::Need(Need::ClientCertificate)),
                Certificate::Hash(shown) if shown == expected => {}
                _ => return Err(bad(TokenError::BoundToCertificate)),
            }
        }
        let key = match (&bound.key, dpop) {
            (None, false) => return Ok(None),
            (None, true) => return Err(bad(TokenError::NotBound)),
            (Some(_), false) => return Err(bad(TokenError::BoundToKey)),
            (Some(key), true) => key,
        };
        let refused = |reason| {
            let nonce = (reason == ProofError::Nonce).then(|| state.nonces.current(now).into());
            Refused::Deny(Denial::BadProof { reason, nonce })
        };
        let proof = match request.proof {
            Found::Once(proof) => proof,
            Found::Nothing => return Err(refused(ProofError::Missing)),
            Found::Several => return Err(refused(ProofError::Several)),
        };
        let text = |bytes| std::str::from_utf8(bytes).map_err(|_| refused(ProofError::Address));
        let expected = dpop::Expected {
            method,
            scheme: match self.dpop.scheme {
                Scheme::Host => text(request.scheme)?,
                Scheme::Https => "https",
                Scheme::Http => "http",
                Scheme::XForwardedProto => match request.forwarded_proto {
                    Found::Once(scheme) => text(scheme)?,
                    _ => return Err(refused(ProofError::Address)),
                },
            },
            authority: match request.authority {
                Found::Once(authority) => text(authority)?,
                _ => return Err(refused(ProofError::Address)),
            },
            path,
            token,
            key,
            nonces: self.dpop.nonce.then_some(&state.nonces),
            used: state.used_proofs(),
            now,
            max_age: self.dpop.max_age.millis,
            leeway: self.config.leeway.millis,
            verifier: &state.verifier,
        };
        dpop::verify(proof, &expected).map(Some).map_err(refused)
    }

    /// The token of a request that was found to have one.
    pub(crate) fn presented<'r>(&self, request: &Request<'r>, target: &'r str) -> &'r [u8] {
        let query = target.find('?').and_then(|at| target.get(at..)).unwrap_or_default();
        match self.reader.token(request, query) {
            Presented::One(token) | Presented::Dpop(token) => token,
            Presented::None | Presented::Several => b"",
        }
    }

    pub(crate) fn says_dpop(&self, request: &Request<'_>) -> bool {
        self.reader.says_dpop(request)
    }

    pub(crate) fn may_hold_token(&self, request: &Request<'_>) -> bool {
        self.reader.may_hold_token(request)
    }

    pub(crate) fn place(&self, request: &Request<'_>) -> Place {
        self.reader.place(request)
    }

    /// The answer to a refused request. `now` is in Unix milliseconds.
    pub fn answer(&self, denial: &Denial, request: &Request<'_>, now: u64) -> Answer {
        let mut answer = denial.answer(self.config.errors, now, request.target);
        challenge::complete(&mut answer, denial, self.reader.says_dpop(request), &self.config);
        answer
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

    /// Who a token speaks of: known, or verified now.
    fn principal(&self, token: &[u8], state: &mut State, now: u64) -> Result<Rc<Principal>, Refused> {
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

fn bad_token(reason: TokenError, presented: &str) -> Refused {
    Refused::Deny(Denial::BadToken {
        reason,
        presented: presented.into(),
    })
}
