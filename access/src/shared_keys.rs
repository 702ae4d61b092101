//! Keys of issuers, for all VMs of a host: one VM fetches a set, and the others take what it got.
//!
//! For each issuer two values stand in the host's shared data. One says whose turn it is: whoever is first claims it and
//! fetches, and leaves there when the next fetch may begin at the earliest; so the pace of fetches is that of the host, not
//! of each VM. The other has the set, as it came. A claim lapses, so that nobody waits long for a VM that is gone.
//!
//! Nothing here is believed for standing there. What a set was fetched for is part of its name: the issuer, the cluster and
//! the address. It is read by the code that reads one that has just come, and its age counts from when it came. (Plugins
//! that an operator gives the same `vm_id` could write anything there; they can as well decide in our place.)

use serde_json::json;

use crate::config::Issuer;
use crate::confirmation::{Digest, sha256};
use crate::key_source::{Jwks, KeysAt};

/// How many places there are: hosts never forget a key, however often operators reconfigure. Where two sets meet in one
/// place, the last one written stands there, and who misses the other one fetches it.
const PLACES: u16 = 4096;

/// How long a claim holds, in milliseconds: a little longer than a call may take, and less than a request is held.
const CLAIM: u64 = 3_200;

/// How long after a fetch others may be kept from the next one, at most, in milliseconds.
const MOST_REST: u64 = 10_000;

/// The longest set that is shared, in bytes: a thousand keys with certificate chains. Longer ones each VM fetches for itself.
const MAX_SHARED: usize = 1024 * 1024;

/// Where the VMs of a host share the keys of one issuer.
#[derive(Clone, PartialEq, Eq)]
pub struct Place {
    turn: String,
    set: String,
    id: Digest,
}

impl std::fmt::Debug for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Place").field("set", &self.set).finish_non_exhaustive()
    }
}

/// What the VMs of a host say of the fetches of one key set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Turn {
    /// What is going on.
    pub now: Now,
    /// When the fetch began that brought the set which stands there (Unix milliseconds); 0: there is none.
    pub brought: u64,
    /// How many fetches have failed since, one after another.
    pub failures: u64,
}

/// What is going on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Now {
    /// Nothing: claim it and fetch.
    Nothing,
    /// Another VM fetches.
    Fetching,
    /// A fetch has ended.
    Ended {
        /// No other one before that time (Unix milliseconds).
        rest_until: u64,
        /// For how long that is, in milliseconds: as long as it was in vain, ever longer.
        pause: u64,
        /// It brought no set.
        failed: bool,
    },
}

/// A key set that a VM fetched.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SharedSet<'a> {
    /// When that began, in Unix milliseconds: what was published before then is in it.
    pub began: u64,
    /// When it was there.
    pub at: u64,
    /// Where the keys were, as a discovery document says it, and when it said so (Unix milliseconds).
    pub discovery: Option<(&'a [u8], u64)>,
    /// The set.
    pub document: &'a [u8],
}

impl Place {
    /// That of an issuer whose keys are fetched. `secret`: the one that all VMs of the host have.
    pub fn of(secret: &[u8], issuer: &Issuer) -> Option<Self> {
        let Some(Jwks::Remote(source)) = &issuer.jwks else {
            return None;
        };
        let (address, keys) = match &source.at {
            KeysAt::Uri(uri) => (json!({ "uri": uri }), None),
            KeysAt::Discovery { base, keys } => (json!({ "base": base }), keys.as_ref()),
        };
        let keys = keys.map(|keys| (&keys.cluster, &keys.authority));
        let whose = json!([issuer.issuer, source.cluster, address, keys]).to_string();
        let id = sha256(&[b"keys".as_slice(), &sha256(secret), whose.as_bytes()].concat());
        let [low, high, ..] = sha256(&id);
        let place = u16::from_le_bytes([low, high]) % PLACES;
        Some(Self {
            turn: format!("postern.keys.{place:03x}.turn"),
            set: format!("postern.keys.{place:03x}"),
            id,
        })
    }

    /// The key of the turn in the host's shared data.
    pub fn turn_key(&self) -> &str {
        &self.turn
    }

    /// The key of the set.
    pub fn set_key(&self) -> &str {
        &self.set
    }

