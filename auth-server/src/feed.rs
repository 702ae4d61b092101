//! The feed of keys and revocations: what it says, from which version to which, and who waits for it.
//!
//! A waiting gateway costs one watch subscription. Documents are rendered once per version and starting point and shared
//! between all gateways that ask for the same.

use std::collections::HashMap;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use postern_access::snapshot::{TokenFeed, Until};
use tokio::sync::{OnceCell, watch};

use crate::app::App;
use crate::clock;
use crate::db::change::{self, Kind};
use crate::db::revocation;
use crate::issue::lives;

/// The feed's state in memory.
pub struct Feed {
    lineage: String,
    current: watch::Sender<i64>,
    stopping: watch::Receiver<bool>,
    rendered: Mutex<Rendered>,
    pollers: AtomicI64,
}

/// The documents of one version, by the number they start after.
#[derive(Default)]
struct Rendered {
    number: i64,
    documents: HashMap<Option<i64>, Arc<OnceCell<Bytes>>>,
}

impl Feed {
    /// The feed of a database as it stands. When `stopping` becomes true, nobody is held any longer.
    pub fn new(lineage: String, number: i64, stopping: watch::Receiver<bool>) -> Self {
        let current = watch::Sender::new(number);
        Self {
            lineage,
            current,
            stopping,
            rendered: Mutex::default(),
            pollers: AtomicI64::new(0),
        }
    }

    /// The number of the newest change that may be told.
    pub fn current(&self) -> i64 {
        *self.current.borrow()
    }

    /// Wakes everybody who waits. Whoever calls has brought keys and clients in memory to that number before.
    pub fn publish(&self, number: i64) {
        self.current
            .send_if_modified(|current| std::mem::replace(current, number.max(*current)) < number);
    }

    /// How many gateways wait now.
    pub fn pollers(&self) -> i64 {
        self.pollers.load(Ordering::Relaxed)
    }

    /// The number in a version; `None`: another database's, or not of this past.
    pub fn number(&self, version: &str) -> Option<i64> {
        let number = version
            .strip_prefix(self.lineage.as_str())?
            .strip_prefix('-')?
            .parse()
            .ok()?;
        (0..=self.current()).contains(&number).then_some(number)
    }

    /// Waits for a change after a number; `false`: there was none in that time, or the server stops.
    pub async fn wait_beyond(&self, number: i64, longest: Duration) -> bool {
        let _waiting = Waiting::new(&self.pollers);
        let (mut current, mut stopping) = (self.current.subscribe(), self.stopping.clone());
        tokio::select! {
            biased;
            changed = current.wait_for(|current| *current > number) => changed.is_ok(),
            _ = stopping.wait_for(|stopping| *stopping) => false,
            () = tokio::time::sleep(longest) => false,
        }
    }

    /// What changed after a number, or everything.
    pub async fn document(&self, app: &App, after: Option<i64>) -> sqlx::Result<Bytes> {
        let number = self.current();
        let cell = {
            let mut rendered = self.rendered.lock().unwrap_or_else(PoisonError::into_inner);
            if rendered.number != number {
                *rendered = Rendered {
                    number,
                    documents: HashMap::new(),
                };
            }
            rendered.documents.entry(after).or_default().clone()
        };
        cell.get_or_try_init(|| self.render(app, after, number)).await.cloned()
    }

    async fn render(&self, app: &App, after: Option<i64>, number: i64) -> sqlx::Result<Bytes> {
        let now_ms = clock::now_ms();
        let mut read = app.database.read().await?;
        let delta = match after {
            Some(after) => self.delta(app, &mut read, after, number, now_ms).await?,
            None => None,
        };
        let document = match delta {
            Some(delta) => delta,
            None => self.snapshot(app, &mut read, number, now_ms).await?,
        };
        serde_json::to_vec(&document)
            .map(Bytes::from)
            .map_err(|error| sqlx::Error::Encode(error.into()))
    }

    /// `None`: what followed on `after` cannot be told as a delta.
    async fn delta(
        &self,
        app: &App,
        read: &mut sqlx::AnyConnection,
        after: i64,
        number: i64,
        now_ms: i64,
    ) -> sqlx::Result<Option<TokenFeed>> {
        let (oldest, _) = change::range(read).await?;
        if after + 1 < oldest {
            return Ok(None);
        }
        let changes = change::between(read, after, number).await?;
        let mut delta = TokenFeed {
            version: self.version(number),
            since: Some(self.version(after)),
            ..TokenFeed::default()
        };
        for change in changes {
            match change.kind {
                Kind::ClientReplaced => return Ok(None),
                Kind::ClientAdded => {}
                Kind::KeysChanged => delta.issuers = Some(app.issuers()),
                Kind::TokenRevoked | Kind::ClientRevoked if !lives(change.expires_at_ms, now_ms) => {}
                Kind::TokenRevoked => delta.revoked_tokens.push((change.subject, until(change.expires_at_ms))),
                Kind::ClientRevoked => {
                    delta
                        .revoked_clients
                        .push((change.subject, seconds(change.at_ms), until(change.expires_at_ms)));
                }
            }
        }
        Ok(Some(delta))
    }

    async fn snapshot(
        &self,
        app: &App,
        read: &mut sqlx::AnyConnection,
        number: i64,
        now_ms: i64,
    ) -> sqlx::Result<TokenFeed> {
        let tokens = revocation::living_tokens(read, now_ms).await?;
        let clients = revocation::living_clients(read, now_ms).await?;
        Ok(TokenFeed {
            version: self.version(number),
            since: None,
            issuers: Some(app.issuers()),
            revoked_tokens: tokens.into_iter().map(|(id, expires)| (id, until(expires))).collect(),
            revoked_users: Vec::new(),
            revoked_clients: clients
                .into_iter()
                .map(|(id, at_ms, expires)| (id, seconds(at_ms), until(expires)))
                .collect(),
        })
    }

    fn version(&self, number: i64) -> String {
        format!("{}-{number}", self.lineage)
    }
}

/// Counts a waiting gateway as long as it lives; a gateway that hangs up drops it.
struct Waiting<'a>(&'a AtomicI64);

impl<'a> Waiting<'a> {
    fn new(pollers: &'a AtomicI64) -> Self {
        pollers.fetch_add(1, Ordering::Relaxed);
        Self(pollers)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

fn seconds(ms: i64) -> u64 {
    u64::try_from(ms / 1000).unwrap_or_default()
}

/// Rounded up: an entry outlives its token rather than the other way round.
fn until(expires_at_ms: Option<i64>) -> Until {
    expires_at_ms.map(|ms| seconds(ms.saturating_add(999)))
}
