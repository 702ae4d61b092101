//! What follows a head is read while a plugin pauses at that head, and shown to it: `compat: spec`, as the specification
//! has it. In Envoy's way the body waits where it is.

use std::future::poll_fn;
use std::task::{Context, Poll};

use bytes::Bytes;

use super::PluginStream;
use super::chain::{Asked, Outcome, too_large};
use super::{Direction, Verdict};
use crate::abi::types::Action;

/// Polls for the next part of a body, with whether it is the last; `None` when there is nothing more to show.
pub type Reading<'a> = dyn FnMut(&mut Context<'_>) -> Poll<Option<(Bytes, bool)>> + 'a;

/// A part of a body that was read early and has passed some of the plugins.
#[derive(Debug)]
pub(super) struct Early {
    /// The first plugins, in the order of the direction, that have seen it.
    passed: usize,
    data: Bytes,
    last: bool,
}

enum Event {
    Settled(Outcome),
    Part(usize, Bytes, bool),
}

impl PluginStream {
    /// Waits while a plugin pauses at a head, and lets it see the body meanwhile. `place` counts plugins in the order of
    /// the direction.
    pub(super) async fn settle_reading(
        &mut self,
        place: usize,
        direction: Direction,
        reading: &mut Reading<'_>,
    ) -> Outcome {
        let index = self.leg_at(place, direction);
        let mut exhausted = false;
        let mut ended = false;
        loop {
            let event = poll_fn(|task| {
                if let Poll::Ready(outcome) = self.poll_settled(index, direction, Action::Pause, task) {
                    return Poll::Ready(Event::Settled(outcome));
                }
                if ended {
                    return Poll::Pending;
                }
                if let Some(Early { passed, data, last }) = self.early.take() {
                    return Poll::Ready(Event::Part(passed, data, last));
                }
                if exhausted {
                    return Poll::Pending;
                }
                match reading(task) {
                    Poll::Ready(Some((data, last))) => Poll::Ready(Event::Part(0, data, last)),
                    Poll::Ready(None) => {
                        exhausted = true;
                        Poll::Pending
                    }
                    Poll::Pending => Poll::Pending,
                }
            })
            .await;
            let (passed, mut data, last) = match event {
                Event::Settled(Outcome::Continue) => break,
                Event::Settled(outcome) => return outcome,
                Event::Part(passed, data, last) => (passed, data, last),
            };
            if passed == 0 {
                self.count_body(direction, data.len(), last);
            }
            for before in passed..place {
                let before = self.leg_at(before, direction);
                match self.body_through(before, direction, data, last).await {
                    Verdict::Continue(let_go) => data = let_go,
                    Verdict::Respond(response) => return Outcome::Respond(response),
                    Verdict::Fail => return Outcome::Fail,
                }
            }
            ended = last;
            if data.is_empty() && !last {
                continue;
            }
            self.keep_holding(index, direction, data);
            let action = match self.ask(index, direction, |instance, context| {
                instance.body(context, direction, last)
            }) {
                Asked::Action(action) => action,
                Asked::Nothing => Action::Continue,
                Asked::Fail => return Outcome::Fail,
            };
            if action == Action::Continue {
                // As after any other callback: a local response wins.
                match self.settle(index, direction, Action::Continue).await {
                    Outcome::Continue => break,
                    outcome => return outcome,
                }
            }
            if self.held(index, direction) > self.most_held(index) {
                return Outcome::Respond(too_large(direction));
            }
        }
        self.end_adding_trailers();
        let data = self.release(index, direction);
        if ended || !data.is_empty() {
            self.early = Some(Early {
                passed: place + 1,
                data,
                last: ended,
            });
        }
        Outcome::Continue
    }

    /// Whether some of the body was read while a plugin paused at the head: it comes first.
    pub fn has_read_early(&self) -> bool {
        self.early.is_some()
    }

    /// Passes what was read early through the plugins that have not seen it; with whether it is the whole rest.
    pub async fn early_request_body(&mut self) -> (Verdict<Bytes>, bool) {
        if self.answered {
            return (Verdict::Fail, false);
        }
        let (verdict, last) = self.early_body(Direction::Request).await;
        (self.answered(verdict).await, last)
    }

    /// The same for a response.
    pub async fn early_response_body(&mut self) -> (Verdict<Bytes>, bool) {
        self.early_body(Direction::Response).await
    }

    async fn early_body(&mut self, direction: Direction) -> (Verdict<Bytes>, bool) {
        let Some(Early { passed, data, last }) = self.early.take() else {
            return (Verdict::Continue(Bytes::new()), false);
        };
        let order: Vec<usize> = (passed..self.legs.len())
            .map(|place| self.leg_at(place, direction))
            .collect();
        {
            let mut exchange = self.exchange.borrow_mut();
            match direction {
                Direction::Request => exchange.request.trailers_addable = last,
                Direction::Response => exchange.response.trailers_addable = last,
            }
        }
        let verdict = self.body(order.into_iter(), direction, data, last).await;
        self.end_adding_trailers();
        (verdict, last)
    }

    /// Trailers are added to the last bytes of a body, while they pass.
    fn end_adding_trailers(&self) {
        let mut exchange = self.exchange.borrow_mut();
        exchange.request.trailers_addable = false;
        exchange.response.trailers_addable = false;
    }

    /// Requests pass the plugins in order, responses in reverse.
    pub(super) fn leg_at(&self, place: usize, direction: Direction) -> usize {
        match direction {
            Direction::Request => place,
            Direction::Response => self.legs.len() - 1 - place,
        }
    }

    fn count_body(&mut self, direction: Direction, size: usize, last: bool) {
        let mut exchange = self.exchange.borrow_mut();
        match direction {
            Direction::Request => {
                exchange.request.body_bytes += size as u64;
                exchange.request.ended = last;
                exchange.request.trailers_addable = last;
            }
            Direction::Response => {
                exchange.response.body_bytes += size as u64;
                exchange.response.ended = last;
                exchange.response.trailers_addable = last;
            }
        }
    }
}
