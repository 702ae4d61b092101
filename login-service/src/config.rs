//! `login.yaml`: read once, typed, unknown keys refused; errors name file, line, key and what to do.

use std::fmt;
use std::net::SocketAddr;
use std::num::NonZeroU16;
use std::path::{Path, PathBuf};

use schemars::JsonSchema;
use serde::Deserialize;
use serde_saphyr::{DefaultMessageFormatter, MessageFormatter as _, Spanned};

use crate::duration::Duration;

/// Configuration of the login service.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Where the service listens: an address and a port (port 0: any free one).
    #[schemars(with = "String")]
    pub listen: Spanned<SocketAddr>,
    /// The database: `sqlite:FILE`; a relative file is relative to the folder of this configuration.
    #[schemars(with = "String")]
    pub database: Spanned<DatabaseFile>,
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
    /// How long the feed remembers whose permissions changed (default `30d`). At least the lifetime of the longest-lived
    /// access token: a gateway that starts later would otherwise believe the authorities of a token from before.
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

/// The file behind `sqlite:FILE`.
#[derive(Debug, Clone, Deserialize)]
#[serde(try_from = "String")]
pub struct DatabaseFile(PathBuf);

impl TryFrom<String> for DatabaseFile {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let file = text
            .strip_prefix("sqlite:")
            .map(|rest| rest.strip_prefix("//").unwrap_or(rest));
        match file {
            Some(file) if !file.is_empty() && !file.starts_with(':') => Ok(Self(file.into())),
            _ => Err(format!(
                "`{text}` is not a database; write `sqlite:` and a file, as in `sqlite:login.db`"
            )),
        }
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
    let config: Config = serde_saphyr::from_str(&text).map_err(|error| Error::invalid(file, &text, &error))?;
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
    /// The database file: absolute, or relative to the folder of the configuration.
    pub fn database_file(&self) -> PathBuf {
        let DatabaseFile(file) = &self.config.database.value;
        match self.file.parent() {
            Some(folder) => folder.join(file),
            None => file.clone(),
        }
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

/// Why a configuration cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No file, or no permission to read it.
    #[error("cannot read {}: {cause}; name the configuration with --config FILE", file.display())]
    Unreadable {
        /// The file.
        file: PathBuf,
        /// What the operating system says.
        cause: std::io::Error,
    },
    /// Not YAML, an unknown key, a missing one or a bad value.
    #[error("{}:{place}{message}", file.display())]
    Invalid {
        /// The file.
        file: PathBuf,
        /// `LINE:COLUMN: KEY: `, as much of it as is known, or a space when the parser names no place.
        place: String,
        /// What is wrong there.
        message: String,
    },
    /// An empty list of credentials.
    #[error("{}:{line}: credentials: the list is empty, so no gateway could read the feed; add `- \"gateway:<a long random password>\"`", file.display())]
    NoCredentials {
        /// The file.
        file: PathBuf,
        /// The line of the key.
        line: u64,
    },
}

impl Error {
    fn invalid(file: &Path, text: &str, error: &serde_saphyr::Error) -> Self {
        let error = error.without_snippet();
        let place = error.location().map_or_else(
            || " ".into(),
            |at| match key_before(text, at.line(), at.column()) {
                Some(key) => format!("{}:{}: {key}: ", at.line(), at.column()),
                None => format!("{}:{}: ", at.line(), at.column()),
            },
        );
        Self::Invalid {
            file: file.into(),
            place,
            message: DefaultMessageFormatter.format_message(error).into_owned(),
        }
    }
}

/// The key that a bad value belongs to: what stands before a colon at the start of its line. Line and column from 1.
fn key_before(text: &str, line: u64, column: u64) -> Option<&str> {
    let line = text.lines().nth(usize::try_from(line).ok()?.checked_sub(1)?)?;
    let (key, _) = line.split_once(':')?;
    let before_the_value = u64::try_from(key.len()).is_ok_and(|length| length < column);
    let plain = key.trim().bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
    (before_the_value && plain).then_some(key.trim())
}
