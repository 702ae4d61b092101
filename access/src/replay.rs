//! Proofs that were used: each is good once (RFC 9449 section 11.1).
//!
//! A proof is remembered until it would be too old anyway, in one of many buckets of bounded size. The bytes of a bucket
//! are the same in a VM's own memory and in the host's shared data, where every worker sees them. When a bucket is full,
//! nothing can be said of another proof, and it is refused.
//!
//! No client can fill a bucket for others: which one a proof is in depends on a secret of the host, and each key has but a
//! part of it.

use crate::confirmation::{Digest, sha256};

/// How many buckets there are.
const BUCKETS: usize = 4096;

/// How many proofs a bucket remembers at a time: a million in all. A proof costs a look at one bucket and a copy of it, which
/// are 4 KiB at most.
const MOST: usize = 256;

/// How many of them may be of one key.
const MOST_OF_KEY: usize = MOST / 16;

/// Eight bytes of identity, four of the key, and the Unix second until which it is remembered, all little-endian.
const ENTRY: usize = 16;

/// A good proof that is to be remembered now. The request passes only if it was not remembered already.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct UsedProof {
    id: u64,
    /// Which key made it.
    key: u32,
    /// Whose proofs it is among.
    space: u32,
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
    /// The bucket is full, or the key's part of it.
    Full,
}

impl UsedProof {
    /// The name of its bucket in the host's shared data.
    pub fn bucket(&self) -> String {
        format!("postern.dpop.{:08x}.{:03x}", self.space, self.index())
    }

    /// Looks for it in the bytes of its bucket. `now` in Unix milliseconds.
    pub fn remember(&self, bucket: &[u8], now: u64) -> Remembered {
        let now = u32::try_from(now / 1000).unwrap_or(u32::MAX);
        let (entries, _) = bucket.as_chunks::<ENTRY>();
        let mut kept = Vec::with_capacity(bucket.len().saturating_add(ENTRY));
        let mut of_key = 0usize;
        for entry in entries {
            let [a, b, c, d, e, f, g, h, k, l, m, n, until @ ..] = *entry;
            if u32::from_le_bytes(until) < now {
                continue;
            }
            of_key = of_key.saturating_add(usize::from(u32::from_le_bytes([k, l, m, n]) == self.key));
            if u64::from_le_bytes([a, b, c, d, e, f, g, h]) == self.id {
                return Remembered::Already;
            }
            kept.extend_from_slice(entry);
        }
        if kept.len() >= MOST.saturating_mul(ENTRY) || of_key >= MOST_OF_KEY {
            return Remembered::Full;
        }
        kept.extend_from_slice(&self.id.to_le_bytes());
        kept.extend_from_slice(&self.key.to_le_bytes());
        kept.extend_from_slice(&self.until.to_le_bytes());
        Remembered::New(kept)
    }

    fn index(&self) -> usize {
        let [.., low, high] = self.id.to_le_bytes();
        usize::from(u16::from_le_bytes([low, high])) % BUCKETS
    }
}

/// The proofs that one VM has seen: a second use in the same VM needs no look at shared data.
pub struct UsedProofs {
    buckets: Vec<Vec<u8>>,
    secret: Digest,
    shared: bool,
}

impl std::fmt::Debug for UsedProofs {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("UsedProofs")
    }
}

impl UsedProofs {
    /// Those of one VM, which no other VM knows of. `secret` is random.
    pub(crate) fn new(secret: &[u8]) -> Self {
        Self {
            buckets: Vec::new(),
            secret: sha256(&[b"used proofs".as_slice(), secret].concat()),
            shared: false,
        }
    }

    /// Those of all VMs that have this secret for this plugin. Another plugin on the way of the same request has its own: it
    /// sees the same proofs, and must not take them for replays.
    pub(crate) fn shared(secret: &[u8], plugin: &[u8]) -> Self {
        Self {
            shared: true,
            ..Self::new(&[sha256(secret).as_slice(), plugin].concat())
        }
    }

    /// Whether other VMs know the same buckets.
    pub(crate) fn are_shared(&self) -> bool {
        self.shared
    }

