//! A plugin's place on a worker: the VM that runs now, and its successors.

use std::cell::{Cell, RefCell};
use std::ptr;
use std::rc::{Rc, Weak};
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::guest::Guest;
use super::tasks::Tasks;
use super::{FailurePolicy, Isolation, PluginError, PluginModule, PluginProcess};
use crate::abi::contexts::FIRST_ROOT;
use crate::cluster::Clusters;
use crate::vm::instance::{GuestFailure, Instance};
use crate::vm::start::{StartError, StartFailure};
use crate::vm::stats::PluginStats;

/// VMs that may be replaced without waiting, and how long it takes to earn one more.
const BURST: u32 = 10;
const EARN: Duration = Duration::from_millis(100);
/// The wait after a start that failed; it doubles up to [`LONGEST_WAIT`].
const FIRST_WAIT: Duration = Duration::from_secs(1);
const LONGEST_WAIT: Duration = Duration::from_secs(30);

/// The shortest time between two VMs that take over because the one before had grown.
const RECYCLING: Duration = Duration::from_secs(10);

/// The shortest time from one line about missing VMs to the next.
const COMPLAINING: Duration = Duration::from_secs(10);

/// A plugin with what is counted of it on this worker.
pub(crate) type Seated = (Arc<PluginModule>, Arc<PluginStats>);

/// A plugin's place in a VM.
#[derive(Clone)]
pub(crate) struct Seat {
    pub(crate) slot: Rc<Slot>,
    pub(crate) module: Arc<PluginModule>,
    pub(crate) stats: Arc<PluginStats>,
    /// Id of its root context.
    pub(crate) root: u32,
}

impl Seat {
    /// What happens to an exchange that the plugin cannot take part in. Where there is no room for a VM the plugin has not
    /// failed, and none is let past it: a flood of exchanges would switch it off.
    pub(crate) fn policy(&self) -> FailurePolicy {
        if self.slot.exhausted.get() {
            return FailurePolicy::Closed;
        }
        self.module.failure
    }
}

/// Where a VM runs, of one plugin or of several that share it. Empty while a successor waits for its turn: requests fail meanwhile.
pub(crate) struct Slot {
    /// At least one; they are alike in all that is of the VM.
    plugins: Vec<Seated>,
    clusters: Rc<Clusters>,
    process: Arc<PluginProcess>,
    pub(crate) tasks: Tasks,
    /// The VM of all exchanges, or the one that waits for the next exchange where each has its own.
    guest: RefCell<Option<Rc<Guest>>>,
    replacements: RefCell<Allowance>,
    recyclings: RefCell<Allowance>,
    next_wait: Cell<Duration>,
    /// A start is due.
    starting: Cell<bool>,
    /// The next VM is to be started as soon as there is time.
    next_is_due: Cell<bool>,
    /// There was no room for the last VM that was to be started: the next exchange tries again.
    exhausted: Cell<bool>,
    complaints: RefCell<Allowance>,
    this: Weak<Self>,
}

impl Slot {
    /// Starts a VM for each of them, as [`Slot::start_all`] does, opens a stream in each, and throws all away. What the
    /// guests ask for is not carried out. The error is for the user.
    pub(super) fn rehearse_all(modules: &[Arc<PluginModule>], clusters: &Rc<Clusters>) -> Result<(), PluginError> {
        let process = PluginProcess::new();
        // As in service all of them have started when the first stream comes.
        let started = sharing(modules).into_iter().map(|group| {
            let plugins = seated(modules, &group, &process);
            match Instance::create(&plugins, clusters, &process) {
                Ok(instance) => Ok((group, plugins, instance)),
                Err(error) => Err(modules[group[error.plugin]].does_not_start(error)),
            }
        });
        for (group, plugins, mut instance) in started.collect::<Result<Vec<_>, _>>()? {
            instance
                .rehearse(&plugins)
                .map_err(|error| modules[group[error.plugin]].does_not_start(error))?;
        }
        Ok(())
    }

    /// Slots with running VMs for all of them; those that may share one do. The error is for the user.
    pub(super) fn start_all(
        modules: &[Arc<PluginModule>],
        clusters: &Rc<Clusters>,
        process: &Arc<PluginProcess>,
        tasks: &Tasks,
    ) -> Result<Vec<Seat>, PluginError> {
        let mut seats = Vec::with_capacity(modules.len());
        for group in sharing(modules) {
            let plugins = seated(modules, &group, process);
            let slot = Self::start(plugins.clone(), Rc::clone(clusters), Arc::clone(process), tasks.clone())
                .map_err(|error| modules[group[error.plugin]].does_not_start(error))?;
            for (root, (place, (module, stats))) in (FIRST_ROOT..).zip(group.into_iter().zip(plugins)) {
                let slot = Rc::clone(&slot);
                seats.push((
                    place,
                    Seat {
                        slot,
                        module,
                        stats,
                        root,
                    },
                ));
            }
        }
        seats.sort_by_key(|(place, _)| *place);
        Ok(seats.into_iter().map(|(_, seat)| seat).collect())
    }

