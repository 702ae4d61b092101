//! Which tokens are no longer good, by token, by user and by client.
//!
//! Only keyed hashes are kept. Two ids with the same 64-bit hash would refuse a token that is good (once in 10¹³ lookups
//! with a million entries), never let a revoked one pass.

use std::hash::{BuildHasher, Hasher};

use foldhash::SharedSeed;
use foldhash::quality::SeedableRandomState;
use hashbrown::HashMap;

use crate::claims::Claims;
use crate::snapshot::Until;

mod tokens;

use tokens::Tokens;

/// By what a token can be revoked, hashed once when the token is verified.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Marks {
    token: Option<u64>,
    user: Option<u64>,
    client: Option<u64>,
}

/// The revocations in force.
#[derive(Debug)]
pub struct Revocations {
    hasher: SeedableRandomState,
    tokens: Tokens,
    users: HashMap<u64, Before, Hashed>,
    clients: HashMap<u64, Before, Hashed>,
}

/// Unix second at which an entry may be forgotten, as the token it speaks of has expired; `u32::MAX`: never.
type Forget = u32;

/// Tokens issued up to this Unix second are revoked.
#[derive(Debug, Clone, Copy)]
struct Before {
    second: u64,
    forget: Forget,
}

impl Revocations {
    /// None yet. `seed` is random, so that nobody can prepare ids that collide.
    pub fn new(seed: u64) -> Self {
        Self {
            hasher: SeedableRandomState::with_seed(seed, SharedSeed::global_fixed()),
            tokens: Tokens::default(),
            users: HashMap::default(),
            clients: HashMap::default(),
        }
    }

    /// The marks of a token with these claims.
    pub fn marks(&self, claims: &Claims) -> Marks {
        let hash = |id: &Option<String>| id.as_deref().map(|id| self.hash(id));
        Marks {
            token: hash(&claims.token_id),
            user: hash(&claims.user_id).filter(|_| !claims.foreign_user),
            client: hash(&claims.client_id),
        }
    }

    /// Whether a token is revoked. A token that does not say when it was issued counts as issued before.
    pub fn revoked(&self, marks: &Marks, issued_at: Option<u64>) -> bool {
        let before = |entries: &HashMap<u64, Before, Hashed>, mark: Option<u64>| {
            !entries.is_empty()
                && mark
                    .and_then(|mark| entries.get(&mark))
                    .is_some_and(|before| issued_at.is_none_or(|at| at / 1000 <= before.second))
        };
        marks.token.is_some_and(|mark| self.tokens.contains(mark))
            || before(&self.users, marks.user)
            || before(&self.clients, marks.client)
    }

    /// Revokes one token.
    pub fn revoke_token(&mut self, id: &str, until: Until) {
        let mark = self.hash(id);
        self.tokens.insert(mark, forget(until));
    }

    /// Revokes a user's tokens issued up to a Unix second.
    pub fn revoke_user(&mut self, id: &str, before: u64, until: Until) {
        let mark = self.hash(id);
        extend(&mut self.users, mark, before, until);
    }

    /// Revokes the tokens that a client got up to a Unix second.
    pub fn revoke_client(&mut self, id: &str, before: u64, until: Until) {
        let mark = self.hash(id);
        extend(&mut self.clients, mark, before, until);
    }

    /// Forgets all, before a full snapshot is read. The hashes of principals stay valid.
    pub fn clear(&mut self) {
        self.tokens.clear();
        self.users.clear();
        self.clients.clear();
    }

    /// Forgets what speaks of tokens that have expired by themselves. `now` is a Unix second.
    pub fn sweep(&mut self, now: u64) {
        let now = u32::try_from(now).unwrap_or(u32::MAX);
        self.tokens.sweep(now);
        self.users.retain(|_, before| before.forget > now);
        self.clients.retain(|_, before| before.forget > now);
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.tokens
            .len()
            .saturating_add(self.users.len())
            .saturating_add(self.clients.len())
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn hash(&self, id: &str) -> u64 {
        self.hasher.hash_one(id)
    }
}

fn forget(until: Until) -> Forget {
    until.map_or(u32::MAX, |until| u32::try_from(until).unwrap_or(u32::MAX))
}

/// A later revocation of the same user or client only ever widens the earlier one.
fn extend(entries: &mut HashMap<u64, Before, Hashed>, mark: u64, second: u64, until: Until) {
    let entry = entries.entry(mark).or_insert(Before { second, forget: 0 });
    entry.second = entry.second.max(second);
    entry.forget = entry.forget.max(forget(until));
}

/// The keys are hashes already.
#[derive(Debug, Clone, Copy, Default)]
struct Hashed;

impl BuildHasher for Hashed {
    type Hasher = Same;

    fn build_hasher(&self) -> Same {
        Same(0)
    }
}

struct Same(u64);

impl Hasher for Same {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for &byte in bytes {
            self.0 = (self.0 << 8) | u64::from(byte);
        }
    }

    fn write_u64(&mut self, hash: u64) {
        self.0 = hash;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn claims(token: &str, user: &str, client: &str) -> Claims {
        Claims {
            token_id: Some(token.into()),
            user_id: Some(user.into()),
            client_id: Some(client.into()),
            ..Claims::default()
        }
    }

    #[test]
    fn a_token_a_user_or_a_client_can_be_revoked() {
        let mut revocations = Revocations::new(7);
        revocations.revoke_token("t1", Some(2000));
        revocations.revoke_user("u1", 1000, Some(2000));
        revocations.revoke_client("c1", 1000, None);
        let revoked = |revocations: &Revocations, claims: Claims, issued_at| {
            revocations.revoked(&revocations.marks(&claims), issued_at)
        };
        assert!(revoked(&revocations, claims("t1", "u", "c"), Some(1_500_000)));
        assert!(!revoked(&revocations, claims("t2", "u", "c"), Some(1_500_000)));
        assert!(revoked(&revocations, claims("t", "u1", "c"), Some(1_000_999)));
        assert!(!revoked(&revocations, claims("t", "u1", "c"), Some(1_001_000)));
        assert!(
            revoked(&revocations, claims("t", "u1", "c"), None),
            "unknown issue time counts as before"
        );
        assert!(revoked(&revocations, claims("t", "u", "c1"), Some(1)));
        revocations.sweep(1999);
        assert_eq!(revocations.len(), 3);
        revocations.sweep(2000);
        assert_eq!(revocations.len(), 1, "only the entry without an end is left");
    }

    #[test]
    fn a_second_revocation_only_widens_the_first() {
        let mut revocations = Revocations::new(7);
        revocations.revoke_user("u1", 1000, Some(2000));
        revocations.revoke_user("u1", 900, Some(1500));
        let marks = revocations.marks(&claims("t", "u1", "c"));
        assert!(revocations.revoked(&marks, Some(1_000_000)));
        revocations.sweep(1500);
        assert!(revocations.revoked(&marks, Some(1_000_000)));
    }
}
