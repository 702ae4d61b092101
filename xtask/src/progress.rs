//! One line per step on stderr, with the seconds since the command began.

use std::{
    fmt::Display,
    time::{Duration, Instant},
};

use crate::clock;

/// When the command began.
pub struct Progress {
    began: Instant,
}

impl Progress {
    /// Starts counting.
    pub fn begin() -> Self {
        Self { began: clock::now() }
    }

    /// Says what is about to be done.
    pub fn step(&self, what: impl Display) {
        eprintln!("[{:6.1} s] {what}", self.elapsed().as_secs_f64());
    }

    /// The time since the command began.
    pub fn elapsed(&self) -> Duration {
        self.began.elapsed()
    }
}