    /// What stands in the turn. `now` in Unix milliseconds.
    pub fn turn(&self, bytes: &[u8], now: u64) -> Turn {
        self.read_turn(bytes, now).unwrap_or(Turn {
            now: Now::Nothing,
            brought: 0,
            failures: 0,
        })
    }

    fn read_turn(&self, bytes: &[u8], now: u64) -> Option<Turn> {
        let (kind, bytes) = bytes.strip_prefix(&self.id)?.split_first()?;
        let (at, bytes) = number(bytes)?;
        let (pause, bytes) = number(bytes)?;
        let (brought, bytes) = number(bytes)?;
        let (failures, _) = number(bytes)?;
        // A time of the future is that of a clock which was set back since.
        let age = now.abs_diff(at);
        let pause = pause.min(MOST_REST);
        let now = match *kind {
            FETCHING if age < CLAIM => Now::Fetching,
            ENDED if age < pause => Now::Ended {
                rest_until: at.saturating_add(pause),
                pause,
                failed: failures > 0,
            },
            _ => Now::Nothing,
        };
        Some(Turn { now, brought, failures })
    }

    /// A claim of a turn.
    pub fn claim(&self, turn: Turn, now: u64) -> Vec<u8> {
        self.entry(FETCHING, [now, 0, turn.brought, turn.failures])
    }

    /// A fetch has ended, and the next one is `pause` milliseconds away. `brought` and `failures`: as in [`Turn`].
    pub fn ended(&self, brought: u64, failures: u64, pause: u64, now: u64) -> Vec<u8> {
        self.entry(ENDED, [now, pause, brought, failures])
    }

    fn entry(&self, kind: u8, numbers: [u64; 4]) -> Vec<u8> {
        let numbers = numbers.map(u64::to_le_bytes);
        [self.id.as_slice(), &[kind], numbers.as_flattened()].concat()
    }

    /// The set that stands there, if it is one for this issuer.
    pub fn read<'a>(&self, bytes: &'a [u8]) -> Option<SharedSet<'a>> {
        let (began, bytes) = number(bytes.strip_prefix(&self.id)?)?;
        let (at, bytes) = number(bytes)?;
        let (discovered_at, bytes) = number(bytes)?;
        let (length, bytes) = number(bytes)?;
        let (discovery, document) = bytes.split_at_checked(usize::try_from(length).ok()?)?;
        Some(SharedSet {
            began,
            at,
            discovery: (!discovery.is_empty()).then_some((discovery, discovered_at)),
            document,
        })
    }

    /// What is to stand there; `None`: it is too long to be shared.
    pub fn write(&self, set: &SharedSet<'_>) -> Option<Vec<u8>> {
        let (discovery, discovered_at) = set.discovery.unwrap_or_default();
        let length = u64::try_from(discovery.len()).ok()?;
        let numbers = [set.began, set.at, discovered_at, length].map(u64::to_le_bytes);
        let entry = [self.id.as_slice(), numbers.as_flattened(), discovery, set.document].concat();
        (entry.len() <= MAX_SHARED).then_some(entry)
    }
}

const FETCHING: u8 = 0;
const ENDED: u8 = 1;

