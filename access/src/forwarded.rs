//! What becomes of the token on its way to the upstream.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};

use crate::parameters::names_parameter;
use crate::policy::{Allowed, Policy};
use crate::principal::Caller;
use crate::request::{Place, Request};

/// What the upstream receives of a token that was checked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum Authorization {
    /// The token, as it came.
    #[default]
    Keep,
    /// Nothing: the identity headers are enough.
    Remove,
    /// A JWT as a bearer token: the token itself if it is one, else the signed answer of the introspection (RFC 9701).
    Jwt,
}

impl Authorization {
    /// What becomes of tokens that nobody looks at, where it is not said otherwise: there is nobody to tell the upstream of
    /// in their place.
    pub(crate) fn unchecked(self) -> Unchecked {
        match self {
            Authorization::Keep => Unchecked::Keep,
            Authorization::Remove | Authorization::Jwt => Unchecked::Remove,
        }
    }
}

/// What the upstream of a public path receives of a token.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum Unchecked {
    /// The token, as it came.
    Keep,
    /// Nothing.
    Remove,
}

/// Changes to the headers of a request beside the identity headers.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct TokenChanges<'a> {
    /// Headers to remove, and to set anew if there is a value.
    pub headers: Vec<(&'a str, Option<Vec<u8>>)>,
    /// The target to send, if it is another one.
    pub target: Option<String>,
}

impl Policy {
    /// What becomes of the token of a request that may pass: of one that was found good, what `forward.authorization` says.
    /// Of any other, which goes by in shadow mode or on a public path, nothing goes on where tokens are to be replaced.
    pub fn token_changes<'a>(&'a self, request: &Request<'_>, allowed: &Allowed) -> TokenChanges<'a> {
        let told = self.config().forward.authorization;
        let target = || {
            let came = std::str::from_utf8(request.target).unwrap_or_default();
            allowed.rewritten.as_deref().unwrap_or(came)
        };
        match (allowed.public.unwrap_or(told.unchecked()), &allowed.caller) {
            (Unchecked::Keep, _) => TokenChanges::default(),
            (Unchecked::Remove, Some(caller)) => self.token_replaced(request, caller, target()),
            (Unchecked::Remove, None) => self.tokens_removed(request, target()),
        }
    }

    fn token_replaced<'a>(&'a self, request: &Request<'_>, caller: &Caller, target: &str) -> TokenChanges<'a> {
        let mut changes = TokenChanges::default();
        let config = self.config();
        let jwt = match config.forward.authorization {
            Authorization::Keep | Authorization::Remove => None,
            Authorization::Jwt => Some(match &caller.principal.jwt {
                Some(jwt) => Cow::Borrowed(jwt.as_bytes()),
                None => Cow::Borrowed(self.presented(request, target)),
            }),
        };
        let own = caller.principal.jwt.is_none();
        match self.place(request) {
            // It is where it belongs, and is what it should be.
            Place::Header
                if jwt.is_some()
                    && own
                    && !self.says_dpop(request)
                    && config.token.header.as_deref() == Some("authorization") =>
            {
                return changes;
            }
            Place::Header => changes
                .headers
                .extend(config.token.header.as_deref().map(|name| (name, None))),
            Place::Cookie => changes.headers.extend(self.cookies_removed(request)),
            Place::Query => {
                let name = config.token.query.as_deref().unwrap_or_default();
                changes.target = Some(without_parameter(target, name));
            }
        }
        if request.has_proof() {
            changes.headers.push(("dpop", None));
        }
        if let Some(jwt) = jwt {
            let value = [b"Bearer ".as_slice(), &jwt].concat();
            changes.headers.retain(|(name, _)| *name != "authorization");
            changes.headers.push(("authorization", Some(value)));
        }
        changes
    }

    /// Takes whatever may be a token off. Credentials of another scheme stay: `Basic` is how clients come to the token
    /// endpoint.
    fn tokens_removed<'a>(&'a self, request: &Request<'_>, target: &str) -> TokenChanges<'a> {
        let (config, mut changes) = (self.config(), TokenChanges::default());
        if self.may_hold_token(request) {
            changes
                .headers
                .extend(config.token.header.as_deref().map(|name| (name, None)));
        }
        changes.headers.extend(self.cookies_removed(request));
        if let Some(name) = config.token.query.as_deref() {
            changes.target = Some(without_parameter(target, name)).filter(|rest| rest != target);
        }
        if request.has_proof() && (!changes.headers.is_empty() || changes.target.is_some()) {
            changes.headers.push(("dpop", None));
        }
        changes
    }

    /// The cookies without the token, if it may be among them.
    fn cookies_removed(&self, request: &Request<'_>) -> Option<(&'static str, Option<Vec<u8>>)> {
        let name = self.config().token.cookie.as_deref()?;
        let rest = request.other_cookies(name)?;
        Some(("cookie", Some(rest).filter(|rest| !rest.is_empty())))
    }
}

/// A target without one parameter of its query, however its name is written.
fn without_parameter(target: &str, name: &str) -> String {
    let Some((path, query)) = target.split_once('?') else {
        return target.to_owned();
    };
    let rest: Vec<_> = query.split('&').filter(|pair| !names_parameter(pair, name)).collect();
    if rest.is_empty() {
        path.to_owned()
    } else {
        format!("{path}?{}", rest.join("&"))
    }
}
