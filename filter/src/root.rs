//! The root context: configuration, the tick, and the answers of calls.

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

use postern_access::introspection::Question;
use postern_access::policy::{Need, Policy};
use postern_access::state::State;
use proxy_wasm::hostcalls;
use proxy_wasm::traits::{Context, RootContext};
use proxy_wasm::types::{BufferType, MapType};
use serde_json::Value;

use crate::callbacks;
use crate::calls::{self, Call, Credentials};
use crate::feeds::{self, Poll, no_answer};
use crate::gate::{CROWD, Gate, Shared, now};
use crate::metrics::Metrics;
use crate::signatures;
use crate::stream::settle_waiting;

/// The plugin in one VM.
pub struct Root {
    context_id: u32,
    gate: Option<Shared>,
}

impl Root {
    pub fn new(context_id: u32) -> Self {
        Self { context_id, gate: None }
    }

    /// The root context makes its calls itself: a call of a stream context ends with the stream.
    fn own_context(&self) {
        let _ = hostcalls::set_effective_context(self.context_id);
    }
}

impl RootContext for Root {
    fn on_configure(&mut self, size: usize) -> bool {
        let json = hostcalls::get_buffer(BufferType::PluginConfiguration, 0, size)
            .ok()
            .flatten()
            .unwrap_or_default();
        // An empty configuration is the default one: every path is refused.
        let json = if json.is_empty() { b"{}".to_vec() } else { json };
        match configure(json) {
            Ok(gate) => {
                callbacks::configured(self.context_id, gate.clone());
                self.gate = Some(gate);
                true
            }
            Err(error) => {
                log::error!("{error}");
                false
            }
        }
    }

    fn on_tick(&mut self) {
        let Some(gate) = &self.gate else { return };
        let mut gate = gate.borrow_mut();
        let now = now();
        feeds::follow(&mut gate, now);
        fetch_keys(&mut gate, now);
        look_up_users(&mut gate);
        let failed = introspect(&mut gate);
        if !gate.waiting.is_empty() {
            // A question about a token is always answered; a flood of them is not to be gone through at every tick.
            settle_waiting(&mut gate, &failed, now, |need| !matches!(need, Need::Introspection(_)));
            self.own_context();
        }
        if now >= gate.swept_at.saturating_add(SWEEP) {
            gate.state.sweep(now);
            gate.swept_at = now;
        }
        gate.metrics.hand_over(now);
        gate.set_tick();
    }
}

impl Context for Root {
    fn on_http_call_response(&mut self, call_id: u32, headers: usize, body_size: usize, _: usize) {
        let Some(gate) = &self.gate else { return };
        let mut gate = gate.borrow_mut();
        let Some(call) = gate.calls.remove(&call_id) else {
            return;
        };
        let now = now();
        let status = if headers == 0 { None } else { call_status() };
        let body = hostcalls::get_buffer(BufferType::HttpCallResponseBody, 0, body_size)
            .ok()
            .flatten()
            .unwrap_or_default();
        // What a question about a token was for; anything else may concern everybody who waits.
        let asked = match &call {
            Call::Introspection(question) => Some(question.need()),
            _ => None,
        };
        let failed = match call {
            Call::TokenFeed => {
                feeds::tokens_answered(&mut gate, status, &body, now);
                None
            }
            Call::PermissionFeed => {
                feeds::permissions_answered(&mut gate, status, &body, now);
                None
            }
            Call::Keys(index) => keys_answered(&mut gate, index, status, &body),
            Call::Authorities { user, change } => match authorities(status, &body) {
                Some(names) => {
                    gate.state.set_authorities(&user, change, names);
                    None
                }
                None => {
                    log::warn!("the login service did not say what a changed user may do; refusing that user for now");
                    Some(Need::Authorities(user))
                }
            },
            Call::Introspection(question) => introspected(&mut gate, &question, status, &body, now),
        };
        feeds::follow(&mut gate, now);
        settle_waiting(&mut gate, failed.as_slice(), now, |need| {
            asked.as_ref().is_none_or(|asked| asked == need)
        });
        self.own_context();
        gate.set_tick();
    }
}

/// Between two sweeps of expired entries, in milliseconds.
const SWEEP: u64 = 30_000;

/// How old a remote key set may grow before it is fetched again, in milliseconds.
const KEYS_MAX_AGE: u64 = 300_000;

/// How long a fetch of keys, a lookup of a user or a question about a token may take.
const CALL_TIMEOUT: Duration = Duration::from_secs(3);

fn configure(json: Vec<u8>) -> Result<Shared, String> {
    let policy = Policy::parse(&json).map_err(|error| error.to_string())?;
    // Of a hundred thousand rules, the text takes as much room as what is made of them.
    drop(json);
    let config = policy.config();
    let mut state = State::new(config, seed()).map_err(|error| format!("plugin configuration: issuers: {error}"))?;
    signatures::adopt_natives(&mut state);
    let mut gate = Gate {
        state,
        credentials: Credentials::new(config),
        token_poll: Poll::new(config.auth_server.as_ref()),
        permission_poll: Poll::new(config.login_service.as_ref()),
        calls: Default::default(),
        waiting: Default::default(),
        crowd: CROWD,
        wanted: Vec::new(),
        keys_wanted: true,
        introspection_failing: false,
        metrics: Metrics::define(&policy),
        tick: 0,
        swept_at: 0,
        policy,
    };
    // Calls cannot be made while the host is still starting: the first tick makes them.
    gate.set_tick();
    Ok(Rc::new(RefCell::new(gate)))
}

