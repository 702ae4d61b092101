//! Contexts: the root context of a VM and one per open stream; which of them host functions act on.

use std::cell::RefCell;
use std::rc::Rc;

use super::failure::{Answer, Status};
use super::types::Direction;
use crate::stream::body::BodyBuffer;
use crate::stream::exchange::Exchange;
use crate::vm::memory::Host;

/// The id of a VM's first root context; further ones follow.
pub(crate) const FIRST_ROOT: u32 = 1;

/// `proxy_set_effective_context(id)`: host functions act on that context until the callback returns.
pub(crate) fn set_effective_context(host: &mut Host<'_>, id: u32) -> Answer {
    let state = host.state();
    let (effective, root) = if (FIRST_ROOT..FIRST_ROOT + state.roots.len() as u32).contains(&id) {
        (Effective::Root, id)
    } else {
        let stream = state.contexts.get(id).ok_or(Status::BadArgument)?;
        let root = stream.root;
        (Effective::Stream(stream), root)
    };
    host.state_mut().turn_to(root);
    host.state_mut().effective = effective;
    Ok(())
}

/// `proxy_done()`: ends a context whose `proxy_on_done` asked to wait. Streams never wait, as in Envoy.
pub(crate) fn done(host: &mut Host<'_>) -> Answer {
    let state = host.state_mut();
    if state.root_end(state.root) != RootEnd::Pending {
        return Err(Status::NotFound.into());
    }
    state.set_root_end(state.root, RootEnd::Due);
    Ok(())
}

/// How far the root context has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum RootEnd {
    Running,
    /// `proxy_on_done` returned false: `proxy_done` is awaited.
    Pending,
    /// `proxy_done` was called; the rest follows when the callback has returned.
    Due,
    Ended,
}

/// The context that host functions act on.
#[derive(Debug, Clone)]
pub(crate) enum Effective {
    Root,
    Stream(Rc<StreamContext>),
}

/// One exchange as one VM knows it.
#[derive(Debug)]
pub(crate) struct StreamContext {
    pub(crate) id: u32,
    /// The plugin that it is of.
    pub(crate) root: u32,
    pub(crate) exchange: Rc<RefCell<Exchange>>,
    state: RefCell<StreamState>,
}

#[derive(Debug, Default)]
pub(crate) struct StreamState {
    request: Flow,
    response: Flow,
    /// The VM was poisoned.
    failed: bool,
}

/// What one plugin does with one direction of an exchange.
#[derive(Debug, Default)]
pub(crate) struct Flow {
    /// The body the guest may look at: the current chunk, or all that is held back. `None` outside of body callbacks.
    pub(crate) body: Option<BodyBuffer>,
    /// The guest holds the body back and wants to see more of it.
    pub(crate) holding: bool,
    /// The guest called `proxy_continue_stream` since it was last asked.
    pub(crate) resumed: bool,
}

impl StreamContext {
    pub(crate) fn new(id: u32, root: u32, exchange: Rc<RefCell<Exchange>>) -> Self {
        Self {
            id,
            root,
            exchange,
            state: RefCell::default(),
        }
    }

    /// Looks at one direction. `act` must not enter the guest.
    pub(crate) fn flow<R>(&self, direction: Direction, act: impl FnOnce(&mut Flow) -> R) -> R {
        let mut state = self.state.borrow_mut();
        act(match direction {
            Direction::Request => &mut state.request,
            Direction::Response => &mut state.response,
        })
    }

    pub(crate) fn failed(&self) -> bool {
        self.state.borrow().failed
    }

    /// Tells the stream that this VM will not answer any more, and whether it may go on without.
    pub(crate) fn fail(&self, may_go_on: bool) {
        self.state.borrow_mut().failed = true;
        let mut exchange = self.exchange.borrow_mut();
        exchange.failed |= !may_go_on;
        exchange.wake();
    }
}

