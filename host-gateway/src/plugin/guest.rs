//! A running VM as the worker holds it: entered by one at a time, poisoned by the first failure.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::{Rc, Weak};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::Instant;

use super::slot::Slot;
use crate::abi::Order;
use crate::abi::contexts::StreamContext;
use crate::abi::grpc_calls::GrpcOpening;
use crate::abi::http_calls::{CallAnswer, HttpCall};
use crate::abi::shared_queues::Announcements;
use crate::callout;
use crate::vm::instance::{GuestFailure, Instance};

/// The VM cannot answer: it was poisoned, now or before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Poisoned;

/// A VM with the tasks that serve it.
pub(crate) struct Guest {
    /// `None` once poisoned: its memory is given back even while streams still hold the guest.
    instance: RefCell<Option<Instance>>,
    slot: Weak<Slot>,
    /// The period of each root context's tick task, which ends with the guest.
    tick_periods: RefCell<BTreeMap<u32, watch::Sender<Option<Duration>>>>,
    /// Dropped with the instance: tells tasks that nobody waits for them.
    alive: RefCell<Option<watch::Sender<()>>>,
}

impl Guest {
    pub(crate) fn new(instance: Instance, slot: Weak<Slot>) -> Rc<Self> {
        Rc::new(Self {
            instance: RefCell::new(Some(instance)),
            slot,
            tick_periods: RefCell::default(),
            alive: RefCell::new(Some(watch::Sender::new(()))),
        })
    }

    /// Enters the guest, then carries out what it asked for. A failure poisons the VM: its streams are told, and a
    /// successor starts.
    pub(crate) fn run<R>(
        self: &Rc<Self>,
        work: impl FnOnce(&mut Instance) -> Result<R, GuestFailure>,
    ) -> Result<R, Poisoned> {
        let (result, orders) = {
            // A borrow can only fail while the guest is being entered already; that entry will be answered.
            let mut instance = self.instance.try_borrow_mut().map_err(|_| Poisoned)?;
            let running = instance.as_mut().ok_or(Poisoned)?;
            running.begin();
            let result = work(running).and_then(|result| running.finish().map(|_| result));
            (result, running.take_orders())
        };
        match result {
            Ok(result) => {
                if !orders.is_empty() {
                    self.carry_out(orders);
                }
                Ok(result)
            }
            Err(failure) => {
                self.poison(&failure);
                Err(Poisoned)
            }
        }
    }

    /// Ends a stream. A VM that has grown is replaced soon after.
    pub(crate) fn close(self: &Rc<Self>, context: &Rc<StreamContext>) -> Result<(), Poisoned> {
        let grown = self.run(|instance| {
            instance.close(context)?;
            Ok(instance.has_grown())
        })?;
        if grown && let Some(slot) = self.slot.upgrade() {
            slot.recycle(self);
        }
        Ok(())
    }

    /// Whether one more stream may be opened.
    pub(crate) fn has_room(&self) -> bool {
        // Who cannot look is inside: that stream is being dealt with already.
        let Ok(instance) = self.instance.try_borrow() else {
            return true;
        };
        instance.as_ref().is_some_and(|instance| !instance.is_full())
    }

    /// Whether it was not poisoned yet.
    fn is_running(&self) -> bool {
        // Who cannot look is inside.
        self.instance.try_borrow().map_or(true, |instance| instance.is_some())
    }

    /// Ends the root contexts. `false`: the guest has something to finish, and is asked again.
    pub(crate) fn stop(self: &Rc<Self>) -> bool {
        // A failure has been dealt with by `run`.
        self.run(Instance::stop).unwrap_or(true)
    }

    /// Carries out what the guest asked for outside of [`Guest::run`]: at its start.
    pub(crate) fn carry_out_orders(self: &Rc<Self>) {
        let _ = self.run(|_| Ok(()));
    }

    fn carry_out(self: &Rc<Self>, orders: Vec<Order>) {
        for order in orders {
            match order {
                Order::HttpCall(call) => self.send(*call),
                Order::GrpcCall(opening) => self.open_grpc(*opening),
                Order::ListenToQueues(announcements) => self.listen_to_queues(announcements),
                Order::TickPeriod { root, period } => self.tick_every(root, period),
            }
        }
    }

    fn poison(&self, failure: &GuestFailure) {
        self.alive.replace(None);
        let streams = self
            .instance
            .take()
            .map(|mut instance| instance.take_streams())
            .unwrap_or_default();
        let slot = self.slot.upgrade();
        let may_go_on = slot.as_ref().is_some_and(|slot| slot.fails_open());
        for stream in streams {
            stream.fail(may_go_on);
        }
        if let Some(slot) = slot {
            slot.replace(self, failure);
        }
    }

