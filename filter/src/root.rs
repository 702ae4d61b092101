//! The root context: configuration, the tick, and the answers of calls.

use std::cell::RefCell;
use std::rc::Rc;

use postern_access::config::Config;
use postern_access::confirmation::sha256;
use postern_access::forwarded::Authorization;
use postern_access::introspection::{Asked, Question};
use postern_access::key_source::Url;
use postern_access::policy::{Need, Policy};
use postern_access::shared_answers::Slots;
use postern_access::signed_answer;
use postern_access::state::State;
use postern_access::waiting::Waiting;
use proxy_wasm::hostcalls;
use proxy_wasm::traits::{Context, RootContext};
use proxy_wasm::types::{BufferType, MapType};
use serde_json::Value;

use crate::answers::{self, Look};
use crate::callbacks;
use crate::calls::{self, CALL_TIMEOUT, Call, Credentials};
use crate::clock;
use crate::feeds::{self, Poll, no_answer};
use crate::foreign_functions;
use crate::gate::{AGAIN, Gate, Shared};
use crate::keys::{self, Fetches};
use crate::metrics::Metrics;
use crate::proofs;
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
        match configure(json) {
            Ok(gate) => {
                let finished = callbacks::configured(self.context_id, &gate);
                if !finished {
                    log::error!(
                        "this file is only half of the filter's build: `cargo xtask filter` makes the filter of it, dist/postern_filter.wasm"
                    );
                }
                self.gate = Some(gate);
                finished
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
        let now = clock::now();
        feeds::follow(&mut gate, now);
        keys::fetch(&mut gate, now);
        look_up_users(&mut gate);
        introspect(&mut gate, now);
        if !gate.waiting.is_empty() {
            settle_waiting(&mut gate, now);
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
        let now = clock::now();
        let status = if headers == 0 { None } else { call_status() };
        let body = hostcalls::get_buffer(BufferType::HttpCallResponseBody, 0, body_size)
            .ok()
            .flatten()
            .unwrap_or_default();
        match call {
            Call::TokenFeed => {
                feeds::tokens_answered(&mut gate, status, &body, now);
                forgotten_questions(&mut gate);
            }
            Call::PermissionFeed => feeds::permissions_answered(&mut gate, status, &body, now),
            Call::Keys(index) => keys::answered(&mut gate, index, status, &body, now),
            Call::Discovery(index) => keys::discovered(&mut gate, index, status, &body, now),
            Call::Authorities { user, change } => authorities_answered(&mut gate, user, change, status, &body),
            Call::Introspection(question) => introspected(&mut gate, &question, status, &body, now),
        }
        feeds::follow(&mut gate, now);
        settle_waiting(&mut gate, now);
        self.own_context();
        gate.set_tick();
    }
}

/// Between two sweeps of expired entries, in milliseconds.
const SWEEP: u64 = 30_000;

fn configure(json: Vec<u8>) -> Result<Shared, String> {
    let policy = Policy::parse(&json).map_err(|error| error.to_string())?;
    let configuration = sha256(&json);
    // Of a hundred thousand rules, the text takes as much room as what is made of them.
    drop(json);
    let config = policy.config();
    known_clusters(config)?;
    let mut state = State::new(config, seed()).map_err(|error| format!("plugin configuration: issuers: {error}"))?;
    signatures::adopt_natives(&mut state);
    let drawn = secret();
    let shared = proofs::shared_secret(&drawn);
    if let Some(shared) = &shared {
        state.share_proofs(shared, &proofs::plugin());
    }
    let answers = shared
        .as_ref()
        .map(|shared| Slots::new(shared, &proofs::plugin(), &configuration));
    if config.dpop.as_ref().is_some_and(|dpop| dpop.nonce) {
        state.set_nonce_secret(config, shared.as_deref().unwrap_or(&drawn));
    }
    let mut gate = Gate {
        state,
        credentials: Credentials::new(config),
        token_poll: Poll::new(config.auth_server.as_ref()),
        permission_poll: Poll::new(config.login_service.as_ref()),
        calls: Default::default(),
        waiting: Waiting::new(config.hold.millis),
        wanted: Vec::new(),
        introspection_failing: false,
        answers,
        keys: Fetches::of(config, shared.as_deref()),
        metrics: Metrics::define(&policy),
        tick: 0,
        swept_at: 0,
        policy,
    };
    // Calls cannot be made while the host is still starting: the first tick makes them.
    gate.set_tick();
    Ok(Rc::new(RefCell::new(gate)))
}

/// A cluster that does not exist would make every request wait in vain.
fn known_clusters(config: &Config) -> Result<(), String> {
    let unknown = config
        .clusters()
        .find(|(_, cluster)| foreign_functions::has_cluster(cluster) == Some(false));
    match unknown {
        Some((key, cluster)) => Err(format!(
            "plugin configuration: {key}: the host has no cluster `{cluster}`; add it, or write the name of one that it has"
        )),
        None => Ok(()),
    }
}

/// The one random number of a VM: it keys the hash tables.
fn seed() -> u64 {
    use std::hash::BuildHasher;
    std::collections::hash_map::RandomState::new().hash_one(0)
}

/// 32 random bytes: a keyed hash with 128 random bits, of four numbers.
fn secret() -> Vec<u8> {
    use std::hash::BuildHasher;
    let random = std::collections::hash_map::RandomState::new();
    (0..4).flat_map(|n| random.hash_one(n).to_le_bytes()).collect()
}

fn look_up_users(gate: &mut Gate) {
    let wanted = std::mem::take(&mut gate.wanted);
    let Some(server) = &gate.policy.config().login_service else {
        return;
    };
    for user in wanted {
        // Without a change there is nothing to look up any more.
        let Some(change) = gate.state.change_of(&user) else {
            gate.waiting.answered(&Need::Authorities(user));
            continue;
        };
        let path = format!("/getAllPermissionByUserId?userId={}", calls::query_value(&user));
        let authorization = gate.credentials.login_service.as_deref();
        match calls::get(&server.cluster, &server.authority, &path, authorization, CALL_TIMEOUT) {
            Some(id) => {
                gate.calls.insert(id, Call::Authorities { user, change });
            }
            None => gate.waiting.lost(&Need::Authorities(user)),
        }
    }
}

fn authorities_answered(gate: &mut Gate, user: String, change: u64, status: Option<u16>, body: &[u8]) {
    match authorities(status, body) {
        Some(names) => {
            gate.state.set_authorities(&user, change, names);
            gate.waiting.answered(&Need::Authorities(user));
        }
        None => {
            log::warn!("the login service did not say what a changed user may do; refusing that user for now");
            gate.waiting.lost(&Need::Authorities(user));
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

/// Asks the auth server about tokens that only it can tell good from bad (RFC 7662 section 2.1), unless another VM does.
fn introspect(gate: &mut Gate, now: u64) {
    for question in gate.state.introspections_due(now) {
        match answers::look(gate, question.token(), now) {
            Look::Ask => {}
            Look::Later => {
                gate.state.put_introspection_off(&question, now.saturating_add(AGAIN));
                continue;
            }
            Look::Answered(body, at) => {
                match gate.policy.introspected(&question, &body, &mut gate.state, at) {
                    Ok(()) => gate.waiting.answered(&question.need()),
                    Err(_) => gate.waiting.lost(&question.need()),
                }
                continue;
            }
        }
        let form = format!(
            "token={}&token_type_hint=access_token",
            calls::query_value(question.token())
        );
        let id = ask(gate, &question, &form);
        match id {
            Some(id) => {
                gate.calls.insert(id, Call::Introspection(question));
            }
            None => {
                gate.state.introspection_failed(&question);
                answers::share(gate, question.token(), None, now);
                gate.waiting.lost(&question.need());
            }
        }
    }
}

/// A document of the feed can make us forget what was being asked. Who waits for that is to ask anew.
fn forgotten_questions(gate: &mut Gate) {
    let state = &gate.state;
    gate.waiting
        .answered_all(|need| matches!(need, Need::Introspection(token) if !state.asks_about(token)));
}

/// Sends one question to whom it is for. `None`: the host would not make the call.
fn ask(gate: &Gate, question: &Question, form: &str) -> Option<u32> {
    let config = gate.policy.config();
    let accept = match config.forward.authorization {
        Authorization::Jwt => signed_answer::MEDIA_TYPE,
        Authorization::Keep | Authorization::Remove => "application/json",
    };
    let (cluster, url, authorization) = match question.asked() {
        Asked::AuthServer => {
            // Without an auth server there is no feed that would have told us to ask.
            let server = config.auth_server.as_ref()?;
            let url = Url {
                scheme: "http",
                authority: &server.authority,
                path: "/oauth2/introspect",
            };
            (&server.cluster, url, gate.credentials.auth_server.as_deref())
        }
        Asked::Issuer(index) => {
            let endpoint = config.issuers.get(index)?.introspection.as_ref()?;
            let authorization = gate.credentials.issuers.get(index)?.as_deref();
            (&endpoint.cluster, Url::parse(&endpoint.uri).ok()?, authorization)
        }
    };
    calls::post(cluster, url, form, authorization, accept, CALL_TIMEOUT)
}

fn introspected(gate: &mut Gate, question: &Question, status: Option<u16>, body: &[u8], now: u64) {
    let counts = gate.state.still_asks(question);
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
    // Before anything else is done with it: others wait for it too.
    if counts {
        answers::share(gate, question.token(), taken.is_ok().then_some(body), now);
    }
    match taken {
        Ok(()) => {
            gate.introspection_failing = false;
            gate.waiting.answered(&question.need());
        }
        Err(why) => {
            // Once per outage, not once per token.
            if !gate.introspection_failing {
                log::warn!("nobody could be asked about an opaque token: {why}; refusing such tokens for now");
            }
            gate.introspection_failing = true;
            gate.waiting.lost(&question.need());
        }
    }
}

fn call_status() -> Option<u16> {
    let status = hostcalls::get_map_value_bytes(MapType::HttpCallResponseHeaders, ":status").ok()??;
    std::str::from_utf8(&status).ok()?.parse().ok()
}
