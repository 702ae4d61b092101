//! `auth.yaml`: read once, typed, unknown keys refused; an error names file, line and key.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use postern_access::config::Duration;
use schemars::JsonSchema;
use serde::Deserialize;

use crate::credentials::Credentials;
use crate::profiles::Profile;

/// The configuration of `postern-auth`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// The address to listen on, as in `127.0.0.1:8086`; port 0 takes a free one.
    #[serde(deserialize_with = "address")]
    #[schemars(with = "String")]
    pub listen: SocketAddr,
    /// `sqlite:FILE`; a relative file is taken from the folder of this configuration.
    pub database: String,
    /// The service that knows users and permissions.
    pub login_service: LoginService,
    /// Who may follow the feed of keys and revocations.
    pub feed: Feed,
    /// Which legacy wire contracts are served, and where. None by default.
    #[serde(default)]
    pub mounts: Vec<Mount>,
    /// How exactly the legacy contracts are followed.
    #[serde(default)]
    pub compat: Compat,
}

/// Where the three reserved interfaces are.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct LoginService {
    /// The base address, as in `http://127.0.0.1:8087`.
    pub url: String,
    /// `user:password`, sent with HTTP Basic; absent: none is sent.
    #[schemars(with = "Option<String>")]
    pub credentials: Option<Credentials>,
    /// How long a call may take.
    #[serde(default = "five_seconds")]
    #[schemars(with = "String")]
    pub timeout: Duration,
}

/// The feed's readers.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Feed {
    /// `user:password` pairs; HTTP Basic. The feed carries the verifying secrets of the legacy profiles.
    #[schemars(with = "Vec<String>")]
    pub credentials: Vec<Credentials>,
}

/// One legacy contract at one place.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Mount {
    /// Which contract.
    pub profile: Profile,
    /// The base path: `/login` serves `/login/oauth/token`, `/` serves `/oauth/token`.
    pub path: String,
}

/// Switches of the legacy contracts.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Compat {
    /// The version of Spring Security OAuth whose answers profile `spring` gives.
    pub spring_oauth: SpringOauth,
    /// Whether a refresh gives the presented refresh token again (`true`), or a new one in its place (`false`).
    pub reuse_refresh_token: bool,
}

impl Default for Compat {
    fn default() -> Self {
        Self {
            spring_oauth: SpringOauth::V2_0_13,
            reuse_refresh_token: true,
        }
    }
}

/// The versions of Spring Security OAuth whose observable texts differ.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Deserialize, JsonSchema)]
pub enum SpringOauth {
    /// 2.0.7
    #[serde(rename = "2.0.7")]
    V2_0_7,
    /// 2.0.13, the version of the systems that Postern replaces
    #[serde(rename = "2.0.13")]
    V2_0_13,
    /// 2.3.0 to 2.3.3
    #[serde(rename = "2.3")]
    V2_3,
    /// 2.5.2
    #[serde(rename = "2.5")]
    V2_5,
}

impl Config {
    /// Reads and checks a configuration file.
    pub fn read(file: &Path) -> Result<Self, ConfigError> {
        let refuse = |place: String, message: String| ConfigError {
            file: file.to_owned(),
            place,
            message,
        };
        let text = std::fs::read_to_string(file).map_err(|error| {
            refuse(
                String::new(),
                format!("cannot be read: {error}; name the file with --config"),
            )
        })?;
        let mut config: Self = serde_saphyr::from_str(&text).map_err(|error| {
            let Some(at) = error.location() else {
                return refuse(String::new(), error.without_snippet().render());
            };
            let (line, column) = (at.line(), at.column());
            let message = error.without_snippet().render();
            let message = message.trim_end_matches(&format!(" at line {line}, column {column}"));
            let key = key_of(&text, line, column)
                .map(|key| format!("{key}: "))
                .unwrap_or_default();
            refuse(format!(":{line}:{column}"), format!("{key}{message}"))
        })?;
        config.check().map_err(|message| refuse(String::new(), message))?;
        if let Some(path) = config.database.strip_prefix("sqlite:") {
            let folder = file.parent().unwrap_or(Path::new(""));
            config.database = format!("sqlite:{}", folder.join(path).display());
        }
        Ok(config)
    }

    /// The database file.
    pub fn database_file(&self) -> PathBuf {
        PathBuf::from(self.database.strip_prefix("sqlite:").unwrap_or(&self.database))
    }

    fn check(&mut self) -> Result<(), String> {
        match self.database.strip_prefix("sqlite:") {
            Some("") | None => {
                return Err(format!(
                    "database: `{}` is not supported; write sqlite:FILE, as in sqlite:auth.db",
                    self.database
                ));
            }
            Some(_) => {}
        }
        let url: http::Uri = self
            .login_service
            .url
            .parse()
            .map_err(|error| format!("login_service.url: not an address: {error}"))?;
        if url.scheme_str() != Some("http") || url.authority().is_none() {
            return Err("login_service.url: write http://HOST:PORT; put a TLS proxy between for anything else".into());
        }
        for (index, mount) in self.mounts.iter_mut().enumerate() {
            if !mount.path.starts_with('/') || mount.path.contains(['{', '}', '*', '?', '#']) {
                return Err(format!(
                    "mounts[{index}].path: `{}` is not a path; write it as in /login",
                    mount.path
                ));
            }
            mount.path.truncate(mount.path.trim_end_matches('/').len());
        }
        for (index, mount) in self.mounts.iter().enumerate() {
            if self.mounts[..index].iter().any(|earlier| earlier.path == mount.path) {
                let path = if mount.path.is_empty() { "/" } else { &mount.path };
                return Err(format!(
                    "mounts[{index}].path: `{path}` is already taken by an earlier mount"
                ));
            }
        }
        Ok(())
    }
}

/// A configuration that cannot be used: which file, where in it, and what is wrong.
#[derive(Debug, thiserror::Error)]
#[error("{}{place}: {message}", file.display())]
pub struct ConfigError {
    file: PathBuf,
    place: String,
    message: String,
}

/// The key whose value begins at a place. The parser says where a wrong value stands; people look for its name.
fn key_of(text: &str, line: u64, column: u64) -> Option<&str> {
    let line = text.lines().nth(usize::try_from(line).ok()?.checked_sub(1)?)?;
    let (value, _) = line.char_indices().nth(usize::try_from(column).ok()?.checked_sub(1)?)?;
    let before = line[..value]
        .trim_end_matches([' ', '"', '\'', '[', '{', '-'])
        .strip_suffix(':')?;
    before.rsplit([' ', '{', '[', ',']).next().filter(|key| !key.is_empty())
}

fn address<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<SocketAddr, D::Error> {
    let text = String::deserialize(deserializer)?;
    text.parse()
        .map_err(|_| serde::de::Error::custom(format!("`{text}` is not an address; write it as in 127.0.0.1:8086")))
}

fn five_seconds() -> Duration {
    Duration::from_secs(5)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_key_of_a_value_is_the_word_before_it() {
        let text = "listen: here\nfeed: { credentials: [ \"gateway\", \"b\" ], wait: 5 }";
        assert_eq!(key_of(text, 1, 9), Some("listen"));
        assert_eq!(key_of(text, 2, 24), Some("credentials"));
        assert_eq!(key_of(text, 2, 35), None);
        assert_eq!(key_of(text, 2, 48), Some("wait"));
        assert_eq!(key_of(text, 1, 1), None);
        assert_eq!(key_of(text, 9, 1), None);
    }
}
