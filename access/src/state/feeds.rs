//! The feeds of the servers: how current each is, and what their documents change.

use hashbrown::HashMap;

use super::State;
use super::changed_users::ChangedUser;
use super::issuers::KnownIssuer;
use crate::denial::Unavailable;
use crate::jwk::JwkError;
use crate::key_source::DiscoveryError;
use crate::permission;
use crate::route::PatternError;
use crate::snapshot::{Introspection, PermissionFeed, TokenFeed};

/// Why a document of a feed was not taken. Ask again without `after`.
#[derive(Debug, thiserror::Error)]
pub enum FeedError {
    /// Not JSON of this shape.
    #[error("the document cannot be read: {0} (a server may not be newer than its gateways)")]
    Malformed(#[from] serde_json::Error),
    /// A delta to a version that is not ours.
    #[error("a delta to version {0} came, but we have another")]
    Gap(String),
    /// A full snapshot without its main part.
    #[error("a full snapshot without `{0}` came")]
    Incomplete(&'static str),
    /// An issuer without a usable key.
    #[error("an issuer of the feed: {0}")]
    Keys(#[from] JwkError),
    /// An issuer whose keys are somewhere else.
    #[error("an issuer of the feed has no keys inline")]
    Remote,
    /// A discovery document that says nothing.
    #[error(transparent)]
    Discovery(#[from] DiscoveryError),
}

/// When so many changed users are known, and twice as many as the last full snapshot named, another one is asked for: they
/// would only ever become more. Until it is there, all of them count.
const CHANGED_USERS: usize = 10_000;

impl State {
    /// Whether every configured feed is there and current enough to decide by.
    pub fn available(&self, now: u64) -> Result<(), Unavailable> {
        for feed in [&self.token_feed, &self.permission_feed].into_iter().flatten() {
            if feed.version.is_none() || !feed.complete {
                return Err(Unavailable::NoSnapshot);
            }
            if now > feed.heard_at.saturating_add(self.max_stale) {
                return Err(Unavailable::Stale);
            }
        }
        Ok(())
    }

    /// The version of the token feed that we have, to be sent as `after`.
    pub fn token_version(&self) -> Option<&str> {
        self.token_feed.as_ref()?.version.as_deref()
    }

    /// The version of the permission feed that we have, to be sent as `after`.
    pub fn permission_version(&self) -> Option<&str> {
        self.permission_feed.as_ref()?.version.as_deref()
    }

    /// The token feed had nothing new.
    pub fn tokens_unchanged(&mut self, now: u64) {
        heard(&mut self.token_feed, now);
    }

    /// The permission feed had nothing new.
    pub fn permissions_unchanged(&mut self, now: u64) {
        heard(&mut self.permission_feed, now);
    }

    /// Takes a document of the token feed: all of it, or nothing.
    pub fn apply_tokens(&mut self, document: &[u8], now: u64) -> Result<(), FeedError> {
        let document: TokenFeed = serde_json::from_slice(document)?;
        let full = check_since(&self.token_feed, document.since, document.issuers.is_none(), "issuers")?;
        let issuers = match &document.issuers {
            Some(issuers) => Some(
                issuers
                    .iter()
                    .map(KnownIssuer::from_feed)
                    .collect::<Result<Vec<_>, _>>()?,
            ),
            None => None,
        };
        if let Some(issuers) = issuers {
            self.issuers.truncate(self.configured);
            self.issuers.extend(issuers);
            self.forget_tokens();
        }
        let kinds = match document.introspection {
            None if full => Introspection::default(),
            None => self.introspections.kinds(),
            Some(kinds) => kinds,
        };
        if kinds != self.introspections.kinds() {
            self.introspections.set_kinds(kinds);
            self.forget_tokens();
        }
        if full {
            self.revocations.clear();
        }
        for (id, until) in &document.revoked_tokens {
            self.revocations.revoke_token(id, *until);
        }
        for (id, before, until) in &document.revoked_users {
            self.revocations.revoke_user(id, *before, *until);
        }
        for (id, before, until) in &document.revoked_clients {
            self.revocations.revoke_client(id, *before, *until);
        }
        let complete = !document.more || (!full && self.token_feed.as_ref().is_some_and(|feed| feed.complete));
        advance(&mut self.token_feed, document.version, complete, now);
        Ok(())
    }

    /// Takes a document of the permission feed: all of it, or nothing. Rows that cannot be read are reported.
    pub fn apply_permissions(&mut self, document: &[u8], now: u64) -> Result<Vec<PatternError>, FeedError> {
        let document: PermissionFeed = serde_json::from_slice(document)?;
        let full = check_since(
            &self.permission_feed,
            document.since,
            document.permissions.is_none(),
            "permissions",
        )?;
        let mut errors = Vec::new();
        if let Some(rows) = &document.permissions {
            (self.permissions, errors) = permission::compile(rows);
        }
        for row in &document.removed {
            permission::remove(&mut self.permissions, row);
        }
        for row in &document.added {
            errors.extend(permission::add(&mut self.permissions, row).err());
        }
        if full {
            self.changed_users = HashMap::default();
        }
        for (user, at, active) in document.changed_users {
            self.changes = self.changes.wrapping_add(1);
            let changed = ChangedUser {
                at,
                change: self.changes,
                active,
                authorities: None,
            };
            self.changed_users.insert(user.into(), changed);
        }
        advance(&mut self.permission_feed, document.version, true, now);
        // How long a change matters, only the login service knows: it leaves older ones out of a full snapshot.
        let most = self.changed_users_at_first.saturating_mul(2).max(CHANGED_USERS);
        if full {
            self.changed_users_at_first = self.changed_users.len();
        } else if self.changed_users.len() >= most {
            self.forget_permission_version();
        }
        Ok(errors)
    }

    /// The permission feed turned out to be of another time than ours: the next answer must be a full snapshot.
    pub fn forget_permission_version(&mut self) {
        forget(&mut self.permission_feed);
    }

    /// The token feed turned out to be of another time than ours: the next answer must be a full snapshot.
    pub fn forget_token_version(&mut self) {
        forget(&mut self.token_feed);
    }
}

/// How current a feed is.
#[derive(Debug, Default)]
pub(super) struct Feed {
    version: Option<String>,
    /// A full snapshot has come in all its parts.
    complete: bool,
    /// Unix milliseconds of the last good answer.
    heard_at: u64,
}

fn heard(feed: &mut Option<Feed>, now: u64) {
    if let Some(feed) = feed
        && feed.version.is_some()
    {
        feed.heard_at = now;
    }
}

fn advance(feed: &mut Option<Feed>, version: String, complete: bool, now: u64) {
    if let Some(feed) = feed {
        *feed = Feed {
            version: Some(version),
            complete,
            heard_at: now,
        };
    }
}

fn forget(feed: &mut Option<Feed>) {
    if let Some(feed) = feed
        && let Some(version) = &mut feed.version
    {
        // What we know stays in force until the full snapshot replaces it; only the question changes.
        version.clear();
    }
}

/// Whether the document is a full snapshot, or else a delta to exactly what we have.
fn check_since(
    feed: &Option<Feed>,
    since: Option<String>,
    without: bool,
    part: &'static str,
) -> Result<bool, FeedError> {
    match since {
        None if without => Err(FeedError::Incomplete(part)),
        None => Ok(true),
        Some(since) if feed.as_ref().and_then(|feed| feed.version.as_deref()) == Some(&since) => Ok(false),
        Some(since) => Err(FeedError::Gap(since)),
    }
}
