//! What only the host knows of a sender: the certificate of the connection, and the proofs that other VMs have seen.

use postern_access::confirmation::Digest;
use postern_access::denial::{Denial, Unavailable};
use postern_access::dpop::ProofError;
use postern_access::replay::{Remembered, UsedProof};
use postern_access::request::Certificate;
use proxy_wasm::hostcalls;

use crate::gate::Gate;

/// How often a bucket is tried that other workers write at the same time.
const ATTEMPTS: usize = 64;

/// A cas that no value has: a key is then written only if it does not exist (a cas says nothing of a key that is not there).
pub const ABSENT: u32 = u32::MAX;

/// Where the secret is that all VMs of a host have.
const SECRET: &str = "postern.dpop.secret";

/// The certificate of the client on this connection.
pub fn certificate() -> Certificate {
    let path = vec!["connection", "sha256_peer_certificate_digest"];
    let digest = hostcalls::get_property(path).ok().flatten();
    digest
        .as_deref()
        .and_then(hexadecimal)
        .map_or(Certificate::None, Certificate::Hash)
}

fn hexadecimal(text: &[u8]) -> Option<Digest> {
    let (pairs, []) = text.as_chunks::<2>() else {
        return None;
    };
    let byte = |pair: &[u8; 2]| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok();
    let bytes: Vec<u8> = pairs.iter().map(byte).collect::<Option<_>>()?;
    bytes.try_into().ok()
}

/// Remembers a proof here and for the other VMs; refuses one that was used before, or that cannot be remembered.
pub fn remember(gate: &mut Gate, proof: &UsedProof, now: u64) -> Result<(), Denial> {
    // Without the secret, nobody else would find what is remembered here.
    if !gate.state.shares_proofs() {
        return Err(Denial::Unavailable(Unavailable::Proofs));
    }
    verdict(&gate.state.remember(proof, now))?;
    let key = proof.bucket();
    for _ in 0..ATTEMPTS {
        let Ok((bucket, cas)) = hostcalls::get_shared_data(&key) else {
            break;
        };
        let cas = if bucket.is_some() { cas } else { Some(ABSENT) };
        let remembered = proof.remember(bucket.as_deref().unwrap_or_default(), now);
        verdict(&remembered)?;
        if let Remembered::New(bytes) = remembered
            && hostcalls::set_shared_data(&key, Some(&bytes), cas).is_ok()
        {
            return Ok(());
        }
    }
    Err(Denial::Unavailable(Unavailable::Proofs))
}

fn verdict(remembered: &Remembered) -> Result<(), Denial> {
    match remembered {
        Remembered::New(_) => Ok(()),
        Remembered::Already => Err(Denial::BadProof {
            reason: ProofError::Replayed,
            nonce: None,
        }),
        Remembered::Full => Err(Denial::Unavailable(Unavailable::Proofs)),
    }
}

/// What this plugin is called, in all its VMs.
pub fn plugin() -> Vec<u8> {
    let told = |name| hostcalls::get_property(vec![name]).ok().flatten().unwrap_or_default();
    [told("plugin_root_id"), told("plugin_name")].join(&0u8)
}

/// The secret of nonces and used proofs, which the first VM of the host draws for all. `None`: the host keeps nothing for
/// all.
pub fn shared_secret(drawn: &[u8]) -> Option<Vec<u8>> {
    let shared = || hostcalls::get_shared_data(SECRET).ok()?.0;
    // Refused: another VM was faster, and its secret counts.
    let _ = shared().or_else(|| {
        let _ = hostcalls::set_shared_data(SECRET, Some(drawn), Some(ABSENT));
        None
    });
    shared()
}