    fn send(self: &Rc<Self>, call: HttpCall) {
        let Some(slot) = self.slot.upgrade() else { return };
        let Some(mut poisoned) = self.alive.borrow().as_ref().map(watch::Sender::subscribe) else {
            return;
        };
        let (guest, clusters) = (Rc::downgrade(self), slot.clusters());
        slot.tasks.spawn(async move {
            let (root, id) = (call.root, call.id);
            let answer = tokio::select! {
                answer = callout::send(&clusters, call) => answer,
                // Only ends by the sender being dropped.
                _ = poisoned.changed() => return,
            };
            if let Some(guest) = guest.upgrade() {
                guest.deliver(root, id, answer);
            }
        });
    }

    /// The call ends by itself when the VM does: nobody wants to hear of it then.
    fn open_grpc(self: &Rc<Self>, opening: GrpcOpening) {
        let Some(slot) = self.slot.upgrade() else { return };
        let (guest, clusters, root, id) = (Rc::downgrade(self), slot.clusters(), opening.root, opening.id);
        slot.tasks.spawn(async move {
            callout::grpc::run(&clusters, opening, |event| {
                if let Some(guest) = guest.upgrade() {
                    // A failure has been dealt with by `run`.
                    let _ = guest.run(|instance| instance.grpc_event(root, id, event));
                }
            })
            .await;
        });
    }

    /// Ends with the VM, and when others have registered all its queues.
    fn listen_to_queues(self: &Rc<Self>, mut announcements: Announcements) {
        let Some(slot) = self.slot.upgrade() else { return };
        let (guest, process) = (Rc::downgrade(self), Arc::clone(slot.process()));
        slot.tasks.spawn(async move {
            let queues = &process.shared_queues;
            let mut took = Duration::ZERO;
            while let Some(queue) = announcements.next().await {
                let Some(guest) = guest.upgrade().filter(|guest| guest.is_running()) else {
                    queues.return_announcement(queue, &announcements);
                    break;
                };
                let Some(root) = queues.tell(queue, &announcements) else {
                    continue;
                };
                let began = Instant::now();
                if guest.run(|instance| instance.queue_ready(root, queue)).is_err() {
                    break;
                }
                drop(guest);
                took += began.elapsed();
                // At least half of the worker's time is for others, also when the guest fills its own queue. Timers are no
                // finer than a millisecond.
                if took < Duration::from_millis(1) {
                    tokio::task::yield_now().await;
                } else {
                    tokio::time::sleep(std::mem::take(&mut took)).await;
                }
            }
            announcements.give_back(queues);
        });
    }

    fn deliver(self: &Rc<Self>, root: u32, id: u32, answer: CallAnswer) {
        // A failure has been dealt with by `run`.
        let _ = self.run(|instance| instance.http_call_response(root, id, answer));
    }

    /// One task per root context ticks; it is told each new period, which counts from the tick before. So a guest that sets
    /// its period again and again does not put its ticks off.
    fn tick_every(self: &Rc<Self>, root: u32, period: Option<u32>) {
        let period = period.map(|period| Duration::from_millis(u64::from(period)));
        let mut periods = self.tick_periods.borrow_mut();
        if let Some(told) = periods.get(&root) {
            told.send_if_modified(|old| std::mem::replace(old, period) != period);
            return;
        }
        let (Some(_), Some(slot)) = (period, self.slot.upgrade()) else {
            return;
        };
        let (told, mut period) = watch::channel(period);
        periods.insert(root, told);
        let guest = Rc::downgrade(self);
        slot.tasks.spawn(async move {
            let (mut since, mut took) = (Instant::now(), Duration::ZERO);
            loop {
                let due = *period.borrow_and_update();
                let changed = match due {
                    // At least half of the worker's time is for others.
                    Some(due) => tokio::time::timeout_at(since + due.max(took), period.changed())
                        .await
                        .ok(),
                    None => {
                        let changed = period.changed().await;
                        since = Instant::now();
                        Some(changed)
                    }
                };
                match changed {
                    Some(Ok(())) => continue,
                    // The guest is gone.
                    Some(Err(_)) => return,
                    None => {}
                }
                let Some(guest) = guest.upgrade() else { return };
                let began = Instant::now();
                if guest.run(|instance| instance.tick(root)).is_err() {
                    return;
                }
                (since, took) = (Instant::now(), began.elapsed());
            }
        });
    }
}

impl Drop for Guest {
    /// The worker stops: the root context ends.
    fn drop(&mut self) {
        if let Some(instance) = self.instance.get_mut()
            && let Err(failure) = instance.stop()
        {
            tracing::warn!(%failure, "the plugin failed while it was stopped");
        }
    }
}
