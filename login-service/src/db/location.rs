//! Where the database is: what stands under `database` in the configuration.

use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr as _;

use serde::Deserialize;
use sqlx::postgres::{PgConnectOptions, PgSslMode};

/// A file, or a database of a PostgreSQL server.
#[derive(Clone, Deserialize)]
#[serde(try_from = "String")]
pub enum Location {
    /// `sqlite:FILE`: any number of processes of one machine.
    Sqlite(PathBuf),
    /// `postgres://…`: any number of processes anywhere.
    Postgres(Url),
}

/// A URL of PostgreSQL. May hold a password: it is neither shown nor logged.
#[derive(Clone)]
pub struct Url(String);

impl Url {
    /// The whole of it, for the driver.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// The parameters that the driver knows. It would log the value of another one, which may be a misspelt password.
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

impl TryFrom<String> for Location {
    /// Never with a part of the text: it may be a password.
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        match text.split_once(':') {
            Some(("sqlite", file)) => {
                let file = file.strip_prefix("//").unwrap_or(file);
                if !file.is_empty() && !file.starts_with(':') {
                    return Ok(Self::Sqlite(file.into()));
                }
            }
            Some(("postgres" | "postgresql", rest)) if rest.starts_with("//") => {
                let query = text.split_once('?').map_or("", |(_, query)| query);
                let mut keys = form_urlencoded::parse(query.as_bytes()).map(|(key, _)| key);
                if !keys.all(|key| PARAMETERS.contains(&&*key)) {
                    return Err(
                        "the URL has a parameter that is not one of PostgreSQL; check what stands behind the `?`",
                    );
                }
                let Ok(options) = PgConnectOptions::from_str(&text) else {
                    return Err(
                        "this is not a URL of PostgreSQL; write `postgres://USER:PASSWORD@HOST/NAME`, with `%40` for an \
                         `@` in the password and so on",
                    );
                };
                // The driver is built without TLS.
                if matches!(
                    options.get_ssl_mode(),
                    PgSslMode::Require | PgSslMode::VerifyCa | PgSslMode::VerifyFull
                ) {
                    return Err(
                        "`sslmode` (or the variable `PGSSLMODE`) asks for TLS, which this program does not speak to \
                         PostgreSQL; leave it out, and keep the way there private or put a TLS proxy between",
                    );
                }
                return Ok(Self::Postgres(Url(text)));
            }
            _ => {}
        }
        Err(
            "this is not a database; write `sqlite:` and a file, as in `sqlite:login.db`, or \
             `postgres://USER:PASSWORD@HOST/NAME`",
        )
    }
}

impl Location {
    /// With a relative file taken as relative to a folder.
    pub fn in_folder(&self, folder: &Path) -> Self {
        match self {
            Self::Sqlite(file) => Self::Sqlite(folder.join(file)),
            Self::Postgres(url) => Self::Postgres(url.clone()),
        }
    }
}

impl fmt::Display for Location {
    /// The file, or the URL without password and parameters.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Sqlite(file) => file.display().fmt(f),
            Self::Postgres(url) => {
                let Ok(options) = PgConnectOptions::from_str(&url.0) else {
                    return f.write_str("postgres://");
                };
                let user = options.get_username();
                write!(f, "postgres://{user}@")?;
                match options.get_socket() {
                    Some(socket) => write!(f, "{}", socket.display())?,
                    None => write!(f, "{}:{}", options.get_host(), options.get_port())?,
                }
                // PostgreSQL's own default is a database named like the user.
                write!(f, "/{}", options.get_database().unwrap_or(user))
            }
        }
    }
}

impl fmt::Debug for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Location({self})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Location, &'static str> {
        Location::try_from(text.to_owned())
    }

    #[test]
    fn a_location_is_shown_without_password_and_parameters() {
        for (text, shown) in [
            ("sqlite:login.db", "login.db"),
            ("sqlite:///var/lib/login.db", "/var/lib/login.db"),
            (
                "postgres://ann:secret@db.example/login",
                "postgres://ann@db.example:5432/login",
            ),
            ("postgresql://ann:se%40cret@db:6000/", "postgres://ann@db:6000/ann"),
            (
                "postgres://ann@db/login?password=secret&sslmode=disable",
                "postgres://ann@db:5432/login",
            ),
            ("postgres://ann@%2Fsocket/login", "postgres://ann@/socket/login"),
        ] {
            let location = read(text).unwrap();
            assert_eq!(location.to_string(), shown);
            assert!(!format!("{location:?}").contains("secret"));
        }
    }

    #[test]
    fn what_is_no_location_is_refused_without_showing_it() {
        for text in [
            "",
            "login.db",
            "sqlite:",
            "sqlite::memory:",
            "mysql://ann:secret@db/login",
            "postgres:ann:secret@db",
            "postgres://ann:sec/ret@db/login",
            "postgres://ann@db:secret/login",
            "postgres://ann@db/login?pasword=secret",
        ] {
            assert!(!read(text).unwrap_err().contains("ret"), "{text}");
        }
    }

    #[test]
    fn relative_files_are_in_the_folder() {
        let folder = Path::new("/etc/postern");
        let shown = |text| read(text).unwrap().in_folder(folder).to_string();
        assert_eq!(shown("sqlite:login.db"), "/etc/postern/login.db");
        assert_eq!(shown("sqlite:/login.db"), "/login.db");
        assert_eq!(shown("postgres://ann@db/login"), "postgres://ann@db:5432/login");
    }
}
