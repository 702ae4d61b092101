//! Answers about opaque tokens, for all VMs of a host: a token that comes to several at once is asked about by one.
//!
//! Whoever is first claims a slot of the host's shared data and asks; the others look there again until the answer stands
//! in it. A claim lapses soon, so that nobody waits long for a VM that is gone; then the next one asks. There are so many
//! slots and no more, as hosts never forget a key: where two tokens meet in one, the second is asked about without a claim.
//! Nothing here is a decision. An answer is read as if it had just come, by the time at which it did.

use crate::confirmation::{Digest, sha256};

/// How many slots there are.
const SLOTS: u8 = 255;

/// How long a claim holds, in milliseconds: longer than a question takes that is answered at all, mostly.
const CLAIM: u64 = 2000;

/// How long an answer may be taken from its slot, in milliseconds: long enough for those who wait.
const FRESH: u64 = 2000;

/// The longest answer that is shared, in bytes: all slots together take two megabytes.
const MAX_SHARED: usize = 8 * 1024;

/// Which token a slot speaks of.
type Id = [u8; 16];

/// The slots of one plugin with one configuration.
#[derive(Clone)]
pub struct Slots {
    secret: Digest,
    plugin: u32,
}

/// The slot of one token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Slot {
    key: String,
    id: Id,
}

/// What stands in the slot of a token.
#[derive(Debug, PartialEq, Eq)]
pub enum Found<'a> {
    /// Nothing that holds: it can be claimed.
    Nothing,
    /// Another VM asks, and will write the answer here.
    Asked,
    /// Another VM asks about another token: ask, and leave the slot alone.
    Taken,
    /// What was answered, and when (Unix milliseconds).
    Answer(&'a [u8], u64),
}

impl std::fmt::Debug for Slots {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Slots")
    }
}

impl Slots {
    /// `secret`: the one that all VMs of the host have. `plugin`: what the plugin is called in all of them. With another
    /// configuration, somebody else may be asked: what they say does not count here.
    pub fn new(secret: &[u8], plugin: &[u8], configuration: &[u8]) -> Self {
        let of_plugin = sha256(&[b"answers".as_slice(), &sha256(secret), plugin].concat());
        let [a, b, c, d, ..] = of_plugin;
        Self {
            secret: sha256(&[of_plugin, sha256(configuration)].concat()),
            plugin: u32::from_le_bytes([a, b, c, d]),
        }
    }

    /// The slot of a token. `version`: that of the token feed, as far as it is known here. What was answered before
    /// something changed (an import makes tokens good that were not) does not count for who has been told of it.
    pub fn of(&self, token: &str, version: Option<&str>) -> Slot {
        let token = sha256(&[&self.secret, token.as_bytes()].concat());
        let [place, ..] = token;
        let id = sha256(&[&token, version.unwrap_or_default().as_bytes()].concat());
        let (id, _) = id.split_first_chunk().unwrap_or((&[0; 16], &[]));
        Slot {
            key: format!("postern.answers.{:08x}.{:02x}", self.plugin, place % SLOTS),
            id: *id,
        }
    }
}

/// What follows the id: an answer, or nothing but a claim.
const ANSWERED: u8 = 1;

impl Slot {
    /// Its key in the host's shared data.
    pub fn key(&self) -> &str {
        &self.key
    }

