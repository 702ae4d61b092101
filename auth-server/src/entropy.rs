//! The one place that draws randomness.

use std::fmt::Write as _;

/// Bytes from the operating system's generator.
#[expect(clippy::disallowed_methods, reason = "the edge where randomness comes in")]
#[expect(
    clippy::expect_used,
    reason = "Linux's getrandom(2) cannot fail once the system has booted"
)]
pub fn bytes<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).expect("the operating system gives random bytes");
    bytes
}

/// A random UUID (version 4, RFC 9562 section 5.4), as the legacy systems write their `jti`.
pub fn uuid() -> String {
    uuid_of(bytes())
}

/// The UUID of these bytes; version and variant take the place of six bits.
pub fn uuid_of(mut bytes: [u8; 16]) -> String {
    bytes[6] = bytes[6] & 0x0f | 0x40;
    bytes[8] = bytes[8] & 0x3f | 0x80;
    let digits = hex(&bytes);
    [
        &digits[..8],
        &digits[8..12],
        &digits[12..16],
        &digits[16..20],
        &digits[20..],
    ]
    .join("-")
}

/// Lower-case hexadecimal digits, as generated names and secrets are written.
pub fn hex(bytes: &[u8]) -> String {
    bytes
        .iter()
        .fold(String::with_capacity(bytes.len() * 2), |mut digits, byte| {
            let _ = write!(digits, "{byte:02x}");
            digits
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_uuid_has_its_version_and_variant_in_place() {
        let uuid = uuid();
        assert_eq!(uuid.len(), 36);
        assert_eq!(&uuid[14..15], "4");
        assert!("89ab".contains(&uuid[19..20]));
        assert_ne!(uuid, self::uuid());
    }
}
