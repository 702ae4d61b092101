//! The one place that reads the clock: for progress, for deadlines while waiting, and for measuring.

use std::time::Instant;

/// The monotonic clock.
#[expect(
    clippy::disallowed_methods,
    reason = "nothing here decides anything; the time is shown, or bounds a wait"
)]
pub fn now() -> Instant {
    Instant::now()
}
