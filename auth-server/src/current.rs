//! Keeps memory as current as the database, whoever writes there: this process, another one of the same database, or a
//! command beside it.
//!
//! A call that is answered from memory first asks here, and is let go when somebody has looked into the change table after
//! it asked, and what changed has reached memory. All calls that wait share one look, so that many of them cost hardly
//! more than one, and none is told what was no longer so when it came.

use std::sync::{Arc, Weak};

use tokio::sync::{mpsc, oneshot};

use crate::app::App;
use crate::clock;
use crate::db::change::{self, Kind};

/// How many calls share a look at most; and from how many changes on everything is read anew instead.
const MANY: usize = 1024;

/// Where calls ask.
pub struct Current(mpsc::UnboundedSender<Question>);

/// Where [`look`] finds those who ask.
pub type Questions = mpsc::UnboundedReceiver<Question>;

/// Answered with the number of a change: everything up to it has reached memory.
type Question = oneshot::Sender<Result<i64, Arc<sqlx::Error>>>;

impl Current {
    /// Nobody looks yet.
    pub fn new() -> (Self, Questions) {
        let (sender, questions) = mpsc::unbounded_channel();
        (Self(sender), questions)
    }

    /// Brings memory to what the database is after this call was made; returns the number of the newest change then. On an
    /// error, the database itself has to be asked.
    pub async fn reach(&self) -> Result<i64, Arc<sqlx::Error>> {
        let (question, answer) = oneshot::channel();
        let nobody = || Arc::new(sqlx::Error::WorkerCrashed);
        self.0.send(question).map_err(|_| nobody())?;
        answer.await.map_err(|_| nobody())?
    }
}

/// Looks whenever somebody asks, as long as the server is there.
pub async fn look(app: Weak<App>, mut questions: Questions) {
    let mut waiting = Vec::new();
    while questions.recv_many(&mut waiting, MANY).await > 0 {
        let Some(app) = app.upgrade() else { return };
        let looked = catch_up(&app).await.map_err(Arc::new);
        for question in waiting.drain(..) {
            // Who asked may have hung up.
            let _ = question.send(looked.clone());
        }
    }
}

/// Brings memory and feed to the newest change.
async fn catch_up(app: &App) -> sqlx::Result<i64> {
    let mut read = app.database.read().await?;
    let told = app.feed.current();
    let newest = change::newest(&mut read).await?;
    if newest == told {
        return Ok(told.number);
    }
    let changes = change::after(&mut read, told.number, newest.number, MANY).await?;
    // Asked for last: old changes are forgotten from time to time, also between these two statements. What is not known
    // has been forgotten, or taken back by a restored backup.
    let known = change::knows(&mut read, told).await?;
    let changes = (changes.len() < MANY && known).then_some(changes);
    let any = |kinds: &[Kind]| match &changes {
        Some(changes) => changes.iter().any(|(kind, _)| kinds.contains(kind)),
        None => true,
    };
    if any(&[Kind::ClientAdded, Kind::ClientReplaced, Kind::ClientRevoked]) {
        app.clients.load(&mut read).await?;
    }
    if any(&[Kind::KeysChanged]) {
        app.signing.load(&mut read).await?;
    }
    if any(&[Kind::ImportsChanged]) {
        app.imports.load(&mut read, clock::now_ms()).await?;
    }
    app.known_tokens.apply(newest.number, changes.as_deref());
    app.feed.publish(newest);
    Ok(newest.number)
}
