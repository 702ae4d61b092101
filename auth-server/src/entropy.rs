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

/// The id of something made at a time: a UUID (version 7, RFC 9562 section 5.7), of 74 random bits behind the
/// milliseconds. Ids that were made together lie together in the database. (The legacy systems wrote random ones.)
pub fn time_ordered_uuid(now_ms: i64) -> String {
    let mut bytes: [u8; 16] = bytes();
    bytes[..6].copy_from_slice(&now_ms.to_be_bytes()[2..]);
    written(bytes, 7)
}

/// The UUID of these random bytes (version 4, RFC 9562 section 5.4); version and variant take the place of six bits.
pub fn uuid_of(bytes: [u8; 16]) -> String {
    written(bytes, 4)
}

fn written(mut bytes: [u8; 16], version: u8) -> String {
    bytes[6] = bytes[6] & 0x0f | version << 4;
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
        assert_eq!(uuid_of([0xff; 16]), "ffffffff-ffff-4fff-bfff-ffffffffffff");
        let uuid = time_ordered_uuid(0x0123_4567_89ab);
        assert_eq!((uuid.len(), &uuid[..15]), (36, "01234567-89ab-7"));
        assert!("89ab".contains(&uuid[19..20]));
        assert_ne!(uuid, time_ordered_uuid(0x0123_4567_89ab));
        assert!(uuid < time_ordered_uuid(0x0123_4567_89ac));
    }
}
