//! A circuit breaker: after some failures in a row it stops asking for a while, then lets one attempt through.
//!
//! A pure state machine: the time is an argument, and nobody is called from here.

use std::time::{Duration, Instant};

/// When a breaker opens, and for how long.
#[derive(Debug, Clone, Copy)]
pub struct Rules {
    /// So many failures in a row open it.
    pub failures: u32,
    /// So long it stays open before one attempt is let through.
    pub pause: Duration,
}

/// The breaker of one upstream.
#[derive(Debug)]
pub struct Breaker {
    rules: Rules,
    state: State,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// Attempts pass; so many in a row have failed.
    Closed { failures: u32 },
    /// Attempts are refused until then.
    Open { until: Instant },
    /// One attempt is under way; should its outcome never be told, another may try at that time.
    HalfOpen { until: Instant },
}

impl Breaker {
    /// A closed breaker.
    pub fn new(rules: Rules) -> Self {
        Self {
            rules,
            state: State::Closed { failures: 0 },
        }
    }

    /// Whether an attempt may be made now. Whoever gets `true` must tell the outcome.
    pub fn permits(&mut self, now: Instant) -> bool {
        match self.state {
            State::Closed { .. } => true,
            State::Open { until } | State::HalfOpen { until } if now < until => false,
            State::Open { .. } | State::HalfOpen { .. } => {
                self.state = State::HalfOpen {
                    until: now + self.rules.pause,
                };
                true
            }
        }
    }

    /// An attempt succeeded.
    pub fn succeeded(&mut self) {
        match self.state {
            State::Closed { .. } | State::HalfOpen { .. } => self.state = State::Closed { failures: 0 },
            // An attempt from before the breaker opened says nothing about the upstream of now.
            State::Open { .. } => {}
        }
    }

    /// An attempt failed.
    pub fn failed(&mut self, now: Instant) {
        match self.state {
            State::Closed { failures } if failures + 1 < self.rules.failures => {
                self.state = State::Closed { failures: failures + 1 };
            }
            State::Closed { .. } | State::HalfOpen { .. } => {
                self.state = State::Open {
                    until: now + self.rules.pause,
                };
            }
            State::Open { .. } => {}
        }
    }

    /// Whether attempts are refused, or one is being made to see whether they must be.
    pub fn is_open(&self) -> bool {
        !matches!(self.state, State::Closed { .. })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RULES: Rules = Rules {
        failures: 3,
        pause: Duration::from_secs(2),
    };

    fn start() -> (Breaker, Instant) {
        (Breaker::new(RULES), crate::clock::now())
    }

    fn opened() -> (Breaker, Instant) {
        let (mut breaker, now) = start();
        for _ in 0..RULES.failures {
            assert!(breaker.permits(now));
            breaker.failed(now);
        }
        (breaker, now)
    }

    #[test]
    fn opens_after_failures_in_a_row() {
        let (mut breaker, now) = opened();
        assert!(breaker.is_open());
        assert!(!breaker.permits(now));
        assert!(!breaker.permits(now + RULES.pause - Duration::from_millis(1)));
    }

    #[test]
    fn a_success_between_failures_starts_the_count_again() {
        let (mut breaker, now) = start();
        for _ in 0..10 {
            breaker.failed(now);
            breaker.failed(now);
            breaker.succeeded();
        }
        assert!(breaker.permits(now));
        assert!(!breaker.is_open());
    }

    #[test]
    fn lets_one_attempt_through_after_the_pause() {
        let (mut breaker, now) = opened();
        let later = now + RULES.pause;
        assert!(breaker.permits(later));
        assert!(!breaker.permits(later), "a second one while the first is under way");
    }

    #[test]
    fn closes_when_that_attempt_succeeds() {
        let (mut breaker, now) = opened();
        assert!(breaker.permits(now + RULES.pause));
        breaker.succeeded();
        assert!(!breaker.is_open());
        assert!(breaker.permits(now + RULES.pause));
        assert!(breaker.permits(now + RULES.pause));
    }

    #[test]
    fn opens_again_when_that_attempt_fails() {
        let (mut breaker, now) = opened();
        let later = now + RULES.pause;
        assert!(breaker.permits(later));
        breaker.failed(later);
        assert!(!breaker.permits(later));
        assert!(breaker.permits(later + RULES.pause));
    }

    #[test]
    fn an_attempt_that_never_tells_its_outcome_does_not_block_for_ever() {
        let (mut breaker, now) = opened();
        assert!(breaker.permits(now + RULES.pause));
        assert!(breaker.permits(now + RULES.pause * 2));
    }

    #[test]
    fn late_outcomes_of_earlier_attempts_change_nothing() {
        let (mut breaker, now) = opened();
        breaker.succeeded();
        breaker.failed(now + Duration::from_secs(1));
        assert!(!breaker.permits(now + Duration::from_secs(1)));
        assert!(breaker.permits(now + RULES.pause), "the pause is not prolonged");
    }
}
