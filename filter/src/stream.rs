//! One request: its headers go to `check`, which is the only way on; there is no resuming without a decision.

use postern_access::config::Mode;
use postern_access::denial::Denial;
use postern_access::policy::{Allowed, Decision, Need, Shadowed, Trace};
use postern_access::report::{self, Verdict};
use postern_access::request::{Debugging, Request};
use postern_access::waiting::{Portion, Stream, Turn};
use proxy_wasm::hostcalls;
use proxy_wasm::types::{Action, MapType};

use crate::clock;
use crate::gate::{Gate, Shared};
use crate::headers::Headers;
use crate::proofs;

/// The headers of a stream came. Without a gate (the plugin was never configured) every request is refused.
pub fn request_headers(gate: Option<&Shared>, context_id: u32) -> Action {
    let Some(gate) = gate else {
        refuse_without_gate();
        return Action::Pause;
    };
    let mut gate = gate.borrow_mut();
    let began = clock::read();
    let now = clock::millis(began);
    let stream = Stream {
        id: context_id,
        since: now,
        decider: None,
    };
    match check(&mut gate, stream, began, now) {
        Outcome::Passed => Action::Continue,
        Outcome::Refused => Action::Pause,
        Outcome::Waits(need, stream) => {
            gate.waiting.forget_gone(is_there);
            let _ = hostcalls::set_effective_context(context_id);
            gate.wait(need, stream);
            gate.set_tick();
            Action::Pause
        }
    }
}

/// Decides again for the streams that wait for what has come, and refuses those that have waited too long or in vain: as
/// many as one entry may take; the others' turn comes with the next ones.
///
/// Leaves the effective context at the last stream; the caller sets its own again.
pub fn settle_waiting(gate: &mut Gate, now: u64) {
    let mut portion = Portion::default();
    while let Some(turn) = gate.waiting.next(&mut portion, now) {
        let (Turn::Decide(stream) | Turn::Refuse(stream, _)) = &turn;
        if !is_there(stream.id) {
            portion.was_gone(&turn);
            continue;
        }
        match turn {
            Turn::Refuse(stream, need) => give_up(gate, stream, &need, now),
            Turn::Decide(stream) => match check(gate, stream, None, now) {
                // The stream may be gone already; then there is nothing to resume.
                Outcome::Passed => {
                    let _ = hostcalls::resume_http_request();
                }
                Outcome::Refused => {}
                Outcome::Waits(need, stream) => gate.wait(need, stream),
            },
        }
    }
}

/// Whether a stream has not ended. Leaves the effective context there.
fn is_there(context_id: u32) -> bool {
    hostcalls::set_effective_context(context_id).is_ok()
}

enum Outcome {
    /// Decided and prepared for the upstream.
    Passed,
    /// A local response was sent.
    Refused,
    /// Not decided.
    Waits(Need, Stream),
}

/// Decides for the request in the effective context, and acts on it. `began`: the host's clock, in nanoseconds, when the
/// request came; not known of one that has waited.
fn check(gate: &mut Gate, stream: Stream, began: Option<u64>, now: u64) -> Outcome {
    let headers = Headers::of_request();
    let Some(mut request) = headers.as_ref().and_then(|headers| read(gate, headers)) else {
        refuse_without_gate();
        return Outcome::Refused;
    };
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
        Decision::Need(need) if is_crowded(gate, stream, &need, now) => Decision::Deny(need.unavailable()),
        decision => decision,
    };
    let micros = time(gate, &request, began);
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
                probed(gate, explain(gate, &request, &verdict, &trace, micros).as_deref());
                return Outcome::Refused;
            }
            prepare(gate, &request, &allowed);
            Outcome::Passed
        }
        Decision::Deny(denial) => {
            refuse(gate, &request, &denial, &trace, micros, now);
            Outcome::Refused
        }
        Decision::Need(need) => {
            if began.is_some() {
                gate.metrics.counters.count(&Verdict::Held, &trace);
            }
            let decider = trace.decider;
            Outcome::Waits(need, Stream { decider, ..stream })
        }
    }
}

/// The request, unless its headers are not all there.
fn read<'a>(gate: &Gate, headers: &'a Headers) -> Option<Request<'a>> {
    headers.read(|pairs| gate.policy.read(pairs))
}

/// Whether so many wait for this already that one more is refused: any client can cause that.
fn is_crowded(gate: &mut Gate, stream: Stream, need: &Need, now: u64) -> bool {
    let full = gate.waiting.is_full(need, now, is_there);
    let _ = hostcalls::set_effective_context(stream.id);
    full
}

/// Refuses the request in the effective context, as it waited in vain. Nothing is decided: many are refused at a time.
fn give_up(gate: &mut Gate, stream: Stream, need: &Need, now: u64) {
    let headers = Headers::of_request();
    let Some(request) = headers.as_ref().and_then(|headers| read(gate, headers)) else {
        refuse_without_gate();
        return;
    };
    let mut trace = Trace::default();
    trace.decider = stream.decider;
    refuse(gate, &request, &need.unavailable(), &trace, None, now);
}

fn refuse(gate: &mut Gate, request: &Request<'_>, denial: &Denial, trace: &Trace, micros: Option<u64>, now: u64) {
    let verdict = Verdict::Refused(denial);
    gate.metrics.counters.count(&verdict, trace);
    report(gate, request, &verdict, trace, now);
    let explanation = explain(gate, request, &verdict, trace, micros);
    answer(gate, denial, now, request, explanation.as_deref());
}

/// What the holder of the debug secret is told.
fn explain(
    gate: &Gate,
    request: &Request<'_>,
    verdict: &Verdict<'_>,
    trace: &Trace,
    micros: Option<u64>,
) -> Option<String> {
    (request.debugging != Debugging::No).then(|| report::explanation(&gate.policy, verdict, trace, micros))
}

/// Times a decision now and then, and every one that explains itself: the clock is a host call.
fn time(gate: &mut Gate, request: &Request<'_>, began: Option<u64>) -> Option<u64> {
    let timed = gate.metrics.counters.time_this();
    if !timed && request.debugging == Debugging::No {
        return None;
    }
    let micros = clock::read()?.saturating_sub(began?) / 1000;
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
    // None of them is there any more: those that came are among the spoofed. To add is the cheaper call where a host would
    // look for what it replaces.
    if let Some(caller) = &allowed.caller {
        for (name, value) in caller.headers(&gate.policy.config().forward) {
            let _ = hostcalls::add_map_value(map, name, value);
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
