//! `explain`: the steps of one decision, told from the trace that the decision itself left.

use postern_access::denial::Denial;
use postern_access::jws::Unverified;
use postern_access::path;
use postern_access::policy::{Allowed, Decider, Decision, Need, Shadowed, Trace};
use postern_access::principal::Principal;
use serde_json::{Map, Value};

use crate::offline::Offline;
use crate::output;
use crate::request::Written;
use crate::{PolicyFiles, clock};

/// Decides about one request and prints how. Always well, whatever the decision.
pub fn run(
    files: &PolicyFiles,
    request: &str,
    headers: &[String],
    token: Option<&str>,
    claims: Option<&str>,
    now: Option<u64>,
) -> Result<bool, String> {
    let now = clock::millis(now);
    let mut offline = Offline::load(files, now)?;
    let mut written = Written::parse(request)?;
    for line in headers {
        written.header_line(line)?;
    }
    let token = match (token, claims) {
        (Some(token), _) => Some(token.to_owned()),
        (None, Some(json)) => {
            let claims: Map<String, Value> =
                serde_json::from_str(json).map_err(|error| format!("--claims: not a JSON object: {error}"))?;
            Some(offline.token(&claims, now)?)
        }
        (None, None) => None,
    };
    if let Some(token) = &token {
        offline.present(&mut written, token);
    }
    let mut trace = Trace::default();
    let request = offline.policy.read(written.pairs());
    let decision = offline.policy.trace(&request, &mut offline.state, now, &mut trace);
    for (step, text) in steps(&offline, &written, token.as_deref(), &trace, &decision) {
        output::line(format_args!("{step:<10} {text}"))?;
    }
    let decided = decided(&offline, &decision, now, written.target());
    output::line(format_args!("{:<10} {decided}", "decision"))?;
    Ok(true)
}

fn steps(
    offline: &Offline,
    written: &Written,
    token: Option<&str>,
    trace: &Trace,
    decision: &Decision,
) -> Vec<(&'static str, String)> {
    let mut steps = Vec::new();
    let canonical = match path::canonical(written.target().as_bytes()) {
        Ok(target) => target,
        Err(error) => {
            steps.push(("path", format!("refused: {error}")));
            return steps;
        }
    };
    steps.push(match canonical.rewritten() {
        None => ("path", format!("{} (as it came)", canonical.path)),
        Some(_) => (
            "path",
            format!("{} (and so it goes on to the upstream)", canonical.path),
        ),
    });
    let request = offline.policy.read(written.pairs());
    if offline.policy.by_host() {
        steps.push((
            "host",
            request
                .host()
                .map_or_else(|error| format!("refused: {error}"), Into::into),
        ));
    }
    match trace.decider {
        Some(decider) => steps.push(("rule", rule(offline, decider))),
        None => steps.push(("rule", "none of the configuration; the token comes next".into())),
    }
    if let Some(Decider::Public(_)) = trace.decider {
        return steps;
    }
    match (token, &trace.principal) {
        (None, _) => steps.push(("token", "none".into())),
        (Some(token), None) => steps.push(("token", claimed(token))),
        (Some(token), Some(principal)) => {
            steps.push(("token", claimed(token)));
            steps.push(("caller", caller(principal)));
        }
    }
    if let (Some(principal), Some(decider)) = (&trace.principal, trace.decider) {
        let method = request.method().unwrap_or_default();
        let lines = required(offline, decider, principal, &canonical.path, method);
        steps.extend(lines.into_iter().map(|text| ("requires", text)));
    }
    if let Decision::Need(Need::Keys(_)) = decision {
        steps.push(("keys", "a host would fetch them; give them with --jwks".into()));
    }
    steps
}

/// The rule, as it stands in the configuration.
fn rule(offline: &Offline, decider: Decider) -> String {
    let shown = match decider {
        Decider::Public(index) => offline.config.public.get(index).map(serde_json::to_string),
        Decider::Rule(index) => offline.config.rules.get(index).map(serde_json::to_string),
        Decider::Permissions => return "none of the configuration: the permission table".into(),
        Decider::Unmatched => return "nothing names the path: `unmatched`".into(),
    };
    format!("{decider} {}", shown.and_then(Result::ok).unwrap_or_default())
}