    /// What stands in it. `now` in Unix milliseconds.
    pub fn read<'a>(&self, bytes: &'a [u8], now: u64) -> Found<'a> {
        let read = || {
            let (id, rest) = bytes.split_first_chunk::<16>()?;
            let (kind, rest) = rest.split_first()?;
            let (at, answer) = rest.split_first_chunk::<8>()?;
            Some((id, *kind == ANSWERED, u64::from_le_bytes(*at), answer))
        };
        let Some((id, answered, at, answer)) = read() else {
            return Found::Nothing;
        };
        let age = now.abs_diff(at);
        match (answered, *id == self.id) {
            (true, true) if age < FRESH => Found::Answer(answer, at),
            (false, true) if age < CLAIM => Found::Asked,
            (false, false) if age < CLAIM => Found::Taken,
            _ => Found::Nothing,
        }
    }

    /// A claim on it.
    pub fn claim(&self, now: u64) -> Vec<u8> {
        self.entry(0, now, b"")
    }

    /// What is to stand in it once there is an answer; `None`: it is too long to be shared.
    pub fn answer(&self, answer: &[u8], now: u64) -> Option<Vec<u8>> {
        (answer.len() <= MAX_SHARED).then(|| self.entry(ANSWERED, now, answer))
    }

    fn entry(&self, kind: u8, now: u64, rest: &[u8]) -> Vec<u8> {
        [self.id.as_slice(), &[kind], &now.to_le_bytes(), rest].concat()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: u64 = 1_800_000_000_000;

    #[test]
    fn one_asks_and_the_others_take_the_answer() {
        let slots = Slots::new(b"secret", b"plugin", b"{}");
        let slot = slots.of("token", Some("1"));
        assert_eq!(slot.read(b"", NOW), Found::Nothing);
        let claim = slot.claim(NOW);
        assert_eq!(slot.read(&claim, NOW + 1999), Found::Asked);
        let answer = slot.answer(b"{}", NOW + 500).unwrap();
        assert_eq!(slot.read(&answer, NOW + 600), Found::Answer(b"{}", NOW + 500));
        // Not for ever: by then it may have been taken back.
        assert_eq!(slot.read(&answer, NOW + 2500), Found::Nothing);
        assert_eq!(slot.answer(&[b' '; 9000], NOW), None);
    }

    #[test]
    fn a_claim_of_a_vm_that_is_gone_lapses() {
        let slot = Slots::new(b"secret", b"plugin", b"{}").of("token", Some("1"));
        let claim = slot.claim(NOW);
        assert_eq!(slot.read(&claim, NOW + 2000), Found::Nothing);
        // So does one from the future, after the clock was set back.
        assert_eq!(slot.read(&claim, NOW - 2000), Found::Nothing);
    }

    #[test]
    fn what_is_said_of_another_token_or_to_another_configuration_does_not_count() {
        let slots = Slots::new(b"secret", b"plugin", b"{}");
        let slot = slots.of("token", Some("1"));
        let same_place = (0..).map(|n| slots.of(&format!("other-{n}"), Some("1")));
        let other = same_place.into_iter().find(|other| other.key == slot.key).unwrap();
        assert_eq!(slot.read(&other.claim(NOW), NOW), Found::Taken);
        assert_eq!(slot.read(&other.answer(b"{}", NOW).unwrap(), NOW), Found::Nothing);
        for elsewhere in [
            Slots::new(b"secret", b"plugin", b"{ }"),
            Slots::new(b"secret", b"chain", b"{}"),
            Slots::new(b"other", b"plugin", b"{}"),
        ] {
            let answer = elsewhere.of("token", Some("1")).answer(b"{}", NOW).unwrap();
            assert_eq!(slot.read(&answer, NOW), Found::Nothing);
        }
        // An import has made it good meanwhile.
        let before = slots.of("token", Some("0")).answer(b"{}", NOW).unwrap();
        assert_ne!(slot.read(&before, NOW), Found::Answer(b"{}", NOW));
        for garbage in [&b"-"[..], &[0; 24], &slot.claim(NOW)[..24]] {
            assert_eq!(slot.read(garbage, NOW), Found::Nothing);
        }
    }

    /// Hosts never forget a key: there are only so many, whatever clients send and however often operators reconfigure.
    #[test]
    fn there_are_only_so_many_slots() {
        let keys = |configuration: &[u8]| {
            let slots = Slots::new(b"secret", b"plugin", configuration);
            let tokens = (0..5000).map(move |n| slots.of(&n.to_string(), None).key);
            tokens.collect::<std::collections::BTreeSet<_>>()
        };
        assert_eq!(keys(b"{}").len(), usize::from(SLOTS));
        assert_eq!(keys(b"{}"), keys(b"{ }"));
    }
}
