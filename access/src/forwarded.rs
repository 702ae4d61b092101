//! What becomes of the token on its way to the upstream.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};

use crate::policy::Policy;
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

/// Changes to the headers of a request beside the identity headers.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct TokenChanges<'a> {
    /// Headers to remove, and to set anew if there is a value.
    pub headers: Vec<(&'a str, Option<Vec<u8>>)>,
    /// The target to send, if it is another one.
    pub target: Option<String>,
}

impl Policy {
    /// What becomes of the token of a request that may pass. `target`: the target as it will be sent otherwise.
    pub fn token_changes<'a>(&'a self, request: &Request<'_>, caller: &Caller, target: &str) -> TokenChanges<'a> {
        let mut changes = TokenChanges::default();
        let config = self.config();
        let jwt = match config.forward.authorization {
            Authorization::Keep => return changes,
            Authorization::Remove => None,
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
            Place::Cookie => {
                let rest = config.token.cookie.as_deref().map(|name| request.other_cookies(name));
                changes.headers.push(("cookie", rest.filter(|rest| !rest.is_empty())));
            }
            Place::Query => {
                let name = config.token.query.as_deref().unwrap_or_default();
                changes.target = Some(without_parameter(target, name));
            }
        }
        changes.headers.push(("dpop", None));
        if let Some(jwt) = jwt {
            let value = [b"Bearer ".as_slice(), &jwt].concat();
            changes.headers.retain(|(name, _)| *name != "authorization");
            changes.headers.push(("authorization", Some(value)));
        }
        changes
    }
}

impl Policy {
    /// What becomes of the tokens of a request that passes although nobody knows whose they are, as it does in shadow mode.
    /// No token that was not found good goes on where tokens are to be replaced.
    pub fn tokens_removed<'a>(&'a self, request: &Request<'_>, target: &str) -> TokenChanges<'a> {
        let (config, mut changes) = (self.config(), TokenChanges::default());
        if config.forward.authorization == Authorization::Keep {
            return changes;
        }
        changes
            .headers
            .extend(config.token.header.as_deref().map(|name| (name, None)));
        if let Some(name) = config.token.cookie.as_deref() {
            let rest = Some(request.other_cookies(name));
            changes.headers.push(("cookie", rest.filter(|rest| !rest.is_empty())));
        }
        if let Some(name) = config.token.query.as_deref() {
            changes.target = Some(without_parameter(target, name)).filter(|rest| rest != target);
        }
        changes.headers.push(("dpop", None));
        changes
    }
}

/// A target without one parameter of its query.
fn without_parameter(target: &str, name: &str) -> String {
    let Some((path, query)) = target.split_once('?') else {
        return target.to_owned();
    };
    let other = |pair: &&str| pair.split_once('=').is_none_or(|(known, _)| known != name);
    let rest: Vec<_> = query.split('&').filter(other).collect();
    if rest.is_empty() {
        path.to_owned()
    } else {
        format!("{path}?{}", rest.join("&"))
    }
}
