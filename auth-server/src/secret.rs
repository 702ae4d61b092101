//! Client secrets: kept as a keyed hash, compared in constant time.

use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;

/// The key of all client secrets of one database. Without it the stored hashes say nothing about short secrets.
pub struct SecretKey([u8; 32]);

impl SecretKey {
    /// The key as it stands in the database; `None`: not 32 bytes.
    pub fn from_stored(bytes: &[u8]) -> Option<Self> {
        bytes.try_into().ok().map(Self)
    }

    /// HMAC-SHA256 of the secret; the client's id is part of it, so that equal secrets of two clients do not show.
    pub fn mac(&self, client_id: &str, secret: &str) -> Vec<u8> {
        self.keyed(client_id, secret).finalize().into_bytes().to_vec()
    }

    /// Whether `secret` is the one that `stored` was made from. Takes the same time for every wrong one.
    pub fn verify(&self, client_id: &str, secret: &str, stored: &[u8]) -> bool {
        self.keyed(client_id, secret).verify_slice(stored).is_ok()
    }

    #[expect(clippy::expect_used, reason = "HMAC takes a key of any length")]
    fn keyed(&self, client_id: &str, secret: &str) -> Hmac<Sha256> {
        let mut mac = Hmac::<Sha256>::new_from_slice(&self.0).expect("HMAC takes a key of any length");
        mac.update(&(client_id.len() as u64).to_be_bytes());
        mac.update(client_id.as_bytes());
        mac.update(secret.as_bytes());
        mac
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_verifies_for_its_own_client_only() {
        let key = SecretKey([7; 32]);
        let stored = key.mac("demo", "demo-secret");
        assert!(key.verify("demo", "demo-secret", &stored));
        assert!(!key.verify("demo", "demo-secre", &stored));
        assert!(!key.verify("other", "demo-secret", &stored));
        assert!(!SecretKey([8; 32]).verify("demo", "demo-secret", &stored));
        assert!(!key.verify("demo", "demo-secret", &[]));
    }
}
