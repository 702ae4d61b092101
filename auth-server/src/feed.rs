//! The feed of keys and revocations: what it says, from which version to which, and who waits for it.
//!
//! A waiting gateway costs one watch subscription. Documents are rendered once per version and starting point and shared
//! between all gateways that ask for the same.

mod document;
mod position;

use std::collections::HashMap;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::{OnceCell, watch};

use crate::app::App;
use crate::clock;
use crate::db::change::Stamp;
use document::{MOST_REVOCATIONS, Moment};
pub use position::Position;

/// The feed's state in memory.
pub struct Feed {
    lineage: String,
    current: watch::Sender<Stamp>,
    stopping: watch::Receiver<bool>,
    rendered: Mutex<Rendered>,
    pollers: AtomicI64,
}

/// The documents of one version, by the position they start after.
#[derive(Default)]
struct Rendered {
    newest: Stamp,
    documents: HashMap<Option<Position>, Arc<OnceCell<Bytes>>>,
}

impl Feed {
    /// The feed of a database as it stands. When `stopping` becomes true, nobody is held any longer.
    pub fn new(lineage: String, newest: Stamp, stopping: watch::Receiver<bool>) -> Self {
        let current = watch::Sender::new(newest);
        Self {
            lineage,
            current,
            stopping,
            rendered: Mutex::default(),
            pollers: AtomicI64::new(0),
        }
    }

    /// The newest change that may be told.
    pub fn current(&self) -> Stamp {
        *self.current.borrow()
    }

    /// Wakes everybody who waits. Whoever calls has brought keys and clients in memory to that change before. It comes
    /// before the one of the last call only if a backup was restored.
    pub fn publish(&self, newest: Stamp) {
        self.current
            .send_if_modified(|current| std::mem::replace(current, newest) != newest);
    }

    /// Waits until a change may be told: keys and clients in memory are then at least as new as it.
    pub async fn reach(&self, number: i64, longest: Duration) {
        let mut current = self.current.subscribe();
        tokio::select! {
            _ = current.wait_for(|current| current.number >= number) => {}
            () = tokio::time::sleep(longest) => {}
        }
    }

    /// How many gateways wait now.
    pub fn pollers(&self) -> i64 {
        self.pollers.load(Ordering::Relaxed)
    }

    /// What a version stands for; `None`: another database's, or not of this past. (Of one that is older than the newest
    /// change, the next document tells.)
    pub fn position(&self, version: &str) -> Option<Position> {
        let current = self.current();
        let position = Position::read(version, &self.lineage)?;
        (position.seen == current || position.seen.number < current.number).then_some(position)
    }

    /// Waits until there is more to tell to who stands at a position; `false`: there was nothing in that time, or the
    /// server stops. Who has only a part of what there was does not wait.
    pub async fn wait_beyond(&self, position: Position, longest: Duration) -> bool {
        let _waiting = Waiting::new(&self.pollers);
        let (mut current, mut stopping) = (self.current.subscribe(), self.stopping.clone());
        tokio::select! {
            biased;
            changed = current.wait_for(|current| position.number < position.seen.number || *current != position.seen) =>
                changed.is_ok(),
            _ = stopping.wait_for(|stopping| *stopping) => false,
            () = tokio::time::sleep(longest) => false,
        }
    }

    /// What changed after a position, or everything; of much, the first part.
    pub async fn document(&self, app: &App, after: Option<Position>) -> sqlx::Result<Bytes> {
        let newest = self.current();
        let cell = {
            let mut rendered = self.rendered.lock().unwrap_or_else(PoisonError::into_inner);
            if rendered.newest != newest {
                *rendered = Rendered {
                    newest,
                    documents: HashMap::new(),
                };
            }
            rendered.documents.entry(after).or_default().clone()
        };
        cell.get_or_try_init(|| self.render(app, after, newest)).await.cloned()
    }

    async fn render(&self, app: &App, after: Option<Position>, current: Stamp) -> sqlx::Result<Bytes> {
        let mut read = app.database.read().await?;
        let moment = Moment {
            lineage: &self.lineage,
            current,
            issuers: app.issuers(),
            introspection: app.introspection(),
            now_ms: clock::now_ms(),
        };
        let document = moment.document(&mut read, after, MOST_REVOCATIONS).await?;
        serde_json::to_vec(&document)
            .map(Bytes::from)
            .map_err(|error| sqlx::Error::Encode(error.into()))
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
