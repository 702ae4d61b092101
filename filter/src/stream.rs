//! One request: its headers go to `check`, which is the only way on; there is no resuming without a decision.

use std::time::Duration;

use postern_access::config::Mode;
use postern_access::denial::Denial;
use postern_access::policy::{Allowed, Decision, Need, Shadowed, Trace};
use postern_access::report::{self, Verdict};
use postern_access::request::{Debugging, Request};
use proxy_wasm::hostcalls;
use proxy_wasm::types::{Action, MapType};

use crate::gate::{Gate, Shared, Waiting, clock, millis};
use crate::headers::Headers;
use crate::proofs;

/// The headers of a stream came. Without a gate (the plugin was never configured) every request is refused.
pub fn request_headers(gate: Option<&Shared>, context_id: u32) -> Action {
    let Some(gate) = gate else {
        refuse_without_gate();
        return Action::Pause;
    };
    let mut gate = gate.borrow_mut();
    let began = clock();
    match check(&mut gate, began, millis(began), &[]) {
        Outcome::Passed => Action::Continue,
        Outcome::Refused => Action::Pause,
        Outcome::Waits(need, now) => {
            gate.forget_gone();
            let _ = hostcalls::set_effective_context(context_id);
            gate.wait(context_id, need, now);
            gate.set_tick();
            Action::Pause
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
    let fetches = gate.fetches;
    let mut room = BATCH;
    let mut due = |waiting: &Waiting| {
        let verifies = matches!(waiting.need, Need::Keys(_) | Need::Snapshots);
        // Who waits for keys is decided about when some have come since.
        let idle = matches!(waiting.need, Need::Keys(_)) && waiting.fetches == fetches;
        let due = late(waiting) || failed.contains(&waiting.need) || (concerned(&waiting.need) && !idle);
        let now = due && (!verifies || room > 0 || failed.contains(&waiting.need));
        room = room.saturating_sub(usize::from(now && verifies));
        now
    };
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
        match check(gate, None, now, given_up) {
            // The stream may be gone already; then there is nothing to resume.
            Outcome::Passed => {
                let _ = hostcalls::resume_http_request();
            }
            Outcome::Refused => {}
            Outcome::Waits(need, _) => gate.wait(context_id, need, waiting.since),
        }
    }
}

/// Of how many streams the tokens are verified in one entry: a host may end one that takes too long. The others' turn comes
/// with the next tick.
const BATCH: usize = 8;

enum Outcome {
    /// Decided and prepared for the upstream.
    Passed,
    /// A local response was sent.
    Refused,
    /// Not decided: paused since then.
    Waits(Need, u64),
}

/// Decides for the request in the effective context, and acts on it. `began`: the host's clock when the request came; not
/// known of one that has waited.
fn check(gate: &mut Gate, began: Option<Duration>, now: u64, given_up: &[Need]) -> Outcome {
    let Some(headers) = Headers::of_request() else {
        refuse_without_gate();
        return Outcome::Refused;
    };
    let mut request = gate.policy.read(headers.iter());
    let mut trace = Trace::default();
    let mut decision = gate.policy.trace(&request, &mut gate.state, now, &mut trace);
    if asks_for_certificate(&decision) {
        request.certificate = proofs::certificate();
        trace = Trace::default();
        decision = gate.policy.trace(&request, &mut gate.state, now, &mut trace);
    }
    if let Decision::Allow(Allowed {
        proof: Some(proof),
        shadowed,
        caller,
        ..
    }) = &mut decision
        && let Err(denial) = proofs::remember(gate, proof, now)
    {
        if trace.shadows() || gate.policy.config().mode == Mode::Shadow {
            *shadowed = Some(Shadowed::Denial(denial));
            // Who sends a proof again is not who made it.
            *caller = None;
        } else {
            decision = Decision::Deny(denial);
        }
    }
    let decision = match decision {
        Decision::Need(need) if given_up.contains(&need) || gate.crowded(&need) => Decision::Deny(need.unavailable()),
        decision => decision,
    };
    let micros = time(gate, &request, began);
    let explain = |gate: &Gate, verdict: &Verdict<'_>| {
        (request.debugging != Debugging::No).then(|| report::explanation(&gate.policy, verdict, &trace, micros))
    };
    match decision {
        Decision::Allow(allowed) => {
            let verdict = match &allowed.shadowed {
                None => Verdict::Allowed,
                Some(Shadowed::Denial(denial)) => Verdict::WouldRefuse(denial),
                Some(Shadowed::Need(need)) => {
                    gate.want(need);
                    gate.set_tick();
                    Verdict::Undecided
                }
            };
            gate.metrics.counters.count(&verdict, &trace);
            report(gate, &request, &verdict, &trace, now);
            if request.debugging == Debugging::Probe {
                probed(gate, explain(gate, &verdict).as_deref());
                return Outcome::Refused;
            }
            prepare(gate, &request, &allowed);
            Outcome::Passed
        }
        Decision::Deny(denial) => {
            let verdict = Verdict::Refused(&denial);
            gate.metrics.counters.count(&verdict, &trace);
            report(gate, &request, &verdict, &trace, now);
            answer(gate, &denial, now, &request, explain(gate, &verdict).as_deref());
            Outcome::Refused
        }
        Decision::Need(need) => {
            if began.is_some() {
                gate.metrics.counters.count(&Verdict::Held, &trace);
            }
            Outcome::Waits(need, now)
        }
    }
}

