//! The issuers whose tokens are good, and their keys, of which some are fetched.

use std::rc::Rc;

use super::State;
use super::feeds::FeedError;
use crate::config::Issuer;
use crate::introspection::Asked;
use crate::jwk::{self, JwkError, Key};
use crate::key_source::Jwks;
use crate::remote_keys::{Arrived, KeysRequest, NamedKey, RemoteKeys, Step};
use crate::shared_keys::{Now, Place, SharedSet, Turn};

impl State {
    /// The remote key sets to fetch now, by the index of the issuer. They count as asked for. Call it at every tick.
    pub fn keys_due(&mut self, now: u64) -> Vec<usize> {
        let mut due = Vec::new();
        let mut expired = Vec::new();
        for (index, known) in self.issuers.iter_mut().enumerate() {
            if let Keys::Remote(keys) = &mut known.keys {
                if keys.expire(now) {
                    expired.push(index);
                }
                if keys.begin(now) {
                    due.push(index);
                }
            }
        }
        for index in expired {
            self.forget_tokens_of(index);
        }
        due
    }

    /// What to ask for next to have an issuer's keys.
    pub fn keys_request(&self, index: usize, now: u64) -> Option<KeysRequest> {
        Some(self.remote_keys(index)?.request(now))
    }

    /// An issuer's discovery document came: ask for the keys next. After an error call [`State::keys_failed`].
    pub fn keys_discovered(&mut self, index: usize, document: &[u8], now: u64) -> Result<(), FeedError> {
        match self.remote_keys_mut(index) {
            Some(keys) => keys.discovered(document, now),
            None => Ok(()),
        }
    }

    /// A remote key set came, and replaces the one before. Why none of its keys can be used, if that is so and is new. After
    /// an error, when it was no key set, call [`State::keys_failed`].
    pub fn set_keys(&mut self, index: usize, document: &[u8], now: u64) -> Result<Option<JwkError>, FeedError> {
        let arrived = match self.remote_keys_mut(index) {
            Some(keys) => keys.arrived(document, now)?,
            None => Arrived::Same,
        };
        if arrived != Arrived::Same {
            self.forget_tokens_of(index);
        }
        Ok(match arrived {
            Arrived::Unusable(none) => Some(none),
            Arrived::Same | Arrived::Changed => None,
        })
    }

    /// Whether a key set whose fetch began then (Unix milliseconds) is newer than the one that is here.
    pub fn keys_are_news(&self, index: usize, began: u64) -> bool {
        self.remote_keys(index).is_some_and(|keys| keys.is_news(began))
    }

    /// Takes the key set that another VM of the host fetched, in place of a fetch that is due; false: it says nothing to us.
    pub fn take_keys(&mut self, index: usize, set: &SharedSet<'_>, turn: Turn, now: u64) -> bool {
        let arrived = self
            .remote_keys_mut(index)
            .and_then(|keys| keys.take(set, turn.now, now));
        if matches!(arrived, Some(Arrived::Changed | Arrived::Unusable(_))) {
            self.forget_tokens_of(index);
        }
        arrived.is_some()
    }

    /// What is to be done about a fetch that is due, by what other VMs of the host do.
    pub fn keys_step(&mut self, index: usize, turn: Turn, now: u64) -> Step {
        let keys = self.remote_keys_mut(index);
        keys.map_or(Step::Wait, |keys| keys.step(turn.now, now))
    }

    /// A fetch is not made, as another VM of the host was a moment faster.
    pub fn keys_elsewhere(&mut self, index: usize, now: u64) {
        if let Some(keys) = self.remote_keys_mut(index) {
            keys.step(Now::Fetching, now);
        }
    }

    /// An issuer's keys as other VMs of the host take them, and when their fetch began; `None`: there are none to be shared.
    pub fn shared_keys(&self, index: usize, place: &Place) -> Option<(u64, Vec<u8>)> {
        self.remote_keys(index)?.shared(place)
    }

