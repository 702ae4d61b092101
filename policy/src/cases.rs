//! `test`: a table of requests and tokens, and the decisions expected of them.

use std::collections::BTreeMap;
use std::path::Path;

use postern_access::policy::{Allowed, Decision, Shadowed, Trace};
use serde::Deserialize;
use serde_json::{Map, Value};

use crate::config_file::document;
use crate::explain::needed;
use crate::offline::Offline;
use crate::output;
use crate::request::Written;
use crate::{PolicyFiles, clock};

/// The file.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Table {
    /// Unix seconds; without it, the clock.
    now: Option<u64>,
    /// Tokens by name.
    #[serde(default)]
    tokens: BTreeMap<String, Token>,
    cases: Vec<Case>,
}

/// A token: as it stands, or the claims of one with a good signature.
#[derive(Debug, Clone, Deserialize)]
#[serde(untagged)]
enum Token {
    Text(String),
    Claims(Claims),
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct Claims {
    claims: Map<String, Value>,
}

/// One request, with one token or with several in turn.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Case {
    /// `GET https://host/path`.
    request: String,
    #[serde(default)]
    headers: Map<String, Value>,
    /// The name of a token, a token, or claims; absent: none.
    token: Option<Token>,
    /// `allow`, `deny`, a status or a reason; or one of these for each of several tokens.
    expect: Expect,
    /// What must have decided: `rules[3]`, its name, `public[0]`, `permissions` or `unmatched`.
    rule: Option<String>,
    /// Unix seconds, for this case only.
    now: Option<u64>,
}

#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum Expect {
    Status(u16),
    Text(String),
    ByToken(BTreeMap<String, Wanted>),
}

#[derive(Debug, Clone, Deserialize)]
#[serde(untagged)]
enum Wanted {
    Status(u16),
    Text(String),
}

/// The name for no token.
const NO_TOKEN: &str = "none";

/// Runs the table and prints the failures and their number. Whether there are none.
pub fn run(files: &PolicyFiles, cases: &Path) -> Result<bool, String> {
    let table: Table = document(cases)?;
    if table.cases.is_empty() {
        return Err(format!(
            "{}: cases: is empty: describe at least one request",
            cases.display()
        ));
    }
    let (mut passed, mut failed) = (0_usize, 0_usize);
    for (index, case) in table.cases.iter().enumerate() {
        let at = |error: String| format!("{}: cases[{index}]: {error}", cases.display());
        let now = clock::millis(case.now.or(table.now));
        let runs: Vec<(Option<(String, Token)>, Wanted)> = match &case.expect {
            Expect::Status(status) => vec![(case.token.clone().map(unnamed), Wanted::Status(*status))],
            Expect::Text(text) => vec![(case.token.clone().map(unnamed), Wanted::Text(text.clone()))],
            Expect::ByToken(_) if case.token.is_some() => {
                return Err(at("`token` beside an `expect` that names tokens".into()));
            }
            Expect::ByToken(by_token) => by_token
                .iter()
                .map(|(name, wanted)| {
                    let token = (name != NO_TOKEN).then(|| (name.clone(), Token::Text(name.clone())));
                    (token, wanted.clone())
                })
                .collect(),
        };
        for (token, wanted) in runs {
            wanted.check().map_err(at)?;
            // Of each its own state: no case is to know what another one has seen.
            let mut offline = Offline::load(files, now)?;
            let mut written = Written::parse(&case.request).map_err(at)?;
            written.headers_of(&case.headers);
            let shown = token.as_ref().map_or(NO_TOKEN, |(name, _)| name).to_owned();
            if let Some((_, token)) = token {
                let token = resolve(&table, &offline, token, now).map_err(at)?;
                offline.present(&mut written, &token);
            }
            let mut trace = Trace::default();
            let request = offline.policy.read(written.pairs());
            let decision = offline.policy.trace(&request, &mut offline.state, now, &mut trace);
            let got = Got::new(&offline, decision, now, written.target());
            let decider = trace
                .decider
                .map(|decider| (decider.to_string(), offline.policy.name_of(decider)));
            let rule_fits = case.rule.as_ref().is_none_or(|wanted| {
                decider
                    .as_ref()
                    .is_some_and(|(place, name)| place == wanted || name == wanted)
            });
            if got.is(&wanted) && rule_fits {
                passed = passed.saturating_add(1);
                continue;
            }
            failed = failed.saturating_add(1);
            let by = decider.map_or_else(String::new, |(place, _)| format!(", by {place}"));
            let wanted_by = case
                .rule
                .as_ref()
                .map_or_else(String::new, |rule| format!(" by {rule}"));
            output::line(format_args!(
                "failed: cases[{index}]: {}, token {shown}: expected {}{wanted_by}, got {}{by}",
                case.request,
                wanted.shown(),
                got.shown()
            ))?;
        }
    }
    output::line(format_args!("{passed} passed, {failed} failed"))?;
    Ok(failed == 0)
}