/// The one random number of a VM: it keys the hash tables.
fn seed() -> u64 {
    use std::hash::BuildHasher;
    std::collections::hash_map::RandomState::new().hash_one(0)
}

fn fetch_keys(gate: &mut Gate, now: u64) {
    gate.keys_wanted = false;
    for index in gate.state.keys_due(now, KEYS_MAX_AGE) {
        let id = gate.state.keys_location(index).and_then(|(cluster, uri)| {
            let (authority, path) = split_uri(uri);
            calls::get(cluster, authority, path, None, CALL_TIMEOUT)
        });
        match id {
            Some(id) => {
                gate.calls.insert(id, Call::Keys(index));
            }
            None => gate.state.keys_failed(index),
        }
    }
}

fn keys_answered(gate: &mut Gate, index: usize, status: Option<u16>, body: &[u8]) -> Option<Need> {
    let taken = match status {
        Some(200) => gate.state.set_keys(index, body).map_err(|error| error.to_string()),
        Some(status) => Err(format!("the issuer answered {status}")),
        None => Err("no answer".into()),
    };
    match taken {
        Ok(()) => None,
        Err(why) => {
            log::warn!("the key set of issuer {index} of the configuration could not be fetched: {why}");
            gate.state.keys_failed(index);
            Some(Need::Keys(index))
        }
    }
}

fn look_up_users(gate: &mut Gate) {
    let wanted = std::mem::take(&mut gate.wanted);
    let Some(server) = &gate.policy.config().login_service else {
        return;
    };
    for user in wanted {
        // Without a change there is nothing to look up any more.
        let Some(change) = gate.state.change_of(&user) else {
            continue;
        };
        let path = format!("/getAllPermissionByUserId?userId={}", calls::query_value(&user));
        let authorization = gate.credentials.login_service.as_deref();
        if let Some(id) = calls::get(&server.cluster, &server.authority, &path, authorization, CALL_TIMEOUT) {
            gate.calls.insert(id, Call::Authorities { user, change });
        }
    }
}

/// The names of the permission rows (`[{"name": …, "url": …}, …]`).
fn authorities(status: Option<u16>, body: &[u8]) -> Option<Vec<String>> {
    if status != Some(200) {
        return None;
    }
    let rows: Vec<Value> = serde_json::from_slice(body).ok()?;
    rows.iter()
        .map(|row| row.get("name")?.as_str().map(str::to_owned))
        .collect()
}

/// Asks the auth server about tokens that only it can tell good from bad (RFC 7662 section 2.1). Returns what cannot be
/// had, as the host would not make the call.
fn introspect(gate: &mut Gate) -> Vec<Need> {
    let mut failed = Vec::new();
    for question in gate.state.introspections_due() {
        let form = format!(
            "token={}&token_type_hint=access_token",
            calls::query_value(question.token())
        );
        let authorization = gate.credentials.auth_server.as_deref();
        // Without an auth server there is no feed that would have told us to ask.
        let server = gate.policy.config().auth_server.as_ref();
        let id =
            server.and_then(|server| calls::post(server, "/oauth2/introspect", &form, authorization, CALL_TIMEOUT));
        match id {
            Some(id) => {
                gate.calls.insert(id, Call::Introspection(question));
            }
            None => {
                gate.state.introspection_failed(&question);
                failed.push(question.need());
            }
        }
    }
    failed
}

/// What is not to be had, if the answer says nothing.
fn introspected(gate: &mut Gate, question: &Question, status: Option<u16>, body: &[u8], now: u64) -> Option<Need> {
    let taken = match status {
        Some(200) => gate
            .policy
            .introspected(question, body, &mut gate.state, now)
            .map_err(|error| error.to_string()),
        status => {
            gate.state.introspection_failed(question);
            Err(no_answer(status))
        }
    };
    match taken {
        Ok(()) => {
            gate.introspection_failing = false;
            None
        }
        Err(why) => {
            // Once per outage, not once per token.
            if !gate.introspection_failing {
                log::warn!("the auth server could not be asked about a token: {why}; refusing such tokens for now");
            }
            gate.introspection_failing = true;
            Some(question.need())
        }
    }
}

fn call_status() -> Option<u16> {
    let status = hostcalls::get_map_value_bytes(MapType::HttpCallResponseHeaders, ":status").ok()??;
    std::str::from_utf8(&status).ok()?.parse().ok()
}

/// `https://authority/path?query` → authority and path with query.
fn split_uri(uri: &str) -> (&str, &str) {
    let rest = uri.split_once("://").map_or(uri, |(_, rest)| rest);
    match rest.find('/') {
        Some(slash) => rest.split_at(slash),
        None => (rest, "/"),
    }
}
