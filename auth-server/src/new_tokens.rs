//! Puts new tokens into the database, all that wait in one transaction: to bring a transaction to the disk takes longer
//! than anything else, and one for many tokens takes no longer than one for one. Each call goes on when its token is
//! durable.

use std::collections::HashSet;
use std::sync::{Arc, Weak};

use tokio::sync::{mpsc, oneshot};

use crate::app::App;
use crate::db::access_token::{self, AccessToken};

/// How many tokens share a transaction at most.
const MANY: usize = 128;

/// Where calls bring their tokens.
pub struct NewTokens(mpsc::UnboundedSender<NewToken>);

/// Where [`insert`] finds them.
pub type Waiting = mpsc::UnboundedReceiver<NewToken>;

/// A token that waits to be put into the database.
pub struct NewToken {
    token: AccessToken,
    /// The number of the change that memory had seen before it was made.
    seen: i64,
    inserted: oneshot::Sender<bool>,
}

impl NewTokens {
    /// Nobody puts them into the database yet.
    pub fn new() -> (Self, Waiting) {
        let (sender, waiting) = mpsc::unbounded_channel();
        (Self(sender), waiting)
    }

    /// Stores a token without a refresh token as the one to give again, and remembers it; `seen`: memory has seen the
    /// change of that number. `false`: it is not stored, because there is an earlier one, because what it was made from
    /// has changed, or because the database failed.
    pub async fn insert(&self, token: AccessToken, seen: i64) -> bool {
        let (inserted, answer) = oneshot::channel();
        let new = NewToken { token, seen, inserted };
        self.0.send(new).is_ok() && answer.await.unwrap_or(false)
    }
}

/// Works as long as the server is there.
pub async fn insert(app: Weak<App>, mut waiting: Waiting) {
    let mut together = Vec::new();
    while waiting.recv_many(&mut together, MANY).await > 0 {
        let Some(app) = app.upgrade() else { return };
        // In one order wherever it is done: two servers that wait for each other's tokens would wait for ever.
        together.sort_by(|a, b| a.token.authentication_id.cmp(&b.token.authentication_id));
        // What went wrong shows again, and is told, when the calls go on one by one.
        let inserted = insert_together(&app, &together).await.unwrap_or_default();
        let inserted = together.drain(..).map(|new| {
            let inserted = inserted.contains(&new.token.token_id);
            if inserted {
                app.known_tokens.keep(new.seen, &Arc::new(new.token));
            }
            (new.inserted, inserted)
        });
        // All of them are known before the first call goes on.
        for (asked, inserted) in inserted.collect::<Vec<_>>() {
            // Who asked may have hung up.
            let _ = asked.send(inserted);
        }
    }
}

/// The ids of those that were stored; durable when this returns.
async fn insert_together(app: &App, together: &[NewToken]) -> sqlx::Result<HashSet<String>> {
    let Some(seen) = together.iter().map(|new| new.seen).min() else {
        return Ok(HashSet::new());
    };
    let tokens: Vec<&AccessToken> = together.iter().map(|new| &new.token).collect();
    let mut write = app.database.write_new().await?;
    let stored = access_token::insert_first(&mut write, &tokens, seen).await?;
    drop(write);
    let ids = || tokens.iter().map(|token| token.token_id.clone());
    match stored {
        0 => Ok(HashSet::new()),
        all if all == tokens.len() => Ok(ids().collect()),
        // There was an earlier one for some.
        _ => {
            let mut read = app.database.read().await?;
            let mut inserted = HashSet::new();
            for id in ids() {
                if access_token::expiry(&mut read, &id).await?.is_some() {
                    inserted.insert(id);
                }
            }
            Ok(inserted)
        }
    }
}
