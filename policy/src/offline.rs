//! A policy with what a host's feeds and fetches would have told it, taken from files.

use std::path::Path;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use postern_access::config::Config;
use postern_access::key_source::Jwks;
use postern_access::policy::Policy;
use postern_access::state::State;
use serde_json::{Map, Value, json};

use crate::PolicyFiles;
use crate::config_file::{document, plugin_config};
use crate::request::Written;

/// Policy and state.
pub struct Offline {
    /// As the filter compiles it.
    pub policy: Policy,
    /// As the filter's would be.
    pub state: State,
    /// The configuration with its `public` and `rules`, which the policy has compiled.
    pub config: Config,
}

/// Signs the tokens that are given as claims, and nothing else: the key never leaves this process.
const SECRET: &[u8] = b"claims that are taken for verified ones";

/// Its id. A token names it, so that no other key of an issuer is meant.
const KEY: &str = "postern-policy";

/// How long a token lives whose claims do not say it, in seconds.
const LIFETIME: u64 = 300;

impl Offline {
    /// Reads the files. Times are Unix milliseconds.
    pub fn load(files: &PolicyFiles, now: u64) -> Result<Self, String> {
        let config = plugin_config(&files.config, files.plugin.as_deref())?;
        let keys = files.jwks.as_deref().map(document).transpose()?;
        let feed = files.feed.as_deref().map(document).transpose()?;
        let permissions = files.permissions.as_deref().map(permissions).transpose()?;
        Self::new(&config, keys.as_ref(), feed, permissions, now)
            .map_err(|error| format!("{}: {error}", files.config.display()))
    }

    fn new(
        config: &Config,
        keys: Option<&Value>,
        feed: Option<Value>,
        permissions: Option<Value>,
        now: u64,
    ) -> Result<Self, String> {
        let mut prepared = config.clone();
        for issuer in &mut prepared.issuers {
            let mut set = match (&issuer.jwks, keys) {
                (Some(Jwks::Inline { inline }), _) => inline.clone(),
                (Some(Jwks::Remote(_)), Some(keys)) => keys.clone(),
                (Some(Jwks::Remote(_)), None) | (None, _) => json!({ "keys": [] }),
            };
            add_own_key(&mut set);
            issuer.jwks = Some(Jwks::Inline { inline: set });
        }
        let policy = Policy::compile(prepared).map_err(|error| error.to_string())?;
        let mut state = State::new(policy.config(), 1).map_err(|error| format!("issuers: {error}"))?;
        if policy.config().auth_server.is_some() {
            let mut feed = feed.unwrap_or_else(|| json!({ "version": "offline", "issuers": [] }));
            if let Some(issuers) = feed.get_mut("issuers").and_then(Value::as_array_mut) {
                issuers.push(own_issuer());
            }
            state
                .apply_tokens(feed.to_string().as_bytes(), now)
                .map_err(|error| format!("the feed of tokens: {error}"))?;
        }
        if policy.config().login_service.is_some() {
            let feed = permissions.unwrap_or_else(|| json!({ "version": "offline", "permissions": [] }));
            let refused = state
                .apply_permissions(feed.to_string().as_bytes(), now)
                .map_err(|error| format!("the permission table: {error}"))?;
            for error in refused {
                eprintln!("warning: the permission table: {error}; the row is left out");
            }
        }
        Ok(Self {
            policy,
            state,
            config: config.clone(),
        })
    }

    /// Puts a token where the configuration looks for one.
    pub fn present(&self, written: &mut Written, token: &str) {
        let source = &self.config.token;
        match (&source.header, &source.cookie, &source.query) {
            (Some(header), ..) => written.header(header, &format!("Bearer {token}")),
            (None, Some(cookie), _) => written.header("cookie", &format!("{cookie}={token}")),
            (None, None, Some(query)) => written.query(query, token),
            (None, None, None) => {}
        }
    }

    /// A token with these claims. What is not among them and must be there is filled in: `iss` and `aud` if the
    /// configuration has only one issuer, `exp` five minutes from now (Unix milliseconds). A claim that is `null` is left
    /// out.
    pub fn token(&self, claims: &Map<String, Value>, now: u64) -> Result<String, String> {
        let mut claims = claims.clone();
        let mut fill_in = |name: &str, value: Option<Value>| {
            if let Some(value) = value
                && !claims.contains_key(name)
            {
                claims.insert(name.into(), value);
            }
        };
        if let ([only], None) = (self.config.issuers.as_slice(), &self.config.auth_server) {
            fill_in("iss", only.issuer.clone().map(Value::from));
        }
        fill_in("exp", Some((now / 1000).saturating_add(LIFETIME).into()));
        let audience = {
            let issuer = claims.get("iss").and_then(Value::as_str);
            let known = self
                .config
                .issuers
                .iter()
                .find(|known| known.issuer.as_deref() == issuer);
            known.and_then(|known| known.audiences.first().cloned())
        };
        if let (Some(audience), false) = (audience, claims.contains_key("aud")) {
            claims.insert("aud".into(), audience.into());
        }
        claims.retain(|_, value| !value.is_null());
        let mut header = Header::new(Algorithm::HS256);
        header.kid = Some(KEY.into());
        jsonwebtoken::encode(&header, &claims, &EncodingKey::from_secret(SECRET))
            .map_err(|error| format!("the claims cannot be made a token: {error}"))
    }
}

/// The permission table of a file: a feed document, or a list of rows (of the login service's `/getAllPermission`, too).
pub fn permissions(file: &Path) -> Result<Value, String> {
    let document: Value = document(file)?;
    let wrong = || {
        format!(
            "{}: neither a feed document nor a list of name, url and method",
            file.display()
        )
    };
    let rows = match &document {
        Value::Array(rows) => rows,
        Value::Object(members) => members.get("permissions").and_then(Value::as_array).ok_or_else(wrong)?,
        _ => return Err(wrong()),
    };
    let row = |row: &Value| {
        let mut kept = Map::new();
        for key in ["name", "url", "method"] {
            if let Some(value) = row.get(key).filter(|value| !value.is_null()) {
                kept.insert(key.into(), value.clone());
            }
        }
        Value::Object(kept)
    };
    let rows: Vec<Value> = rows.iter().map(row).collect();
    let changed = document.get("changed_users").cloned().unwrap_or_else(|| json!([]));
    Ok(json!({ "version": "offline", "permissions": rows, "changed_users": changed }))
}

fn own_key() -> Value {
    json!({ "kty": "oct", "alg": "HS256", "use": "sig", "kid": KEY, "k": URL_SAFE_NO_PAD.encode(SECRET) })
}

fn add_own_key(set: &mut Value) {
    if let Some(keys) = set.get_mut("keys").and_then(Value::as_array_mut) {
        keys.push(own_key());
    }
}

/// As the auth server's profile for Spring Security OAuth issues tokens: without `iss`.
fn own_issuer() -> Value {
    json!({
        "jwks": { "inline": { "keys": [ own_key() ] } },
        "claims": { "user_id": "userId", "user_name": "user_name" }
    })
}
