//! Client secrets that came as bcrypt hashes with an import.
//!
//! A check takes a core some tens of milliseconds, where that of our own hash takes a microsecond. So each client has one
//! check run at a time and only so many wait, and whoever guesses at one client's secret keeps no other client waiting for
//! longer than for one check. The first check that succeeds puts our own hash in the place of the imported one.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::available_parallelism;
use std::time::Duration;

use bcrypt::HashParts;
use tokio::sync::Semaphore;

use crate::app::App;
use crate::clock;
use crate::db::change::{self, Kind};
use crate::db::client::{self, Client};
use crate::error::Refusal;

/// How many checks of one client's secret may run and wait. With the usual cost of 10 the last of them waits some seconds.
const MOST_OF_A_CLIENT: usize = 128;

/// Hashes that would take longer than some seconds each are not taken: each step doubles the work.
const HIGHEST_COST: u32 = 15;

/// How long to wait until the clients in memory are those of the database again; a failing database has its own alarm.
const LONGEST_REACH: Duration = Duration::from_secs(1);

/// Checks secrets, a bounded number at a time.
pub struct ImportedSecrets {
    /// By client, and no more of them than have such a secret.
    queues: Mutex<HashMap<String, Queue>>,
    /// One permit for each check that runs.
    running: Arc<Semaphore>,
}

/// The checks of one client's secret.
#[derive(Clone)]
struct Queue {
    /// One permit for each that runs or waits.
    admitted: Arc<Semaphore>,
    /// The permit of the one that runs, or is the next to.
    turn: Arc<Semaphore>,
}

impl Default for Queue {
    fn default() -> Self {
        Self {
            admitted: Arc::new(Semaphore::new(MOST_OF_A_CLIENT)),
            turn: Arc::new(Semaphore::new(1)),
        }
    }
}

impl Default for ImportedSecrets {
    fn default() -> Self {
        let cores = available_parallelism().map_or(1, usize::from);
        Self {
            queues: Mutex::default(),
            running: Arc::new(Semaphore::new(cores)),
        }
    }
}

impl ImportedSecrets {
    /// Whether `secret` is the one of a client with an imported hash; if so, the hash is replaced by one of ours.
    ///
    /// Fails with [`Refusal::Saturated`] at once when as many checks of this client's as may wait are waiting.
    pub async fn verify(&self, app: &App, client: &Client, secret: &str) -> Result<bool, Refusal> {
        let queue = {
            let mut queues = self.queues.lock().unwrap_or_else(PoisonError::into_inner);
            queues.entry(client.client_id.clone()).or_default().clone()
        };
        let admitted = queue.admitted.try_acquire_owned().map_err(|_| Refusal::Saturated)?;
        let turn = queue.turn.acquire_owned().await.map_err(|_| Refusal::Saturated)?;
        // In line with one check of each other client.
        let running = Arc::clone(&self.running)
            .acquire_owned()
            .await
            .map_err(|_| Refusal::Saturated)?;
        // Whoever came first may have replaced the hash meanwhile.
        let client = app
            .clients
            .find(&client.client_id)
            .filter(|now| now.profile == client.profile);
        let Some(client) = client else { return Ok(false) };
        let Some(hash) = client.imported_secret.clone() else {
            return Ok(app.secret_key.verify(&client.client_id, secret, &client.secret_mac));
        };
        let presented = secret.to_owned();
        let check = tokio::task::spawn_blocking({
            let hash = hash.clone();
            // The permits live as long as the work: a caller that hangs up drops this future, but not the work.
            move || {
                (
                    bcrypt::verify(presented, &hash).unwrap_or(false),
                    (admitted, turn, running),
                )
            }
        });
        let (right, _permits) = check
            .await
            .map_err(|_| Refusal::Corrupt("a check of a bcrypt hash died"))?;
        if right {
            // Whoever waits behind this one finds our own hash.
            replace(app, &client.client_id, secret, &hash).await?;
        }
        Ok(right)
    }
}

/// Whether a hash can be taken from a dump; the error says why not.
pub fn check_hash(hash: &str) -> Result<(), &'static str> {
    let parts: HashParts = hash.parse().map_err(|_| "its secret is not a whole bcrypt hash")?;
    match &hash[..4] {
        "$2a$" | "$2b$" | "$2y$" => {}
        _ => return Err("its secret is a bcrypt hash of the faulty kind $2x$"),
    }
    match parts.get_cost() {
        4..=HIGHEST_COST => Ok(()),
        _ => Err("its secret is a bcrypt hash of a cost beyond 4 to 15"),
    }
}

async fn replace(app: &App, client_id: &str, secret: &str, hash: &str) -> Result<(), Refusal> {
    let mut write = app.database.write().await?;
    let secret_mac = app.secret_key.mac(client_id, secret);
    if client::replace_secret(&mut write, client_id, hash, &secret_mac).await? {
        let number = change::append(&mut write, Kind::ClientAdded, client_id, clock::now_ms(), None).await?;
        write.commit().await?;
        tracing::info!(
            client_id,
            "the imported hash of the client's secret was replaced by one of ours"
        );
        app.feed.reach(number, LONGEST_REACH).await;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_whole_hashes_of_bearable_cost_are_taken() {
        let tail = "abcdefghijklmnopqrstuuabcdefghijklmnopqrstuvwxyzabcde";
        let check = |head: &str| check_hash(&format!("{head}{tail}"));
        for head in ["$2a$10$", "$2b$04$", "$2y$15$"] {
            assert_eq!(check(head), Ok(()), "{head}");
        }
        for head in ["$2x$10$", "$2a$16$", "$2a$31$", "$2a$03$", "$2a$1$", "$2c$10$", "", "é"] {
            assert!(check(head).is_err(), "{head}");
        }
        assert!(check_hash("$2a$10$abc").is_err());
    }
}
