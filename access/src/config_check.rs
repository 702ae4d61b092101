//! What a configuration must not say, beyond its shape and its rules: names, secrets, times and issuers that could not do
//! what they are there for.

use crate::config::{Config, Issuer};
use crate::jwk::JwkError;
use crate::key_source::{Jwks, KeysAt, Url};
use crate::policy::{ConfigError, at};

/// The shortest secret for explanations, in characters.
const MIN_SECRET: usize = 16;

/// Everything but `public` and `rules`, which are checked as they are compiled.
pub(crate) fn check(config: &Config) -> Result<(), ConfigError> {
    check_debug(config)?;
    for (index, issuer) in config.issuers.iter().enumerate() {
        check_issuer(issuer).map_err(|(part, message)| ConfigError {
            key: format!("issuers[{index}].{part}"),
            message,
        })?;
    }
    let nowhere = config.token.header.is_none() && config.token.cookie.is_none() && config.token.query.is_none();
    if nowhere {
        let message = "no place is left where a token could stand; name a header, a cookie or a query parameter";
        return Err(ConfigError {
            key: "token".into(),
            message: message.into(),
        });
    }
    check_dpop(config)?;
    check_prefixes(config)?;
    check_names(config)?;
    Ok(())
}

/// The header and the secret of the explanations.
fn check_debug(config: &Config) -> Result<(), ConfigError> {
    let Some(debug) = &config.debug else { return Ok(()) };
    let name = debug.header.as_bytes();
    if name.is_empty() || !name.iter().all(|byte| byte.is_ascii_alphanumeric() || *byte == b'-') {
        let message = format!("`{}` is not the name of a header", debug.header);
        return Err(at(|| "debug.header".into(), message));
    }
    let forward = &config.forward;
    let taken = [
        &config.token.header,
        &forward.user_id,
        &forward.user_name,
        &forward.client_id,
        &forward.authorities,
        &forward.scope,
    ];
    if taken
        .into_iter()
        .flatten()
        .any(|name| name.eq_ignore_ascii_case(&debug.header))
    {
        let message = format!("`{}` has another meaning already", debug.header);
        return Err(at(|| "debug.header".into(), message));
    }
    if debug.secret.len() < MIN_SECRET || !debug.secret.bytes().all(|byte| matches!(byte, b'!'..=b'~')) {
        let message = format!("at least {MIN_SECRET} visible ASCII characters, as `openssl rand -hex 16` prints them");
        return Err(at(|| "debug.secret".into(), message));
    }
    Ok(())
}

fn check_dpop(config: &Config) -> Result<(), ConfigError> {
    let wrong = |key: &str, message: &str| {
        Err(ConfigError {
            key: key.into(),
            message: message.into(),
        })
    };
    if let Some(dpop) = &config.dpop {
        if !(1000..=300_000).contains(&dpop.max_age.millis) {
            return wrong("dpop.max_age", "a proof is good for 1s to 5m");
        }
        if dpop.nonce_lifetime.millis < 1000 {
            return wrong("dpop.nonce_lifetime", "a nonce is good for 1s at least");
        }
        if dpop.nonce_secret.as_ref().is_some_and(|secret| secret.len() < 32) {
            return wrong("dpop.nonce_secret", "it needs 32 characters at least, and random ones");
        }
    }
    if let Some(address) = &config.resource_metadata
        && let Err(message) = Url::parse(address)
    {
        return wrong("resource_metadata", &message);
    }
    Ok(())
}

/// The part of an issuer that is wrong, and why.
fn check_issuer(issuer: &Issuer) -> Result<(), (&'static str, String)> {
    match &issuer.jwks {
        Some(Jwks::Inline { inline }) => {
            crate::jwk::key_set(inline).map_err(|error: JwkError| ("jwks", error.to_string()))?;
        }
        Some(Jwks::Remote(remote)) if issuer.issuer.is_none() && matches!(remote.at, KeysAt::Discovery { .. }) => {
            let message = "a discovery document is believed only for the issuer that it must name; write `issuer`";
            return Err(("jwks.discovery", message.into()));
        }
        Some(Jwks::Remote(_)) => {}
        None if issuer.introspection.is_none() => {
            let message = "there is no way to tell its tokens good from bad; write `jwks`, `introspection` or both";
            return Err(("jwks", message.into()));
        }
        None => {}
    }
    if let Some(endpoint) = &issuer.introspection {
        Url::parse(&endpoint.uri).map_err(|message| ("introspection.uri", message))?;
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
        let same = |other: &Issuer| issuer.issuer.is_some() && other.issuer == issuer.issuer;
        if let Some(first) = config.issuers.iter().take(index).position(same) {
            return Err(ConfigError {
                key: format!("issuers[{index}].issuer"),
                message: format!("issuers[{first}] has the same name; write one entry, with all its keys"),
            });
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
            return Err(ConfigError {
                key: format!("issuers[{index}].introspection.prefix"),
                message: "an opaque token does not say who issued it: with an auth server, or several issuers of such \
                          tokens, each issuer needs the prefix its tokens begin with"
                    .into(),
            });
        }
        seen.push(prefix);
    }
    Ok(())
}
