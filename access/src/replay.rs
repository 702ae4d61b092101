//! Proofs that were used: each is good once (RFC 9449 section 11.1).
//!
//! A proof is remembered until it would be too old anyway, in one of many buckets of bounded size. The bytes of a bucket
//! are the same in a VM's own memory and in the host's shared data, where every worker sees them. When a bucket is full,
//! nothing can be said of another proof, and it is refused.

use crate::confirmation::{Digest, sha256};

/// How many buckets there are.
const BUCKETS: usize = 256;

/// How many proofs a bucket remembers at a time: a million in all.
const MOST: usize = 4096;

/// Eight bytes of identity and the Unix second until which it is remembered, both little-endian.
const ENTRY: usize = 12;

/// A good proof that is to be remembered now. The request passes only if it was not remembered already.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct UsedProof {
    id: u64,
    /// Unix second.
    until: u32,
}

/// What a bucket says of a proof.
#[derive(Debug, PartialEq, Eq)]
pub enum Remembered {
    /// It is new; this is the bucket with it.
    New(Vec<u8>),
    /// It was used before.
    Already,
    /// The bucket is full.
    Full,
}

impl UsedProof {
    /// The proof that this key made under this `jti`, to be remembered until so many Unix milliseconds.
    pub(crate) fn new(key: &Digest, jti: &str, until: u64) -> Self {
        let hash = sha256(&[key.as_slice(), jti.as_bytes()].concat());
        let [a, b, c, d, e, f, g, h, ..] = hash;
        Self {
            id: u64::from_le_bytes([a, b, c, d, e, f, g, h]),
            until: u32::try_from(until.div_ceil(1000)).unwrap_or(u32::MAX),
        }
    }

    /// The name of its bucket in the host's shared data.
    pub fn bucket(&self) -> String {
        format!("postern.dpop.{:02x}", self.index())
    }

    /// Looks for it in the bytes of its bucket. `now` in Unix milliseconds.
    pub fn remember(&self, bucket: &[u8], now: u64) -> Remembered {
        let now = u32::try_from(now / 1000).unwrap_or(u32::MAX);
        let (entries, _) = bucket.as_chunks::<ENTRY>();
        let mut kept = Vec::with_capacity(bucket.len().saturating_add(ENTRY));
        for entry in entries {
            let [a, b, c, d, e, f, g, h, until @ ..] = *entry;
            if u32::from_le_bytes(until) < now {
                continue;
            }
            if u64::from_le_bytes([a, b, c, d, e, f, g, h]) == self.id {
                return Remembered::Already;
            }
            kept.extend_from_slice(entry);
        }
        if kept.len() >= MOST.saturating_mul(ENTRY) {
            return Remembered::Full;
        }
        kept.extend_from_slice(&self.id.to_le_bytes());
        kept.extend_from_slice(&self.until.to_le_bytes());
        Remembered::New(kept)
    }

    fn index(&self) -> usize {
        usize::from(self.id.to_le_bytes()[7])
    }
}

/// The proofs that one VM has seen: a second use in the same VM needs no look at shared data.
#[derive(Debug, Default)]
pub struct UsedProofs {
    buckets: Vec<Vec<u8>>,
}

impl UsedProofs {
    /// Looks for a proof, and remembers it.
    pub fn remember(&mut self, proof: &UsedProof, now: u64) -> Remembered {
        if self.buckets.is_empty() {
            self.buckets.resize_with(BUCKETS, Vec::new);
        }
        let Some(bucket) = self.buckets.get_mut(proof.index()) else {
            return Remembered::Full;
        };
        let remembered = proof.remember(bucket, now);
        if let Remembered::New(bytes) = &remembered {
            bucket.clone_from(bytes);
        }
        remembered
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: u64 = 1_800_000_000_000;

    #[test]
    fn a_proof_is_good_once_and_forgotten_when_it_would_be_too_old() {
        let mut seen = UsedProofs::default();
        let proof = |jti: &str| UsedProof::new(&[1; 32], jti, NOW + 60_500);
        assert!(matches!(seen.remember(&proof("a"), NOW), Remembered::New(_)));
        assert_eq!(seen.remember(&proof("a"), NOW), Remembered::Already);
        assert_eq!(seen.remember(&proof("a"), NOW + 61_000), Remembered::Already);
        assert!(matches!(seen.remember(&proof("b"), NOW), Remembered::New(_)));
        let other_key = UsedProof::new(&[2; 32], "a", NOW + 60_000);
        assert!(matches!(seen.remember(&other_key, NOW), Remembered::New(_)));
        assert!(matches!(seen.remember(&proof("a"), NOW + 62_000), Remembered::New(_)));
    }

    #[test]
    fn a_bucket_is_bounded_and_a_full_one_lets_nobody_pass() {
        let proof = |id: u64| UsedProof {
            id,
            until: u32::try_from(NOW / 1000).unwrap() + 60,
        };
        let mut bucket = Vec::new();
        for id in 0..4096 {
            let Remembered::New(bytes) = proof(id).remember(&bucket, NOW) else {
                panic!("{id}")
            };
            bucket = bytes;
        }
        assert_eq!(proof(4096).remember(&bucket, NOW), Remembered::Full);
        assert_eq!(proof(7).remember(&bucket, NOW), Remembered::Already);
        assert!(matches!(proof(4096).remember(&bucket, NOW + 61_000), Remembered::New(bytes) if bytes.len() == 12));
        assert_eq!(proof(0x0300_0000_0000_0000).bucket(), "postern.dpop.03");
    }
}
