//! When a guest has been inside for too long: counted is the processor time of its thread. A guest cannot wait for anything,
//! so on an idle machine that is the time on the clock; on a crowded one a guest does not answer for its neighbours.

use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};
use wasmtime::UpdateDeadline;

use super::engine::TICK;

/// How long an entry into a guest may take.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Deadline {
    time: Duration,
    /// After so many the time is looked at first.
    epochs: u64,
}

impl Deadline {
    pub(crate) const fn new(time: Duration) -> Self {
        Self {
            time,
            epochs: epochs(time),
        }
    }

    pub(crate) const fn epochs(&self) -> u64 {
        self.epochs
    }
}

/// The entry that is under way. Reading a thread's processor time is a system call, so it is not read at an entry but when
/// the epochs have passed: the guest has its time from there on, twice its limit at most in all.
#[derive(Debug)]
pub(crate) struct Running {
    deadline: Deadline,
    /// Processor time of the thread when it was read first.
    since: Option<Duration>,
}

impl Running {
    pub(crate) const fn new(deadline: Deadline) -> Self {
        Self { deadline, since: None }
    }

    /// The epochs that the guest was given have passed.
    pub(crate) fn late(&mut self) -> UpdateDeadline {
        let Ok(now) = Duration::try_from(clock_gettime(ClockId::ThreadCPUTime)) else {
            return UpdateDeadline::Interrupt;
        };
        let since = *self.since.get_or_insert(now);
        match self.deadline.time.checked_sub(now.saturating_sub(since)) {
            None | Some(Duration::ZERO) => UpdateDeadline::Interrupt,
            Some(left) => UpdateDeadline::Continue(epochs(left)),
        }
    }
}

/// One more than the time divides to, because the running epoch counts as a whole one.
const fn epochs(time: Duration) -> u64 {
    // More than the engine will ever count, and added to its count still a number.
    const ENDLESS: u64 = 1 << 60;
    let epochs = time.as_nanos().div_ceil(TICK.as_nanos());
    if epochs < ENDLESS as u128 {
        epochs as u64 + 1
    } else {
        ENDLESS
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_limit_is_rounded_up_to_whole_epochs() {
        assert_eq!(Deadline::new(Duration::from_millis(100)).epochs(), 11);
        assert_eq!(Deadline::new(Duration::from_millis(1)).epochs(), 2);
        assert_eq!(Deadline::new(Duration::MAX).epochs(), 1 << 60);
    }

    #[test]
    fn who_is_late_has_its_time_once_more() {
        let mut running = Running::new(Deadline::new(Duration::from_millis(20)));
        assert!(matches!(running.late(), UpdateDeadline::Continue(3)));
        // No processor time passes.
        std::thread::sleep(Duration::from_millis(30));
        assert!(matches!(running.late(), UpdateDeadline::Continue(_)));
        running.since = running.since.map(|_| Duration::ZERO);
        running.deadline.time = Duration::from_nanos(1);
        assert!(matches!(running.late(), UpdateDeadline::Interrupt));
    }
}
