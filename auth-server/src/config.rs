//! `auth.yaml`: read once, typed, unknown keys refused; an error names file, line and key.

pub(crate) mod misread;

use std::fmt;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use postern_access::config::Duration;
use schemars::JsonSchema;
use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_saphyr::{Location, Spanned};

use crate::cors::Origin;
use crate::credentials::Credentials;
use crate::db;
use crate::profiles::Profile;

/// The configuration of `postern-auth`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// The address to listen on, as in `127.0.0.1:8086`; port 0 takes a free one.
    #[serde(deserialize_with = "address")]
    #[schemars(with = "String")]
    pub listen: SocketAddr,
    /// `sqlite:FILE` (a relative file is taken from the folder of this configuration), or
    /// `postgres://USER:PASSWORD@HOST/NAME`.
    #[schemars(with = "String")]
    pub database: Spanned<String>,
    /// The service that knows users and permissions.
    pub login_service: LoginService,
    /// Who may follow the feed of keys and revocations.
    pub feed: Feed,
    /// The address of this server as services know it, for `iss` in signed answers (`/oauth2/introspect`).
    #[serde(default = "unnamed")]
    pub issuer: String,
    /// For whom signed answers are (`aud`): the services behind the gateways.
    #[serde(default = "services")]
    pub audience: String,
    /// Which legacy wire contracts are served, and where. None by default.
    #[serde(default)]
    pub mounts: Vec<Mount>,
    /// How exactly the legacy contracts are followed.
    #[serde(default)]
    pub compat: Compat,
    /// Which origins' pages may call the legacy endpoints.
    #[serde(default)]
    pub cors: Cors,
}

/// Where the three reserved interfaces are.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct LoginService {
    /// The base address, as in `http://127.0.0.1:8087`.
    #[schemars(with = "String")]
    pub url: Spanned<String>,
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
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Mount {
    /// Which contract.
    pub profile: Profile,
    /// The base path: `/login` serves `/login/oauth/token`, `/` serves `/oauth/token`.
    #[schemars(with = "String")]
    pub path: Spanned<String>,
    /// Whether `check_token` answers callers that show no credentials of a client, as the original of profile `uaa` did.
    #[serde(default)]
    pub danger_open_check_token: bool,
    /// Whether browsers send the cookies of the pages by https only: set `true` where everybody comes by https. Absent:
    /// when `X-Forwarded-Proto` of the request says so, which a host between may overwrite.
    #[serde(default)]
    pub secure_cookies: Option<bool>,
}

/// Cross-origin requests of browsers.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Cors {
    /// Who may call from a browser: exact origins (`https://app.example.com`); `*` may stand for the port
    /// (`http://localhost:*`). None by default.
    #[serde(default)]
    #[schemars(with = "Vec<String>")]
    pub origins: Vec<Origin>,
}

/// Switches of the legacy contracts.
#[derive(Debug, Clone, Copy, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Compat {
    /// The version of Spring Security OAuth whose answers profile `spring` gives.
    pub spring_oauth: SpringOauth,
    /// Whether a refresh gives the presented refresh token again (`true`), or a new one in its place (`false`).
    pub reuse_refresh_token: bool,
    /// Whether passwords, client secrets and tokens are also accepted in the query of a URL, where logs and histories
    /// keep them.
    pub query_credentials: bool,
    /// What profile `spring` answers when a client shows no credentials: Spring Boot's body, or that of an
    /// `OAuth2AuthenticationEntryPoint` which the legacy system set by itself.
    pub client_entry_point: EntryPoint,
    /// What profile `spring` says of bad tokens at `check_token`: as with a `JdbcTokenStore`, or with a `JwtTokenStore`.
    pub token_store: TokenStore,
    /// What `/userinfo` of profile `tkey` says: the five members of the published sample, or the longer form.
    pub tkey_userinfo: TkeyUserinfo,
    /// When the password grant will be gone, told to its clients in the header `Sunset` (RFC 8594), as an HTTP date:
    /// `Wed, 30 Jun 2027 00:00:00 GMT`. The grant goes on working until the clients lose it.
    #[schemars(with = "Option<String>")]
    pub password_grant_sunset: Option<HttpDate>,
    /// Whether profile `uaa` answers a removal with the text `{clientId:acme}`, as the original did, or with JSON.
    pub literal_delete_body: bool,
}

impl Default for Compat {
    fn default() -> Self {
        Self {
            spring_oauth: SpringOauth::V2_0_13,
            reuse_refresh_token: true,
            query_credentials: false,
            client_entry_point: EntryPoint::Boot,
            token_store: TokenStore::Jdbc,
            tkey_userinfo: TkeyUserinfo::Sample,
            password_grant_sunset: None,
            literal_delete_body: true,
        }
    }
}

