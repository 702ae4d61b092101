//! `login.yaml`: read once, typed, unknown keys refused; errors name file, line, key and what to do.

mod error;

use std::fmt;
use std::net::SocketAddr;
use std::num::NonZeroU16;
use std::path::{Path, PathBuf};

use schemars::JsonSchema;
use serde::Deserialize;
use serde_saphyr::Spanned;

pub use self::error::Error;
use crate::db::Location;
use crate::duration::Duration;

/// Configuration of the login service.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Where the service listens: an address and a port (port 0: any free one).
    #[serde(deserialize_with = "address")]
    #[schemars(with = "String")]
    pub listen: Spanned<SocketAddr>,
    /// The database: `sqlite:FILE`, a relative file being relative to the folder of this configuration; or
    /// `postgres://USER:PASSWORD@HOST/NAME`, a database that several replicas of this service may share and no other
    /// program uses. A password that is left out is taken from the variable `PGPASSWORD` or from `~/.pgpass`.
    #[schemars(with = "String")]
    pub database: Spanned<Location>,
    /// Who may read the feed and call the reserved interfaces: `user:password` each, sent as HTTP Basic.
    #[schemars(with = "Vec<String>")]
    pub credentials: Spanned<Vec<Credentials>>,
    /// The three reserved interfaces answer callers without credentials. For demonstrations: it lets anybody who can
    /// reach the port try passwords and read everybody's permissions.
    #[serde(default)]
    pub danger_open_reserved: bool,
    /// How many passwords are checked at a time.
    #[serde(default)]
    pub password_checks: PasswordChecks,
    /// How long the feed remembers which users changed (default `30d`). At least the longest lifetime of an access token:
    /// a gateway that starts later would otherwise believe a token from before the change. The lifetime of refresh
    /// tokens does not count: whoever refreshes gets authorities that are asked for anew.
    #[serde(default = "thirty_days")]
    pub changed_user_retention: Duration,
}

/// Bounds on password checks: each one takes tens of milliseconds of a core and 19 MiB of memory on purpose.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct PasswordChecks {
    /// How many run at once (default: one per core).
    pub concurrent: NonZeroU16,
    /// How many more may wait (default 64); the next is answered 503 with `Retry-After`.
    pub queue: u16,
}

impl Default for PasswordChecks {
    fn default() -> Self {
        let cores = std::thread::available_parallelism().map_or(1, |cores| cores.get());
        Self {
            concurrent: u16::try_from(cores)
                .ok()
                .and_then(NonZeroU16::new)
                .unwrap_or(NonZeroU16::MIN),
            queue: 64,
        }
    }
}

fn address<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Spanned<SocketAddr>, D::Error> {
    let text = Spanned::<String>::deserialize(deserializer)?;
    let address = text.value.parse().map_err(|_| {
        let text = &text.value;
        serde::de::Error::custom(format!("`{text}` is no socket address; write it as in 127.0.0.1:8087"))
    })?;
    Ok(Spanned {
        value: address,
        referenced: text.referenced,
        defined: text.defined,
    })
}

fn thirty_days() -> Duration {
    Duration::days(30)
}

/// `user:password`, compared and never shown.
#[derive(Clone, Deserialize)]
#[serde(try_from = "String")]
pub struct Credentials(String);

impl Credentials {
    /// The pair as it stands in a decoded `Authorization: Basic` header (RFC 7617).
    pub fn as_bytes(&self) -> &[u8] {
        self.0.as_bytes()
    }
}

impl TryFrom<String> for Credentials {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        match text.split_once(':') {
            Some((user, password)) if !user.is_empty() && !password.is_empty() => Ok(Self(text)),
            _ => Err("credentials are written `user:password`, neither part empty"),
        }
    }
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Credentials(..)")
    }
}

/// A configuration with the file it came from.
#[derive(Debug)]
pub struct Loaded {
    /// What the file says.
    pub config: Config,
    /// The file, as it was named on the command line.
    pub file: PathBuf,
}

/// Reads and checks a configuration file.
pub fn load(file: &Path) -> Result<Loaded, Error> {
    let text = std::fs::read_to_string(file).map_err(|cause| Error::Unreadable {
        file: file.into(),
        cause,
    })?;
    let options = serde_saphyr::options! { strict_booleans: true };
    let config: Config =
        serde_saphyr::from_str_with_options(&text, options).map_err(|error| Error::invalid(file, &text, &error))?;
    let loaded = Loaded {
        config,
        file: file.into(),
    };
    if loaded.config.credentials.value.is_empty() {
        let line = loaded.config.credentials.referenced.line();
        return Err(Error::NoCredentials {
            file: file.into(),
            line,
        });
    }
    Ok(loaded)
}

impl Loaded {
    /// Where the database is; a relative file is in the folder of the configuration.
    pub fn database(&self) -> Location {
        let folder = self.file.parent().unwrap_or(Path::new(""));
        self.config.database.value.in_folder(folder)
    }

    /// `FILE:LINE: listen`, for an error about the address.
    pub fn listen_key(&self) -> String {
        format!(
            "{}:{}: listen",
            self.file.display(),
            self.config.listen.referenced.line()
        )
    }

    /// `FILE:LINE: database`, for an error about the database.
    pub fn database_key(&self) -> String {
        format!(
            "{}:{}: database",
            self.file.display(),
            self.config.database.referenced.line()
        )
    }
}
