//! The few DER structures (ITU-T X.690) that verifiers outside of this crate take: public keys as `SubjectPublicKeyInfo`
//! (RFC 5280 section 4.1) and ECDSA signatures as `ECDSA-Sig-Value` (RFC 3279 section 2.2.3).

const INTEGER: u8 = 0x02;
const BIT_STRING: u8 = 0x03;
const SEQUENCE: u8 = 0x30;

/// `rsaEncryption` with its NULL (RFC 8017 appendix A.1).
const RSA: &[u8] = &[
    0x06, 0x09, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x01, 0x05, 0x00,
];
/// `id-ecPublicKey` with `prime256v1` (RFC 5480 section 2.1.1).
const P256: &[u8] = &[
    0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07,
];
/// `id-ecPublicKey` with `secp384r1`.
const P384: &[u8] = &[
    0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06, 0x05, 0x2b, 0x81, 0x04, 0x00, 0x22,
];
/// `id-Ed25519` (RFC 8410 section 3).
const ED25519: &[u8] = &[0x06, 0x03, 0x2b, 0x65, 0x70];

/// An RSA key of modulus and exponent, big-endian.
pub(crate) fn rsa_public_key(modulus: &[u8], exponent: &[u8]) -> Vec<u8> {
    let key = value(SEQUENCE, &[&integer(modulus), &integer(exponent)]);
    public_key(RSA, &[&key])
}

/// A point of P-256, or of P-384, in affine coordinates, big-endian.
pub(crate) fn ec_public_key(p384: bool, x: &[u8], y: &[u8]) -> Vec<u8> {
    // 4: neither coordinate is compressed (SEC 1 section 2.3.3).
    public_key(if p384 { P384 } else { P256 }, &[&[4], x, y])
}

/// An Ed25519 key.
pub(crate) fn ed25519_public_key(x: &[u8]) -> Vec<u8> {
    public_key(ED25519, &[x])
}

/// The two halves of an ECDSA signature, big-endian.
pub(crate) fn ecdsa_signature(r: &[u8], s: &[u8]) -> Vec<u8> {
    value(SEQUENCE, &[&integer(r), &integer(s)])
}

fn public_key(algorithm: &[u8], key: &[&[u8]]) -> Vec<u8> {
    // No bit of the last byte is unused.
    let bits = value(BIT_STRING, &[&[0], &key.concat()]);
    value(SEQUENCE, &[&value(SEQUENCE, &[algorithm]), &bits])
}

/// An unsigned number: no needless zeros in front, but one where its first bit would be a sign.
fn integer(number: &[u8]) -> Vec<u8> {
    let zeros = number.iter().take_while(|&&byte| byte == 0).count();
    let number = number.get(zeros..).unwrap_or_default();
    let sign: &[u8] = if number.first().is_none_or(|&first| first >= 0x80) {
        &[0]
    } else {
        &[]
    };
    value(INTEGER, &[sign, number])
}

fn value(tag: u8, parts: &[&[u8]]) -> Vec<u8> {
    let content = parts.concat();
    let length = content.len().to_be_bytes();
    let zeros = length.iter().take_while(|&&byte| byte == 0).count();
    let length = length.get(zeros..).unwrap_or_default();
    let mut out = Vec::with_capacity(content.len().saturating_add(6));
    out.push(tag);
    match length {
        [] => out.push(0),
        [short] if *short < 0x80 => out.push(*short),
        // At most eight bytes of length.
        long => {
            out.push(0x80 | u8::try_from(long.len()).unwrap_or(0));
            out.extend_from_slice(long);
        }
    }
    out.extend_from_slice(&content);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_as_short_as_they_can_be() {
        assert_eq!(ecdsa_signature(&[0, 0, 1], &[0x80]), [0x30, 7, 2, 1, 1, 2, 2, 0, 0x80]);
        assert_eq!(integer(&[0, 0]), [2, 1, 0]);
        assert_eq!(value(4, &[&[7; 0x80]]).get(..3), Some(&[4, 0x81, 0x80][..]));
        assert_eq!(value(4, &[&[7; 0x100]]).get(..4), Some(&[4, 0x82, 1, 0][..]));
    }

    #[test]
    fn an_ed25519_key_is_that_of_rfc_8410() {
        let key = ed25519_public_key(&[0x19; 32]);
        assert_eq!(
            key.get(..12),
            Some(&[0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00][..])
        );
        assert_eq!(key.len(), 44);
    }
}
