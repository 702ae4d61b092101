//! What is said of many hashes, a million in some 15 MB.
//!
//! A hash table that doubles needs up to 35 bytes for such an entry, and as many again while it grows, which a wasm memory
//! never gives back. Here an entry is a hash and a few bytes in one of many short sorted runs, with a little room to grow,
//! and a lookup halves a run of a thousand.

/// What is said of each of these hashes.
#[derive(Debug)]
pub struct Runs<V> {
    /// Empty before the first entry.
    runs: Box<[Run<V>]>,
    len: usize,
}

/// So many runs that, with a million entries, each is some pages long.
const RUNS: usize = 1 << RUN_BITS;
const RUN_BITS: u32 = 10;

/// The entries whose hashes begin with the same bits: two columns of equal length, in the order of the hashes.
#[derive(Debug)]
struct Run<V> {
    hashes: Vec<u64>,
    values: Vec<V>,
}

impl<V> Default for Runs<V> {
    fn default() -> Self {
        Self {
            runs: Box::default(),
            len: 0,
        }
    }
}

impl<V: Copy> Runs<V> {
    /// What is said of this hash.
    pub fn get(&self, hash: u64) -> Option<V> {
        let run = self.runs.get(run_of(hash))?;
        run.values.get(run.hashes.binary_search(&hash).ok()?).copied()
    }

    /// Says this of a hash, from now on.
    pub fn put(&mut self, hash: u64, value: V) {
        if self.runs.is_empty() {
            let run = || Run {
                hashes: Vec::new(),
                values: Vec::new(),
            };
            self.runs = (0..RUNS).map(|_| run()).collect();
        }
        if let Some(run) = self.runs.get_mut(run_of(hash))
            && run.put(hash, value)
        {
            self.len = self.len.saturating_add(1);
        }
    }

    /// Forgets the entries that are not to be kept.
    pub fn retain(&mut self, keep: impl Fn(V) -> bool) {
        self.len = 0;
        for run in &mut self.runs {
            run.retain(&keep);
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

impl<V: Copy> Run<V> {
    /// Whether the entry is new.
    fn put(&mut self, hash: u64, value: V) -> bool {
        match self.hashes.binary_search(&hash) {
            Ok(at) => {
                if let Some(known) = self.values.get_mut(at) {
                    *known = value;
                }
                false
            }
            Err(at) => {
                if self.hashes.len() == self.hashes.capacity() {
                    let room = room(self.hashes.len());
                    self.hashes.reserve_exact(room);
                    self.values.reserve_exact(room);
                }
                self.hashes.insert(at, hash);
                self.values.insert(at, value);
                true
            }
        }
    }

    fn retain(&mut self, keep: impl Fn(V) -> bool) {
        let mut kept = self.values.iter().map(|&value| keep(value));
        // One answer for each entry: the columns are equally long.
        self.hashes.retain(|_| kept.next().unwrap_or(true));
        self.values.retain(|&value| keep(value));
        let len = self.hashes.len();
        let most = len.saturating_add(room(len).saturating_mul(2));
        self.hashes.shrink_to(most);
        self.values.shrink_to(most);
    }
}

/// How much a full run grows: a sixteenth.
fn room(len: usize) -> usize {
    (len / 16).max(4)
}

#[cfg(test)]
impl<V> Runs<V> {
    /// How many bytes the entries take, and how many there are beside them.
    pub fn taken(&self) -> (usize, usize) {
        let entries = self
            .runs
            .iter()
            .map(|run| run.hashes.capacity() * size_of::<u64>() + run.values.capacity() * size_of::<V>());
        (entries.sum(), self.runs.len() * size_of::<Run<V>>())
    }
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
    fn what_was_said_last_holds_until_it_is_forgotten() {
        let mut runs = Runs::default();
        assert_eq!(runs.get(hash(1)), None);
        for n in 0..20_000u64 {
            runs.put(hash(n), 0);
            runs.put(hash(n), n % 2);
        }
        assert_eq!(runs.len(), 20_000);
        assert!((0..20_000).all(|n| runs.get(hash(n)) == Some(n % 2)));
        assert!((20_000..40_000).all(|n| runs.get(hash(n)).is_none()));
        runs.retain(|odd| odd == 1);
        assert_eq!(runs.len(), 10_000);
        assert!((0..20_000).all(|n| runs.get(hash(n)).is_some() == (n % 2 == 1)));
        runs.clear();
        assert_eq!((runs.get(hash(1)), runs.len()), (None, 0));
    }
}
