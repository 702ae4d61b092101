//! What verified tokens said, so that a token is verified once and not once a request.
//!
//! The identity is cached, never a decision: rules, revocations and times are asked each time. Two generations bound the
//! memory without a clock or a list: when the young one is full it becomes the old one, and what is asked for again
//! moves over. Lookups hash the token with a random seed and compare it whole.

use std::hash::{BuildHasher, Hasher};
use std::rc::Rc;

use foldhash::SharedSeed;
use foldhash::fast::SeedableRandomState;
use hashbrown::HashTable;

use crate::policy::TokenError;
use crate::principal::Principal;

/// What is known of a token.
#[derive(Debug, Clone)]
pub enum Known {
    /// Its signature and claims were good.
    Good(Rc<Principal>),
    /// It was refused, and will be until this time (Unix milliseconds).
    Bad(TokenError, u64),
}

/// The tokens seen lately.
#[derive(Debug)]
pub struct TokenCache {
    young: Generation,
    old: Generation,
    /// How many bytes a generation may hold.
    budget: usize,
    hasher: SeedableRandomState,
}

#[derive(Debug, Default)]
struct Generation {
    entries: HashTable<Entry>,
    bytes: usize,
}

#[derive(Debug)]
struct Entry {
    hash: u64,
    token: Box<[u8]>,
    known: Known,
}

/// What an entry takes beside the token itself: claims, headers, table space. Measured with eight short claims.
const ENTRY: usize = 1024;

impl TokenCache {
    /// An empty cache of at most `budget` bytes. `seed` is random, so that nobody can prepare tokens that collide.
    pub fn new(budget: usize, seed: u64) -> Self {
        Self {
            young: Generation::default(),
            old: Generation::default(),
            budget: budget / 2,
            hasher: SeedableRandomState::with_seed(seed, SharedSeed::global_fixed()),
        }
    }

    /// What is known of a token.
    pub fn get(&mut self, token: &[u8]) -> Option<&Known> {
        let hash = self.hash(token);
        if !self.young.holds(hash)
            && let Some(entry) = self.old.take(hash, token)
        {
            self.keep(entry);
        }
        self.young.find(hash, token).map(|entry| &entry.known)
    }

    /// Remembers what is known of a token.
    pub fn put(&mut self, token: &[u8], known: Known) {
        let hash = self.hash(token);
        self.young.take(hash, token);
        self.keep(Entry {
            hash,
            token: token.into(),
            known,
        });
    }

    /// Forgets one token, because it has expired.
    pub fn forget(&mut self, token: &[u8]) {
        let hash = self.hash(token);
        self.young.take(hash, token);
    }

    /// Forgets everything, because keys changed.
    pub fn clear(&mut self) {
        self.young = Generation::default();
        self.old = Generation::default();
    }

    fn keep(&mut self, entry: Entry) {
        if self.young.bytes.saturating_add(entry.cost()) > self.budget {
            self.old = std::mem::take(&mut self.young);
        }
        self.young.bytes = self.young.bytes.saturating_add(entry.cost());
        self.young.entries.insert_unique(entry.hash, entry, |entry| entry.hash);
    }

    fn hash(&self, token: &[u8]) -> u64 {
        let mut hasher = self.hasher.build_hasher();
        hasher.write(token);
        hasher.finish()
    }
}

impl Generation {
    /// Whether there is an entry with this hash. The bytes are compared once, when it is used.
    fn holds(&self, hash: u64) -> bool {
        self.entries.find(hash, |entry| entry.hash == hash).is_some()
    }

    fn find(&self, hash: u64, token: &[u8]) -> Option<&Entry> {
        self.entries.find(hash, |entry| entry.is(hash, token))
    }

    fn take(&mut self, hash: u64, token: &[u8]) -> Option<Entry> {
        let found = self.entries.find_entry(hash, |entry| entry.is(hash, token)).ok()?;
        let (entry, _) = found.remove();
        self.bytes = self.bytes.saturating_sub(entry.cost());
        Some(entry)
    }
}

impl Entry {
    fn is(&self, hash: u64, token: &[u8]) -> bool {
        self.hash == hash && same(&self.token, token)
    }

    fn cost(&self) -> usize {
        self.token.len().saturating_add(ENTRY)
    }
}

/// Equality in words of eight bytes: the `memcmp` of wasm's C library goes byte by byte, and tokens are long.
fn same(one: &[u8], other: &[u8]) -> bool {
    let (one_words, one_rest) = one.as_chunks::<8>();
    let (other_words, other_rest) = other.as_chunks::<8>();
    one.len() == other.len()
        && one_words
            .iter()
            .zip(other_words)
            .all(|(a, b)| u64::from_ne_bytes(*a) == u64::from_ne_bytes(*b))
        && one_rest == other_rest
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bad() -> Known {
        Known::Bad(TokenError::Revoked, 0)
    }

    #[test]
    fn memory_is_bounded_and_what_is_used_stays() {
        let mut cache = TokenCache::new(20 * ENTRY, 1);
        cache.put(b"used", bad());
        for n in 0..1000 {
            cache.put(format!("token-{n}").as_bytes(), bad());
            assert!(cache.get(b"used").is_some(), "after {n}");
            assert!(cache.young.bytes + cache.old.bytes <= 20 * ENTRY);
        }
        assert!(cache.get(b"token-0").is_none());
        assert!(cache.get(b"token-999").is_some());
        cache.clear();
        assert!(cache.get(b"used").is_none());
    }
}