/// A moment, as HTTP headers write it (RFC 9110 section 5.6.7).
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(try_from = "String")]
pub struct HttpDate(SystemTime);

impl TryFrom<String> for HttpDate {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        let moment = httpdate::parse_http_date(&text);
        moment
            .map(Self)
            .map_err(|_| "not a date of HTTP; write it as in `Wed, 30 Jun 2027 00:00:00 GMT`")
    }
}

impl fmt::Display for HttpDate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        httpdate::HttpDate::from(self.0).fmt(f)
    }
}

/// Who writes the 401 for a client without credentials.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum EntryPoint {
    /// `{"timestamp":…,"status":401,"error":"Unauthorized",…}`
    Boot,
    /// `{"error":"unauthorized","error_description":…}`
    #[serde(rename = "oauth2")]
    OAuth2,
}

/// The token stores of Spring Security OAuth whose texts differ.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum TokenStore {
    /// `Token was not recognised`, whatever is wrong with it.
    Jdbc,
    /// `Cannot convert access token to JSON` and `Encoded token is a refresh token`.
    Jwt,
}

/// The shapes of profile `tkey`'s userinfo.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum TkeyUserinfo {
    /// `user_attribute, grant_type, iat, exp, client_id`.
    Sample,
    /// As the original's source has it.
    Source,
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
        let place = |at: Location| format!(":{}:{}", at.line(), at.column());
        let misread = |error: serde_saphyr::Error| {
            let at = error.location().map(place).unwrap_or_default();
            refuse(at, misread::told(&text, &error))
        };
        // First as any YAML: read as a configuration, a wrong bracket looks like a wrong value of some key before it.
        serde_saphyr::from_str::<IgnoredAny>(&text).map_err(misread)?;
        let options = serde_saphyr::options! { strict_booleans: true };
        let mut config: Self = serde_saphyr::from_str_with_options(&text, options).map_err(misread)?;
        config.check().map_err(|(at, message)| refuse(place(at), message))?;
        if let Some(path) = config.database.value.strip_prefix("sqlite:") {
            let folder = file.parent().unwrap_or(Path::new(""));
            config.database.value = format!("sqlite:{}", folder.join(path).display());
        }
        Ok(config)
    }

    /// Where the database is.
    pub fn database_location(&self) -> db::Location {
        // Checked when it was read.
        db::Location::read(&self.database.value)
            .unwrap_or_else(|| db::Location::Sqlite(PathBuf::from(&self.database.value)))
    }

    /// What no type says; an error tells where and what.
    fn check(&mut self) -> Result<(), (Location, String)> {
        let database = &self.database;
        if db::Location::read(&database.value).is_none() {
            // Whatever stands there may hold a password.
            let message =
                "database: write sqlite:FILE, as in sqlite:auth.db, or postgres://USER:PASSWORD@HOST/NAME".into();
            return Err((database.referenced, message));
        }
        if db::Location::read(&database.value).is_some_and(|location| location.demands_tls()) {
            let message = "database: sslmode (or PGSSLMODE) asks for TLS, which this program does not speak to \
                           PostgreSQL; leave it out, and keep the way there private or put a TLS proxy between"
                .into();
            return Err((database.referenced, message));
        }
        let url = &self.login_service.url;
        let parsed: http::Uri = url
            .value
            .parse()
            .map_err(|error| (url.referenced, format!("login_service.url: not an address: {error}")))?;
        if parsed.scheme_str() != Some("http") || parsed.authority().is_none() {
            let message = "login_service.url: write http://HOST:PORT; put a TLS proxy between for anything else";
            return Err((url.referenced, message.into()));
        }
        let mut taken = Vec::new();
        for (index, Mount { path, .. }) in self.mounts.iter_mut().enumerate() {
            let refuse = |what: String| (path.referenced, format!("mounts[{index}].path: {what}"));
            if !path.value.starts_with('/') || path.value.contains(['{', '}', '*', '?', '#']) {
                return Err(refuse(format!("`{}` is not a path; write it as in /login", path.value)));
            }
            let base = path.value.trim_end_matches('/').to_owned();
            if taken.contains(&base) {
                return Err(refuse(format!("`{}` is already taken by an earlier mount", path.value)));
            }
            path.value.clone_from(&base);
            taken.push(base);
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

fn address<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<SocketAddr, D::Error> {
    let text = String::deserialize(deserializer)?;
    text.parse()
        .map_err(|_| serde::de::Error::custom(format!("`{text}` is not an address; write it as in 127.0.0.1:8086")))
}

fn unnamed() -> String {
    "postern".into()
}

fn services() -> String {
    "services".into()
}

fn five_seconds() -> Duration {
    Duration::from_secs(5)
}
