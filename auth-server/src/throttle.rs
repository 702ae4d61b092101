//! Slows down who guesses passwords and secrets (RFC 6749 section 2.3.1, ASVS 6.3.1); in memory, per process.
//!
//! The first wrong answers about a subject are given at once: people mistype. After them each wrong answer is held back,
//! and while a few are being held, further attempts at the same *user* are turned away unseen. A right answer is never
//! held back, and an attack leaves little behind when it ends: nobody can be locked out for longer than somebody keeps
//! at it. Attempts at a *client's* secret are never turned away, since an attacker who knows no more than its id could
//! then stop all its users; what protects a client is a long secret.

use std::hash::{BuildHasher as _, Hash, RandomState};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// Wrong answers given at once.
const FREE: u32 = 10;
/// One of them is forgiven in this time.
const FORGIVEN_MS: i64 = 30_000;
/// How many seconds the slowest answer takes; each further wrong one takes one second more than the one before.
const LONGEST_S: u32 = 8;
/// Attempts at one user that may be under way once the free ones are used up.
const AT_ONCE: u32 = 4;
/// Their number is fixed, so that nobody can fill the memory with names or push others out of it. Subjects that share a
/// place share its delays.
const PLACES: usize = 1 << 14;

/// What is known of the latest attempts.
pub struct Throttle {
    // Drawn at the start: nobody can work out which subjects share a place.
    hash: RandomState,
    places: Mutex<Box<[Place]>>,
}

#[derive(Clone, Copy, Default)]
struct Place {
    failures: u32,
    /// Until when failures have been forgiven.
    forgiven_ms: i64,
    under_way: u32,
}

/// One attempt that is under way, until it is dropped.
pub struct Attempt<'a> {
    throttle: &'a Throttle,
    place: usize,
}

impl Default for Throttle {
    fn default() -> Self {
        Self {
            hash: RandomState::new(),
            places: Mutex::new(vec![Place::default(); PLACES].into_boxed_slice()),
        }
    }
}

impl Throttle {
    /// Begins an attempt; `None`: too many are under way, whose failures are being held back.
    pub fn attempt(&self, subject: impl Hash, now_ms: i64) -> Option<Attempt<'_>> {
        let place = self.hash.hash_one(subject) as usize % PLACES;
        let mut places = self.lock();
        let known = &mut places[place];
        known.forgive(now_ms);
        if known.failures >= FREE && known.under_way >= AT_ONCE {
            return None;
        }
        known.under_way += 1;
        Some(Attempt { throttle: self, place })
    }

    /// Counts a wrong answer: how long it is to be held back.
    pub fn wrong(&self, subject: impl Hash, now_ms: i64) -> Duration {
        let place = self.hash.hash_one(subject) as usize % PLACES;
        self.lock()[place].fail(now_ms)
    }

    fn lock(&self) -> MutexGuard<'_, Box<[Place]>> {
        self.places.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Attempt<'_> {
    /// Counts the attempt as a wrong one: how long its answer is to be held back. Keep the attempt until then.
    pub fn wrong(&self, now_ms: i64) -> Duration {
        self.throttle.lock()[self.place].fail(now_ms)
    }
}

impl Drop for Attempt<'_> {
    fn drop(&mut self) {
        self.throttle.lock()[self.place].under_way -= 1;
    }
}

impl Place {
    fn fail(&mut self, now_ms: i64) -> Duration {
        self.forgive(now_ms);
        self.failures = (self.failures + 1).min(FREE + LONGEST_S);
        Duration::from_secs(self.failures.saturating_sub(FREE).into())
    }

    fn forgive(&mut self, now_ms: i64) {
        let periods = now_ms.saturating_sub(self.forgiven_ms) / FORGIVEN_MS;
        let periods = u32::try_from(periods.max(0)).unwrap_or(u32::MAX);
        self.failures = self.failures.saturating_sub(periods);
        if self.failures == 0 {
            self.forgiven_ms = now_ms;
        } else {
            self.forgiven_ms += FORGIVEN_MS * i64::from(periods);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_failures_are_free_and_the_delay_of_the_others_is_bounded() {
        let throttle = Throttle::default();
        let delays: Vec<u64> = (0..20).map(|_| throttle.wrong("u", 5).as_secs()).collect();
        assert_eq!(delays, [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8, 8, 8]);
        assert_eq!(throttle.wrong("other", 5), Duration::ZERO);
    }

    #[test]
    fn failures_are_forgiven_one_by_one() {
        let throttle = Throttle::default();
        for _ in 0..100 {
            throttle.wrong("u", 0);
        }
        assert_eq!(throttle.wrong("u", 7 * FORGIVEN_MS).as_secs(), 8 - 7 + 1);
        assert_eq!(throttle.wrong("u", 60 * FORGIVEN_MS), Duration::ZERO);
    }

    #[test]
    fn only_once_the_free_ones_are_used_up_the_attempts_at_once_are_few() {
        let throttle = Throttle::default();
        let many: Vec<_> = (0..64).map(|_| throttle.attempt("u", 0).unwrap()).collect();
        for attempt in &many[..10] {
            attempt.wrong(0);
        }
        assert!(throttle.attempt("u", 0).is_none());
        assert!(throttle.attempt("other", 0).is_some());
        drop(many);
        let few: Vec<_> = (0..4).map(|_| throttle.attempt("u", 0).unwrap()).collect();
        assert!(throttle.attempt("u", 0).is_none());
        drop(few);
        assert!(throttle.attempt("u", 0).is_some());
    }
}
