//! Shared queues: first in, first out, between all VMs of the process. The VM that registered a queue last is told of
//! every value, on its own thread.
//!
//! A queue has one announcement under way at most, however many values are put into it: whoever delivers it sends the
//! next. It may reach a VM that has ended or that another has followed as registrant; it is then passed on.

use std::collections::{HashMap, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, WeakUnboundedSender, unbounded_channel};

use super::failure::{Answer, Status};
use super::{HostState, Order};
use crate::vm::memory::Host;

/// Most queues of a process; no guest may fill the host's memory with names.
const MOST_QUEUES: usize = 4096;
/// Most bytes that wait in one queue, with [`OVERHEAD`] for each value.
const MOST_WAITING: usize = 16 << 20;
/// Most bytes of all queues together, their names included.
const MOST_BYTES: usize = 64 << 20;
/// What an empty value takes, and a queue beside its name.
const OVERHEAD: usize = 64;
const QUEUE_OVERHEAD: usize = 256;

/// `proxy_register_shared_queue(name, *id)`: a name has one id, however often it is registered; the last VM that did is
/// told of new values.
pub(crate) fn register_shared_queue(host: &mut Host<'_>, name: u32, size: u32, id_out: u32) -> Answer {
    host.check(id_out, 4)?;
    let name: Box<[u8]> = host.read(name, size)?.into();
    let announce = announcements(host.state_mut());
    let state = host.state();
    let registrant = Registrant {
        root: state.root,
        announce,
    };
    let id = state
        .process
        .shared_queues
        .register(&state.identity.vm_id, &name, registrant)
        .ok_or(Status::InternalFailure)?;
    host.write_u32(id_out, id)
}

/// `proxy_resolve_shared_queue(vm_id, name, *id)`: an empty `vm_id` is the VM's own.
pub(crate) fn resolve_shared_queue(
    host: &mut Host<'_>,
    vm_id: u32,
    vm_id_size: u32,
    name: u32,
    name_size: u32,
    id_out: u32,
) -> Answer {
    let (vm_id, name) = (host.read(vm_id, vm_id_size)?, host.read(name, name_size)?);
    let state = host.state();
    let vm_id = match vm_id {
        [] => state.identity.vm_id.as_str(),
        other => std::str::from_utf8(other).map_err(|_| Status::NotFound)?,
    };
    let id = state
        .process
        .shared_queues
        .resolve(vm_id, name)
        .ok_or(Status::NotFound)?;
    host.write_u32(id_out, id)
}

/// `proxy_enqueue_shared_queue(id, value)`.
pub(crate) fn enqueue_shared_queue(host: &mut Host<'_>, id: u32, value: u32, size: u32) -> Answer {
    let value = Bytes::copy_from_slice(host.read(value, size)?);
    host.state().process.shared_queues.enqueue(id, value)?;
    Ok(())
}

/// `proxy_dequeue_shared_queue(id, **value, *size)`: any VM may take the next value.
pub(crate) fn dequeue_shared_queue(host: &mut Host<'_>, id: u32, value_out: u32, size_out: u32) -> Answer {
    // Before the value is taken: one that cannot be handed over is not lost.
    host.check(value_out, 4)?;
    host.check(size_out, 4)?;
    let value = host.state().process.shared_queues.dequeue(id)?;
    host.return_bytes(&value, value_out, size_out)
}

/// Where this VM hears of values; it begins to listen when it registers its first queue.
fn announcements(state: &mut HostState) -> Announce {
    if let Some(announcements) = &state.queue_announcements {
        return announcements.clone();
    }
    let (sender, receiver) = unbounded_channel();
    state.queue_announcements = Some(sender.clone());
    state.orders.push(Order::ListenToQueues(Announcements {
        queues: receiver,
        own: sender.downgrade(),
    }));
    sender
}

/// The way to a VM: which queue is ready.
pub(crate) type Announce = UnboundedSender<u32>;

/// Where a VM hears of queues, until it ends or others have registered all of them.
#[derive(Debug)]
pub(crate) struct Announcements {
    queues: UnboundedReceiver<u32>,
    /// The other end, which only registrants hold.
    own: WeakUnboundedSender<u32>,
}

impl Announcements {
    /// A queue with something to tell; [`SharedQueues::tell`] says whether to whom.
    pub(crate) async fn next(&mut self) -> Option<u32> {
        self.queues.recv().await
    }

    /// The VM has ended: what was announced to it goes to who registers the queues after it.
    pub(crate) fn give_back(&mut self, all: &SharedQueues) {
        self.queues.close();
        while let Ok(queue) = self.queues.try_recv() {
            all.return_announcement(queue, self);
        }
    }

