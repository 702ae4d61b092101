//! `verify`: tokens against a key set, one by one or in bulk.

use std::collections::HashMap;
use std::io::{self, BufRead, BufWriter, Write};
use std::path::{Path, PathBuf};

use clap::Args;
use postern_access::config::{Config, Duration, Issuer, Unmatched};
use postern_access::json;
use postern_access::jwk::{Key, key_set};
use postern_access::jws::Unverified;
use postern_access::key_source::Jwks;
use postern_access::policy::{Decision, Policy};
use postern_access::signature::Verifier;
use postern_access::state::State;
use serde::de::IgnoredAny;
use serde_json::{Map, Value, json};

use crate::clock;
use crate::config_file;

#[derive(Args)]
pub struct Verify {
    /// The keys: a JWK Set, or one JWK.
    #[arg(long, value_name = "FILE", required_unless_present = "batch")]
    jwks: Option<PathBuf>,
    /// What `iss` must be; without it, whatever the token says.
    #[arg(long, value_name = "ISSUER")]
    issuer: Option<String>,
    /// What `aud` must name; without it, `aud` is not looked at.
    #[arg(long, value_name = "AUDIENCE")]
    audience: Option<String>,
    /// Unix seconds; without it, the clock.
    #[arg(long, value_name = "TIME")]
    now: Option<u64>,
    /// Clock tolerance for exp, nbf and iat, in seconds.
    #[arg(long, value_name = "SECONDS", default_value_t = 0)]
    leeway: u64,
    /// Look at the JWS only (RFC 7515): any payload, any `typ`, no claims.
    #[arg(long)]
    signature_only: bool,
    /// Read JSON lines {"jwks": …, "token": …, "now": …} from standard input, and answer each with a line
    /// {"accepted": …, "reason": …}. A line may have its own "issuer", "audience" and "leeway"; what is missing is taken
    /// from the options.
    #[arg(long, conflicts_with = "tokens")]
    batch: bool,
    /// The tokens.
    #[arg(value_name = "TOKEN", required_unless_present = "batch")]
    tokens: Vec<String>,
}

/// Prints what there is to say of each token. Whether all are good.
pub fn run(verify: &Verify) -> Result<bool, String> {
    let jwks = verify.jwks.as_deref().map(key_document).transpose()?;
    if verify.batch {
        let done = batch(
            verify,
            jwks.as_ref(),
            io::stdin().lock(),
            BufWriter::new(io::stdout().lock()),
        );
        // Who reads the answers may have read enough.
        return match done {
            Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
                Err(format!("standard input or output: {error}"))
            }
            _ => Ok(true),
        };
    }
    let jwks = jwks.unwrap_or_default();
    let mut issuers = Issuers::default();
    let mut all_good = true;
    for token in &verify.tokens {
        let refused = judge(&mut issuers, verify, &Asked::from_options(verify, &jwks, token));
        match &refused {
            None => println!("accepted"),
            Some(reason) => println!("refused: {reason}"),
        }
        all_good &= refused.is_none();
    }
    Ok(all_good)
}

/// A key set from a file, without a key that stands there twice.
fn key_document(file: &Path) -> Result<Value, String> {
    // Once: it may be a pipe.
    let text = config_file::text(file)?;
    match serde_json::from_str::<IgnoredAny>(&text) {
        Ok(IgnoredAny) => json::object(text.as_bytes())
            .map(Value::Object)
            .map_err(|error| format!("{}: {error}", file.display())),
        // YAML is read strictly.
        Err(_) => config_file::parse(file, &text),
    }
}

/// One line in, one line out, in order, whatever stands in it.
fn batch(verify: &Verify, jwks: Option<&Value>, mut input: impl BufRead, mut output: impl Write) -> io::Result<()> {
    let mut issuers = Issuers::default();
    let mut line = Vec::new();
    loop {
        line.clear();
        if input.read_until(b'\n', &mut line)? == 0 {
            return output.flush();
        }
        if line.trim_ascii().is_empty() {
            continue;
        }
        // As strictly as the filter reads a key set: of what stands there twice, nobody knows which is meant.
        let refused = match json::object(&line) {
            Err(error) => Some(format!("the line is not a JSON object: {error}")),
            Ok(line) => match Asked::from_line(verify, jwks, &line) {
                Err(error) => Some(error),
                Ok(asked) => judge(&mut issuers, verify, &asked),
            },
        };
        let answer = match refused {
            None => json!({ "accepted": true, "reason": null }),
            Some(reason) => json!({ "accepted": false, "reason": reason }),
        };
        writeln!(output, "{answer}")?;
    }
}

/// A token, and by what it is judged.
struct Asked<'a> {
    jwks: &'a Value,
    token: &'a str,
    issuer: Option<&'a str>,
    audience: Option<&'a str>,
    /// Unix milliseconds.
    now: u64,
    /// Milliseconds.
    leeway: u64,
}

impl<'a> Asked<'a> {
    fn from_options(verify: &'a Verify, jwks: &'a Value, token: &'a str) -> Self {
        Self {
            jwks,
            token,
            issuer: verify.issuer.as_deref(),
            audience: verify.audience.as_deref(),
            now: clock::millis(verify.now),
            leeway: verify.leeway.saturating_mul(1000),
        }
    }