    /// How long nothing is fetched after a fetch that has just ended, in milliseconds.
    pub fn keys_pause(&self, index: usize) -> u64 {
        self.remote_keys(index).map_or(0, RemoteKeys::pause)
    }

    /// A remote key set did not come; the old keys stay.
    pub fn keys_failed(&mut self, index: usize, now: u64) {
        if let Some(keys) = self.remote_keys_mut(index) {
            keys.failed(now);
        }
    }

    pub(crate) fn issuer(&self, index: usize) -> Option<&KnownIssuer> {
        self.issuers.get(index)
    }

    pub(crate) fn issuers(&self) -> impl Iterator<Item = (usize, &KnownIssuer)> {
        self.issuers.iter().enumerate()
    }

    /// Whether the issuer with this index came with the auth server's feed.
    pub(crate) fn is_ours(&self, index: usize) -> bool {
        index >= self.configured
    }

    /// Whether a key that an issuer does not have may come by a fetch.
    pub(crate) fn key_may_come(&self, index: usize, key: &NamedKey, now: u64) -> bool {
        self.remote_keys(index).is_some_and(|keys| keys.may_come(key, now))
    }

    /// A request waits for an issuer's keys, or for this one among them.
    pub(crate) fn want_keys(&mut self, index: usize, key: Option<NamedKey>, now: u64) {
        if let Some(keys) = self.remote_keys_mut(index) {
            keys.want(key, now);
        }
    }

    fn remote_keys(&self, index: usize) -> Option<&RemoteKeys> {
        match &self.issuers.get(index)?.keys {
            Keys::Remote(keys) => Some(keys),
            Keys::Inline(_) => None,
        }
    }

    fn remote_keys_mut(&mut self, index: usize) -> Option<&mut RemoteKeys> {
        match &mut self.issuers.get_mut(index)?.keys {
            Keys::Remote(keys) => Some(keys),
            Keys::Inline(_) => None,
        }
    }

    /// [`State::forget_tokens`] for one issuer of the configuration. What was refused may have been meant for it.
    fn forget_tokens_of(&mut self, index: usize) {
        let Some(known) = self.issuers.get(index) else { return };
        let issuer = known.issuer.clone();
        self.tokens.retain(|principal| principal.issuer != issuer.issuer);
        self.refused.clear();
        self.introspections.forget_asked(Asked::Issuer(index));
    }
}

/// An issuer and its keys.
#[derive(Debug)]
pub(crate) struct KnownIssuer {
    pub(crate) issuer: Rc<Issuer>,
    keys: Keys,
}

#[derive(Debug)]
enum Keys {
    Inline(Vec<Key>),
    Remote(Box<RemoteKeys>),
}

impl KnownIssuer {
    pub(super) fn new(issuer: &Issuer) -> Result<Self, JwkError> {
        let keys = match &issuer.jwks {
            Some(Jwks::Inline { inline }) => Keys::Inline(jwk::key_set(inline)?),
            Some(Jwks::Remote(source)) => Keys::Remote(Box::new(RemoteKeys::new(source, issuer.issuer.as_deref()))),
            // It has no JWTs.
            None => Keys::Inline(Vec::new()),
        };
        Ok(Self {
            issuer: Rc::new(issuer.clone()),
            keys,
        })
    }

    pub(super) fn from_feed(issuer: &Issuer) -> Result<Self, FeedError> {
        match issuer.jwks {
            Some(Jwks::Inline { .. }) => Ok(Self::new(issuer)?),
            _ => Err(FeedError::Remote),
        }
    }

    /// Its keys; `None`: a remote set that has not come yet, or not for too long.
    pub(crate) fn keys(&self, now: u64) -> Option<&[Key]> {
        match &self.keys {
            Keys::Inline(keys) => Some(keys),
            Keys::Remote(keys) => keys.current(now),
        }
    }
}
