//! What is known of the tokens seen lately, so that a token is verified once and not once a request.
//!
//! The identity is cached, never a decision: rules, revocations and times are asked each time. What was refused is kept in
//! a cache of its own, so that a flood of forgeries pushes nobody out. Two generations bound the memory without a clock or
//! a list: when the young one is full it becomes the old one, and what is asked for again moves over. Lookups hash the
//! token, or both its ends, with a random seed and compare it whole.

use std::hash::{BuildHasher, Hasher};

use foldhash::SharedSeed;
use foldhash::fast::SeedableRandomState;
use hashbrown::HashTable;

use crate::equal::equal;

/// The tokens seen lately, and what is known of each.
#[derive(Debug)]
pub struct TokenCache<K> {
    young: Generation<K>,
    old: Generation<K>,
    /// How many bytes a generation may hold.
    budget: usize,
    /// How many bytes an entry takes beside the token itself.
    entry: usize,
    spread: Spread,
    hasher: SeedableRandomState,
}

/// By what tokens find their places.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Spread {
    /// By how they begin and end: for tokens that were found good. A signature is at their end; an opaque token is random at
    /// least at one of them. Nobody but their issuer can make many that are alike in both.
    Ends,
    /// By all of their bytes: for tokens that anybody can make up.
    All,
}

/// So many bytes are looked at, at either end.
const END: usize = 32;

#[derive(Debug)]
struct Generation<K> {
    entries: HashTable<Entry<K>>,
    bytes: usize,
}

#[derive(Debug)]
struct Entry<K> {
    hash: u64,
    token: Box<[u8]>,
    known: K,
    /// What it counts for.
    bytes: usize,
}

impl<K> TokenCache<K> {
    /// An empty cache of at most `budget` bytes, in which an entry takes `entry` bytes beside the token. `seed` is random,
    /// so that nobody can prepare tokens that collide.
    pub fn new(budget: usize, entry: usize, spread: Spread, seed: u64) -> Self {
        Self {
            young: Generation::default(),
            old: Generation::default(),
            budget: budget / 2,
            entry,
            spread,
            hasher: SeedableRandomState::with_seed(seed, SharedSeed::global_fixed()),
        }
    }

    /// What is known of a token.
    pub fn get(&mut self, token: &[u8]) -> Option<&K> {
        let hash = self.hash(token);
        if self.old.holds(hash)
            && self.young.find(hash, token).is_none()
            && let Some(entry) = self.old.take(hash, token)
        {
            self.keep(entry);
        }
        self.young.find(hash, token).map(|entry| &entry.known)
    }

    /// Remembers what is known of a token.
    pub fn put(&mut self, token: &[u8], known: K) {
        self.put_with(token, 0, known);
    }

    /// The same for one that takes so many bytes more than usual.
    pub fn put_with(&mut self, token: &[u8], more: usize, known: K) {
        let hash = self.hash(token);
        self.young.take(hash, token);
        self.keep(Entry {
            hash,
            token: token.into(),
            known,
            bytes: token.len().saturating_add(self.entry).saturating_add(more),
        });
    }

    /// Forgets one token, because it has expired.
    pub fn forget(&mut self, token: &[u8]) {
        let hash = self.hash(token);
        self.young.take(hash, token);
    }

    /// Forgets what is not to be kept, because the keys of one issuer changed.
    pub fn retain(&mut self, keep: impl Fn(&K) -> bool) {
        for generation in [&mut self.young, &mut self.old] {
            let Generation { entries, bytes } = generation;
            entries.retain(|entry| {
                let kept = keep(&entry.known);
                if !kept {
                    *bytes = bytes.saturating_sub(entry.bytes);
                }
                kept
            });
        }
    }

    /// Forgets everything, because keys changed.
    pub fn clear(&mut self) {
        self.young = Generation::default();
        self.old = Generation::default();
    }

    fn keep(&mut self, entry: Entry<K>) {
        if self.young.bytes.saturating_add(entry.bytes) > self.budget {
            self.old = std::mem::take(&mut self.young);
        }
        self.young.bytes = self.young.bytes.saturating_add(entry.bytes);
        self.young.entries.insert_unique(entry.hash, entry, |entry| entry.hash);
    }

    fn hash(&self, token: &[u8]) -> u64 {
        let mut hasher = self.hasher.build_hasher();
        match (self.spread, token.first_chunk::<END>(), token.last_chunk::<END>()) {
            (Spread::Ends, Some(begin), Some(end)) => {
                for half in [begin, end].into_iter().flat_map(|bytes| bytes.as_chunks::<16>().0) {
                    hasher.write_u128(u128::from_ne_bytes(*half));
                }
            }
            _ => hasher.write(token),
        }
        hasher.finish()
    }
}

impl<K> Default for Generation<K> {
    fn default() -> Self {
        Self {
            entries: HashTable::new(),
            bytes: 0,
        }
    }
}

impl<K> Generation<K> {
    /// Whether there is an entry with this hash.
    fn holds(&self, hash: u64) -> bool {
        self.entries.find(hash, |entry| entry.hash == hash).is_some()
    }

    fn find(&self, hash: u64, token: &[u8]) -> Option<&Entry<K>> {
        self.entries.find(hash, |entry| entry.is(hash, token))
    }

    fn take(&mut self, hash: u64, token: &[u8]) -> Option<Entry<K>> {
        let found = self.entries.find_entry(hash, |entry| entry.is(hash, token)).ok()?;
        let (entry, _) = found.remove();
        self.bytes = self.bytes.saturating_sub(entry.bytes);
        Some(entry)
    }
}

impl<K> Entry<K> {
    fn is(&self, hash: u64, token: &[u8]) -> bool {
        self.hash == hash && equal(&self.token, token)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_bounded_and_what_is_used_stays() {
        const ENTRY: usize = 100;
        let mut cache = TokenCache::new(20 * ENTRY, ENTRY, Spread::All, 1);
        cache.put(b"used", ());
        for n in 0..1000 {
            cache.put(format!("token-{n}").as_bytes(), ());
            assert!(cache.get(b"used").is_some(), "after {n}");
            assert!(cache.young.bytes + cache.old.bytes <= 20 * ENTRY);
        }
        assert!(cache.get(b"token-0").is_none());
        assert!(cache.get(b"token-999").is_some());
        cache.clear();
        assert!(cache.get(b"used").is_none());
    }

    #[test]
    fn tokens_that_begin_and_end_alike_are_told_apart() {
        for spread in [Spread::Ends, Spread::All] {
            let mut cache = TokenCache::new(1 << 20, 100, spread, 1);
            let end = "e".repeat(END);
            let token = |n: usize| format!("{end}{n}{end}");
            for n in 0..100 {
                cache.put(token(n).as_bytes(), n);
            }
            for n in 0..100 {
                assert_eq!(cache.get(token(n).as_bytes()), Some(&n), "{spread:?}");
            }
            assert_eq!(cache.get(end.as_bytes()), None);
        }
    }

    #[test]
    fn a_part_is_forgotten_and_makes_room() {
        let mut cache = TokenCache::new(20 * 100, 100, Spread::Ends, 1);
        for n in 0..15u8 {
            cache.put(&[n], n);
        }
        cache.retain(|n| n % 2 == 1);
        for n in 5..15u8 {
            assert_eq!(cache.get(&[n]).is_some(), n % 2 == 1, "{n}");
        }
        cache.retain(|_| false);
        assert_eq!((cache.young.bytes, cache.old.bytes), (0, 0));
    }
}
