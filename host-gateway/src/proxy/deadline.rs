//! The time limit of the exchanges of one connection.

use std::cell::{Cell, RefCell};
use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::task::{Poll, ready};
use std::time::Duration;

use tokio::time::{Instant, Sleep};

/// One timer for all exchanges of a connection. It stays registered between them: pushing an existing timer back takes
/// no lock and no allocation, and one that goes off in vain costs a wake-up every fifteen seconds.
pub struct Deadline {
    timer: RefCell<Pin<Box<Sleep>>>,
    progress: Cell<bool>,
}

impl Deadline {
    pub fn new() -> Self {
        Self {
            timer: RefCell::new(Box::pin(tokio::time::sleep(Duration::ZERO))),
            progress: Cell::new(false),
        }
    }

    /// Another part of the request has gone upstream: the limit counts from here.
    pub fn progressed(&self) {
        self.progress.set(true);
    }

    /// The future's result, or `None` when there was no progress for longer than the limit.
    pub async fn limit<F: Future>(&self, limit: Option<Duration>, future: F) -> Option<F::Output> {
        let mut future = pin!(future);
        let mut running = false;
        self.progress.set(false);
        poll_fn(|context| {
            if let Poll::Ready(output) = future.as_mut().poll(context) {
                return Poll::Ready(Some(output));
            }
            let Some(limit) = limit else { return Poll::Pending };
            let mut timer = self.timer.borrow_mut();
            if !running {
                running = true;
                timer.as_mut().reset(Instant::now() + limit);
            }
            loop {
                ready!(timer.as_mut().poll(context));
                if !self.progress.take() {
                    return Poll::Ready(None);
                }
                timer.as_mut().reset(Instant::now() + limit);
            }
        })
        .await
    }
}
