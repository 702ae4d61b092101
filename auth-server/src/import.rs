//! What a dump of the tables of Spring Security OAuth brings: clients, and the tokens that still live.
//!
//! Everything is read and judged before the database is touched. What is taken is then written some rows at a time, so that
//! a server beside it goes on writing; each of these transactions happens as a whole or not at all. A second import of the
//! same dump finds everything there and writes nothing, and one that was cut short goes on where it stopped.

mod clients;
mod report;
mod serialized;
mod tokens;

use std::fmt;
use std::rc::Rc;

use anyhow::Context as _;
use postern_mysql_dump::{ColumnError, Row};

use crate::db::{Database, Write, server};
use crate::import::report::Report;
use crate::import::tokens::Tokens;
use crate::profiles::Profile;
use crate::secret::SecretKey;

const CLIENTS: &str = "oauth_client_details";
const ACCESS_TOKENS: &str = "oauth_access_token";
const REFRESH_TOKENS: &str = "oauth_refresh_token";

/// The tables of which something is taken, and those of which it is said why not.
pub const TABLES: &[&str] = &[
    CLIENTS,
    ACCESS_TOKENS,
    REFRESH_TOKENS,
    "oauth_client_token",
    "oauth_code",
    "oauth_approvals",
];

/// So many rows are written at a time: less than a second, also where the disk is slow.
const BATCH: usize = 1000;

/// So many times a turn to write is waited for; each time as long as a request would wait.
const TURN_ATTEMPTS: usize = 12;

/// How to import.
pub struct Options {
    /// The contract that the clients were served by.
    pub profile: Profile,
    /// Whether the dump's word counts where a client is registered here already, but otherwise.
    pub overwrite: bool,
    /// Whether the tokens of the dump are left out.
    pub without_tokens: bool,
}

/// The file and the line in which a row begins.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// The file's name.
    pub file: Rc<str>,
    /// The first line is 1.
    pub line: u64,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.file, self.line)
    }
}

/// The rows of dumps, as far as something can be taken of them.
#[derive(Default)]
pub struct Rows<'d> {
    clients: Vec<(Place, Row<'d>)>,
    access_tokens: Vec<(Place, Row<'d>)>,
    refresh_tokens: Vec<(Place, Row<'d>)>,
    report: Report,
    /// How many rows there were.
    pub count: u64,
}

impl<'d> Rows<'d> {
    /// Takes a row, or says why not.
    pub fn add(&mut self, file: &Rc<str>, row: Result<Row<'d>, postern_mysql_dump::Error>) {
        self.count += 1;
        let row = match row {
            Ok(row) => row,
            Err(error) => {
                let place = Place {
                    file: Rc::clone(file),
                    line: error.line,
                };
                let table = error.table.unwrap_or("elsewhere");
                self.report.refuse(table, &place, "", error.problem.to_string());
                return;
            }
        };
        let place = Place {
            file: Rc::clone(file),
            line: row.line,
        };
        match row.table {
            CLIENTS => self.clients.push((place, row)),
            ACCESS_TOKENS => self.access_tokens.push((place, row)),
            REFRESH_TOKENS => self.refresh_tokens.push((place, row)),
            other => self.report.leave_out(other),
        }
    }
}

/// Takes what can be taken. `progress` is called with how many rows are written, and of how many.
pub async fn import(
    database: &Database,
    rows: Rows<'_>,
    options: &Options,
    now_ms: i64,
    mut progress: impl FnMut(usize, usize),
) -> anyhow::Result<Report> {
    const CUT_SHORT: &str = "what was written until then stays; import again, which goes on from there";
    let profile = options.profile;
    let mut report = rows.report;
    let mut clients = clients::read(&rows.clients, profile, &mut report);
    let tokens = if options.without_tokens {
        for (table, rows) in [
            (ACCESS_TOKENS, &rows.access_tokens),
            (REFRESH_TOKENS, &rows.refresh_tokens),
        ] {
            rows.iter().for_each(|_| report.leave_out(table));
        }
        Tokens::default()
    } else {
        tokens::read(&rows.access_tokens, &rows.refresh_tokens, profile, now_ms, &mut report)
    };

    let (total, mut written) = (clients.len() + tokens.len(), 0);
    let mut wrote = |rows: usize| {
        written += rows;
        progress(written, total);
    };
    let key = SecretKey::from_stored(&server::client_secret_key(&mut *database.read().await?).await?)
        .context("the database's key of client secrets is damaged")?;
    while !clients.is_empty() {
        let batch: Vec<_> = clients.drain(..clients.len().min(BATCH)).collect();
        let rows = batch.len();
        let stored = async {
            let mut write = turn(database).await?;
            clients::store(&mut write, batch, profile, &key, options.overwrite, now_ms, &mut report).await?;
            write.commit().await
        };
        stored.await.context(CUT_SHORT)?;
        wrote(rows);
        database.let_others_write().await;
    }
    tokens
        .store(database, profile, now_ms, &mut report, wrote)
        .await
        .context(CUT_SHORT)?;
    Ok(report)
}

/// A turn to write. Beside a busy server it may take longer than a request would wait for one.
async fn turn(database: &Database) -> sqlx::Result<Write> {
    let mut attempts = 1;
    loop {
        match database.write().await {
            Err(_) if attempts < TURN_ATTEMPTS => attempts += 1,
            turn => return turn,
        }
    }
}

/// A column that a table need not have, and that may be NULL or empty.
fn optional<'r>(row: &'r Row<'_>, column: &'static str) -> Result<Option<&'r str>, ColumnError> {
    match row.text(column) {
        Err(ColumnError::Missing(_)) => Ok(None),
        text => Ok(text?.filter(|text| !text.trim().is_empty())),
    }
}