    /// The proof that this key made under this `jti`, to be remembered until so many Unix milliseconds.
    pub(crate) fn proof(&self, key: &Digest, jti: &str, until: u64) -> UsedProof {
        let keyed = |parts: &[&[u8]]| sha256(&[self.secret.as_slice(), &parts.concat()].concat());
        let [a, b, c, d, e, f, g, h, ..] = keyed(&[key.as_slice(), jti.as_bytes()]);
        let [k, l, m, n, ..] = keyed(&[key.as_slice()]);
        let [s, t, u, v, ..] = keyed(&[]);
        UsedProof {
            id: u64::from_le_bytes([a, b, c, d, e, f, g, h]),
            key: u32::from_le_bytes([k, l, m, n]),
            space: u32::from_le_bytes([s, t, u, v]),
            until: u32::try_from(until.div_ceil(1000)).unwrap_or(u32::MAX),
        }
    }

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
        let mut seen = UsedProofs::new(b"secret");
        let other_key = seen.proof(&[2; 32], "a", NOW + 60_000);
        let made = ["a", "b"].map(|jti| seen.proof(&[1; 32], jti, NOW + 60_500));
        let proof = |jti: &str| made[usize::from(jti == "b")];
        assert!(matches!(seen.remember(&proof("a"), NOW), Remembered::New(_)));
        assert_eq!(seen.remember(&proof("a"), NOW), Remembered::Already);
        assert_eq!(seen.remember(&proof("a"), NOW + 61_000), Remembered::Already);
        assert!(matches!(seen.remember(&proof("b"), NOW), Remembered::New(_)));
        assert!(matches!(seen.remember(&other_key, NOW), Remembered::New(_)));
        assert!(matches!(seen.remember(&proof("a"), NOW + 62_000), Remembered::New(_)));
    }

    #[test]
    fn a_bucket_is_bounded_and_a_full_one_lets_nobody_pass() {
        let proof = |id: u64| UsedProof {
            id,
            key: u32::try_from(id / 16).unwrap_or(0),
            space: 7,
            until: u32::try_from(NOW / 1000).unwrap() + 60,
        };
        let mut bucket = Vec::new();
        for id in 0..256 {
            let Remembered::New(bytes) = proof(id).remember(&bucket, NOW) else {
                panic!("{id}")
            };
            bucket = bytes;
        }
        assert_eq!(bucket.len(), 4096, "what one proof costs at most");
        assert_eq!(proof(256).remember(&bucket, NOW), Remembered::Full);
        assert_eq!(proof(7).remember(&bucket, NOW), Remembered::Already);
        assert!(matches!(proof(256).remember(&bucket, NOW + 61_000), Remembered::New(bytes) if bytes.len() == 16));
        assert_eq!(proof(0xa103_0000_0000_0000).bucket(), "postern.dpop.00000007.103");
    }

    #[test]
    fn one_key_takes_only_its_part_of_a_bucket() {
        let proof = |key: u32, id: u64| UsedProof {
            id,
            key,
            space: 0,
            until: u32::try_from(NOW / 1000).unwrap() + 60,
        };
        let mut bucket = Vec::new();
        for id in 0..16 {
            let Remembered::New(bytes) = proof(1, id).remember(&bucket, NOW) else {
                panic!("{id}")
            };
            bucket = bytes;
        }
        assert_eq!(proof(1, 16).remember(&bucket, NOW), Remembered::Full);
        assert_eq!(proof(1, 0).remember(&bucket, NOW), Remembered::Already);
        assert!(matches!(proof(2, 16).remember(&bucket, NOW), Remembered::New(_)));
        assert!(matches!(
            proof(1, 16).remember(&bucket, NOW + 61_000),
            Remembered::New(_)
        ));
    }

    /// Where a proof is remembered is the same in all VMs of a host, and nobody else can tell.
    #[test]
    fn a_proof_is_the_same_to_one_plugin_of_one_host_only() {
        let key = [1; 32];
        let [here, worker, chain, elsewhere] = [("s", "one"), ("s", "one"), ("s", "two"), ("t", "one")]
            .map(|(secret, plugin)| UsedProofs::shared(secret.as_bytes(), plugin.as_bytes()));
        let proof = |proofs: &UsedProofs, jti: &str| proofs.proof(&key, jti, NOW + 60_000);
        assert_eq!(proof(&here, "a"), proof(&worker, "a"));
        let Remembered::New(bucket) = proof(&here, "a").remember(b"", NOW) else {
            panic!()
        };
        assert_eq!(proof(&worker, "a").remember(&bucket, NOW), Remembered::Already);
        assert!(matches!(proof(&chain, "a").remember(&bucket, NOW), Remembered::New(_)));
        assert_ne!(proof(&here, "a").bucket(), proof(&chain, "a").bucket());
        // Proofs that are in one bucket here are in many elsewhere.
        let jtis = (0..50_000).map(|n| n.to_string());
        let together = jtis.filter(|jti| proof(&here, jti).index() == 0);
        let mut there: Vec<_> = together.map(|jti| proof(&elsewhere, &jti).index()).collect();
        there.sort_unstable();
        there.dedup();
        assert!(there.len() > 4, "{there:?}");
        assert!(here.are_shared() && !UsedProofs::new(b"s").are_shared());
    }
}
