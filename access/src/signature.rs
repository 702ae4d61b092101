//! Whether a signature is right: found out here, or natively by a host that showed it can.
//!
//! RSA and ECDSA take a millisecond in a guest and some ten microseconds in a host. What a host offers is believed for an
//! algorithm only after it accepted a known signature of it and refused two wrong ones. What must hold before any
//! arithmetic (lengths, the point that is none) is checked here for both, so that both decide alike.

use crate::jwk::{Algorithm, Key};
use crate::known_answers::KNOWN_ANSWERS;

/// One signature to look at.
#[derive(Debug, Clone, Copy)]
pub struct Check<'a> {
    /// What it is made with; the key fits it.
    pub algorithm: Algorithm,
    /// The key that it must have been made with.
    pub key: &'a Key,
    /// What was signed.
    pub message: &'a [u8],
    /// As it stands in a JWS (RFC 7518 section 3), of the right length.
    pub signature: &'a [u8],
}

/// What a host offers. `None`: it cannot tell.
pub type Native = fn(&Check<'_>) -> Option<bool>;

/// Who looks at signatures, for each algorithm.
#[derive(Debug, Clone, Default)]
pub struct Verifier {
    native: Vec<(Algorithm, Native)>,
}

impl Verifier {
    /// Lets a host look at signatures of those algorithms that it gets right, unless one before it does already.
    pub fn adopt(&mut self, native: Native) {
        for known in &KNOWN_ANSWERS {
            if self.native(known.algorithm).is_none() && known.answered_by(native) {
                self.native.push((known.algorithm, native));
            }
        }
    }

    /// The algorithms whose signatures a host looks at.
    pub fn native_algorithms(&self) -> impl Iterator<Item = Algorithm> {
        self.native.iter().map(|(algorithm, _)| *algorithm)
    }

    /// Whether this signature over this message was made with the key's other half.
    pub fn verifies(&self, key: &Key, algorithm: Algorithm, message: &[u8], signature: &[u8]) -> bool {
        if !key.fits(algorithm)
            || signature.len() != key.signature_len(algorithm)
            || !may_verify(key, algorithm, signature)
        {
            return false;
        }
        let check = Check {
            algorithm,
            key,
            message,
            signature,
        };
        let told = self.native(algorithm).and_then(|native| native(&check));
        told.unwrap_or_else(|| key.verifies_here(algorithm, message, signature))
    }

    fn native(&self, algorithm: Algorithm) -> Option<Native> {
        let row = self.native.iter().find(|(own, _)| *own == algorithm);
        row.map(|(_, native)| *native)
    }
}

/// What no right signature has, and not every verifier refuses: a half of zero (FIPS 186-5 section 6.4.2), in Ed25519 the
/// neutral point, in RSA a number as large as the modulus.
fn may_verify(key: &Key, algorithm: Algorithm, signature: &[u8]) -> bool {
    let (first, second) = signature.split_at(signature.len() / 2);
    let zero = |half: &[u8]| half.iter().all(|&byte| byte == 0);
    match algorithm {
        Algorithm::ES256 | Algorithm::ES384 => !zero(first) && !zero(second),
        Algorithm::EdDSA => !matches!(first, [1, rest @ ..] if zero(rest)),
        _ => key.is_in_range(signature),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn adopted(native: Native) -> Vec<Algorithm> {
        let mut verifier = Verifier::default();
        verifier.adopt(native);
        verifier.native_algorithms().collect()
    }

    #[test]
    fn a_host_is_believed_only_where_it_is_right() {
        let right: Native = |check| {
            let Check {
                algorithm,
                key,
                message,
                signature,
            } = check;
            Some(key.verifies_here(*algorithm, message, signature))
        };
        assert_eq!(adopted(right), Algorithm::all().collect::<Vec<_>>());
        for (what, wrong) in [
            ("knows nothing", (|_| None) as Native),
            ("accepts everything", |_| Some(true)),
            ("refuses everything", |_| Some(false)),
            ("does not look at the message", |check| {
                Some(KNOWN_ANSWERS.iter().any(|known| known.has_signature(check.signature)))
            }),
            ("does not look at the signature", |check| {
                Some(KNOWN_ANSWERS.iter().any(|known| known.has_message(check.message)))
            }),
        ] {
            assert_eq!(adopted(wrong), [], "{what}");
        }
        let only: Native = |check| match check.algorithm {
            Algorithm::RS256 => Some(check.key.verifies_here(check.algorithm, check.message, check.signature)),
            _ => Some(true),
        };
        assert_eq!(adopted(only), [Algorithm::RS256]);
    }

    #[test]
    fn the_first_host_that_is_right_is_asked() {
        let mut verifier = Verifier::default();
        verifier.adopt(|check| Some(check.key.verifies_here(check.algorithm, check.message, check.signature)));
        verifier.adopt(|_| None);
        assert_eq!(verifier.native_algorithms().count(), 12);
    }
}