/// The open streams of a VM by context id.
///
/// A power of two of places; an id lives at its own low bits, and ids whose place is taken are skipped, so that a
/// look-up is one index and one compare and no id is used twice (until 2³² have passed).
#[derive(Debug)]
pub(crate) struct Contexts {
    places: Vec<Option<Rc<StreamContext>>>,
    open: usize,
    next: u32,
    /// Ids up to this one are root contexts'.
    roots: u32,
}

impl Contexts {
    pub(crate) fn new(roots: u32) -> Self {
        Self {
            places: vec![None; 64],
            open: 0,
            next: roots + 1,
            roots,
        }
    }

    pub(crate) fn get(&self, id: u32) -> Option<Rc<StreamContext>> {
        self.places[self.place(id)]
            .as_ref()
            .filter(|context| context.id == id)
            .cloned()
    }

    /// Opens a context under a new id.
    pub(crate) fn open(&mut self, root: u32, exchange: &Rc<RefCell<Exchange>>) -> Rc<StreamContext> {
        if self.open * 2 >= self.places.len() {
            self.grow();
        }
        while self.next <= self.roots || self.places[self.place(self.next)].is_some() {
            self.next = self.next.wrapping_add(1);
        }
        let context = Rc::new(StreamContext::new(self.next, root, Rc::clone(exchange)));
        let place = self.place(self.next);
        self.places[place] = Some(Rc::clone(&context));
        self.open += 1;
        self.next = self.next.wrapping_add(1);
        context
    }

    /// How many are open.
    pub(crate) fn count(&self) -> usize {
        self.open
    }

    pub(crate) fn close(&mut self, id: u32) {
        let place = self.place(id);
        if self.places[place].as_ref().is_some_and(|context| context.id == id) {
            self.places[place] = None;
            self.open -= 1;
        }
    }

    /// Takes all open contexts: the VM is gone.
    pub(crate) fn take_all(&mut self) -> Vec<Rc<StreamContext>> {
        self.open = 0;
        self.places.iter_mut().filter_map(Option::take).collect()
    }

    fn place(&self, id: u32) -> usize {
        id as usize & (self.places.len() - 1)
    }

    /// Twice the places; ids that differed in the low bits before still do.
    fn grow(&mut self) {
        let size = self.places.len() * 2;
        let old = std::mem::replace(&mut self.places, vec![None; size]);
        for context in old.into_iter().flatten() {
            let place = self.place(context.id);
            self.places[place] = Some(context);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stream::exchange::Connection;

    fn exchange() -> Rc<RefCell<Exchange>> {
        let address = std::net::SocketAddr::from(([127, 0, 0, 1], 1));
        let connection = Rc::new(Connection {
            id: 1,
            source: address,
            destination: address,
            listener: Rc::default(),
        });
        Rc::new(RefCell::new(Exchange::new(connection, None)))
    }

    #[test]
    fn ids_are_unique_and_found_while_many_come_and_go() {
        let mut contexts = Contexts::new(FIRST_ROOT);
        let exchange = exchange();
        let stays = contexts.open(FIRST_ROOT, &exchange).id;
        let mut seen = std::collections::HashSet::from([stays, FIRST_ROOT]);
        let mut open = Vec::new();
        for round in 0..1000 {
            let id = contexts.open(FIRST_ROOT, &exchange).id;
            assert!(seen.insert(id), "{id} was used twice");
            open.push(id);
            if round % 3 == 0 {
                contexts.close(open.remove(0));
            }
        }
        assert_eq!(contexts.get(stays).map(|context| context.id), Some(stays));
        assert!(
            open.iter()
                .all(|id| contexts.get(*id).is_some_and(|context| context.id == *id))
        );
        assert!(contexts.get(FIRST_ROOT).is_none());
        assert_eq!(contexts.take_all().len(), open.len() + 1);
    }

    #[test]
    fn an_id_never_becomes_that_of_the_root_context() {
        let mut contexts = Contexts {
            next: u32::MAX,
            ..Contexts::new(FIRST_ROOT)
        };
        let ids = [
            contexts.open(FIRST_ROOT, &exchange()).id,
            contexts.open(FIRST_ROOT, &exchange()).id,
        ];
        assert_eq!(ids, [u32::MAX, FIRST_ROOT + 1]);
    }
}
