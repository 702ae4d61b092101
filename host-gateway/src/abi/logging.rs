//! Logging.

use tracing::level_filters::LevelFilter;

use super::HostState;
use super::failure::{Answer, Status};
use crate::vm::memory::Host;

/// What becomes of the errors that a guest logs.
#[derive(Debug)]
pub(crate) enum ErrorLines {
    /// While it starts its last error is held back: should the start fail, that is the reason, and told with the
    /// failure instead of beside it.
    HeldBack(Option<String>),
    Written,
}

/// `proxy_log(level, message)`.
pub(crate) fn log(host: &mut Host<'_>, level: u32, message: u32, size: u32) -> Answer {
    let message = String::from_utf8_lossy(host.read(message, size)?);
    let plugin = &*host.state().identity.name;
    match level {
        0 => tracing::trace!(target: "plugin", plugin, "{message}"),
        1 => tracing::debug!(target: "plugin", plugin, "{message}"),
        2 => tracing::info!(target: "plugin", plugin, "{message}"),
        3 => tracing::warn!(target: "plugin", plugin, "{message}"),
        4 | 5 => {
            let message = message.into_owned();
            error(host.state_mut(), message);
        }
        _ => return Err(Status::BadArgument.into()),
    }
    Ok(())
}

fn error(state: &mut HostState, message: String) {
    let due = match &mut state.error_lines {
        ErrorLines::HeldBack(last) => last.replace(message),
        ErrorLines::Written => Some(message),
    };
    if let Some(message) = due {
        tracing::error!(target: "plugin", plugin = &*state.identity.name, "{message}");
    }
}

/// The guest runs: what was held back is no reason for anything.
pub(crate) fn started(state: &mut HostState) {
    if let ErrorLines::HeldBack(Some(message)) = std::mem::replace(&mut state.error_lines, ErrorLines::Written) {
        error(state, message);
    }
}

/// The guest did not start: what it said last, in one line.
pub(crate) fn failed_to_start(state: &mut HostState) -> Option<String> {
    let ErrorLines::HeldBack(last) = &mut state.error_lines else {
        return None;
    };
    let said = last.take()?.split_whitespace().collect::<Vec<_>>().join(" ");
    (!said.is_empty()).then_some(said)
}

/// `proxy_get_log_level(*level)`: the most detailed level that anybody reads.
pub(crate) fn get_log_level(host: &mut Host<'_>, level_out: u32) -> Answer {
    let level = match LevelFilter::current() {
        LevelFilter::TRACE => 0,
        LevelFilter::DEBUG => 1,
        LevelFilter::INFO => 2,
        LevelFilter::WARN => 3,
        LevelFilter::ERROR => 4,
        _ => 5,
    };
    host.write_u32(level_out, level)
}