    fn from_line(verify: &'a Verify, jwks: Option<&'a Value>, line: &'a Map<String, Value>) -> Result<Self, String> {
        let member = |name: &str| line.get(name).filter(|value| !value.is_null());
        let text = |name: &str| match member(name) {
            None => Ok(None),
            Some(Value::String(text)) => Ok(Some(text.as_str())),
            Some(_) => Err(format!("`{name}` is no string")),
        };
        let jwks = member("jwks").or(jwks).ok_or("`jwks` is missing")?;
        let token = text("token")?.ok_or("`token` is missing")?;
        let mut asked = Self::from_options(verify, jwks, token);
        asked.issuer = text("issuer")?.or(asked.issuer);
        asked.audience = text("audience")?.or(asked.audience);
        if let Some(now) = member("now") {
            asked.now = millis(now).ok_or("`now` is no time in Unix seconds")?;
        }
        if let Some(leeway) = member("leeway") {
            asked.leeway = millis(leeway).ok_or("`leeway` is no number of seconds")?;
        }
        Ok(asked)
    }
}

/// Seconds as a number, whole or not.
fn millis(seconds: &Value) -> Option<u64> {
    match seconds.as_u64() {
        Some(whole) => whole.checked_mul(1000),
        None => {
            let millis = seconds.as_f64()? * 1000.0;
            // A float that fits is cast without loss of what matters: a millisecond.
            (0.0..9e15).contains(&millis).then_some(millis as u64)
        }
    }
}

/// Why a token is refused; `None`: it is good.
fn judge(issuers: &mut Issuers, verify: &Verify, asked: &Asked<'_>) -> Option<String> {
    let known = match issuers.of(asked) {
        Ok(known) => known,
        Err(error) => return Some(error),
    };
    if verify.signature_only {
        return known.signature(asked.token).err();
    }
    known.token(asked).err()
}

/// What was made of key sets that were given before: in bulk the same ones come again and again.
#[derive(Default)]
struct Issuers(HashMap<String, Known>);

/// So many are kept.
const MAX_KNOWN: usize = 256;

impl Issuers {
    fn of(&mut self, asked: &Asked<'_>) -> Result<&mut Known, String> {
        // Of a token that cannot be read, the policy says so itself.
        let claimed = || Unverified::parse(asked.token).ok()?.claimed_issuer().ok()?;
        let issuer = asked.issuer.map(str::to_owned).or_else(claimed);
        let key = json!([asked.jwks, issuer, asked.audience, asked.leeway]).to_string();
        if self.0.len() >= MAX_KNOWN && !self.0.contains_key(&key) {
            self.0.clear();
        }
        match self.0.entry(key) {
            std::collections::hash_map::Entry::Occupied(known) => Ok(known.into_mut()),
            std::collections::hash_map::Entry::Vacant(place) => Ok(place.insert(Known::new(asked, issuer)?)),
        }
    }
}

/// An issuer with the given keys, as the filter would have it.
struct Known {
    policy: Policy,
    state: State,
    keys: Vec<Key>,
}

impl Known {
    fn new(asked: &Asked<'_>, issuer: Option<String>) -> Result<Self, String> {
        let one_key = asked.jwks.get("kty").is_some() && asked.jwks.get("keys").is_none();
        let set = if one_key {
            json!({ "keys": [ asked.jwks ] })
        } else {
            asked.jwks.clone()
        };
        let keys = key_set(&set).map_err(|error| format!("jwks: {error}"))?;
        let config = Config {
            issuers: vec![Issuer {
                issuer,
                audiences: asked.audience.map(str::to_owned).into_iter().collect(),
                jwks: Some(Jwks::Inline { inline: set }),
                introspection: None,
                claims: Default::default(),
                expiry: Default::default(),
                required_claims: Vec::new(),
                forbidden_claims: Vec::new(),
                foreign_users: false,
            }],
            unmatched: Unmatched::Authenticated,
            leeway: Duration { millis: asked.leeway },
            ..Config::default()
        };
        let policy = Policy::compile(config).map_err(|error| format!("{}: {}", error.key, error.message))?;
        let state = State::new(policy.config(), 1).map_err(|error| format!("jwks: {error}"))?;
        Ok(Self { policy, state, keys })
    }

    /// The decision about a request that brings the token, where any good one will do.
    fn token(&mut self, asked: &Asked<'_>) -> Result<(), String> {
        // In a header, white space around a token would not be part of it.
        if asked.token.is_empty() || asked.token.trim() != asked.token {
            return Err("the token is not a compact JWS".into());
        }
        // Each token is looked at for itself, at its own time.
        self.state.forget_tokens();
        let authorization = format!("Bearer {}", asked.token);
        let headers: [(&[u8], &[u8]); 3] = [
            (b":method", b"GET"),
            (b":path", b"/"),
            (b"authorization", authorization.as_bytes()),
        ];
        let request = self.policy.read(headers.into_iter());
        match self.policy.decide(&request, &mut self.state, asked.now) {
            Decision::Allow(_) => Ok(()),
            Decision::Deny(denial) => Err(denial.to_string()),
            Decision::Need(need) => Err(need.unavailable().to_string()),
        }
    }

    fn signature(&self, token: &str) -> Result<(), String> {
        let token = Unverified::parse_any(token).map_err(|error| error.to_string())?;
        let key = token.key(&self.keys).map_err(|error| error.to_string())?;
        let payload = token.verify_payload(key, &Verifier::default());
        payload.map(drop).map_err(|error| error.to_string())
    }
}
