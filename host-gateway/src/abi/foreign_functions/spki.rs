//! Public keys as guests hand them over: `SubjectPublicKeyInfo` (RFC 5280 section 4.1), in DER or PEM (RFC 7468).

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

/// The kinds of public key that signatures are verified with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Rsa,
    P256,
    P384,
    Ed25519,
}

/// The content of each kind's `AlgorithmIdentifier`: object identifier and parameters.
const KINDS: [(&[u8], Kind); 4] = [
    (b"\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x01\x01\x05\x00", Kind::Rsa),
    (
        b"\x06\x07\x2a\x86\x48\xce\x3d\x02\x01\x06\x08\x2a\x86\x48\xce\x3d\x03\x01\x07",
        Kind::P256,
    ),
    (
        b"\x06\x07\x2a\x86\x48\xce\x3d\x02\x01\x06\x05\x2b\x81\x04\x00\x22",
        Kind::P384,
    ),
    (b"\x06\x03\x2b\x65\x70", Kind::Ed25519),
];

/// The kind of a key, and the key itself: `RSAPublicKey`, an uncompressed point, or 32 bytes.
pub(super) fn parse(der: &[u8]) -> Option<(Kind, &[u8])> {
    let (info, b"") = value(0x30, der)? else { return None };
    let (algorithm, rest) = value(0x30, info)?;
    let (bits, b"") = value(0x03, rest)? else { return None };
    let (_, kind) = KINDS.iter().find(|(content, _)| *content == algorithm)?;
    let (0, key) = bits.split_first()? else { return None };
    Some((*kind, key))
}

/// The DER between the marks of a PEM text.
pub(super) fn from_pem(pem: &[u8]) -> Option<Vec<u8>> {
    let text = std::str::from_utf8(pem).ok()?;
    let (_, text) = text.split_once("-----BEGIN PUBLIC KEY-----")?;
    let (text, _) = text.split_once("-----END PUBLIC KEY-----")?;
    let text: String = text.split_ascii_whitespace().collect();
    STANDARD.decode(text).ok()
}

/// The content of the value with this tag at the front, and what follows it.
fn value(tag: u8, der: &[u8]) -> Option<(&[u8], &[u8])> {
    let rest = der.strip_prefix(&[tag])?;
    let (&first, rest) = rest.split_first()?;
    let (length, rest) = match first {
        short @ ..=0x7f => (usize::from(short), rest),
        0x81 => {
            let (&length, rest) = rest.split_first()?;
            (usize::from(length), rest)
        }
        0x82 => {
            let (length, rest) = rest.split_first_chunk::<2>()?;
            (usize::from(u16::from_be_bytes(*length)), rest)
        }
        _ => return None,
    };
    rest.split_at_checked(length)
}
