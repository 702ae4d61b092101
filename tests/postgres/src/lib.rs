//! A PostgreSQL of one's own for tests: a fresh cluster in a temporary folder, on a free port of 127.0.0.1, with the
//! settings PostgreSQL comes with (an acknowledged commit is on the disk). It is gone with the process that started it,
//! however that ends.

#![expect(clippy::panic, reason = "a test fails by panicking, also in what tests share")]

mod installed;
mod watcher;

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};

pub use self::installed::{Installed, find};
use self::watcher::Watcher;

/// A running server.
#[derive(Debug)]
pub struct Postgres {
    installed: Installed,
    watcher: Watcher,
    databases: AtomicU32,
}

impl Postgres {
    /// The server that all tests of this process share; the first to ask starts it.
    ///
    /// `None` where PostgreSQL is not installed: the test says that it is skipped and is to end.
    ///
    /// # Panics
    /// When it is not installed where nothing may be skipped (`CI=true`), when `POSTGRES_BIN` is wrong, and when the server
    /// does not start.
    pub fn shared() -> Option<&'static Self> {
        static SHARED: OnceLock<Option<Postgres>> = OnceLock::new();
        let shared = SHARED.get_or_init(|| match find() {
            Ok(installed) => installed.map(Self::start),
            Err(error) => panic!("{error}"),
        });
        let shared = shared.as_ref();
        if shared.is_none() {
            let skipped = "PostgreSQL is not there; install Debian's package `postgresql`, or set POSTGRES_BIN";
            assert!(
                std::env::var("CI").as_deref() != Ok("true"),
                "nothing may be skipped when CI=true: {skipped}"
            );
            eprintln!("skipped: {skipped}");
        }
        shared
    }

    /// A server of one's own, stopped and removed when dropped.
    ///
    /// # Panics
    /// When it does not start.
    pub fn start(installed: Installed) -> Self {
        let watcher = Watcher::start(&installed);
        Self {
            installed,
            watcher,
            databases: AtomicU32::new(0),
        }
    }

    /// Makes an empty database and returns its `postgres://` URL.
    ///
    /// # Panics
    /// When PostgreSQL refuses.
    pub fn database(&self) -> String {
        let name = format!("test{}", self.databases.fetch_add(1, Ordering::Relaxed));
        self.sql(&self.url("postgres"), &format!("CREATE DATABASE {name}"));
        self.url(&name)
    }

    /// Copies the database of a URL, as a backup does, and returns the URL of the copy. Who is connected is thrown out.
    ///
    /// # Panics
    /// When PostgreSQL refuses.
    pub fn copy(&self, url: &str) -> String {
        let name = format!("test{}", self.databases.fetch_add(1, Ordering::Relaxed));
        let (from, postgres) = (url.rsplit('/').next().unwrap_or_default(), self.url("postgres"));
        let connected =
            format!("SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE datname = '{from}'");
        self.sql(&postgres, &connected);
        self.sql(&postgres, &format!("CREATE DATABASE {name} TEMPLATE {from}"));
        self.url(&name)
    }

    /// Runs a statement in the database of a URL, as the superuser, and returns what it gives: a line for each row, with
    /// `|` between columns.
    ///
    /// # Panics
    /// When PostgreSQL refuses.
    pub fn sql(&self, url: &str, statement: &str) -> String {
        let output = self
            .installed
            .command("psql")
            .args(["--no-psqlrc", "--quiet", "--tuples-only", "--no-align"])
            .args(["--set=ON_ERROR_STOP=1", "--command", statement, url])
            .output()
            .unwrap_or_else(|error| panic!("cannot run psql: {error}"));
        assert!(
            output.status.success(),
            "{statement}: {}",
            String::from_utf8_lossy(&output.stderr)
        );
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    fn url(&self, database: &str) -> String {
        format!("postgres://postgres@127.0.0.1:{}/{database}", self.watcher.port)
    }
}