    fn is_of(&self, registrant: &Registrant) -> bool {
        let own = self.own.upgrade();
        own.is_some_and(|own| registrant.announce.same_channel(&own))
    }
}

/// The queues of the process.
#[derive(Debug, Default)]
pub(crate) struct SharedQueues {
    queues: Mutex<Queues>,
}

#[derive(Debug, Default)]
struct Queues {
    /// `vm_id` and name to id.
    ids: HashMap<(String, Box<[u8]>), u32>,
    /// The queue with id 1 comes first.
    queues: Vec<Queue>,
    /// Of values and names.
    bytes: usize,
}

#[derive(Debug)]
struct Queue {
    values: VecDeque<Bytes>,
    waiting: usize,
    registrant: Registrant,
    /// Values of which nobody has been told.
    untold: usize,
    /// An announcement is on its way.
    announced: bool,
}

/// The plugin that registered last, and the way to its VM, which takes root context and queue.
#[derive(Debug)]
struct Registrant {
    root: u32,
    announce: Announce,
}

impl SharedQueues {
    /// `None`: there are too many.
    fn register(&self, vm_id: &str, name: &[u8], registrant: Registrant) -> Option<u32> {
        let mut all = self.lock();
        let known = (vm_id.to_owned(), name.into());
        if let Some(id) = all.ids.get(&known).copied() {
            let queue = all.get(id)?;
            queue.registrant = registrant;
            queue.announce(id);
            return Some(id);
        }
        let bytes = all.bytes + QUEUE_OVERHEAD + known.0.len() + known.1.len();
        if all.queues.len() >= MOST_QUEUES || bytes > MOST_BYTES {
            return None;
        }
        all.bytes = bytes;
        all.queues.push(Queue {
            values: VecDeque::new(),
            waiting: 0,
            registrant,
            untold: 0,
            announced: false,
        });
        let id = u32::try_from(all.queues.len()).ok()?;
        all.ids.insert(known, id);
        Some(id)
    }

    fn resolve(&self, vm_id: &str, name: &[u8]) -> Option<u32> {
        self.lock().ids.get(&(vm_id.to_owned(), name.into())).copied()
    }

    fn enqueue(&self, id: u32, value: Bytes) -> Result<(), Status> {
        let mut all = self.lock();
        let size = value.len() + OVERHEAD;
        let bytes = all.bytes + size;
        let queue = all.get(id).ok_or(Status::NotFound)?;
        if queue.waiting + size > MOST_WAITING || bytes > MOST_BYTES {
            return Err(Status::InternalFailure);
        }
        queue.waiting += size;
        queue.values.push_back(value);
        queue.untold += 1;
        queue.announce(id);
        all.bytes = bytes;
        Ok(())
    }

    fn dequeue(&self, id: u32) -> Result<Bytes, Status> {
        let mut all = self.lock();
        let queue = all.get(id).ok_or(Status::NotFound)?;
        let value = queue.values.pop_front().ok_or(Status::Empty)?;
        let size = value.len() + OVERHEAD;
        queue.waiting -= size;
        all.bytes -= size;
        Ok(value)
    }

    /// An announcement has reached a running VM: the root context that is to be told that the queue is ready. `None` when
    /// another VM has registered the queue meanwhile, which is told instead, or when all values are gone.
    pub(crate) fn tell(&self, id: u32, listener: &Announcements) -> Option<u32> {
        let mut all = self.lock();
        let queue = all.get(id)?;
        queue.announced = false;
        queue.untold = queue.untold.min(queue.values.len());
        let told = (queue.untold > 0 && listener.is_of(&queue.registrant)).then_some(queue.registrant.root);
        if told.is_some() {
            queue.untold -= 1;
        }
        queue.announce(id);
        told
    }

    /// An announcement has reached a VM that has ended.
    pub(crate) fn return_announcement(&self, id: u32, listener: &Announcements) {
        let mut all = self.lock();
        let Some(queue) = all.get(id) else { return };
        queue.announced = false;
        if !listener.is_of(&queue.registrant) {
            queue.announce(id);
        }
    }

