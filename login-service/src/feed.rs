//! The permission feed: versions, held polls, and documents that all pollers share.
//!
//! A version is `<lineage>-<number>-<mark>`: the lineage names the database, number and mark (in hexadecimal) the last row
//! of its `changes` table. After a backup was restored, the same number comes again, with another mark.
//! A poller that is up to date waits on one [`watch`] channel; a change wakes all of them, and the first to come renders
//! the document that the others get. Thousands of gateways cost one query per change.

use std::collections::{BTreeMap, HashMap};
use std::convert::Infallible;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use postern_access::snapshot::{Permission, PermissionFeed};
use tokio::sync::{OnceCell, watch};
use tokio::time::{sleep, timeout};

use crate::clock;
use crate::db::changes::{self, PermissionChanges, Stamp};
use crate::db::{self, Database, permissions};

/// How long to wait before trying again to follow a database that was lost.
const TRY_AGAIN_AFTER: Duration = Duration::from_secs(1);

/// So many different `after` are remembered; more only means rendering again.
const MOST_DOCUMENTS: usize = 256;

/// The feed of one database.
#[derive(Debug)]
pub struct Feed {
    database: Database,
    lineage: String,
    /// How far back a full snapshot names changed users.
    retention_seconds: i64,
    /// The newest change that anybody here has seen. Goes back only when a backup is restored.
    newest: watch::Sender<Stamp>,
    /// `true` once the service stops: held polls are answered.
    stopping: watch::Sender<bool>,
    documents: Mutex<Documents>,
}

/// The documents that lead to one change, by the change they start from (`None`: full snapshots).
#[derive(Debug, Default)]
struct Documents {
    newest: Stamp,
    by_start: HashMap<Option<Stamp>, Arc<OnceCell<Bytes>>>,
}

impl Feed {
    /// The feed of a database. [`Feed::follow`] must run beside it.
    pub async fn open(database: Database, retention_seconds: i64) -> Result<Self, db::Error> {
        let mut connection = database.read().await?;
        let lineage = changes::lineage(&mut connection).await?;
        let newest = changes::newest(&mut connection).await?;
        drop(connection);
        Ok(Self {
            database,
            lineage,
            retention_seconds,
            newest: watch::Sender::new(newest),
            stopping: watch::Sender::new(false),
            documents: Mutex::default(),
        })
    }

    /// The document that brings a poller at version `after` up to date. `None`: nothing changed within `wait`, or the
    /// service is stopping.
    pub async fn poll(&self, after: Option<&str>, wait: Duration) -> Result<Option<Bytes>, db::Error> {
        let mut newest = self.newest.subscribe();
        let start = match after {
            Some(version) => self.start(version).await?,
            None => None,
        };
        if let Some(start) = start {
            let mut stopping = self.stopping.subscribe();
            let changed = tokio::select! {
                biased;
                changed = timeout(wait, newest.wait_for(|newest| *newest != start)) => changed.is_ok(),
                _ = stopping.wait_for(|stopping| *stopping) => false,
            };
            if !changed {
                return Ok(None);
            }
        }
        let cell = self.cell(start);
        cell.get_or_try_init(|| self.render(start)).await.cloned().map(Some)
    }

    /// The newest number.
    pub fn number(&self) -> i64 {
        self.newest().number
    }

    fn newest(&self) -> Stamp {
        *self.newest.borrow()
    }

    /// How many polls are held or being answered.
    pub fn pollers(&self) -> usize {
        self.newest.receiver_count()
    }

    /// Answers every held poll.
    pub fn stop(&self) {
        self.stopping.send_replace(true);
    }

    /// Whether [`Feed::stop`] was called.
    pub fn is_stopping(&self) -> bool {
        *self.stopping.borrow()
    }

    /// Ends once [`Feed::stop`] was called.
    pub async fn stopped(&self) {
        // The sender is ours: the channel cannot close.
        let _ = self.stopping.subscribe().wait_for(|stopping| *stopping).await;
    }

    /// Watches for changes by any process, for as long as the program runs. A lost database is told once.
    pub async fn follow(&self) {
        let mut lost = false;
        loop {
            let Err(cause) = self.follow_until_lost(&mut lost).await;
            if !lost {
                tracing::warn!(%cause, "cannot look for changes in the database; trying again every second");
                lost = true;
            }
            sleep(TRY_AGAIN_AFTER).await;
        }
    }