    fn start(
        plugins: Vec<Seated>,
        clusters: Rc<Clusters>,
        process: Arc<PluginProcess>,
        tasks: Tasks,
    ) -> Result<Rc<Self>, StartError> {
        let module = Arc::clone(&plugins[0].0);
        let now = Instant::now();
        let replacements = match module.failure {
            FailurePolicy::Closed | FailurePolicy::Open => Allowance::new(BURST, EARN, now),
            FailurePolicy::Reload => Allowance::new(1, module.reload_backoff, now),
        };
        let slot = Rc::new_cyclic(|this| Self {
            plugins,
            clusters,
            process,
            tasks,
            guest: RefCell::new(None),
            replacements: RefCell::new(replacements),
            recyclings: RefCell::new(Allowance::new(1, RECYCLING, now)),
            next_wait: Cell::new(FIRST_WAIT),
            starting: Cell::new(false),
            next_is_due: Cell::new(false),
            exhausted: Cell::new(false),
            complaints: RefCell::new(Allowance::new(1, COMPLAINING, now)),
            this: Weak::clone(this),
        });
        slot.start_guest()?;
        Ok(slot)
    }

    /// Ends the root contexts of the running VM. `false`: it has something to finish.
    pub(super) fn stop(&self) -> bool {
        let guest = self.guest.borrow().clone();
        guest.is_none_or(|guest| guest.stop())
    }

    /// A VM for one more exchange, if there is one.
    pub(crate) fn guest(&self) -> Option<Rc<Guest>> {
        if self.exhausted.get() && self.guest.borrow().is_none() && !self.starting.get() {
            self.restart();
        }
        match self.module().isolation {
            Isolation::Worker => self.guest.borrow().as_ref().filter(|guest| guest.has_room()).cloned(),
            Isolation::Request => self.own_guest(),
        }
    }

    /// The VM that waits; the next one is started when the worker has time for it.
    fn own_guest(&self) -> Option<Rc<Guest>> {
        if self.guest.borrow().is_none() && !self.starting.get() && !self.exhausted.get() {
            self.restart();
        }
        let guest = self.guest.take();
        if guest.is_some() && !self.next_is_due.replace(true) {
            let slot = Weak::clone(&self.this);
            self.tasks.spawn(async move {
                let Some(slot) = slot.upgrade() else { return };
                slot.next_is_due.set(false);
                if slot.guest.borrow().is_none() && !slot.starting.get() {
                    slot.restart();
                }
            });
        }
        guest
    }

    /// What is said of the VM is in the first plugin's words.
    fn module(&self) -> &PluginModule {
        &self.plugins[0].0
    }

    /// Whether exchanges go on without the plugins of the VM; they are alike in that.
    pub(super) fn fails_open(&self) -> bool {
        self.module().failure == FailurePolicy::Open
    }

    fn count(&self, change: impl Fn(&PluginStats)) {
        for (_, stats) in &self.plugins {
            change(stats);
        }
    }

    pub(crate) fn clusters(&self) -> Rc<Clusters> {
        Rc::clone(&self.clusters)
    }

    /// A VM failed. It is replaced at once, unless that happens too often.
    pub(crate) fn replace(&self, failed: &Guest, failure: &GuestFailure) {
        let plugin = &self.module().identity.name;
        self.count(|stats| stats.traps.add(1));
        let is_current = self
            .guest
            .borrow()
            .as_ref()
            .is_some_and(|guest| ptr::eq(&raw const **guest, failed));
        if !is_current {
            // One that nobody opens exchanges in any more: there is a successor already. With a VM per exchange there may
            // be many of them, and a line for each would tell nothing new.
            if self.replacements.borrow_mut().take_now(Instant::now()).is_none() {
                return;
            }
            tracing::error!(plugin = &**plugin, %failure, "the plugin failed: the open streams of this VM end");
            return;
        }
        tracing::error!(plugin = &**plugin, %failure, "the plugin failed: its open streams end, a fresh VM takes over");
        self.count(|stats| {
            stats.contexts.set(0);
            stats.memory.set(0);
        });
        self.guest.replace(None);
        let wait = self.replacements.borrow_mut().take(Instant::now());
        match wait {
            None => self.restart(),
            Some(wait) => self.restart_after(wait),
        }
    }

    pub(crate) fn process(&self) -> &Arc<PluginProcess> {
        &self.process
    }

