//! The wire contract of a server of client tokens: opaque UUIDs, and clients that register clients.

use crate::entropy;

/// The value of a token: a UUID.
pub fn token_value(bytes: &[u8; 32]) -> String {
    let mut first = [0; 16];
    first.copy_from_slice(&bytes[..16]);
    entropy::uuid_of(first)
}
