//! A plugin's place on a worker: the VM that runs now, and its successors.

use std::cell::{Cell, RefCell};
use std::rc::{Rc, Weak};
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::guest::Guest;
use super::tasks::Tasks;
use super::{PluginModule, PluginProcess};
use crate::cluster::Clusters;
use crate::vm::instance::{GuestFailure, Instance, StartError};

/// VMs that may be replaced without waiting, and how long it takes to earn one more.
const BURST: u32 = 10;
const EARN: Duration = Duration::from_millis(100);
/// The wait after a start that failed; it doubles up to [`LONGEST_WAIT`].
const FIRST_WAIT: Duration = Duration::from_secs(1);
const LONGEST_WAIT: Duration = Duration::from_secs(30);

/// Where a plugin's VM runs. Empty while a successor waits for its turn: requests fail meanwhile.
pub(crate) struct Slot {
    pub(crate) module: Arc<PluginModule>,
    clusters: Rc<Clusters>,
    pub(crate) process: Arc<PluginProcess>,
    pub(crate) tasks: Tasks,
    guest: RefCell<Option<Rc<Guest>>>,
    replacements: RefCell<Allowance>,
    next_wait: Cell<Duration>,
    this: Weak<Self>,
}

impl Slot {
    /// A slot with a running VM.
    pub(crate) fn start(
        module: Arc<PluginModule>,
        clusters: Rc<Clusters>,
        process: Arc<PluginProcess>,
        tasks: Tasks,
    ) -> Result<Rc<Self>, StartError> {
        let slot = Rc::new_cyclic(|this| Self {
            module,
            clusters,
            process,
            tasks,
            guest: RefCell::new(None),
            replacements: RefCell::new(Allowance::new(Instant::now())),
            next_wait: Cell::new(FIRST_WAIT),
            this: Weak::clone(this),
        });
        slot.start_guest()?;
        Ok(slot)
    }

    /// The running VM, if there is one.
    pub(crate) fn guest(&self) -> Option<Rc<Guest>> {
        self.guest.borrow().clone()
    }

    pub(crate) fn clusters(&self) -> Rc<Clusters> {
        Rc::clone(&self.clusters)
    }

    /// The running VM failed. It is replaced at once, unless that happens too often.
    pub(crate) fn replace(&self, failure: &GuestFailure) {
        let plugin = &self.module.identity.name;
        tracing::error!(plugin = &**plugin, %failure, "the plugin failed: its open streams end, a fresh VM takes over");
        self.process.count_trap(plugin);
        self.guest.replace(None);
        let wait = self.replacements.borrow_mut().take(Instant::now());
        match wait {
            None => self.restart(),
            Some(wait) => self.restart_after(wait),
        }
    }

    fn restart(&self) {
        match self.start_guest() {
            Ok(()) => self.next_wait.set(FIRST_WAIT),
            Err(cause) => {
                let wait = self.next_wait.get();
                self.next_wait.set((wait * 2).min(LONGEST_WAIT));
                let plugin = &self.module.identity.name;
                tracing::error!(plugin = &**plugin, %cause, ?wait, "the plugin does not start again: requests fail");
                self.process.count_trap(plugin);
                self.restart_after(wait);
            }
        }
    }

    fn restart_after(&self, wait: Duration) {
        let slot = Weak::clone(&self.this);
        self.tasks.spawn(async move {
            tokio::time::sleep(wait).await;
            if let Some(slot) = slot.upgrade() {
                slot.restart();
            }
        });
    }

    fn start_guest(&self) -> Result<(), StartError> {
        let PluginModule {
            identity,
            guest,
            limits,
            ..
        } = &*self.module;
        let instance = Instance::start(guest, identity, limits, &self.clusters, &self.process)?;
        let guest = Guest::new(instance, Weak::clone(&self.this));
        self.guest.replace(Some(Rc::clone(&guest)));
        // What it asked for while it was configured.
        guest.carry_out_orders();
        Ok(())
    }
}

/// A bucket of replacements.
#[derive(Debug)]
struct Allowance {
    left: u32,
    counted: Instant,
}

impl Allowance {
    fn new(now: Instant) -> Self {
        Self {
            left: BURST,
            counted: now,
        }
    }

    /// Takes one; when there is none, says how long to wait for the next, which is then taken too.
    fn take(&mut self, now: Instant) -> Option<Duration> {
        let earned = now.saturating_duration_since(self.counted).as_nanos() / EARN.as_nanos();
        if earned > 0 {
            self.left = self
                .left
                .saturating_add(u32::try_from(earned).unwrap_or(BURST))
                .min(BURST);
            self.counted = now;
        }
        if let Some(left) = self.left.checked_sub(1) {
            self.left = left;
            return None;
        }
        let next = self.counted + EARN;
        self.counted = next;
        Some(next.saturating_duration_since(now))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plugin_that_always_fails_is_replaced_ten_times_a_second_at_most() {
        let begin = Instant::now();
        let mut allowance = Allowance::new(begin);
        for _ in 0..BURST {
            assert_eq!(allowance.take(begin), None);
        }
        assert_eq!(allowance.take(begin), Some(EARN));
        assert_eq!(allowance.take(begin + EARN), Some(EARN));
        assert_eq!(allowance.take(begin + EARN * 100), None);
    }
}
