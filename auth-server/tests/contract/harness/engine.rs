//! The databases of the servers under test: SQLite files, or a PostgreSQL of this program's own.

use std::io::Write as _;
use std::path::Path;

use private_postgres::Postgres;
use sqlx::{AnyConnection, AssertSqlSafe, Connection as _};

/// The PostgreSQL that all tests of this program share; `None`: this is the program whose databases are SQLite files.
/// Where PostgreSQL is not installed, all tests are skipped.
pub fn postgres() -> Option<&'static Postgres> {
    if env!("CARGO_CRATE_NAME") != "contract_postgres" {
        return None;
    }
    let shared = Postgres::shared();
    if shared.is_none() {
        // Not with `eprintln!`, which is kept from sight until a test fails.
        let _ = std::io::stderr().write_all(b"skipped: PostgreSQL is not installed\n");
        std::process::exit(0);
    }
    shared
}

/// `database:` of a configuration: an empty one for it alone.
pub fn new_database() -> String {
    postgres().map_or_else(|| "sqlite:auth.db".to_owned(), Postgres::database)
}

/// `database:` of the configuration in a folder.
pub fn location(folder: &Path) -> String {
    let configuration = std::fs::read_to_string(folder.join("auth.yaml")).unwrap();
    let mut lines = configuration.lines();
    lines
        .find_map(|line| line.strip_prefix("database: "))
        .expect("the configuration names a database")
        .to_owned()
}

/// Runs statements straight on the database of a folder, beside the server, all or nothing.
pub fn run(folder: &Path, statements: String) {
    let location = location(folder);
    let (url, script) = match location.strip_prefix("sqlite:") {
        Some(file) => (
            format!("sqlite:{}", folder.join(file).display()),
            format!("PRAGMA busy_timeout=5000; BEGIN IMMEDIATE; {statements}; COMMIT"),
        ),
        None => (location, format!("BEGIN; {statements}; COMMIT")),
    };
    tokio::runtime::Runtime::new().unwrap().block_on(async {
        sqlx::any::install_default_drivers();
        let mut connection = AnyConnection::connect(&url).await.unwrap();
        sqlx::raw_sql(AssertSqlSafe(script))
            .execute(&mut connection)
            .await
            .unwrap();
    });
}

/// What is stored in a table, as far as it is text.
pub fn stored(folder: &Path, table: &str) -> String {
    match postgres() {
        Some(postgres) => {
            let rows = format!("SET bytea_output = 'escape'; SELECT {table}::text FROM {table}");
            postgres.sql(&location(folder), &rows)
        }
        None => {
            // What was written last is not in the file itself.
            let files = ["auth.db", "auth.db-wal"].map(|file| std::fs::read(folder.join(file)).unwrap_or_default());
            String::from_utf8_lossy(&files.concat()).into_owned()
        }
    }
}
