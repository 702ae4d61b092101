//! The keys of issuers: fetched, or taken from another VM of this host that has fetched them.

use postern_access::config::Config;
use postern_access::policy::Need;
use postern_access::remote_keys::Step;
use postern_access::shared_keys::{Place, Turn};
use proxy_wasm::hostcalls;
use proxy_wasm::types::Status;

use crate::calls::{self, CALL_TIMEOUT, Call};
use crate::feeds::no_answer;
use crate::gate::Gate;
use crate::proofs::ABSENT;

/// How it goes with the keys of one issuer.
pub struct Fetches {
    /// Where the VMs of this host share them; `None`: they are not fetched, or the host keeps nothing for all.
    place: Option<Place>,
    /// How often they could not be fetched, one after another, if every VM counts for itself.
    failures: u64,
}

impl Fetches {
    /// For each issuer of a configuration. `secret`: the one that all VMs of the host have.
    pub fn of(config: &Config, secret: Option<&[u8]>) -> Vec<Self> {
        let place = |issuer| Place::of(secret?, issuer);
        let fetches = config.issuers.iter().map(|issuer| Self {
            place: place(issuer),
            failures: 0,
        });
        fetches.collect()
    }
}

/// Sees to the keys that are due: those of issuers that have aged, or that a token names.
pub fn fetch(gate: &mut Gate, now: u64) {
    for index in gate.state.keys_due(now) {
        match step(gate, index, now) {
            None => gate.waiting.answered(&Need::Keys(index)),
            Some(Step::Fetch) => request(gate, index, now),
            Some(Step::Wait) => {}
            Some(Step::Failed) => gate.waiting.lost(&Need::Keys(index)),
        }
    }
}

/// What is to be done for an issuer whose keys are due. `None`: nothing, they were there.
fn step(gate: &mut Gate, index: usize, now: u64) -> Option<Step> {
    let Some(place) = place(gate, index) else {
        return Some(Step::Fetch);
    };
    let Ok((bytes, cas)) = hostcalls::get_shared_data(place.turn_key()) else {
        return Some(Step::Fetch);
    };
    let turn = place.turn(bytes.as_deref().unwrap_or_default(), now);
    if gate.state.keys_are_news(index, turn.brought) && take(gate, index, &place, turn, now) {
        return None;
    }
    let step = gate.state.keys_step(index, turn, now);
    let claim = || {
        let claim = place.claim(turn, now);
        hostcalls::set_shared_data(place.turn_key(), Some(&claim), cas.or(Some(ABSENT)))
    };
    if step == Step::Fetch && claim() == Err(Status::CasMismatch) {
        // Another VM was faster.
        gate.state.keys_elsewhere(index, now);
        return Some(Step::Wait);
    }
    Some(step)
}

fn take(gate: &mut Gate, index: usize, place: &Place, turn: Turn, now: u64) -> bool {
    let bytes = hostcalls::get_shared_data(place.set_key())
        .ok()
        .and_then(|(bytes, _)| bytes);
    let set = bytes.as_deref().and_then(|bytes| place.read(bytes));
    set.is_some_and(|set| gate.state.take_keys(index, &set, turn, now))
}

/// Asks for an issuer's keys, or first where they are.
fn request(gate: &mut Gate, index: usize, now: u64) {
    let made = gate.state.keys_request(index, now).and_then(|request| {
        let call = if request.discovery {
            Call::Discovery(index)
        } else {
            Call::Keys(index)
        };
        Some((calls::fetch(&request.cluster, &request.uri, CALL_TIMEOUT)?, call))
    });
    match made {
        Some((id, call)) => {
            gate.calls.insert(id, call);
        }
        // The host would not make the call, and that was told.
        None => {
            failed(gate, index, now);
        }
    }
}

/// The answer is there that has the keys: its status (`None`: there was none) and body.
pub fn answered(gate: &mut Gate, index: usize, status: Option<u16>, body: &[u8], now: u64) {
    let taken = match status {
        Some(200) => gate.state.set_keys(index, body, now).map_err(|error| error.to_string()),
        status => Err(no_answer(status)),
    };
    match taken {
        Ok(unusable) => {
            let failures = ended(gate, index, false, now);
            gate.waiting.answered(&Need::Keys(index));
            let name = name(gate, index);
            if failures > 0 {
                log::info!("the keys of {name} are there again, after {failures} attempts in vain");
            }
            if let Some(why) = unusable {
                log::warn!("{name} has no keys now, and its tokens are refused: {why}");
            }
        }
        Err(why) => missing(gate, index, &why, now),
    }
}

