//! One request: its headers go to `check`, which is the only way on; there is no resuming without a decision.

use postern_access::config::Mode;
use postern_access::denial::Denial;
use postern_access::policy::{Allowed, Decision, Need};
use postern_access::request::Request;
use proxy_wasm::hostcalls;
use proxy_wasm::traits::{Context, HttpContext};
use proxy_wasm::types::{Action, MapType};

use crate::gate::{Gate, Shared, Waiting, now};
use crate::headers::Headers;

/// The stream context of one request.
pub struct Stream {
    context_id: u32,
    gate: Option<Shared>,
}

impl Stream {
    /// Without a gate (the plugin was never configured) every request is refused.
    pub fn new(context_id: u32, gate: Option<Shared>) -> Self {
        Self { context_id, gate }
    }
}

impl Context for Stream {}

impl HttpContext for Stream {
    fn on_http_request_headers(&mut self, _: usize, _: bool) -> Action {
        let Some(gate) = &self.gate else {
            refuse_without_gate();
            return Action::Pause;
        };
        let mut gate = gate.borrow_mut();
        match check(&mut gate, now(), &[]) {
            Outcome::Passed => Action::Continue,
            Outcome::Refused => Action::Pause,
            Outcome::Waits(need, now) => {
                gate.wait(self.context_id, need, now);
                gate.set_tick();
                Action::Pause
            }
        }
    }

    /// Some upstreams merge trailers into the headers: there too, identity comes from nobody but us.
    fn on_http_request_trailers(&mut self, _: usize) -> Action {
        let Some(gate) = &self.gate else { return Action::Pause };
        let map = MapType::HttpRequestTrailers;
        for (name, _) in hostcalls::get_map_bytes(map).unwrap_or_default() {
            if gate.borrow().policy.is_identity(name.as_bytes()) {
                let _ = hostcalls::remove_map_value(map, &name);
            }
        }
        Action::Continue
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        // The client is gone, or the exchange is over: nobody waits any more.
        if let Some(gate) = &self.gate
            && let Ok(mut gate) = gate.try_borrow_mut()
        {
            gate.waiting.remove(&self.context_id);
        }
    }
}

/// Decides again for the streams that wait for what is `concerned`, and for those that have waited too long. `failed`: what
/// turned out not to be had; who waits for it is refused.
///
/// Leaves the effective context at the last stream; the caller sets its own again.
pub fn settle_waiting(gate: &mut Gate, failed: &[Need], now: u64, concerned: impl Fn(&Need) -> bool) {
    let hold = gate.policy.config().hold.millis;
    let late = |waiting: &Waiting| now > waiting.since.saturating_add(hold);
    let due = |waiting: &Waiting| late(waiting) || failed.contains(&waiting.need) || concerned(&waiting.need);
    let due: Vec<_> = gate.waiting.extract_if(.., |_, waiting| due(waiting)).collect();
    for (context_id, waiting) in due {
        if hostcalls::set_effective_context(context_id).is_err() {
            continue;
        }
        let given_up = if late(&waiting) {
            std::slice::from_ref(&waiting.need)
        } else {
            failed
        };
        match check(gate, now, given_up) {
            // The stream may be gone already; then there is nothing to resume.
            Outcome::Passed => {
                let _ = hostcalls::resume_http_request();
            }
            Outcome::Refused => {}
            Outcome::Waits(need, _) => gate.wait(context_id, need, waiting.since),
        }
    }
}

enum Outcome {
    /// Decided and prepared for the upstream.
    Passed,
    /// A local response was sent.
    Refused,
    /// Not decided: paused since then.
    Waits(Need, u64),
}

/// Decides for the request in the effective context, and acts on it.
fn check(gate: &mut Gate, now: u64, given_up: &[Need]) -> Outcome {
    let Some(headers) = Headers::of_request() else {
        refuse_without_gate();
        return Outcome::Refused;
    };
    let request = gate.policy.read(headers.iter());
    let decision = match gate.policy.decide(&request, &mut gate.state, now) {
        Decision::Need(need) if given_up.contains(&need) => Decision::Deny(need.unavailable()),
        decision => decision,
    };
    match decision {
        Decision::Allow(allowed) => {
            prepare(gate, &request, &allowed);
            Outcome::Passed
        }
        Decision::Deny(denial) if gate.policy.config().mode == Mode::Shadow => {
            log::warn!("shadow: would have refused: {denial}");
            prepare(
                gate,
                &request,
                &Allowed {
                    caller: None,
                    rewritten: None,
                },
            );
            Outcome::Passed
        }
        Decision::Deny(denial) => {
            log::debug!("refused: {denial}");
            answer(gate, &denial, now, request.target);
            Outcome::Refused
        }
        Decision::Need(need) => Outcome::Waits(need, now),
    }
}

/// What the upstream sees: the path that was checked, and identity headers that only we wrote.
///
/// The results carry nothing: a host that refuses one of these calls makes the crate trap, which fails closed.
fn prepare(gate: &Gate, request: &Request<'_>, allowed: &Allowed) {
    let map = MapType::HttpRequestHeaders;
    for name in &request.spoofed {
        // Header names are ASCII in every host; one that is not cannot be ours either.
        if let Ok(name) = std::str::from_utf8(name) {
            let _ = hostcalls::remove_map_value(map, name);
        }
    }
    if let Some(target) = &allowed.rewritten {
        let _ = hostcalls::set_map_value(map, ":path", Some(target));
    }
    if let Some(caller) = &allowed.caller {
        for (name, value) in caller.headers(&gate.policy.config().forward) {
            let _ = hostcalls::set_map_value(map, name, Some(value));
        }
    }
}

fn answer(gate: &Gate, denial: &Denial, now: u64, target: &[u8]) {
    let answer = denial.answer(gate.policy.config().errors, now, target);
    let headers = answer
        .headers
        .iter()
        .map(|(name, value)| (*name, value.as_str()))
        .collect();
    let _ = hostcalls::send_http_response(u32::from(answer.status), headers, Some(answer.body.as_bytes()));
}

fn refuse_without_gate() {
    let _ = hostcalls::send_http_response(503, vec![("retry-after", "1")], None);
}
