//! The one place that reads the clock: where the user names no time.

use std::time::{SystemTime, UNIX_EPOCH};

/// The time that the user named in Unix seconds, or now; in Unix milliseconds.
#[expect(
    clippy::disallowed_methods,
    reason = "the edge: everything behind gets the time as an argument"
)]
pub fn millis(named: Option<u64>) -> u64 {
    match named {
        Some(seconds) => seconds.saturating_mul(1000),
        None => {
            let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
            u64::try_from(now.as_millis()).unwrap_or(u64::MAX)
        }
    }
}
