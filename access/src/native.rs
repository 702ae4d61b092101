//! What a host is asked about a signature, and how its answer is read: the arguments and results of two foreign functions
//! of proxy-wasm hosts, as protocol buffers.
//!
//! Both take the message `{ 1: name, 2: key, 3: signature, 4: text }` (a string, and bytes) and answer
//! `{ 1: result (bool), 2: error (string) }`.

use crate::der;
use crate::jwk::Algorithm;
use crate::signature::Check;

/// Envoy's: name is a hash, the key a DER `SubjectPublicKeyInfo`, the signature as X.509 has it. It knows RSASSA-PKCS1-v1_5
/// and ECDSA.
pub const VERIFY_SIGNATURE: &str = "verify_signature";

/// Our gateway's: name is a JWS algorithm, the key as [`Key::material`](crate::jwk::Key::material) has it, the signature as
/// a JWS has it. It knows every algorithm.
pub const VERIFY_JWS_SIGNATURE: &str = "verify_jws_signature";

/// The arguments of [`VERIFY_SIGNATURE`]; `None`: it does not know the algorithm.
pub fn verify_signature(check: &Check<'_>) -> Option<Vec<u8>> {
    let halves = check.signature.split_at(check.signature.len() / 2);
    let ecdsa = || der::ecdsa_signature(halves.0, halves.1);
    let (hash, signature) = match check.algorithm {
        Algorithm::RS256 => ("sha256", None),
        Algorithm::RS384 => ("sha384", None),
        Algorithm::RS512 => ("sha512", None),
        Algorithm::ES256 => ("sha256", Some(ecdsa())),
        Algorithm::ES384 => ("sha384", Some(ecdsa())),
        _ => return None,
    };
    Some(message(check, hash, signature.as_deref().unwrap_or(check.signature)))
}

/// The arguments of [`VERIFY_JWS_SIGNATURE`].
pub fn verify_jws_signature(check: &Check<'_>) -> Vec<u8> {
    message(check, check.algorithm.name(), check.signature)
}

/// Whether the host found the signature right; `None`: that is no answer.
pub fn verified(answer: &[u8]) -> Option<bool> {
    let mut result = false;
    let mut rest = answer;
    while let Some((&tag, after)) = rest.split_first() {
        let (number, after) = varint(after)?;
        rest = match tag {
            RESULT => {
                result = number == 1;
                after
            }
            ERROR => after.get(usize::try_from(number).ok()?..)?,
            _ => return None,
        };
    }
    Some(result)
}

/// Field number times 8, plus 2 for a length and bytes, or 0 for a number.
const NAME: u8 = 1 << 3 | 2;
const KEY: u8 = 2 << 3 | 2;
const SIGNATURE: u8 = 3 << 3 | 2;
const TEXT: u8 = 4 << 3 | 2;
const RESULT: u8 = 1 << 3;
const ERROR: u8 = 2 << 3 | 2;

fn message(check: &Check<'_>, name: &str, signature: &[u8]) -> Vec<u8> {
    let fields = [
        (NAME, name.as_bytes()),
        (KEY, check.key.material()),
        (SIGNATURE, signature),
        (TEXT, check.message),
    ];
    let size: usize = fields.iter().map(|(_, bytes)| bytes.len().saturating_add(6)).sum();
    let mut out = Vec::with_capacity(size);
    for (tag, bytes) in fields {
        out.push(tag);
        let mut length = bytes.len();
        while length >= 0x80 {
            // The low seven bits, and a mark that more follow.
            out.push(0x80 | (length & 0x7f) as u8);
            length >>= 7;
        }
        out.push(length as u8);
        out.extend_from_slice(bytes);
    }
    out
}

fn varint(bytes: &[u8]) -> Option<(u64, &[u8])> {
    let mut number = 0u64;
    let mut rest = bytes;
    for shift in [0, 7, 14, 21, 28, 35, 42, 49, 56] {
        let (&byte, after) = rest.split_first()?;
        number |= u64::from(byte & 0x7f).checked_shl(shift)?;
        rest = after;
        if byte < 0x80 {
            return Some((number, rest));
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers() {
        for (answer, expected) in [
            (&[][..], Some(false)),
            (&[0x08, 0x01], Some(true)),
            (&[0x08, 0x00], Some(false)),
            (&[0x12, 0x02, b'n', b'o'], Some(false)),
            (&[0x08, 0x01, 0x12, 0x00], Some(true)),
            (&[0x12, 0x03, b'n', b'o'], None),
            (&[0x08], None),
            (&[0x08, 0x81], None),
            (&[0x18, 0x01], None),
            (b"true", None),
        ] {
            assert_eq!(verified(answer), expected, "{answer:x?}");
        }
    }
}