    async fn follow_until_lost(&self, lost: &mut bool) -> Result<Infallible, db::Error> {
        let mut watch = self.database.watch().await?;
        loop {
            let newest = watch.newest().await?;
            let known = self.newest();
            if watch.knows(known).await? {
                self.announce(newest);
            } else if newest != known {
                // A backup was restored: what was told is no longer so. (Or the change was forgotten meanwhile.)
                self.newest.send_replace(newest);
            }
            if std::mem::take(lost) {
                tracing::info!("the database is back");
            }
        }
    }

    fn announce(&self, newest: Stamp) {
        self.newest.send_if_modified(|known| {
            let moved = newest.number > known.number;
            if moved {
                *known = newest;
            }
            moved
        });
    }

    /// The change in a version of this feed. `None` for one of another database, or of a past that a restored backup took
    /// back. (Of one that is older than the newest change, the document tells.)
    async fn start(&self, version: &str) -> Result<Option<Stamp>, db::Error> {
        let Some(start) = self.stamp(version) else {
            return Ok(None);
        };
        if start.number > self.number() {
            // Another replica may have told of a change before we heard of it.
            let mut connection = self.database.read().await?;
            self.announce(changes::newest(&mut connection).await?);
        }
        let newest = self.newest();
        Ok((start == newest || start.number < newest.number).then_some(start))
    }

    fn stamp(&self, version: &str) -> Option<Stamp> {
        let (number, mark) = version
            .strip_prefix(&self.lineage)?
            .strip_prefix('-')?
            .split_once('-')?;
        let mark = u64::from_str_radix(mark, 16).ok()?.cast_signed();
        let number = number.parse().ok().filter(|number| *number >= 0)?;
        Some(Stamp { number, mark })
    }

    /// Where the document from `start` to now is, or will be once the first poller has rendered it.
    fn cell(&self, start: Option<Stamp>) -> Arc<OnceCell<Bytes>> {
        let mut documents = self.documents.lock().unwrap_or_else(PoisonError::into_inner);
        let newest = self.newest();
        if documents.newest != newest || documents.by_start.len() >= MOST_DOCUMENTS {
            *documents = Documents {
                newest,
                by_start: HashMap::new(),
            };
        }
        Arc::clone(documents.by_start.entry(start).or_default())
    }

    async fn render(&self, start: Option<Stamp>) -> Result<Bytes, db::Error> {
        let mut view = self.database.snapshot().await?;
        let newest = changes::newest(&mut view).await?;
        // A delta is only complete where the log still reaches back to its start, and right where it is the same log.
        let start = match start {
            Some(start) if changes::knows(&mut view, start).await? => Some(start),
            _ => None,
        };
        let (changed_users, permission_changes) = match start {
            Some(start) => (
                changes::users_after(&mut view, start.number).await?,
                changes::permissions_after(&mut view, start.number).await?,
            ),
            None => {
                let oldest = clock::now_ms() / 1000 - self.retention_seconds;
                (changes::users_since(&mut view, oldest).await?, PermissionChanges::Many)
            }
        };
        let (permissions, changed) = match permission_changes {
            PermissionChanges::Rows(rows) => (None, rows),
            PermissionChanges::Many => (Some(permissions::all(&mut view).await?), BTreeMap::new()),
        };
        view.commit().await?;
        // The document may already be newer than what woke its poller, who will ask for what comes after it.
        self.announce(newest);
        let document = PermissionFeed {
            version: self.version(newest),
            since: start.map(|start| self.version(start)),
            permissions: permissions.map(|rows| rows.into_iter().map(listed).collect()),
            added: those(&changed, true),
            removed: those(&changed, false),
            changed_users: changed_users.into_iter().map(changed_user).collect(),
        };
        // Strings and numbers: this cannot fail.
        Ok(serde_json::to_vec(&document).unwrap_or_default().into())
    }

    fn version(&self, Stamp { number, mark }: Stamp) -> String {
        format!("{}-{number}-{:x}", self.lineage, mark.cast_unsigned())
    }
}

fn changed_user(user: changes::ChangedUser) -> (String, u64, bool) {
    let may_log_in = user.may_log_in();
    // Negative only if the clock stood before 1970.
    (user.user_id, u64::try_from(user.at).unwrap_or_default(), may_log_in)
}

fn listed(permission: permissions::Permission) -> Permission {
    row(permission.name, permission.url, permission.method)
}

/// The changed rows that are there now, or are not.
fn those(changed: &BTreeMap<changes::Row, bool>, there: bool) -> Vec<Permission> {
    changed
        .iter()
        .filter(|&(_, &now)| now == there)
        .map(|(changed, _)| row(changed.name.clone(), changed.url.clone(), changed.method.clone()))
        .collect()
}

fn row(name: String, url: String, method: String) -> Permission {
    let method = (method != permissions::EVERY_METHOD).then_some(method);
    Permission { name, url, method }
}
