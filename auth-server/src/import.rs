//! What a dump of the tables of Spring Security OAuth brings: clients, and the tokens that still live.
//!
//! Everything is read and judged before the database is touched; what is taken is then written in one transaction. A
//! second import of the same dump finds everything there and writes nothing.

mod clients;
mod report;
mod serialized;
mod tokens;

use std::collections::HashSet;
use std::fmt;
use std::rc::Rc;

use anyhow::Context as _;
use postern_mysql_dump::{ColumnError, Row};

use crate::db::change::{self, Kind};
use crate::db::client;
use crate::db::{Database, server};
use crate::import::report::Report;
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

/// How to import.
pub struct Options {
    /// The contract that the clients were served by.
    pub profile: Profile,
    /// Whether the dump's word counts where a client is registered here already, but otherwise.
    pub overwrite: bool,
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

/// Takes what can be taken, all of it or, if this fails, nothing.
pub async fn import(database: &Database, rows: Rows<'_>, options: &Options, now_ms: i64) -> anyhow::Result<Report> {
    let profile = options.profile;
    let mut report = rows.report;
    let candidates = clients::read(&rows.clients, profile, &mut report);
    let mut tokens = tokens::read(&rows.access_tokens, &rows.refresh_tokens, profile, now_ms, &mut report);

    let mut write = database.write().await?;
    let key = SecretKey::from_stored(&server::client_secret_key(&mut write).await?)
        .context("the database's key of client secrets is damaged")?;
    clients::store(&mut write, candidates, &key, options.overwrite, now_ms, &mut report).await?;
    let registered = client::all(&mut write).await?;
    let served = registered.iter().filter(|client| client.profile == profile);
    let served: HashSet<&str> = served.map(|client| client.client_id.as_str()).collect();
    tokens.retain(&mut report, |id| served.contains(id));
    tokens.store(&mut write, &mut report).await?;
    if report.took_tokens() {
        change::append(&mut write, Kind::ImportsChanged, profile.name(), now_ms, None).await?;
    }
    if report.changed_something() {
        write.commit().await?;
    }
    Ok(report)
}

/// A column that a table need not have, and that may be NULL or empty.
fn optional<'r>(row: &'r Row<'_>, column: &'static str) -> Result<Option<&'r str>, ColumnError> {
    match row.text(column) {
        Err(ColumnError::Missing(_)) => Ok(None),
        text => Ok(text?.filter(|text| !text.trim().is_empty())),
    }
}
