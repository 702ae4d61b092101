//! Puts new tokens into the database, all that wait in one transaction: to bring a transaction to the disk takes longer
//! than anything else, and one for many tokens takes no longer than one for one. Each call goes on when its token is
//! durable.

use std::sync::{Arc, Weak};

use tokio::sync::{mpsc, oneshot};

use crate::app::App;
use crate::db::access_token::{self, AccessToken};

/// How many tokens share a transaction at most.
const MANY: usize = 256;

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
        let inserted = inserted.into_iter().chain(std::iter::repeat(false));
        for (new, inserted) in together.drain(..).zip(inserted) {
            if inserted {
                app.known_tokens.keep(new.seen, &Arc::new(new.token));
            }
            // Who asked may have hung up.
            let _ = new.inserted.send(inserted);
        }
    }
}

/// Of each whether it was stored; durable when this returns.
async fn insert_together(app: &App, together: &[NewToken]) -> sqlx::Result<Vec<bool>> {
    let mut write = app.database.write_new().await?;
    let mut inserted = Vec::with_capacity(together.len());
    for new in together {
        inserted.push(access_token::insert_first(&mut write, &new.token, new.seen).await?);
    }
    write.commit().await?;
    Ok(inserted)
}