fn unnamed(token: Token) -> (String, Token) {
    let name = match &token {
        // A token that stands there itself is not shown.
        Token::Text(name) if !name.contains('.') => name.clone(),
        Token::Text(_) => "given".into(),
        Token::Claims(_) => "claims".into(),
    };
    (name, token)
}

/// A token by its name in the table, as it stands, or made of claims.
fn resolve(table: &Table, offline: &Offline, token: Token, now: u64) -> Result<String, String> {
    let token = match token {
        Token::Text(text) => match table.tokens.get(&text) {
            Some(named) => named.clone(),
            None if text.contains('.') => return Ok(text),
            None => return Err(format!("no token is called `{text}`; name it under `tokens`")),
        },
        claims => claims,
    };
    match token {
        Token::Text(text) => Ok(text),
        Token::Claims(Claims { claims }) => offline.token(&claims, now),
    }
}

impl Wanted {
    fn check(&self) -> Result<(), String> {
        match self {
            Wanted::Status(100..=599) => Ok(()),
            Wanted::Text(text)
                if !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_') =>
            {
                Ok(())
            }
            _ => Err(format!(
                "expect: `{}` is neither allow, deny, a status nor a reason",
                self.shown()
            )),
        }
    }

    fn shown(&self) -> String {
        match self {
            Wanted::Status(status) => status.to_string(),
            Wanted::Text(text) => text.clone(),
        }
    }
}

/// What was decided.
enum Got {
    Allow {
        shadow: bool,
    },
    Deny {
        status: u16,
        reason: &'static str,
        detail: String,
    },
    Wait(String),
}

impl Got {
    fn new(offline: &Offline, decision: Decision, now: u64, target: &str) -> Self {
        match decision {
            Decision::Allow(Allowed { shadowed, .. }) => Got::Allow {
                shadow: matches!(shadowed, Some(Shadowed::Denial(_) | Shadowed::Need(_))),
            },
            Decision::Deny(denial) => Got::Deny {
                status: denial
                    .answer(offline.policy.config().errors, now, target.as_bytes())
                    .status,
                reason: denial.name(),
                detail: denial.to_string(),
            },
            Decision::Need(need) => Got::Wait(needed(&need)),
        }
    }

    fn is(&self, wanted: &Wanted) -> bool {
        match (self, wanted) {
            (Got::Allow { .. }, Wanted::Text(text)) if text == "allow" => true,
            (Got::Allow { .. }, Wanted::Status(200)) => true,
            (Got::Allow { shadow: true }, Wanted::Text(text)) => text == "shadow",
            (Got::Deny { .. }, Wanted::Text(text)) if text == "deny" => true,
            (Got::Deny { reason, .. }, Wanted::Text(text)) => text == reason,
            (Got::Deny { status, .. }, Wanted::Status(wanted)) => status == wanted,
            _ => false,
        }
    }

    fn shown(&self) -> String {
        match self {
            Got::Allow { shadow: false } => "allow".into(),
            Got::Allow { shadow: true } => "allow (in shadow mode)".into(),
            Got::Deny { status, reason, detail } => format!("{status} {reason} ({detail})"),
            Got::Wait(need) => format!("no decision before it knows {need}"),
        }
    }
}
