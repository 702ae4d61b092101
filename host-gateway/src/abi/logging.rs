//! Logging.

use tracing::level_filters::LevelFilter;

use super::failure::{Answer, Status};
use crate::vm::memory::Host;

/// `proxy_log(level, message)`.
pub(crate) fn log(host: &mut Host<'_>, level: u32, message: u32, size: u32) -> Answer {
    let message = String::from_utf8_lossy(host.read(message, size)?);
    let plugin = &*host.state().identity.name;
    match level {
        0 => tracing::trace!(target: "plugin", plugin, "{message}"),
        1 => tracing::debug!(target: "plugin", plugin, "{message}"),
        2 => tracing::info!(target: "plugin", plugin, "{message}"),
        3 => tracing::warn!(target: "plugin", plugin, "{message}"),
        4 | 5 => tracing::error!(target: "plugin", plugin, "{message}"),
        _ => return Err(Status::BadArgument.into()),
    }
    Ok(())
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