    /// A fresh VM takes over from one that has grown, which ends when its last stream does.
    pub(crate) fn recycle(&self, grown: &Guest) {
        let is_current = |guest: &Rc<Guest>| ptr::eq(&raw const **guest, grown);
        if !self.guest.borrow().as_ref().is_some_and(is_current)
            || self.starting.get()
            || self.recyclings.borrow_mut().take_now(Instant::now()).is_none()
        {
            return;
        }
        self.starting.set(true);
        // Not here: an exchange is ending, and its client need not wait.
        let slot = Weak::clone(&self.this);
        self.tasks.spawn(async move {
            let Some(slot) = slot.upgrade() else { return };
            slot.starting.set(false);
            let plugin = &*slot.module().identity.name;
            match slot.start_guest() {
                Ok(()) => {
                    slot.count(|stats| stats.recycled.add(1));
                    tracing::info!(plugin, "the plugin's memory had grown: a fresh VM takes over");
                }
                Err(cause) => tracing::warn!(plugin, %cause, "the plugin's memory has grown, but no fresh VM starts"),
            }
        });
    }

    fn restart(&self) {
        match self.start_guest() {
            Ok(()) => self.next_wait.set(FIRST_WAIT),
            Err(StartError {
                failure: StartFailure::Exhausted(cause),
                ..
            }) => {
                // No fault of the plugin's, and over as soon as some exchange ends.
                self.exhausted.set(true);
                if self.complaints.borrow_mut().take_now(Instant::now()).is_some() {
                    let plugin = &*self.module().identity.name;
                    tracing::error!(
                        plugin,
                        cause,
                        "there is no room for another VM: requests fail until one ends"
                    );
                }
            }
            Err(cause) => {
                let wait = self.next_wait.get();
                self.next_wait.set((wait * 2).min(LONGEST_WAIT));
                let plugin = &self.module().identity.name;
                tracing::error!(plugin = &**plugin, %cause, ?wait, "the plugin does not start again: requests fail");
                self.count(|stats| stats.traps.add(1));
                self.restart_after(wait);
            }
        }
    }

    fn restart_after(&self, wait: Duration) {
        let slot = Weak::clone(&self.this);
        self.starting.set(true);
        self.tasks.spawn(async move {
            tokio::time::sleep(wait).await;
            if let Some(slot) = slot.upgrade() {
                slot.starting.set(false);
                slot.restart();
            }
        });
    }

    fn start_guest(&self) -> Result<(), StartError> {
        let instance = Instance::start(&self.plugins, &self.clusters, &self.process)?;
        self.exhausted.set(false);
        let guest = Guest::new(instance, Weak::clone(&self.this));
        // The one before is dropped after the borrow: it may end here, and then its root context does.
        let before = self.guest.replace(Some(Rc::clone(&guest)));
        drop(before);
        // What it asked for while it was configured.
        guest.carry_out_orders();
        Ok(())
    }
}

/// The places of those that share a VM, for each VM.
fn sharing(modules: &[Arc<PluginModule>]) -> Vec<Vec<usize>> {
    let mut groups: Vec<Vec<usize>> = Vec::new();
    for (place, module) in modules.iter().enumerate() {
        match groups.iter_mut().find(|group| modules[group[0]].shares_vm_with(module)) {
            Some(group) => group.push(place),
            None => groups.push(vec![place]),
        }
    }
    groups
}

fn seated(modules: &[Arc<PluginModule>], group: &[usize], process: &PluginProcess) -> Vec<Seated> {
    let modules = group.iter().map(|place| &modules[*place]);
    modules
        .map(|module| (Arc::clone(module), process.stats(&module.identity.name)))
        .collect()
}

/// A bucket of replacements.
#[derive(Debug)]
struct Allowance {
    left: u32,
    most: u32,
    earn: Duration,
    counted: Instant,
}

impl Allowance {
    /// A full bucket of `most`, to which one more comes after every `earn`.
    fn new(most: u32, earn: Duration, now: Instant) -> Self {
        Self {
            left: most,
            most,
            earn,
            counted: now,
        }
    }

    /// Takes one; when there is none, says how long to wait for the next, which is then taken too.
    fn take(&mut self, now: Instant) -> Option<Duration> {
        if self.take_now(now).is_some() {
            return None;
        }
        let next = self.counted + self.earn;
        self.counted = next;
        Some(next.saturating_duration_since(now))
    }

    /// Takes one if there is one.
    fn take_now(&mut self, now: Instant) -> Option<()> {
        let earned = now.saturating_duration_since(self.counted).as_nanos() / self.earn.as_nanos().max(1);
        if earned > 0 {
            let earned = u32::try_from(earned).unwrap_or(self.most);
            self.left = self.left.saturating_add(earned).min(self.most);
            self.counted = now;
        }
        self.left = self.left.checked_sub(1)?;
        Some(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plugin_that_always_fails_is_replaced_ten_times_a_second_at_most() {
        let begin = Instant::now();
        let mut allowance = Allowance::new(BURST, EARN, begin);
        for _ in 0..BURST {
            assert_eq!(allowance.take(begin), None);
        }
        assert_eq!(allowance.take(begin), Some(EARN));
        assert_eq!(allowance.take(begin + EARN), Some(EARN));
        assert_eq!(allowance.take(begin + EARN * 100), None);
    }
}