/// Times a decision now and then, and every one that explains itself: the clock is a host call.
fn time(gate: &mut Gate, request: &Request<'_>, began: Option<Duration>) -> Option<u64> {
    let timed = gate.metrics.counters.time_this();
    if !timed && request.debugging == Debugging::No {
        return None;
    }
    let micros = u64::try_from(clock()?.saturating_sub(began?).as_micros()).ok()?;
    if timed {
        gate.metrics.counters.took(micros);
    }
    Some(micros)
}

/// One line for each refusal, and for each that would have been one.
fn report(gate: &Gate, request: &Request<'_>, verdict: &Verdict<'_>, trace: &Trace, now: u64) {
    let Some(denial) = verdict.denial() else { return };
    let level = match denial {
        // What operators must mend, not clients.
        Denial::Unavailable(_) => log::Level::Warn,
        _ => log::Level::Info,
    };
    let line = || {
        let status = denial.answer(gate.policy.config().errors, now, request.target).status;
        report::line(&gate.policy, request, verdict, denial, trace, status)
    };
    log::log!(level, "{}", line());
}

/// Whether the decision waits for the certificate of the client, which the host can tell at once.
fn asks_for_certificate(decision: &Decision) -> bool {
    matches!(
        decision,
        Decision::Need(Need::ClientCertificate)
            | Decision::Allow(Allowed {
                shadowed: Some(Shadowed::Need(Need::ClientCertificate)),
                ..
            })
    )
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
    let mut rewritten = allowed.rewritten.clone();
    let changes = gate.policy.token_changes(request, allowed);
    for (name, value) in &changes.headers {
        let _ = hostcalls::remove_map_value(map, name);
        if let Some(value) = value {
            let _ = hostcalls::set_map_value_bytes(map, name, Some(value));
        }
    }
    if changes.target.is_some() {
        rewritten = changes.target;
    }
    if let Some(target) = &rewritten {
        let _ = hostcalls::set_map_value(map, ":path", Some(target));
    }
    if let Some(caller) = &allowed.caller {
        for (name, value) in caller.headers(&gate.policy.config().forward) {
            let _ = hostcalls::set_map_value(map, name, Some(value));
        }
    }
}

fn answer(gate: &Gate, denial: &Denial, now: u64, request: &Request<'_>, explanation: Option<&str>) {
    let answer = gate.policy.answer(denial, request, now);
    let headers = answer
        .headers
        .iter()
        .map(|(name, value)| (*name, value.as_str()))
        .chain(debug_header(gate, explanation))
        .collect();
    let _ = hostcalls::send_http_response(u32::from(answer.status), headers, Some(answer.body.as_bytes()));
}

/// The answer to a probe that would have passed: nothing was asked of the upstream.
fn probed(gate: &Gate, explanation: Option<&str>) {
    let _ = hostcalls::send_http_response(204, debug_header(gate, explanation).into_iter().collect(), None);
}

fn debug_header<'a>(gate: &'a Gate, explanation: Option<&'a str>) -> Option<(&'a str, &'a str)> {
    let debug = gate.policy.config().debug.as_ref();
    debug.map(|debug| debug.header.as_str()).zip(explanation)
}

fn refuse_without_gate() {
    let _ = hostcalls::send_http_response(503, vec![("retry-after", "1")], None);
}