/// The document came that says where the keys are; if it says so, they are asked for at once.
pub fn discovered(gate: &mut Gate, index: usize, status: Option<u16>, body: &[u8], now: u64) {
    let taken = match status {
        Some(200) => gate
            .state
            .keys_discovered(index, body, now)
            .map_err(|error| error.to_string()),
        status => Err(no_answer(status)),
    };
    match taken {
        Ok(()) => {
            claim_again(gate, index, now);
            request(gate, index, now);
        }
        Err(why) => missing(gate, index, &why, now),
    }
}

fn missing(gate: &mut Gate, index: usize, why: &str, now: u64) {
    let failures = failed(gate, index, now);
    // The first time, the second, the fourth…: an outage is not to fill the log.
    if failures.is_power_of_two() {
        let name = name(gate, index);
        log::warn!("the keys of {name} could not be fetched ({failures} in a row): {why}");
    }
}

/// How often that was so, one after another.
fn failed(gate: &mut Gate, index: usize, now: u64) -> u64 {
    gate.state.keys_failed(index, now);
    gate.waiting.lost(&Need::Keys(index));
    ended(gate, index, true, now)
}

/// A fetch has ended: what it got is for the other VMs, too. How many failed one after another: with this one, or before it
/// succeeded.
fn ended(gate: &mut Gate, index: usize, failed: bool, now: u64) -> u64 {
    let count = |failures: u64| if failed { failures.saturating_add(1) } else { 0 };
    let told = |failures: u64| if failed { failures.saturating_add(1) } else { failures };
    let Some(place) = place(gate, index) else {
        let Some(fetches) = gate.keys.get_mut(index) else {
            return 0;
        };
        let before = fetches.failures;
        fetches.failures = count(before);
        return told(before);
    };
    let wrote = if failed {
        Wrote::Nothing
    } else {
        write(gate, index, &place, now)
    };
    let Ok((bytes, cas)) = hostcalls::get_shared_data(place.turn_key()) else {
        return told(0);
    };
    let turn = place.turn(bytes.as_deref().unwrap_or_default(), now);
    let (brought, pause) = match wrote {
        Wrote::Set(began) => (began, gate.state.keys_pause(index)),
        Wrote::Nothing => (turn.brought, gate.state.keys_pause(index)),
        // The others must fetch it for themselves: they are not to rest before they have.
        Wrote::Unshared => (turn.brought, 0),
    };
    let entry = place.ended(brought, count(turn.failures), pause, now);
    // If another VM writes at this moment, what it says will do as well: it has fetched, or does so now.
    let _ = hostcalls::set_shared_data(place.turn_key(), Some(&entry), cas.or(Some(ABSENT)));
    told(turn.failures)
}

/// What stands in the host's shared data after a fetch.
enum Wrote {
    /// The set that it brought; when it began.
    Set(u64),
    /// What was there before.
    Nothing,
    /// Not the set that it brought, though it should: it is too long, or the host does not take it.
    Unshared,
}

/// Writes the set that a fetch has brought, unless a newer one stands there.
fn write(gate: &Gate, index: usize, place: &Place, now: u64) -> Wrote {
    let Some((began, entry)) = gate.state.shared_keys(index, place) else {
        return Wrote::Unshared;
    };
    let Ok((bytes, cas)) = hostcalls::get_shared_data(place.set_key()) else {
        return Wrote::Unshared;
    };
    // One of the future is that of a clock which was set back since.
    let newer = |bytes| {
        let set = place.read(bytes);
        set.is_some_and(|set| set.began > began && set.began <= now && set.at <= now)
    };
    if bytes.as_deref().is_some_and(newer) {
        return Wrote::Nothing;
    }
    match hostcalls::set_shared_data(place.set_key(), Some(&entry), cas.or(Some(ABSENT))) {
        Ok(()) => Wrote::Set(began),
        // Another VM has just written one.
        Err(Status::CasMismatch) => Wrote::Nothing,
        Err(_) => Wrote::Unshared,
    }
}

/// Of the two calls of a fetch the second begins.
fn claim_again(gate: &Gate, index: usize, now: u64) {
    let Some(place) = place(gate, index) else { return };
    if let Ok((bytes, cas)) = hostcalls::get_shared_data(place.turn_key()) {
        let turn = place.turn(bytes.as_deref().unwrap_or_default(), now);
        let claim = place.claim(turn, now);
        let _ = hostcalls::set_shared_data(place.turn_key(), Some(&claim), cas.or(Some(ABSENT)));
    }
}

fn place(gate: &Gate, index: usize) -> Option<Place> {
    gate.keys.get(index)?.place.clone()
}

/// What an issuer is called in the log.
fn name(gate: &Gate, index: usize) -> String {
    let issuer = gate.policy.config().issuers.get(index);
    let name = issuer
        .and_then(|issuer| issuer.issuer.as_deref())
        .unwrap_or("without a name");
    format!("issuer {index} of the configuration ({})", name.escape_debug())
}
