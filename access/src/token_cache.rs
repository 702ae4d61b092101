//! What verified tokens said, so that a token is verified once and not once a request.
//!
//! The identity is cached, never a decision: rules, revocations and times are asked each time. Two generations bound the
//! memory without a clock or a list: when the young one is full it becomes the old one, and what is asked for again
//! moves over. Lookups hash the token with a random seed and compare it whole.

use std::rc::Rc;

use foldhash::SharedSeed;
use foldhash::fast::SeedableRandomState;
use hashbrown::HashMap;

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
    seed: u64,
}

#[derive(Debug)]
struct Generation {
    tokens: HashMap<Box<str>, Known, SeedableRandomState>,
    bytes: usize,
}

impl Generation {
    fn new(seed: u64) -> Self {
        let hasher = SeedableRandomState::with_seed(seed, SharedSeed::global_fixed());
        Self {
            tokens: HashMap::with_hasher(hasher),
            bytes: 0,
        }
    }
}

/// What an entry takes beside the token itself: claims, headers, table space. Measured with eight short claims.
const ENTRY: usize = 1024;

impl TokenCache {
    /// An empty cache of at most `budget` bytes. `seed` is random, so that nobody can prepare tokens that collide.
    pub fn new(budget: usize, seed: u64) -> Self {
        Self {
            young: Generation::new(seed),
            old: Generation::new(seed),
            budget: budget / 2,
            seed,
        }
    }

    /// What is known of a token.
    pub fn get(&mut self, token: &str) -> Option<&Known> {
        if !self.young.tokens.contains_key(token) {
            let (token, known) = self.old.tokens.remove_entry(token)?;
            return self.keep(token, known);
        }
        self.young.tokens.get(token)
    }

    /// Remembers what is known of a token.
    pub fn put(&mut self, token: &str, known: Known) {
        self.keep(token.into(), known);
    }

    /// Forgets one token, because it has expired.
    pub fn forget(&mut self, token: &str) {
        if self.young.tokens.remove(token).is_some() {
            self.young.bytes = self.young.bytes.saturating_sub(cost(token));
        }
    }

    /// Forgets everything, because keys changed.
    pub fn clear(&mut self) {
        self.young = Generation::new(self.seed);
        self.old = Generation::new(self.seed);
    }

    fn keep(&mut self, token: Box<str>, known: Known) -> Option<&Known> {
        let cost = cost(&token);
        if self.young.bytes.saturating_add(cost) > self.budget {
            self.old = std::mem::replace(&mut self.young, Generation::new(self.seed));
        }
        self.young.bytes = self.young.bytes.saturating_add(cost);
        self.young.tokens.insert(token.clone(), known);
        self.young.tokens.get(&token)
    }
}

fn cost(token: &str) -> usize {
    token.len().saturating_add(ENTRY)
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
        cache.put("used", bad());
        for n in 0..1000 {
            cache.put(&format!("token-{n}"), bad());
            assert!(cache.get("used").is_some(), "after {n}");
            assert!(cache.young.bytes + cache.old.bytes <= 20 * ENTRY);
        }
        assert!(cache.get("token-0").is_none());
        assert!(cache.get("token-999").is_some());
        cache.clear();
        assert!(cache.get("used").is_none());
    }
}
