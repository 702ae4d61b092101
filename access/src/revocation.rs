//! Which tokens are no longer good, by token, by user and by client.
//!
//! Only keyed hashes are kept. Two ids with the same 64-bit hash would refuse a token that is good (once in 10¹³ lookups
//! with a million entries), never let a revoked one pass.

use std::hash::BuildHasher;

use foldhash::SharedSeed;
use foldhash::quality::SeedableRandomState;

use crate::claims::Claims;
use crate::snapshot::Until;

mod runs;

use runs::Runs;

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
    tokens: Runs<Forget>,
    users: Runs<Before>,
    clients: Runs<Before>,
}

/// Unix second at which an entry may be forgotten, as the token it speaks of has expired; `u32::MAX`: never.
type Forget = u32;

/// Tokens issued up to a Unix second are revoked. In six bytes: the second, and after how many [`STEP`]s this may be
/// forgotten, rounded up.
#[derive(Debug, Clone, Copy)]
struct Before([u16; 3]);

/// Seconds.
const STEP: u64 = 4096;

impl Before {
    fn new(second: u64, forget: Forget) -> Self {
        let second = u32::try_from(second).unwrap_or(u32::MAX);
        let steps = match forget {
            Forget::MAX => u16::MAX,
            forget => {
                let steps = u64::from(forget.saturating_sub(second)).div_ceil(STEP);
                u16::try_from(steps).unwrap_or(u16::MAX)
            }
        };
        let [a, b, c, d] = second.to_le_bytes();
        Self([u16::from_le_bytes([a, b]), u16::from_le_bytes([c, d]), steps])
    }

    fn second(self) -> u64 {
        let [low, high, _] = self.0;
        u64::from(high) << 16 | u64::from(low)
    }

    fn forget(self) -> Forget {
        match self.0 {
            [.., u16::MAX] => Forget::MAX,
            [.., steps] => {
                let forget = self.second().saturating_add(u64::from(steps).saturating_mul(STEP));
                u32::try_from(forget).unwrap_or(Forget::MAX)
            }
        }
    }
}

impl Revocations {
    /// None yet. `seed` is random, so that nobody can prepare ids that collide.
    pub fn new(seed: u64) -> Self {
        Self {
            hasher: SeedableRandomState::with_seed(seed, SharedSeed::global_fixed()),
            tokens: Runs::default(),
            users: Runs::default(),
            clients: Runs::default(),
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
        let before = |entries: &Runs<Before>, mark: Option<u64>| {
            mark.and_then(|mark| entries.get(mark))
                .is_some_and(|before| issued_at.is_none_or(|at| at / 1000 <= before.second()))
        };
        marks.token.is_some_and(|mark| self.tokens.get(mark).is_some())
            || before(&self.users, marks.user)
            || before(&self.clients, marks.client)
    }

    /// Revokes one token.
    pub fn revoke_token(&mut self, id: &str, until: Until) {
        let mark = self.hash(id);
        self.tokens.put(mark, forget(until));
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
        self.tokens.retain(|forget| forget > now);
        self.users.retain(|before| before.forget() > now);
        self.clients.retain(|before| before.forget() > now);
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
fn extend(entries: &mut Runs<Before>, mark: u64, second: u64, until: Until) {
    let known = entries.get(mark);
    let second = known.map_or(second, |known| known.second().max(second));
    let forget = known.map_or(0, Before::forget).max(forget(until));
    entries.put(mark, Before::new(second, forget));
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
        assert_eq!(
            revocations.len(),
            2,
            "users and clients are kept for an hour or so more"
        );
        revocations.sweep(2000 + STEP);
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

    #[test]
    fn a_million_of_each_kind_take_no_more_than_sixteen_bytes_each() {
        const MANY: usize = 1_000_000;
        let mut revocations = Revocations::new(7);
        for n in 0..MANY {
            let (id, second) = (n.to_string(), 1_800_000_000);
            revocations.revoke_token(&id, Some(second + 3600));
            revocations.revoke_user(&id, second, Some(second + 3600));
            revocations.revoke_client(&id, second, None);
        }
        assert_eq!(revocations.len(), 3 * MANY);
        for (kind, (entries, fixed)) in [
            ("tokens", revocations.tokens.taken()),
            ("users", revocations.users.taken()),
            ("clients", revocations.clients.taken()),
        ] {
            assert!(entries <= 16 * MANY, "{kind}: {entries} bytes");
            assert!(fixed <= 64 * 1024, "{kind}: {fixed} bytes");
        }
        let marks = revocations.marks(&claims("x", "999999", "x"));
        assert!(revocations.revoked(&marks, Some(1_800_000_000_999)));
        assert!(!revocations.revoked(&marks, Some(1_800_000_001_000)));
        revocations.sweep(1_800_000_000 + 3600 + STEP);
        assert_eq!(revocations.len(), MANY, "those of clients have no end");
    }

    /// What is kept of a user is never less than what the server said.
    #[test]
    fn nothing_is_forgotten_too_early() {
        for second in [0, 1, 65_535, 65_536, 1_800_000_000, u64::from(u32::MAX)] {
            for until in [
                None,
                Some(0),
                Some(second),
                Some(second + 1),
                Some(second + 4097),
                Some(second * 2),
                Some(u64::MAX),
            ] {
                let before = Before::new(second, forget(until));
                assert_eq!(before.second(), second);
                let asked = forget(until);
                assert!(before.forget() >= asked, "{second} {until:?}");
                let most = u64::from(asked.max(u32::try_from(second).unwrap())) + STEP;
                assert!(
                    u64::from(before.forget()) <= most || before.forget() == Forget::MAX,
                    "{second} {until:?}"
                );
            }
        }
        assert_eq!(Before::new(u64::MAX, 0).second(), u64::from(u32::MAX));
    }
}
