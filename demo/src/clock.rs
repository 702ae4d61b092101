//! The one place that reads the clock.

use std::time::Instant;

/// Now, on a clock that never goes back.
#[expect(
    clippy::disallowed_methods,
    reason = "the edge of the program: everything else takes the time as an argument"
)]
pub fn now() -> Instant {
    Instant::now()
}