    /// A panic elsewhere leaves the queues whole: nothing between two changes can fail.
    fn lock(&self) -> MutexGuard<'_, Queues> {
        self.queues.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Queues {
    fn get(&mut self, id: u32) -> Option<&mut Queue> {
        self.queues.get_mut(usize::try_from(id).ok()?.checked_sub(1)?)
    }
}

impl Queue {
    /// Sends an announcement if there is something to tell and none is on its way.
    fn announce(&mut self, id: u32) {
        // A VM that has ended registers again when its successor starts; the value waits.
        if self.untold > 0 && !self.announced {
            self.announced = self.registrant.announce.send(id).is_ok();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn listener() -> (Announce, Announcements) {
        let (announce, queues) = unbounded_channel();
        let own = announce.downgrade();
        (announce, Announcements { queues, own })
    }

    #[test]
    fn a_name_has_one_id_and_the_last_to_register_hears() {
        let queues = SharedQueues::default();
        let (first, mut first_hears) = listener();
        let (second, mut second_hears) = listener();
        let registrant = |root, announce| Registrant { root, announce };
        let id = queues.register("vm", b"name", registrant(1, first)).unwrap();
        assert_eq!(queues.register("vm", b"name", registrant(2, second)), Some(id));
        assert_eq!(queues.resolve("vm", b"name"), Some(id));
        assert_eq!(queues.resolve("other", b"name"), None);
        queues.enqueue(id, Bytes::from_static(b"1")).unwrap();
        assert!(first_hears.queues.try_recv().is_err());
        assert_eq!(second_hears.queues.try_recv(), Ok(id));
        assert_eq!(queues.tell(id, &second_hears), Some(2));
        assert_eq!(queues.dequeue(id).unwrap(), "1");
        assert_eq!(queues.dequeue(id), Err(Status::Empty));
        assert_eq!(queues.dequeue(0), Err(Status::NotFound));
        assert_eq!(queues.enqueue(id + 1, Bytes::new()), Err(Status::NotFound));
    }

    #[test]
    fn a_queue_has_one_announcement_under_way_and_is_told_once_for_each_value() {
        let queues = SharedQueues::default();
        let (announce, mut hears) = listener();
        let id = queues.register("", b"", Registrant { root: 1, announce }).unwrap();
        for _ in 0..100 {
            queues.enqueue(id, Bytes::new()).unwrap();
        }
        assert_eq!(hears.queues.len(), 1);
        // Nobody is told of values that are gone.
        for _ in 0..40 {
            queues.dequeue(id).unwrap();
        }
        let mut told = 0;
        while hears.queues.try_recv().is_ok() {
            told += usize::from(queues.tell(id, &hears).is_some());
            assert!(hears.queues.len() <= 1);
        }
        assert_eq!(told, 60);
    }

    #[test]
    fn what_was_announced_to_a_vm_that_ended_is_told_to_the_next() {
        let queues = SharedQueues::default();
        let (first, mut first_hears) = listener();
        let (second, mut second_hears) = listener();
        let registrant = |root, announce| Registrant { root, announce };
        let id = queues.register("", b"", registrant(1, first)).unwrap();
        queues.enqueue(id, Bytes::new()).unwrap();
        // Its successor starts before its task has ended, or after.
        queues.register("", b"", registrant(2, second.clone()));
        first_hears.give_back(&queues);
        assert_eq!(second_hears.queues.try_recv(), Ok(id));
        assert_eq!(queues.tell(id, &second_hears), Some(2));
        second_hears.give_back(&queues);
        queues.enqueue(id, Bytes::new()).unwrap();
        let (third, mut third_hears) = listener();
        queues.register("", b"", registrant(3, third));
        assert_eq!(third_hears.queues.try_recv(), Ok(id));
        assert_eq!(queues.tell(id, &third_hears), Some(3));
    }

    #[test]
    fn all_queues_together_have_a_limit() {
        let queues = SharedQueues::default();
        let (announce, _hears) = listener();
        let register = |name: &[u8]| {
            let announce = announce.clone();
            queues.register("", name, Registrant { root: 1, announce })
        };
        let value = Bytes::from(vec![0; MOST_BYTES / 8]);
        for name in 0..7 {
            let id = register(&[name]).unwrap();
            queues.enqueue(id, value.clone()).unwrap();
        }
        let last = register(b"last").unwrap();
        assert_eq!(queues.enqueue(last, value.clone()), Err(Status::InternalFailure));
        assert_eq!(register(&value), None, "a name counts too");
        queues.dequeue(1).unwrap();
        assert_eq!(queues.enqueue(last, value), Ok(()));
    }

    #[test]
    fn a_queue_that_nobody_empties_is_full_some_day() {
        let queues = SharedQueues::default();
        let announce = unbounded_channel().0;
        let id = queues.register("", b"", Registrant { root: 1, announce }).unwrap();
        let value = Bytes::from(vec![0; MOST_WAITING / 2]);
        assert_eq!(queues.enqueue(id, value.clone()), Ok(()));
        assert_eq!(queues.enqueue(id, value.clone()), Err(Status::InternalFailure));
        queues.dequeue(id).unwrap();
        assert_eq!(queues.enqueue(id, value), Ok(()));
    }
}
