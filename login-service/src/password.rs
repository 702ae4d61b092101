//! Password hashes (Argon2id; bcrypt ones of imported users until they sign in), and a bound on how many are computed at a time.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use argon2::password_hash::phc::PasswordHash;
use argon2::{Argon2, Params, PasswordHasher, PasswordVerifier};
use bcrypt::HashParts;
use tokio::sync::Semaphore;
use tokio::task::JoinError;

use crate::config::PasswordChecks;
use crate::entropy;

/// The most memory and passes that a hash given from outside may ask for. A check takes what the hash says: without a
/// bound, one row could take the machine down.
const MOST_MEMORY_KIB: u32 = 256 * 1024;
const MOST_PASSES: u32 = 16;

/// The same for a bcrypt hash: 2 to this power of rounds take some seconds.
const MOST_BCRYPT_COST: u32 = 15;

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

/// Hashes many passwords, on all cores. The hashes are in the order of the passwords.
pub fn hash_all(passwords: &[String]) -> Result<Vec<String>, Error> {
    let cores = std::thread::available_parallelism().map_or(1, |cores| cores.get());
    let next = AtomicUsize::new(0);
    let work = || -> Result<Vec<(usize, String)>, Error> {
        let mut hashes = Vec::new();
        loop {
            let index = next.fetch_add(1, Ordering::Relaxed);
            let Some(password) = passwords.get(index) else {
                return Ok(hashes);
            };
            hashes.push((index, hash(password)?));
        }
    };
    let mut hashes = std::thread::scope(|scope| {
        let workers: Vec<_> = (0..cores.min(passwords.len())).map(|_| scope.spawn(work)).collect();
        let mut hashes = Vec::with_capacity(passwords.len());
        for worker in workers {
            hashes.extend(worker.join().map_err(|_| Error::Unhashable)??);
        }
        Ok::<_, Error>(hashes)
    })?;
    hashes.sort_unstable_by_key(|(index, _)| *index);
    Ok(hashes.into_iter().map(|(_, hash)| hash).collect())
}

/// Checks a hash of a legacy system before it is stored: bcrypt, or Argon2. Fails with what it is instead.
pub fn check_imported(text: &str) -> Result<(), &'static str> {
    if !is_bcrypt(text) {
        return check_hash(text).map_err(|error| match error {
            Error::TooCostly => "an Argon2 hash that asks for too much work",
            _ => "not a whole Argon2 hash",
        });
    }
    if text.starts_with("$2x$") {
        return Err("a bcrypt hash of the faulty kind $2x$");
    }
    let parts: HashParts = text.parse().map_err(|_| "not a whole bcrypt hash")?;
    if (4..=MOST_BCRYPT_COST).contains(&parts.get_cost()) {
        Ok(())
    } else {
        Err("a bcrypt hash with a cost that is not from 4 to 15")
    }
}

fn is_bcrypt(hash: &str) -> bool {
    hash.starts_with("$2")
}

fn verify(password: &str, hash: &str) -> Verdict {
    if !is_bcrypt(hash) {
        return if matches(password, hash) {
            Verdict::Right
        } else {
            Verdict::Wrong
        };
    }
    // Of a password of more than 72 bytes bcrypt sees the first 72, as it did in the system that made the hash.
    match bcrypt::verify(password, hash) {
        Ok(true) => self::hash(password).map_or(Verdict::Right, Verdict::Outdated),
        _ => Verdict::Wrong,
    }
}

fn matches(password: &str, hash: &str) -> bool {
    PasswordHash::new(hash).is_ok_and(|hash| Argon2::default().verify_password(password.as_bytes(), &hash).is_ok())
}

/// What became of a check.
// No `Debug`: hashes are not shown.
pub enum Verdict {
    /// Not the password.
    Wrong,
    /// The password.
    Right,
    /// The password, but its hash is a bcrypt one: here is a better one for its place.
    Outdated(String),
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
    /// A bcrypt hash takes its own time: until its user signs in, that tells that the user was imported.
    ///
    /// Fails with [`Error::Saturated`] at once when as many as are allowed are waiting.
    pub async fn check(&self, password: String, hash: Option<String>) -> Result<Verdict, Error> {
        let admitted = Arc::clone(&self.admitted)
            .try_acquire_owned()
            .map_err(|_| Error::Saturated)?;
        let running = Arc::clone(&self.running)
            .acquire_owned()
            .await
            .map_err(|_| Error::Saturated)?;
        let known = hash.is_some();
        let hash = hash.unwrap_or_else(|| self.nobody.clone());
        let verdict = tokio::task::spawn_blocking(move || {
            // The permits live as long as the work: a caller that hangs up drops this future, but not the work.
            let _permits = (admitted, running);
            verify(&password, &hash)
        })
        .await?;
        Ok(if known { verdict } else { Verdict::Wrong })
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
    fn hashes_of_many_are_in_their_order() {
        let passwords: Vec<String> = (0..7).map(|number| format!("password {number}")).collect();
        let hashes = hash_all(&passwords).unwrap();
        assert_eq!(hashes.len(), passwords.len());
        assert!(
            passwords
                .iter()
                .zip(&hashes)
                .all(|(password, hash)| matches(password, hash))
        );
        assert!(hash_all(&[]).unwrap().is_empty());
    }

    #[test]
    fn a_bcrypt_hash_is_replaced_by_one_of_the_same_password() {
        for hash in [
            "$2a$04$0123456789abcdefghijkuCrtJhC0zOwHCImwFgNu.oQZdpeTlz2u",
            "$2y$04$0123456789abcdefghijkuCrtJhC0zOwHCImwFgNu.oQZdpeTlz2u",
        ] {
            assert_eq!(check_imported(hash), Ok(()));
            let Verdict::Outdated(better) = verify("sesame-9", hash) else {
                panic!("{hash} does not match")
            };
            assert!(matches!(verify("sesame-9", &better), Verdict::Right));
            assert!(matches!(verify("sesame-8", hash), Verdict::Wrong));
        }
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
