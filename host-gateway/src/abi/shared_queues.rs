//! Shared queues: first in, first out, between all VMs of the process. The VM that registered a queue last is told of
//! every value, on its own thread.

use std::collections::{HashMap, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use tokio::sync::mpsc::{UnboundedSender, unbounded_channel};

use super::failure::{Answer, Status};
use super::{HostState, Order};
use crate::vm::memory::Host;

/// Most queues of a process; no guest may fill the host's memory with names.
const MOST_QUEUES: usize = 4096;
/// Most bytes that wait in one queue, with [`OVERHEAD`] for each value.
const MOST_WAITING: usize = 16 << 20;
/// What an empty value takes.
const OVERHEAD: usize = 64;

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
fn announcements(state: &mut HostState) -> UnboundedSender<(u32, u32)> {
    if let Some(announcements) = &state.queue_announcements {
        return announcements.clone();
    }
    let (sender, receiver) = unbounded_channel();
    state.queue_announcements = Some(sender.clone());
    state.orders.push(Order::ListenToQueues(receiver));
    sender
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
}

#[derive(Debug)]
struct Queue {
    values: VecDeque<Bytes>,
    waiting: usize,
    registrant: Registrant,
}

/// The plugin that registered last, and the way to its VM, which takes root context and queue.
#[derive(Debug)]
struct Registrant {
    root: u32,
    announce: UnboundedSender<(u32, u32)>,
}

impl SharedQueues {
    /// `None`: there are too many.
    fn register(&self, vm_id: &str, name: &[u8], registrant: Registrant) -> Option<u32> {
        let mut all = self.lock();
        let known = (vm_id.to_owned(), name.into());
        if let Some(id) = all.ids.get(&known).copied() {
            all.get(id)?.registrant = registrant;
            return Some(id);
        }
        if all.queues.len() >= MOST_QUEUES {
            return None;
        }
        all.queues.push(Queue {
            values: VecDeque::new(),
            waiting: 0,
            registrant,
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
        let queue = all.get(id).ok_or(Status::NotFound)?;
        let size = value.len() + OVERHEAD;
        if queue.waiting + size > MOST_WAITING {
            return Err(Status::InternalFailure);
        }
        queue.waiting += size;
        queue.values.push_back(value);
        // A VM that has ended registers again when its successor starts; the value waits.
        let _ = queue.registrant.announce.send((queue.registrant.root, id));
        Ok(())
    }

    fn dequeue(&self, id: u32) -> Result<Bytes, Status> {
        let mut all = self.lock();
        let queue = all.get(id).ok_or(Status::NotFound)?;
        let value = queue.values.pop_front().ok_or(Status::Empty)?;
        queue.waiting -= value.len() + OVERHEAD;
        Ok(value)
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_has_one_id_and_the_last_to_register_hears() {
        let queues = SharedQueues::default();
        let (first, mut first_hears) = unbounded_channel();
        let (second, mut second_hears) = unbounded_channel();
        let registrant = |root, announce| Registrant { root, announce };
        let id = queues.register("vm", b"name", registrant(1, first)).unwrap();
        assert_eq!(queues.register("vm", b"name", registrant(2, second)), Some(id));
        assert_eq!(queues.resolve("vm", b"name"), Some(id));
        assert_eq!(queues.resolve("other", b"name"), None);
        queues.enqueue(id, Bytes::from_static(b"1")).unwrap();
        assert!(first_hears.try_recv().is_err());
        assert_eq!(second_hears.try_recv(), Ok((2, id)));
        assert_eq!(queues.dequeue(id).unwrap(), "1");
        assert_eq!(queues.dequeue(id), Err(Status::Empty));
        assert_eq!(queues.dequeue(0), Err(Status::NotFound));
        assert_eq!(queues.enqueue(id + 1, Bytes::new()), Err(Status::NotFound));
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
