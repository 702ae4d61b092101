//! Where the database is, and with what its connections start.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr as _;

use sqlx::postgres::{PgConnectOptions, PgSslMode};

/// Every SQLite connection starts with these. `synchronous=FULL`: an acknowledged write is never lost. What has been
/// written ahead (up to some 32 MB) goes into the file itself seldom: many tokens change the same pages.
const SQLITE_SETTINGS: &str = "PRAGMA busy_timeout=5000; PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL; \
     PRAGMA wal_autocheckpoint=8000; PRAGMA foreign_keys=ON;";

/// Every PostgreSQL connection starts with these, whatever the server's defaults are. An acknowledged write is never lost
/// (stronger settings than `on` are left alone), and each statement sees what was committed before it: whoever has waited
/// for a turn must see what was done meanwhile. Notices are nobody's business, as the one that a table exists already.
const POSTGRES_SETTINGS: &str = "SET client_min_messages = 'warning'; \
     SET default_transaction_isolation = 'read committed'; \
     SELECT set_config('synchronous_commit', 'on', false) WHERE current_setting('synchronous_commit') = 'off'";

/// What may stand behind the `?` of a URL. The driver would log the value of anything else, which may be a misspelt
/// password.
const PARAMETERS: [&str; 18] = [
    "sslmode",
    "ssl-mode",
    "sslrootcert",
    "ssl-root-cert",
    "ssl-ca",
    "sslcert",
    "ssl-cert",
    "sslkey",
    "ssl-key",
    "statement-cache-capacity",
    "host",
    "hostaddr",
    "port",
    "dbname",
    "user",
    "password",
    "application_name",
    "options",
];

/// Where the database is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Location {
    /// A SQLite file: one server.
    Sqlite(PathBuf),
    /// A `postgres://` URL: any number of servers.
    Postgres(String),
}

impl Location {
    /// The location in a configuration: `sqlite:FILE`, or a URL of PostgreSQL.
    pub fn read(text: &str) -> Option<Self> {
        match text.split_once(':')? {
            ("sqlite", file) if !file.is_empty() => Some(Self::Sqlite(file.into())),
            ("postgres" | "postgresql", rest) if rest.starts_with("//") => {
                let parameters = text.split_once('?').map_or("", |(_, parameters)| parameters).split('&');
                let mut names = parameters.map(|parameter| parameter.split('=').next().unwrap_or_default());
                let readable = names.all(|name| name.is_empty() || PARAMETERS.contains(&name))
                    && PgConnectOptions::from_str(text).is_ok();
                readable.then(|| Self::Postgres(text.to_owned()))
            }
            _ => None,
        }
    }

    /// Whether the URL, or the variable `PGSSLMODE`, insists on TLS: the driver is built without it.
    pub fn demands_tls(&self) -> bool {
        use PgSslMode::{Require, VerifyCa, VerifyFull};
        let mode = self.postgres().map(|options| options.get_ssl_mode());
        matches!(mode, Some(Require | VerifyCa | VerifyFull))
    }

    /// The host on the network where PostgreSQL is.
    pub fn host(&self) -> Option<String> {
        let options = self.postgres()?;
        let is_folder = options.get_socket().is_some() || options.get_host().starts_with('/');
        (!is_folder).then(|| options.get_host().to_owned())
    }

    fn postgres(&self) -> Option<PgConnectOptions> {
        match self {
            Self::Sqlite(_) => None,
            Self::Postgres(url) => PgConnectOptions::from_str(url).ok(),
        }
    }

    /// What every connection starts with.
    pub(super) fn settings(&self) -> &'static str {
        match self {
            Self::Sqlite(_) => SQLITE_SETTINGS,
            Self::Postgres(_) => POSTGRES_SETTINGS,
        }
    }
}

impl fmt::Display for Location {
    /// Without the password that may stand in a URL, and without its parameters.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Sqlite(file) => file.display().fmt(f),
            Self::Postgres(url) => {
                let url = url.split('?').next().unwrap_or_default();
                let place = url.rsplit_once('@').map_or(url, |(_, place)| place);
                let place = place.rsplit_once("://").map_or(place, |(_, place)| place);
                write!(f, "postgres://{place}")
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_location_shows_no_password() {
        let shown = |text: &str| Location::read(text).unwrap().to_string();
        assert_eq!(
            shown("postgres://u:p%40ss@db:5432/auth?sslmode=disable"),
            "postgres://db:5432/auth"
        );
        assert_eq!(shown("postgresql://db/auth"), "postgres://db/auth");
        assert_eq!(shown("sqlite:auth.db"), "auth.db");
        assert_eq!(Location::read("mysql://db/auth"), None);
        for wrong in [
            "sqlite:",
            "postgres://u:secret@db:port/auth",
            "postgres://u@db/auth?pasword=secret",
        ] {
            assert_eq!(Location::read(wrong), None);
        }
    }

    #[test]
    fn the_host_is_the_one_that_is_reached_over_a_network() {
        for (text, host) in [
            ("postgres://auth@db.example.com/auth", Some("db.example.com")),
            ("postgres://auth@ignored/auth?host=10.0.0.7", Some("10.0.0.7")),
            ("postgres://auth@127.0.0.1:6000/auth", Some("127.0.0.1")),
            ("postgres://auth@%2Frun%2Fpostgresql/auth", None),
            ("sqlite:auth.db", None),
        ] {
            assert_eq!(Location::read(text).unwrap().host().as_deref(), host, "{text}");
        }
    }

    #[test]
    fn only_modes_without_a_way_back_demand_tls() {
        for (mode, demands) in [
            ("disable", false),
            ("prefer", false),
            ("require", true),
            ("verify-ca", true),
        ] {
            let text = format!("postgres://auth@db/auth?sslmode={mode}");
            assert_eq!(Location::read(&text).unwrap().demands_tls(), demands, "{mode}");
        }
    }
}
