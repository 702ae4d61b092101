//! Questions about tokens that another VM of this host is asking already: its answer will do.

use postern_access::shared_answers::{Found, Slot};
use proxy_wasm::hostcalls;
use proxy_wasm::types::Status;

use crate::gate::Gate;
use crate::proofs::ABSENT;

/// What to do about a question.
pub enum Look {
    /// Ask.
    Ask,
    /// Another VM asks: look again in a moment.
    Later,
    /// This was answered, at this time (Unix milliseconds).
    Answered(Vec<u8>, u64),
}

/// Looks whether somebody asks about a token, and claims it if nobody does. Without shared data everybody asks.
pub fn look(gate: &Gate, token: &str, now: u64) -> Look {
    let Some(slot) = slot(gate, token) else {
        return Look::Ask;
    };
    let Ok((bytes, cas)) = hostcalls::get_shared_data(slot.key()) else {
        return Look::Ask;
    };
    match slot.read(bytes.as_deref().unwrap_or_default(), now) {
        Found::Answer(answer, at) => Look::Answered(answer.to_vec(), at),
        Found::Asked => Look::Later,
        Found::Taken => Look::Ask,
        Found::Nothing => {
            match hostcalls::set_shared_data(slot.key(), Some(&slot.claim(now)), cas.or(Some(ABSENT))) {
                // Another VM was faster.
                Err(Status::CasMismatch) => Look::Later,
                _ => Look::Ask,
            }
        }
    }
}

/// The answer to a question of this VM, for those who wait for it elsewhere; `None`: there is none, and the next one may
/// ask. What another VM wrote meanwhile stays.
pub fn share(gate: &Gate, token: &str, answer: Option<&[u8]>, now: u64) {
    let Some(slot) = slot(gate, token) else {
        return;
    };
    let Ok((Some(bytes), cas)) = hostcalls::get_shared_data(slot.key()) else {
        return;
    };
    if slot.read(&bytes, now) != Found::Taken {
        let entry = answer.and_then(|answer| slot.answer(answer, now));
        // Hosts have no way to remove a value, and an empty one looks like none.
        let _ = hostcalls::set_shared_data(slot.key(), Some(entry.as_deref().unwrap_or(b"-")), cas);
    }
}

fn slot(gate: &Gate, token: &str) -> Option<Slot> {
    let slots = gate.answers.as_ref()?;
    Some(slots.of(token, gate.state.token_version()))
}
