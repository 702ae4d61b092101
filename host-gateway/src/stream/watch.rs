//! Looking at an exchange from outside, while the plugins are not asked anything.

use std::cell::RefCell;
use std::future::poll_fn;
use std::rc::Rc;
use std::task::{Context, Poll};

use super::exchange::Exchange;
use crate::abi::types::Direction;

/// Hears when a plugin ends an exchange from a tick, a call's answer or another stream's callback.
#[derive(Clone)]
pub struct Watch(Rc<RefCell<Exchange>>);

impl Watch {
    pub(super) const fn new(exchange: Rc<RefCell<Exchange>>) -> Self {
        Self(exchange)
    }

    /// Wakes the task at the next occasion to look. There is one watcher of an exchange.
    pub fn register(&self, task: &Context<'_>) {
        let watcher = &mut self.0.borrow_mut().watcher;
        match watcher {
            Some(watcher) => watcher.clone_from(task.waker()),
            None => *watcher = Some(task.waker().clone()),
        }
    }

    /// Ends when there was an occasion to look since the last.
    pub async fn woken(&self) {
        poll_fn(|task| {
            if std::mem::take(&mut self.0.borrow_mut().woken) {
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
        self.0.borrow_mut().reader_woken(direction, task)
    }

    /// A plugin closed the stream.
    pub fn is_closed(&self) -> bool {
        self.0.borrow().reset
    }

    /// A plugin that must not be missing failed. Whether or not it is asked again, the exchange must not go on.
    pub fn has_failed(&self) -> bool {
        self.0.borrow().failed
    }
}