/// What a token says of itself, before anything is believed.
fn claimed(token: &str) -> String {
    match Unverified::parse(token) {
        Err(error) => error.to_string(),
        Ok(token) => {
            let issuer = token.claimed_issuer().ok().flatten();
            format!(
                "{:?}, key {}, issuer {}",
                token.algorithm(),
                token.key_id().unwrap_or("not named"),
                issuer.as_deref().unwrap_or("not named")
            )
        }
    }
}

fn caller(principal: &Principal) -> String {
    let claims = &principal.claims;
    let text = |value: &Option<String>| value.clone().unwrap_or_else(|| "-".into());
    format!(
        "user {}, client {}, token id {}, authorities [{}], scopes [{}]",
        text(&claims.user_id),
        text(&claims.client_id),
        text(&claims.token_id),
        claims.authorities.join(", "),
        claims.scopes.join(", ")
    )
}

/// Each requirement, and whether it is met. What is said here of a requirement does not decide; the decision did.
fn required(offline: &Offline, decider: Decider, principal: &Principal, path: &str, method: &str) -> Vec<String> {
    let holds = |name: &String| principal.authorities().holds(name);
    let mark = |met: bool| if met { "met" } else { "not met" };
    let any = |names: &[String]| {
        let met = names.iter().any(holds);
        format!("one of the authorities {}: {}", names.join(", "), mark(met))
    };
    let rule = match decider {
        Decider::Rule(index) => offline.config.rules.get(index),
        Decider::Permissions => {
            return offline.state.permission(path, method).map(any).into_iter().collect();
        }
        _ => None,
    };
    let Some(rule) = rule else { return Vec::new() };
    let mut lines = Vec::new();
    if rule.deny {
        lines.push("nobody may".into());
    }
    if !rule.any_authority.is_empty() {
        lines.push(any(&rule.any_authority));
    }
    if !rule.all_authorities.is_empty() {
        let met = rule.all_authorities.iter().all(holds);
        lines.push(format!(
            "all authorities {}: {}",
            rule.all_authorities.join(", "),
            mark(met)
        ));
    }
    if !rule.scopes.is_empty() {
        let met = rule.scopes.iter().all(|scope| principal.claims.scopes.contains(scope));
        lines.push(format!("all scopes {}: {}", rule.scopes.join(", "), mark(met)));
    }
    for (claim, expected) in &rule.claims {
        let has = principal.claims.compared.iter().find(|(name, _)| name == claim);
        let has = has.map_or("the token has none", |(_, value)| value.as_str());
        lines.push(format!("claim {claim} is {expected}: {has}"));
    }
    lines
}

fn decided(offline: &Offline, decision: &Decision, now: u64, target: &str) -> String {
    let denied = |denial: &Denial| {
        let status = denial
            .answer(offline.policy.config().errors, now, target.as_bytes())
            .status;
        format!("{status} {}: {denial}", denial.name())
    };
    match decision {
        Decision::Allow(Allowed { shadowed: None, .. }) => "allow".into(),
        Decision::Allow(Allowed {
            shadowed: Some(Shadowed::Denial(denial)),
            ..
        }) => format!("allow, in shadow mode; otherwise deny {}", denied(denial)),
        Decision::Allow(Allowed {
            shadowed: Some(Shadowed::Need(need)),
            ..
        }) => format!("allow, in shadow mode; otherwise it would wait for {}", needed(need)),
        Decision::Deny(denial) => format!("deny {}", denied(denial)),
        Decision::Need(need) => format!("wait for {}", needed(need)),
    }
}

/// What a host would fetch.
pub fn needed(need: &Need) -> String {
    match need {
        Need::Snapshots => "the first answers of the feeds".into(),
        Need::Keys(index) => format!("the keys of issuers[{index}]"),
        Need::Authorities(user) => format!("what the login service says of the changed user {user}"),
        Need::Introspection(_) => "what the auth server says of the token".into(),
        Need::ClientCertificate => "the certificate of the client".into(),
    }
}
