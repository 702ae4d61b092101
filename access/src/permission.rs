//! What a path requires: conditions on the caller, and the permission table of the login service.

use std::borrow::Cow;

use crate::claims::Claims;
use crate::principal::Caller;
use crate::route::{self, Pattern, PatternError, Routes};
use crate::snapshot::Permission;

/// What a caller must have. With nothing in it, any good token will do.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct Conditions {
    /// One of these, if there are any.
    pub any_authority: Vec<String>,
    /// Every one of these.
    pub all_authorities: Vec<String>,
    /// Every one of these.
    pub scopes: Vec<String>,
    /// Each of these.
    pub claims: Vec<ClaimCondition>,
    /// Nobody meets them.
    pub deny: bool,
    /// How the user must have logged in: one of these `acr`, if there are any.
    pub acr: Vec<String>,
    /// How long ago the user may have logged in, in milliseconds.
    pub max_age: Option<u64>,
}

/// A claim that must equal a text, or the segment of the path that the pattern names.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct ClaimCondition {
    /// The claim.
    pub claim: String,
    /// What it must be.
    pub expected: Expected,
}

/// What a claim must be.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Expected {
    /// This text.
    Text(String),
    /// The segment of the path at this place, counted from 0.
    Segment(usize),
}

/// What the caller lacks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Lacks {
    /// An authority, or a claim.
    Permission,
    /// These scopes, as the rule lists them.
    Scope(String),
    /// A login of such a kind, or a newer one (RFC 9470).
    Authentication(StepUp),
}

/// The login that a rule requires.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StepUp {
    /// One of these `acr`, if there are any.
    pub acr: Vec<String>,
    /// At most so many seconds ago.
    pub max_age: Option<u64>,
}

impl Conditions {
    /// Whether the caller meets them for this canonical path. `now` in Unix milliseconds, `leeway` in milliseconds.
    pub fn check(&self, caller: &Caller, path: &str, now: u64, leeway: u64) -> Result<(), Lacks> {
        if self.deny {
            return Err(Lacks::Permission);
        }
        let claims = &caller.principal.claims;
        let holds = |name: &String| caller.authorities.holds(name);
        if !self.scopes.iter().all(|scope| claims.scopes.contains(scope)) {
            return Err(Lacks::Scope(self.scopes.join(" ")));
        }
        let authorities = (self.any_authority.is_empty() || self.any_authority.iter().any(holds))
            && self.all_authorities.iter().all(holds);
        let compared = self.claims.iter().all(|condition| {
            let expected = match &condition.expected {
                Expected::Text(text) => Some(Cow::Borrowed(text.as_str())),
                Expected::Segment(position) => route::segment(path, *position),
            };
            let claim = claims
                .compared
                .iter()
                .find(|(name, _)| *name == condition.claim)
                .map(|(_, value)| value.as_str());
            claim.is_some() && claim == expected.as_deref()
        });
        if !authorities || !compared {
            return Err(Lacks::Permission);
        }
        self.check_login(claims, now, leeway)
    }
}

impl Conditions {
    /// Asked last: a better login helps only who may do it otherwise. A token that does not say how or when its user logged
    /// in does not meet a condition on it.
    fn check_login(&self, claims: &Claims, now: u64, leeway: u64) -> Result<(), Lacks> {
        let acr = self.acr.is_empty() || claims.acr.as_ref().is_some_and(|acr| self.acr.contains(acr));
        let recent = self.max_age.is_none_or(|max_age| {
            claims
                .authenticated_at
                .is_some_and(|at| now <= at.saturating_add(max_age).saturating_add(leeway))
        });
        if acr && recent {
            return Ok(());
        }
        Err(Lacks::Authentication(StepUp {
            acr: self.acr.clone(),
            max_age: self.max_age.map(|millis| millis / 1000),
        }))
    }
}

/// Compiles the permission table. Rows of the same path and method are alternatives: any one of their authorities will do.
///
/// A row that cannot be read is left out and reported; its path then stays refused, as every path without a row is.
pub fn compile(rows: &[Permission]) -> (Routes<Conditions>, Vec<PatternError>) {
    let mut routes = Routes::default();
    let errors = rows.iter().filter_map(|row| add(&mut routes, row).err()).collect();
    (routes, errors)
}

/// Adds a row to the table, if it is not there.
pub fn add(routes: &mut Routes<Conditions>, row: &Permission) -> Result<(), PatternError> {
    let pattern = Pattern::parse(&row.url)?;
    if let Some(conditions) = routes.entry(&pattern, None, row.method.as_deref(), Conditions::default)
        && !conditions.any_authority.contains(&row.name)
    {
        conditions.any_authority.push(row.name.clone());
    }
    Ok(())
}

/// Removes a row from the table, if it is there. A path whose last row went is refused again.
pub fn remove(routes: &mut Routes<Conditions>, row: &Permission) {
    // What cannot be read was left out when it came.
    let Ok(pattern) = Pattern::parse(&row.url) else {
        return;
    };
    let method = row.method.as_deref();
    let Some(conditions) = routes.get_mut(&pattern, method) else {
        return;
    };
    conditions.any_authority.retain(|name| *name != row.name);
    // Conditions without an authority would let everybody with a good token in.
    if conditions.any_authority.is_empty() {
        routes.remove(&pattern, method);
    }
}
