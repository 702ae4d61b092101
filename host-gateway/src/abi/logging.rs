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

/// How many lines a VM has written in this second of the process.
#[derive(Debug, Default)]
pub(crate) struct LogLines {
    second: u64,
    written: u32,
}

/// Longest line in bytes; the rest of a longer one is left out.
pub(crate) const LONGEST_LINE: usize = 16 << 10;

/// Where a guest's runtime prints to.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Output {
    Standard,
    Error,
}

impl Output {
    fn level(self) -> u32 {
        match self {
            Self::Standard => 2,
            Self::Error => 4,
        }
    }
}

/// What was printed to each output, and not ended by a newline yet.
#[derive(Debug, Default)]
pub(crate) struct OpenLines([Vec<u8>; 2]);

/// Takes what a guest prints, until there is a whole message.
pub(crate) fn print(state: &mut HostState, output: Output, text: &[u8]) {
    if output.level() < least_level() {
        return;
    }
    let line = &mut state.open_lines.0[output as usize];
    let room = LONGEST_LINE.saturating_sub(line.len());
    line.extend_from_slice(&text[..text.len().min(room)]);
    if text.ends_with(b"\n") {
        end_line(state, output);
    }
}

/// The guest has returned, or ended: what it has printed is all.
#[inline]
pub(crate) fn end_lines(state: &mut HostState) {
    // After every entry, and hardly any guest prints.
    if state.open_lines.0.iter().all(Vec::is_empty) {
        return;
    }
    end_line(state, Output::Standard);
    end_line(state, Output::Error);
}

fn end_line(state: &mut HostState, output: Output) {
    let line = &mut state.open_lines.0[output as usize];
    if line.is_empty() {
        return;
    }
    let line = std::mem::take(line);
    if may_write(state) {
        let message = String::from_utf8_lossy(line.strip_suffix(b"\n").unwrap_or(&line));
        write(state, output.level(), &message);
    }
}

/// `proxy_log(level, message)`.
pub(crate) fn log(host: &mut Host<'_>, level: u32, message: u32, size: u32) -> Answer {
    host.check(message, size)?;
    if level > 5 {
        return Err(Status::BadArgument.into());
    }
    if is_due(host, level) {
        let bytes = host.read(message, size)?;
        let text = String::from_utf8_lossy(&bytes[..bytes.len().min(LONGEST_LINE)]).into_owned();
        write(host.state_mut(), level, &text);
    }
    Ok(())
}

/// Whether a line of this level is to be written. What nobody reads costs nothing, and does not count.
fn is_due(host: &mut Host<'_>, level: u32) -> bool {
    level >= least_level() && may_write(host.state_mut())
}

/// Writes a line in the plugin's name.
fn write(state: &mut HostState, level: u32, message: &str) {
    let plugin = &*state.identity.name;
    match level {
        0 => tracing::trace!(target: "plugin", plugin, "{message}"),
        1 => tracing::debug!(target: "plugin", plugin, "{message}"),
        2 => tracing::info!(target: "plugin", plugin, "{message}"),
        3 => tracing::warn!(target: "plugin", plugin, "{message}"),
        _ => error(state, message.to_owned()),
    }
}

/// A plugin that floods the log would hide what others have to say, and fill the disk.
fn may_write(state: &mut HostState) -> bool {
    let second = state.process.uptime().as_secs();
    let lines = &mut state.log_lines;
    if lines.second != second {
        *lines = LogLines { second, written: 0 };
    }
    lines.written = lines.written.saturating_add(1);
    if lines.written <= state.limits.log_lines {
        return true;
    }
    if lines.written == state.limits.log_lines.saturating_add(1) {
        let plugin = &*state.identity.name;
        tracing::warn!(
            plugin,
            "the plugin logs too much: its lines are left out for the rest of this second"
        );
    }
    state.stats.dropped_lines.add(1);
    false
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
    host.write_u32(level_out, least_level())
}

/// The most detailed level that anybody reads.
fn least_level() -> u32 {
    match LevelFilter::current() {
        LevelFilter::TRACE => 0,
        LevelFilter::DEBUG => 1,
        LevelFilter::INFO => 2,
        LevelFilter::WARN => 3,
        LevelFilter::ERROR => 4,
        _ => 5,
    }
}
