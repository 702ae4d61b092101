//! Looking at an exchange from outside, while the plugins are not asked anything.

use std::cell::RefCell;
use std::future::poll_fn;
use std::rc::Rc;
use std::task::{Context, Poll};

use super::exchange::{Destination, Ends, Exchange};
use crate::abi::types::Direction;
use crate::plugin::Needs;

/// An exchange from outside: what its plugins want to see, what they are told, and whether one of them ends it from a tick,
/// a call's answer or another stream's callback.
#[derive(Clone)]
pub struct Watch {
    exchange: Rc<RefCell<Exchange>>,
    needs: Needs,
}

impl Watch {
    pub(super) const fn new(exchange: Rc<RefCell<Exchange>>, needs: Needs) -> Self {
        Self { exchange, needs }
    }

    /// Tells plugins, by properties, where the request goes.
    pub fn set_destination(&self, destination: Rc<Destination>) {
        self.exchange.borrow_mut().destination = Some(destination);
    }

    /// Tells plugins, by properties, which endpoint the request went to.
    pub fn set_upstream(&self, upstream: Ends) {
        self.exchange.borrow_mut().upstream = Some(upstream);
    }

    /// Whether any plugin looks at request bodies; if not, they need not be passed through.
    pub fn wants_request_body(&self) -> bool {
        self.needs.request_body
    }

    /// Whether any plugin looks at request trailers.
    pub fn wants_request_trailers(&self) -> bool {
        self.needs.request_trailers || self.needs.request_body
    }

    /// Whether any plugin looks at response heads, or has something to add to this one.
    pub fn wants_response_headers(&self) -> bool {
        self.needs.response_headers
            || self.needs.response_head_later
            || self.needs.response_body
            || self.needs.response_trailers
            || !self.exchange.borrow().response_fields.is_empty()
    }

    /// The response's head is on its way past the plugins, of which none looks at it: a local response comes too late, and one
    /// that has come meanwhile breaks the response off.
    pub(crate) fn response_began(&self) {
        let mut exchange = self.exchange.borrow_mut();
        exchange.response_started = true;
        if exchange.local_response.take().is_some() {
            exchange.reset = true;
            exchange.wake();
        }
    }

    /// Whether any plugin looks at response bodies.
    pub fn wants_response_body(&self) -> bool {
        self.needs.response_body
    }

    /// Whether any plugin looks at response trailers.
    pub fn wants_response_trailers(&self) -> bool {
        self.needs.response_trailers || self.needs.response_body
    }

    /// Whether there was an occasion to look since the exchange began. Stays so.
    pub(crate) fn was_woken(&self) -> bool {
        self.exchange.borrow().woken
    }

    /// Wakes the task at the next occasion to look. There is one watcher of an exchange.
    pub fn register(&self, task: &Context<'_>) {
        let watcher = &mut self.exchange.borrow_mut().watcher;
        match watcher {
            Some(watcher) => watcher.clone_from(task.waker()),
            None => *watcher = Some(task.waker().clone()),
        }
    }

    /// Ends when there was an occasion to look since the last.
    pub async fn woken(&self) {
        poll_fn(|task| {
            if std::mem::take(&mut self.exchange.borrow_mut().woken) {
                return Poll::Ready(());
            }
            self.register(task);
            Poll::Pending
        })
        .await;
    }

    /// For who reads a body: whether plugins may have let go of some of it since the last time, without being asked. If
    /// not, the task is woken when they may.
    pub(crate) fn may_have_let_go(&self, direction: Direction, task: &Context<'_>) -> bool {
        self.exchange.borrow_mut().reader_woken(direction, task)
    }

    /// A plugin closed the stream.
    pub fn is_closed(&self) -> bool {
        self.exchange.borrow().reset
    }

    /// A plugin that must not be missing failed. Whether or not it is asked again, the exchange must not go on.
    pub fn has_failed(&self) -> bool {
        self.exchange.borrow().failed
    }
}
