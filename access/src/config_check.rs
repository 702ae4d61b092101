//! What a configuration must not say, beyond its shape and its rules: names, secrets, times and issuers that could not do
//! what they are there for.

use crate::config::{Config, Duration, Issuer};
use crate::config_text::{ConfigError, at};
use crate::jwk::JwkError;
use crate::key_source::{Jwks, KeysAt, Url};

/// The shortest secret for explanations, in characters.
const MIN_SECRET: usize = 16;

/// Everything but `public` and `rules`, which are checked as they are compiled. Names of headers are in lower case then.
pub(crate) fn check(config: &mut Config) -> Result<(), ConfigError> {
    check_headers(config)?;
    check_token_names(config)?;
    check_servers(config)?;
    check_debug(config)?;
    for (index, issuer) in config.issuers.iter().enumerate() {
        check_issuer(issuer).map_err(|(part, message)| at(|| format!("issuers[{index}].{part}"), message))?;
    }
    let nowhere = config.token.header.is_none() && config.token.cookie.is_none() && config.token.query.is_none();
    if nowhere {
        let message = "no place is left where a token could stand; name a header, a cookie or a query parameter";
        return wrong("token", message);
    }
    check_times(config)?;
    check_dpop(config)?;
    check_prefixes(config)?;
    check_names(config)?;
    Ok(())
}

fn wrong<T>(key: impl Into<String>, message: impl Into<String>) -> Result<T, ConfigError> {
    Err(at(|| key.into(), message.into()))
}

/// Headers that belong to HTTP itself, to the way a request came or to how it is checked: none of them can say who is
/// calling.
const TAKEN: [&str; 24] = [
    "connection",
    "content-encoding",
    "content-length",
    "content-type",
    "cookie",
    "dpop",
    "expect",
    "forwarded",
    "host",
    "http2-settings",
    "keep-alive",
    "proxy-authenticate",
    "proxy-authorization",
    "proxy-connection",
    "set-cookie",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "via",
    "x-forwarded-for",
    "x-forwarded-host",
    "x-forwarded-port",
    "x-forwarded-proto",
];

/// Each header that the filter reads or writes has a name, and one of its own.
fn check_headers(config: &mut Config) -> Result<(), ConfigError> {
    let forward = &mut config.forward;
    let named = [
        ("token.header", config.token.header.as_mut()),
        ("forward.user_id", forward.user_id.as_mut()),
        ("forward.user_name", forward.user_name.as_mut()),
        ("forward.client_id", forward.client_id.as_mut()),
        ("forward.authorities", forward.authorities.as_mut()),
        ("forward.scope", forward.scope.as_mut()),
        ("debug.header", config.debug.as_mut().map(|debug| &mut debug.header)),
    ];
    let mut seen: Vec<(&str, String)> = Vec::new();
    for (key, name) in named {
        let Some(name) = name else { continue };
        let good = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
        if name.is_empty() || !name.bytes().all(good) {
            let message = format!(
                "`{}` is not the name of a header; write letters, digits and `-`",
                name.escape_debug()
            );
            return wrong(key, message);
        }
        // As they are to servers that fold names.
        let folded = name.to_ascii_lowercase().replace('_', "-");
        if TAKEN.contains(&folded.as_str()) || (folded == "authorization" && key != "token.header") {
            return wrong(
                key,
                format!("`{name}` has another meaning already; choose another name, as in `x-user-id`"),
            );
        }
        if let Some((other, _)) = seen.iter().find(|(_, known)| *known == folded) {
            return wrong(
                key,
                format!("`{name}` is that of `{other}` already; each needs a name of its own"),
            );
        }
        seen.push((key, folded));
        name.make_ascii_lowercase();
    }
    Ok(())
}

/// Names under which a token stands elsewhere than in a header.
fn check_token_names(config: &Config) -> Result<(), ConfigError> {
    for (key, name) in [
        ("token.cookie", &config.token.cookie),
        ("token.query", &config.token.query),
    ] {
        let good = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~');
        if let Some(name) = name
            && (name.is_empty() || !name.bytes().all(good))
        {
            let message = "letters, digits, `-`, `.`, `_` and `~`; `null` (or nothing) where no token may stand there";
            return wrong(key, format!("`{}` is no name; write {message}", name.escape_debug()));
        }
    }
    Ok(())
}

