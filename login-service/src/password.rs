//! Password hashes, and a bound on how many are computed at a time.

use std::sync::Arc;

use argon2::password_hash::phc::PasswordHash;
use argon2::{Argon2, Params, PasswordHasher, PasswordVerifier};
use tokio::sync::Semaphore;
use tokio::task::JoinError;

use crate::config::PasswordChecks;
use crate::entropy;

/// The most memory and passes that a hash given from outside may ask for. A check takes what the hash says: without a
/// bound, one row could take the machine down.
const MOST_MEMORY_KIB: u32 = 256 * 1024;
const MOST_PASSES: u32 = 16;

/// Hashes a password with Argon2id and the parameters that OWASP recommends (19 MiB, 2 passes): a PHC string.
pub fn hash(password: &str) -> Result<String, Error> {
    let salt = entropy::salt().map_err(|_| Error::NoRandomness)?;
    let hash: PasswordHash = Argon2::default()
        .hash_password_with_salt(password.as_bytes(), &salt)
        .map_err(|_| Error::Unhashable)?;
    Ok(hash.to_string())
}

/// Checks a hash made elsewhere before it is stored.
pub fn check_hash(text: &str) -> Result<(), Error> {
    let hash = PasswordHash::new(text).map_err(|_| Error::NotAHash)?;
    let params = Params::try_from(&hash).map_err(|_| Error::NotAHash)?;
    if !hash.algorithm.as_str().starts_with("argon2") || hash.salt.is_none() || hash.hash.is_none() {
        return Err(Error::NotAHash);
    }
    if params.m_cost() > MOST_MEMORY_KIB || params.t_cost() > MOST_PASSES {
        return Err(Error::TooCostly);
    }
    Ok(())
}

fn matches(password: &str, hash: &str) -> bool {
    PasswordHash::new(hash).is_ok_and(|hash| Argon2::default().verify_password(password.as_bytes(), &hash).is_ok())
}

/// Checks passwords, a bounded number at a time.
#[derive(Debug)]
pub struct Checker {
    /// One permit for each check that runs or waits.
    admitted: Arc<Semaphore>,
    /// One permit for each check that runs.
    running: Arc<Semaphore>,
    /// The hash of a password that nobody has.
    nobody: String,
}

impl Checker {
    /// A checker with these bounds.
    pub fn new(bounds: &PasswordChecks) -> Result<Self, Error> {
        let concurrent = usize::from(bounds.concurrent.get());
        Ok(Self {
            admitted: Arc::new(Semaphore::new(concurrent + usize::from(bounds.queue))),
            running: Arc::new(Semaphore::new(concurrent)),
            nobody: hash("a name that nobody signs in with")?,
        })
    }

    /// Whether `password` is the one behind `hash`. Without a hash, the answer is no and takes as long, so that its time
    /// does not tell which users there are.
    ///
    /// Fails with [`Error::Saturated`] at once when as many as are allowed are waiting.
    pub async fn check(&self, password: String, hash: Option<String>) -> Result<bool, Error> {
        let admitted = Arc::clone(&self.admitted)
            .try_acquire_owned()
            .map_err(|_| Error::Saturated)?;
        let running = Arc::clone(&self.running)
            .acquire_owned()
            .await
            .map_err(|_| Error::Saturated)?;
        let known = hash.is_some();
        let hash = hash.unwrap_or_else(|| self.nobody.clone());
        let matches = tokio::task::spawn_blocking(move || {
            // The permits live as long as the work: a caller that hangs up drops this future, but not the work.
            let _permits = (admitted, running);
            matches(&password, &hash)
        })
        .await?;
        Ok(known && matches)
    }
}

/// Why a password cannot be hashed or checked.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// As many checks as allowed are waiting.
    #[error("too many password checks at once")]
    Saturated,
    /// The operating system has no random source.
    #[error("the operating system gives no random numbers for a salt")]
    NoRandomness,
    /// Longer than Argon2 takes (4 GiB).
    #[error("the password cannot be hashed")]
    Unhashable,
    /// Not an Argon2 PHC string.
    #[error("--password-hash is not an Argon2 hash; it must look like `$argon2id$v=19$m=19456,t=2,p=1$<salt>$<hash>`")]
    NotAHash,
    /// Parameters that would let one sign-in take the machine down.
    #[error("--password-hash asks for too much work; at most m=262144 (256 MiB) and t=16 are accepted")]
    TooCostly,
    /// A check died.
    #[error("a password check failed: {0}")]
    Died(#[from] JoinError),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hash_matches_its_password_only() {
        let hash = hash("password").unwrap();
        assert!(hash.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "{hash}");
        assert!(matches("password", &hash));
        assert!(!matches("Password", &hash));
        assert!(matches!(check_hash(&hash), Ok(())));
    }

    #[test]
    fn foreign_hashes_are_looked_at() {
        let costly =
            "$argon2id$v=19$m=1048576,t=2,p=1$c2FsdHNhbHRzYWx0c2FsdA$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";
        assert!(matches!(check_hash(costly), Err(Error::TooCostly)));
        for text in [
            "",
            "password",
            "$2a$10$abcdefghijklmnopqrstuu",
            "$argon2id$v=19$m=19456,t=2,p=1$c2FsdHNhbHQ",
        ] {
            assert!(matches!(check_hash(text), Err(Error::NotAHash)), "{text}");
        }
    }
}
