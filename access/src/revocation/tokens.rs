//! Revoked tokens, a million of them in 13 MB.
//!
//! A hash table that doubles needs up to 35 bytes for such an entry, and as many again while it grows, which a wasm memory
//! never gives back. Here an entry is a hash and a time in one of many short sorted runs: 12 bytes, a little room to grow,
//! and a lookup that halves a run of a thousand.

use super::Forget;

/// The hashes of revoked tokens' ids, and when each may be forgotten.
#[derive(Debug)]
pub struct Tokens {
    runs: Box<[Run]>,
    len: usize,
}

/// So many runs that, with a million entries, each is some pages long.
const RUNS: usize = 1 << RUN_BITS;
const RUN_BITS: u32 = 10;

/// The entries whose hashes begin with the same bits: two columns of equal length, in the order of the hashes.
#[derive(Debug, Default)]
struct Run {
    hashes: Vec<u64>,
    forget: Vec<Forget>,
}

impl Default for Tokens {
    fn default() -> Self {
        Self {
            runs: (0..RUNS).map(|_| Run::default()).collect(),
            len: 0,
        }
    }
}

impl Tokens {
    /// Whether this token is revoked.
    pub fn contains(&self, hash: u64) -> bool {
        self.len > 0
            && self
                .runs
                .get(run_of(hash))
                .is_some_and(|run| run.hashes.binary_search(&hash).is_ok())
    }

    /// Revokes a token; what was said of it last holds.
    pub fn insert(&mut self, hash: u64, forget: Forget) {
        if let Some(run) = self.runs.get_mut(run_of(hash))
            && run.insert(hash, forget)
        {
            self.len = self.len.saturating_add(1);
        }
    }

    /// Forgets the entries whose time has come.
    pub fn sweep(&mut self, now: Forget) {
        self.len = 0;
        for run in &mut self.runs {
            run.sweep(now);
            self.len = self.len.saturating_add(run.hashes.len());
        }
    }

    /// Forgets all.
    pub fn clear(&mut self) {
        *self = Self::default();
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.len
    }
}

/// The first bits of a hash; there are as many runs as they can say.
fn run_of(hash: u64) -> usize {
    usize::try_from(hash >> (u64::BITS - RUN_BITS)).unwrap_or_default()
}

impl Run {
    /// Whether the entry is new.
    fn insert(&mut self, hash: u64, forget: Forget) -> bool {
        match self.hashes.binary_search(&hash) {
            Ok(at) => {
                if let Some(known) = self.forget.get_mut(at) {
                    *known = forget;
                }
                false
            }
            Err(at) => {
                if self.hashes.len() == self.hashes.capacity() {
                    let room = room(self.hashes.len());
                    self.hashes.reserve_exact(room);
                    self.forget.reserve_exact(room);
                }
                self.hashes.insert(at, hash);
                self.forget.insert(at, forget);
                true
            }
        }
    }

    fn sweep(&mut self, now: Forget) {
        let mut kept = self.forget.iter().map(|&forget| forget > now);
        // One answer for each entry: the columns are equally long.
        self.hashes.retain(|_| kept.next().unwrap_or(true));
        self.forget.retain(|&forget| forget > now);
        let len = self.hashes.len();
        let most = len.saturating_add(room(len).saturating_mul(2));
        self.hashes.shrink_to(most);
        self.forget.shrink_to(most);
    }
}

/// How much a full run grows: a sixteenth.
fn room(len: usize) -> usize {
    (len / 16).max(4)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Well spread numbers that are always the same.
    fn hash(n: u64) -> u64 {
        let mut x = n.wrapping_add(1).wrapping_mul(0x9E37_79B9_7F4A_7C15);
        x = (x ^ (x >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        x ^ (x >> 27)
    }

    #[test]
    fn what_was_put_in_is_there_until_its_time() {
        let mut tokens = Tokens::default();
        for n in 0..20_000u64 {
            tokens.insert(hash(n), if n % 2 == 0 { 100 } else { 200 });
            tokens.insert(hash(n), if n % 2 == 0 { 101 } else { 201 });
        }
        assert_eq!(tokens.len(), 20_000);
        assert!((0..20_000).all(|n| tokens.contains(hash(n))));
        assert!(!(20_000..40_000).any(|n| tokens.contains(hash(n))));
        tokens.sweep(100);
        assert_eq!(tokens.len(), 20_000);
        tokens.sweep(101);
        assert_eq!(tokens.len(), 10_000);
        assert!((0..20_000).all(|n| tokens.contains(hash(n)) == (n % 2 == 1)));
        tokens.clear();
        assert!(!tokens.contains(hash(1)));
        assert_eq!(tokens.len(), 0);
    }

    #[test]
    fn a_million_entries_take_no_more_than_sixteen_bytes_each() {
        let mut tokens = Tokens::default();
        for n in 0..1_000_000 {
            tokens.insert(hash(n), 100);
        }
        let taken: usize = tokens
            .runs
            .iter()
            .map(|run| run.hashes.capacity() * 8 + run.forget.capacity() * 4)
            .sum();
        let fixed = RUNS * size_of::<Run>();
        assert!(taken <= 14 * 1_000_000, "{taken} bytes");
        assert!(fixed <= 64 * 1024, "{fixed} bytes");
    }
}