fn check_servers(config: &Config) -> Result<(), ConfigError> {
    for (key, server) in [
        ("auth_server", &config.auth_server),
        ("login_service", &config.login_service),
    ] {
        let Some(server) = server else { continue };
        let checked = check_cluster(&server.cluster)
            .map_err(|message| ("cluster", message))
            .and_then(|()| check_authority(&server.authority).map_err(|message| ("authority", message)))
            .and_then(|()| {
                check_credentials(server.credentials.as_deref()).map_err(|message| ("credentials", message))
            });
        if let Err((part, message)) = checked {
            return wrong(format!("{key}.{part}"), message);
        }
    }
    Ok(())
}

/// What the host calls a cluster.
fn check_cluster(name: &str) -> Result<(), String> {
    if name.is_empty() || name.contains(char::is_control) {
        return Err("it is empty or has control characters; write what the host calls the cluster".into());
    }
    Ok(())
}

/// Host and port, as they stand in a request.
fn check_authority(authority: &str) -> Result<(), String> {
    let good = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b':' | b'[' | b']');
    if authority.is_empty() || !authority.bytes().all(good) {
        let shown = authority.escape_debug();
        return Err(format!(
            "`{shown}` is no authority; write host and port, as in `auth.example.com:8086`"
        ));
    }
    Ok(())
}

/// The message does not show them.
fn check_credentials(credentials: Option<&str>) -> Result<(), String> {
    let good = |credentials: &str| {
        let user = credentials.split_once(':').map(|(user, _)| user);
        user.is_some_and(|user| !user.is_empty()) && !credentials.contains(char::is_control)
    };
    if credentials.is_some_and(|credentials| !good(credentials)) {
        return Err("write `user:password`, or leave it out where none are needed".into());
    }
    Ok(())
}

/// The header and the secret of the explanations.
fn check_debug(config: &Config) -> Result<(), ConfigError> {
    let Some(debug) = &config.debug else { return Ok(()) };
    if debug.secret.len() < MIN_SECRET || !debug.secret.bytes().all(|byte| matches!(byte, b'!'..=b'~')) {
        let message = format!("at least {MIN_SECRET} visible ASCII characters, as `openssl rand -hex 16` prints them");
        return Err(at(|| "debug.secret".into(), message));
    }
    Ok(())
}

/// Lengths of time with which the filter would refuse everything, keep everybody waiting or believe what is long over.
fn check_times(config: &Config) -> Result<(), ConfigError> {
    const SECOND: u64 = 1000;
    const MINUTE: u64 = 60 * SECOND;
    const HOUR: u64 = 60 * MINUTE;
    const DAY: u64 = 24 * HOUR;
    let within = |key: &str, given: Duration, least: u64, most: u64, message: &str| {
        if (least..=most).contains(&given.millis) {
            Ok(())
        } else {
            Err(at(|| key.into(), message))
        }
    };
    within(
        "max_stale",
        config.max_stale,
        SECOND,
        DAY,
        "a lost feed is relied on for 1s to 24h",
    )?;
    within("hold", config.hold, 0, MINUTE, "a request waits for 60s at most")?;
    within(
        "leeway",
        config.leeway,
        0,
        HOUR,
        "clocks are an hour apart at most (`1h`)",
    )
}

fn check_dpop(config: &Config) -> Result<(), ConfigError> {
    if let Some(dpop) = &config.dpop {
        if !(1000..=300_000).contains(&dpop.max_age.millis) {
            return wrong("dpop.max_age", "a proof is good for 1s to 5m");
        }
        if !(1000..=86_400_000).contains(&dpop.nonce_lifetime.millis) {
            return wrong("dpop.nonce_lifetime", "a nonce is good for 1s to 24h");
        }
        if dpop.nonce_secret.as_ref().is_some_and(|secret| secret.len() < 32) {
            return wrong("dpop.nonce_secret", "it needs 32 characters at least, and random ones");
        }
    }
    if let Some(address) = &config.resource_metadata
        && let Err(message) = Url::parse(address)
    {
        return wrong("resource_metadata", message);
    }
    Ok(())
}

