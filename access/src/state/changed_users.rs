//! The users whose authorities changed after tokens were issued to them: what holds is what they may do now.

use std::rc::Rc;

use super::State;
use crate::principal::{Authorities, Caller, Principal};

/// How long a login may take, in seconds: a token issued this soon after a change may still carry what was asked before.
const LOGIN: u64 = 10;

impl State {
    /// The caller behind a token, with the authorities that hold now.
    pub(crate) fn caller(&self, principal: &Rc<Principal>) -> Result<Caller, NoCaller> {
        let claims = &principal.claims;
        let own = || Caller {
            principal: principal.clone(),
            authorities: principal.authorities().clone(),
        };
        // Another issuer's user may have the same id as one of ours.
        let Some(user) = claims.user_id.as_deref().filter(|_| principal.ours) else {
            return Ok(own());
        };
        match self.changed_users.get(user) {
            None => Ok(own()),
            Some(changed) if !changed.active => Err(NoCaller::Gone),
            Some(changed)
                if claims
                    .issued_at
                    .is_some_and(|at| at / 1000 > changed.at.saturating_add(LOGIN)) =>
            {
                Ok(own())
            }
            Some(ChangedUser {
                authorities: Some(authorities),
                ..
            }) => Ok(Caller {
                principal: principal.clone(),
                authorities: authorities.clone(),
            }),
            Some(_) => Err(NoCaller::Changed(user.to_owned())),
        }
    }

    /// The last change of a user's authorities that we know of: the number to hand back to [`State::set_authorities`].
    pub fn change_of(&self, user: &str) -> Option<u64> {
        self.changed_users.get(user).map(|changed| changed.change)
    }

    /// What the login service said of a user, asked after `change`. If the user changed again meanwhile, the answer may be
    /// out of date, and is dropped.
    pub fn set_authorities(&mut self, user: &str, change: u64, names: Vec<String>) {
        if let Some(changed) = self.changed_users.get_mut(user)
            && changed.change == change
        {
            changed.authorities = Some(Rc::new(Authorities::new(names)));
        }
    }
}

/// Why a good token has no caller.
pub(crate) enum NoCaller {
    /// What this user may do changed, and must be looked up.
    Changed(String),
    /// The user was disabled or removed.
    Gone,
}

#[derive(Debug)]
pub(super) struct ChangedUser {
    /// Unix second of the change: authorities in tokens issued up to then are out of date.
    pub(super) at: u64,
    /// Numbers the changes of this VM, as one user may change twice in a second.
    pub(super) change: u64,
    /// Not disabled, not removed.
    pub(super) active: bool,
    /// What the user may do since, once it was looked up.
    pub(super) authorities: Option<Rc<Authorities>>,
}
