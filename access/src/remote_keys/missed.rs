//! The keys that tokens named and that are not in the set: which a fetch may bring, and which it did not bring.

use crate::jwk::{Algorithm, Key};

/// How long a key that a fetch did not bring counts as unknown, in milliseconds.
const UNKNOWN: u64 = 10_000;

/// How many keys that are not there are kept in mind; beyond it a request waits in vain, and is answered 503.
pub(super) const MOST_MISSED: usize = 256;

/// What a token says of its key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct NamedKey {
    pub(crate) algorithm: Algorithm,
    pub(crate) id: Option<String>,
}

/// The named keys that are not there.
#[derive(Debug, Default)]
pub(super) struct MissedKeys {
    keys: Vec<Missed>,
}

/// A key that a token named and that was not there.
#[derive(Debug)]
pub(super) struct Missed {
    key: NamedKey,
    /// When the first token came that named it, in Unix milliseconds.
    pub(super) since: u64,
    state: Search,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Search {
    /// The next fetch is to bring it.
    Wanted,
    /// The fetch under way may bring it.
    Fetching,
    /// A fetch did not bring it: unknown until then.
    Unknown(u64),
}

impl MissedKeys {
    /// Whether a key may come by a fetch.
    pub(super) fn may_come(&self, key: &NamedKey, now: u64) -> bool {
        !self
            .keys
            .iter()
            .any(|missed| matches!(missed.state, Search::Unknown(until) if until > now) && missed.key == *key)
    }

    /// A request waits for this key.
    pub(super) fn want(&mut self, key: NamedKey, now: u64) {
        self.keys
            .retain(|missed| !matches!(missed.state, Search::Unknown(until) if until <= now));
        let known = self.keys.iter().any(|missed| missed.key == key);
        if !known && self.keys.len() < MOST_MISSED {
            let state = Search::Wanted;
            let since = now;
            self.keys.push(Missed { key, since, state });
        }
    }

    /// Whether the next fetch is to bring one.
    pub(super) fn any_wanted(&self) -> bool {
        self.keys.iter().any(|missed| missed.state == Search::Wanted)
    }

    /// A fetch begins that may bring them.
    pub(super) fn fetching(&mut self) {
        for missed in &mut self.keys {
            if missed.state == Search::Wanted {
                missed.state = Search::Fetching;
            }
        }
    }

    /// The fetch brought nothing, or was not made: the next one is to bring them.
    pub(super) fn want_again(&mut self) {
        for missed in &mut self.keys {
            if missed.state == Search::Fetching {
                missed.state = Search::Wanted;
            }
        }
    }

    /// Of the keys that were looked for, those in the set are there now, and those are unknown for which the fetch began
    /// late enough. Whether one was there.
    pub(super) fn arrived(&mut self, keys: &[Key], late_enough: impl Fn(&Missed) -> bool, at: u64) -> bool {
        let looked_for = self.keys.len();
        self.keys
            .retain(|missed| missed.state != Search::Fetching || !keys.iter().any(|key| missed.key.is(key)));
        let found = self.keys.len() < looked_for;
        for missed in &mut self.keys {
            if missed.state == Search::Fetching && late_enough(missed) {
                missed.state = Search::Unknown(at.saturating_add(UNKNOWN));
            }
        }
        self.want_again();
        found
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.keys.len()
    }
}

impl NamedKey {
    /// Whether a token that names this key may mean that one.
    fn is(&self, key: &Key) -> bool {
        (self.id.is_none() || self.id.as_deref() == key.id()) && key.fits(self.algorithm)
    }
}