/// The part of an issuer that is wrong, and why.
fn check_issuer(issuer: &Issuer) -> Result<(), (&'static str, String)> {
    if issuer.issuer.as_deref() == Some("") {
        return Err((
            "issuer",
            "it is empty; leave it out where the tokens have no `iss`".into(),
        ));
    }
    for (part, names) in [
        ("audiences", &issuer.audiences),
        ("required_claims", &issuer.required_claims),
        ("forbidden_claims", &issuer.forbidden_claims),
    ] {
        if names.iter().any(String::is_empty) {
            return Err((part, "one of them is empty; write its name, or leave it out".into()));
        }
    }
    if let Some(both) = issuer
        .required_claims
        .iter()
        .find(|name| issuer.forbidden_claims.contains(name))
    {
        let message = format!("`{both}` is required, too; no token could be good");
        return Err(("forbidden_claims", message));
    }
    if issuer.foreign_users {
        let message = "users of an issuer of the configuration are never those of the login service; leave it out";
        return Err(("foreign_users", message.into()));
    }
    match &issuer.jwks {
        Some(Jwks::Inline { inline }) => {
            crate::jwk::key_set(inline).map_err(|error: JwkError| ("jwks", error.to_string()))?;
        }
        Some(Jwks::Remote(remote)) if issuer.issuer.is_none() && matches!(remote.at, KeysAt::Discovery { .. }) => {
            let message = "a discovery document is believed only for the issuer that it must name; write `issuer`";
            return Err(("jwks.discovery", message.into()));
        }
        Some(Jwks::Remote(remote)) => {
            check_cluster(&remote.cluster).map_err(|message| ("jwks.cluster", message))?;
            if let KeysAt::Discovery { keys: Some(keys), .. } = &remote.at {
                check_cluster(&keys.cluster).map_err(|message| ("jwks.keys.cluster", message))?;
                check_authority(&keys.authority).map_err(|message| ("jwks.keys.authority", message))?;
            }
        }
        None if issuer.introspection.is_none() => {
            let message = "there is no way to tell its tokens good from bad; write `jwks`, `introspection` or both";
            return Err(("jwks", message.into()));
        }
        None => {}
    }
    if let Some(endpoint) = &issuer.introspection {
        check_cluster(&endpoint.cluster).map_err(|message| ("introspection.cluster", message))?;
        Url::parse(&endpoint.uri).map_err(|message| ("introspection.uri", message))?;
        check_credentials(endpoint.credentials.as_deref()).map_err(|message| ("introspection.credentials", message))?;
        if endpoint.audience.as_deref() == Some("") {
            return Err((
                "introspection.audience",
                "it is empty; leave it out, and it is not looked at".into(),
            ));
        }
        let token = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~' | b'+' | b'/');
        if endpoint
            .prefix
            .as_ref()
            .is_some_and(|prefix| !prefix.bytes().all(token))
        {
            let message = "no token begins so: they have letters, digits and `-._~+/` (RFC 6750 section 2.1)";
            return Err(("introspection.prefix", message.into()));
        }
        if endpoint.prefix.as_deref() == Some("") {
            let message = "it is empty; leave it out, if there is one issuer of opaque tokens only";
            return Err(("introspection.prefix", message.into()));
        }
        if endpoint.max_age.millis < 1000 {
            let message = "an answer is relied on for 1s at least; else each request would ask again without end";
            return Err(("introspection.max_age", message.into()));
        }
    }
    Ok(())
}

/// A token's issuer is one entry: of two, the keys of one would do for what the other asks.
fn check_names(config: &Config) -> Result<(), ConfigError> {
    for (index, issuer) in config.issuers.iter().enumerate() {
        // Those of opaque tokens need no name: who is asked depends on the prefix.
        let same = |other: &Issuer| {
            let named = issuer.issuer.is_some() || (issuer.jwks.is_some() && other.jwks.is_some());
            named && other.issuer == issuer.issuer
        };
        if let Some(first) = config.issuers.iter().take(index).position(same) {
            let name = if issuer.issuer.is_some() {
                "has the same name"
            } else {
                "has no name either"
            };
            let message = format!("issuers[{first}] {name}; write one entry, with all its keys");
            return wrong(format!("issuers[{index}].issuer"), message);
        }
    }
    Ok(())
}

/// Every opaque token has one place where it is asked about.
fn check_prefixes(config: &Config) -> Result<(), ConfigError> {
    let mut seen: Vec<Option<&str>> = Vec::new();
    if config.auth_server.is_some() {
        seen.push(None);
    }
    for (index, issuer) in config.issuers.iter().enumerate() {
        let Some(endpoint) = &issuer.introspection else {
            continue;
        };
        let prefix = endpoint.prefix.as_deref();
        if seen.contains(&prefix) {
            let message = "an opaque token does not say who issued it: with an auth server, or several issuers of such \
                           tokens, each issuer needs the prefix its tokens begin with";
            return wrong(format!("issuers[{index}].introspection.prefix"), message);
        }
        seen.push(prefix);
    }
    Ok(())
}
