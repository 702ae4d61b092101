//! The heart: may this request pass?
//!
//! In this order, cheapest and safest first: canonical path (or 400) → public route → exactly one token → known, or
//! verified now → revoked → who is calling, with the authorities that hold now → what the path requires → the answer.
//!
//! What a path requires is asked of the configuration first (`public` and `rules`, the most specific pattern of both); only
//! a path that nothing there names is looked up in the permission table of the login service; what that does not name
//! either is `unmatched`: refused, unless the configuration says otherwise.

mod decision;
mod sender;
mod token;

use std::borrow::Cow;
use std::rc::Rc;

use crate::challenge;
use crate::config::{Config, Mode, Unmatched};
use crate::config_check;
use crate::config_text;
use crate::denial::{Answer, Denial, Unavailable};
use crate::dpop::Dpop;
use crate::path;
use crate::permission::{Conditions, Lacks};
use crate::principal::{Caller, Principal};
use crate::replay::UsedProof;
use crate::request::{Place, Presented, Reader, Request};
use crate::state::{NoCaller, State};
use crate::streamed;
use crate::table::{Requirement, Table};

pub use crate::config_text::ConfigError;
pub use crate::table::Decider;
pub use decision::{Allowed, Decision, Need, Shadowed};
pub use token::TokenError;

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

fn bad_token(reason: TokenError, presented: &str) -> Refused {
    Refused::Deny(Denial::BadToken {
        reason,
        presented: presented.into(),
    })
}