fn number(bytes: &[u8]) -> Option<(u64, &[u8])> {
    let (number, rest) = bytes.split_first_chunk()?;
    Some((u64::from_le_bytes(*number), rest))
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;

    const NOW: u64 = 1_800_000_000_000;

    fn issuer(changes: Value) -> Issuer {
        let mut issuer = json!({ "issuer": "https://id", "jwks": { "cluster": "id", "uri": "https://id/keys" } });
        issuer
            .as_object_mut()
            .unwrap()
            .extend(changes.as_object().unwrap().clone());
        serde_json::from_value(issuer).unwrap()
    }

    fn place(changes: Value) -> Place {
        Place::of(b"secret", &issuer(changes)).unwrap()
    }

    const NOTHING: Turn = Turn {
        now: Now::Nothing,
        brought: 0,
        failures: 0,
    };

    #[test]
    fn a_claim_keeps_others_away_and_lapses() {
        let place = place(json!({}));
        assert_eq!(place.turn(b"", NOW), NOTHING);
        let before = Turn {
            brought: 7,
            failures: 2,
            ..NOTHING
        };
        let claim = place.claim(before, NOW);
        let fetching = Turn {
            now: Now::Fetching,
            ..before
        };
        assert_eq!(place.turn(&claim, NOW + 3199), fetching);
        for later in [NOW + 3200, NOW - 3200] {
            assert_eq!(place.turn(&claim, later), before);
        }
        for garbage in [&b"-"[..], &claim[..40], &claim[1..]] {
            assert_eq!(place.turn(garbage, NOW), NOTHING);
        }
    }

    #[test]
    fn who_fetched_says_when_the_next_one_may() {
        let place = place(json!({}));
        for failures in [0, 3] {
            let entry = place.ended(7, failures, 2000, NOW);
            let ended = Turn {
                now: Now::Ended {
                    rest_until: NOW + 2000,
                    pause: 2000,
                    failed: failures > 0,
                },
                brought: 7,
                failures,
            };
            assert_eq!(place.turn(&entry, NOW + 1999), ended);
            assert_eq!(place.turn(&entry, NOW + 2000).now, Now::Nothing);
            // Nobody is kept away for ever, whatever stands there.
            let entry = place.ended(7, failures, u64::MAX, NOW);
            assert_eq!(place.turn(&entry, NOW + 10_000).now, Now::Nothing);
        }
    }

    #[test]
    fn a_set_is_that_of_one_issuer_at_one_address() {
        let ours = place(json!({}));
        let set = SharedSet {
            began: NOW,
            at: NOW + 3,
            discovery: Some((b"{\"issuer\":1}", NOW - 5)),
            document: b"{}",
        };
        let entry = ours.write(&set).unwrap();
        assert_eq!(ours.read(&entry), Some(set));
        let plain = SharedSet { discovery: None, ..set };
        assert_eq!(ours.read(&ours.write(&plain).unwrap()), Some(plain));
        for shorter in 0..entry.len() - set.document.len() {
            assert_eq!(ours.read(&entry[..shorter]), None);
        }
        let long = vec![b' '; MAX_SHARED];
        assert_eq!(ours.write(&SharedSet { document: &long, ..set }), None);

        // What else is said of the issuer does not change where its keys are.
        assert_eq!(place(json!({ "audiences": ["x"] })), ours);
        let same_place = json!({ "jwks": { "cluster": "id", "uri": "https://id/keys", "max_age": "1m" } });
        assert_eq!(place(same_place), ours);
        let jwks = |jwks: Value| json!({ "jwks": jwks });
        let elsewhere = |cluster: &str, authority: &str| {
            jwks(json!({ "cluster": "id", "discovery": "https://id",
                "keys": { "cluster": cluster, "authority": authority } }))
        };
        let mut seen = vec![ours.clone(), Place::of(b"other", &issuer(json!({}))).unwrap()];
        for other in [
            json!({ "issuer": "https://id/" }),
            json!({ "issuer": null }),
            jwks(json!({ "cluster": "di", "uri": "https://id/keys" })),
            jwks(json!({ "cluster": "id", "uri": "http://id/keys" })),
            jwks(json!({ "cluster": "id", "uri": "https://id/keys?v=1" })),
            jwks(json!({ "cluster": "id", "discovery": "https://id/keys" })),
            jwks(json!({ "cluster": "id", "discovery": "https://id" })),
            elsewhere("k", "keys.id"),
            elsewhere("l", "keys.id"),
            elsewhere("k", "keys.id:443"),
        ] {
            let other = place(other);
            for known in &seen {
                assert_ne!(other.id, known.id);
                assert_eq!(other.read(&known.write(&set).unwrap()), None);
                assert_eq!(other.turn(&known.claim(NOTHING, NOW), NOW), NOTHING);
            }
            seen.push(other);
        }
        assert_eq!(
            Place::of(b"secret", &issuer(jwks(json!({ "inline": { "keys": [] } })))),
            None
        );
    }

    #[test]
    fn there_are_only_so_many_places() {
        let places = (0..20_000).map(|n| place(json!({ "issuer": n.to_string() })).set);
        assert!(places.collect::<std::collections::BTreeSet<_>>().len() <= usize::from(PLACES));
    }
}
