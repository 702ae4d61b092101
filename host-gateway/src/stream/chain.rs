//! One plugin's part in an exchange: opening its context, calling it, and waiting while it pauses.

use std::future::poll_fn;
use std::rc::Rc;
use std::task::{Context, Poll};

use bytes::{Bytes, BytesMut};
use http::{HeaderMap, StatusCode};

use super::body::BodyBuffer;
use super::exchange::LocalResponse;
use super::reading::Reading;
use super::{PluginStream, Verdict};
use crate::abi::contexts::{Flow, StreamContext};
use crate::abi::types::{Action, Direction};
use crate::plugin::guest::{Guest, Poisoned};
use crate::plugin::{Compat, FailurePolicy};
use crate::vm::instance::{GuestFailure, Instance};

/// One plugin's part in an exchange.
pub(super) enum Leg {
    /// No callback has been due yet.
    Unopened,
    Open {
        guest: Rc<Guest>,
        context: Rc<StreamContext>,
    },
    /// The plugin does not take part any more: it failed and its policy is `open`. The context may hold body bytes.
    Skipped(Option<Rc<StreamContext>>),
    /// The plugin failed, and the exchange with it.
    Failed,
}

/// What one plugin decided.
pub(super) enum Outcome {
    Continue,
    Respond(LocalResponse),
    Fail,
}

/// What a leg is asked.
pub(super) enum Asked {
    Action(Action),
    /// The leg does not take part.
    Nothing,
    Fail,
}

impl PluginStream {
    /// A head passes one plugin.
    pub(super) async fn headers(
        &mut self,
        place: usize,
        direction: Direction,
        end_of_stream: bool,
        reading: &mut Reading<'_>,
    ) -> Outcome {
        let index = self.leg_at(place, direction);
        let callbacks = self.plugins.seats[index].module.guest.callbacks;
        // The request's head opens the context even if only later callbacks are exported.
        let wanted = match direction {
            Direction::Request => callbacks.any(),
            Direction::Response => callbacks.response_headers,
        };
        if !wanted {
            return self.settle(index, direction, Action::Continue).await;
        }
        match self.ask(index, direction, |instance, context| {
            instance.headers(context, direction, end_of_stream)
        }) {
            Asked::Action(Action::Pause) if !end_of_stream && self.reads_on(index, direction) => {
                self.settle_reading(place, direction, reading).await
            }
            Asked::Action(action) => self.settle(index, direction, action).await,
            Asked::Nothing => Outcome::Continue,
            Asked::Fail => Outcome::Fail,
        }
    }

    /// Whether a plugin sees the body while it pauses at the head.
    fn reads_on(&self, index: usize, direction: Direction) -> bool {
        let module = &self.plugins.seats[index].module;
        let wanted = match direction {
            Direction::Request => module.guest.callbacks.request_body,
            Direction::Response => module.guest.callbacks.response_body,
        };
        wanted && module.identity.compat == Compat::Spec
    }

    /// A part of a body passes the plugins in `order`.
    pub(super) async fn body(
        &mut self,
        order: impl Iterator<Item = usize>,
        direction: Direction,
        mut data: Bytes,
        end_of_stream: bool,
    ) -> Verdict<Bytes> {
        for index in order {
            match self.body_through(index, direction, data, end_of_stream).await {
                Verdict::Continue(passed) => data = passed,
                ended => return ended,
            }
            if data.is_empty() && !end_of_stream {
                break;
            }
        }
        Verdict::Continue(data)
    }

    pub(super) async fn body_through(
        &mut self,
        index: usize,
        direction: Direction,
        data: Bytes,
        end_of_stream: bool,
    ) -> Verdict<Bytes> {
        let callbacks = self.plugins.seats[index].module.guest.callbacks;
        let wanted = match direction {
            Direction::Request => callbacks.request_body,
            Direction::Response => callbacks.response_body,
        };
        if wanted
            && direction == Direction::Request
            && matches!(self.legs[index], Leg::Unopened)
            && let Asked::Fail = self.ask(index, direction, |_, _| Ok(Action::Continue))
        {
            return Verdict::Fail;
        }
        if !wanted || !self.takes_part(index) {
            return match self.settle(index, direction, Action::Continue).await {
                Outcome::Continue => Verdict::Continue(joined(self.release(index, direction), data)),
                Outcome::Respond(response) => Verdict::Respond(response),
                Outcome::Fail => Verdict::Fail,
            };
        }
        if data.is_empty() && !end_of_stream {
            return Verdict::Continue(data);
        }
        let released = self.hold(index, direction, data);
        let mut action = match self.ask(index, direction, |instance, context| {
            instance.body(context, direction, end_of_stream)
        }) {
            Asked::Action(action) => action,
            Asked::Nothing => Action::Continue,
            Asked::Fail => return Verdict::Fail,
        };
        let mut holding = false;
        if action == Action::Pause && !self.resumed(index, direction) {
            if self.held(index, direction) > self.most_held(index) {
                return Verdict::Respond(too_large(direction));
            }
            // Before the end there is more to read. At the end there is nothing left but to wait.
            if !end_of_stream {
                holding = true;
                action = Action::Continue;
            }
        }
        match self.settle(index, direction, action).await {
            Outcome::Continue if holding && self.takes_part(index) => {
                self.flow(index, direction, |flow| flow.holding = true);
                Verdict::Continue(released)
            }
            Outcome::Continue => Verdict::Continue(joined(released, self.release(index, direction))),
            Outcome::Respond(response) => Verdict::Respond(response),
            Outcome::Fail => Verdict::Fail,
        }
    }

    /// What plugins held back between two parts of a body, and have let go of since, passes the plugins that follow.
    pub(super) async fn let_go(&mut self, order: impl Iterator<Item = usize>, direction: Direction) -> Verdict<Bytes> {
        match self.interrupted() {
            Outcome::Continue => {}
            Outcome::Respond(response) => return Verdict::Respond(response),
            Outcome::Fail => return Verdict::Fail,
        }
        let mut carried = Bytes::new();
        for index in order {
            if carried.is_empty() {
                if self.lets_go(index, direction) {
                    carried = self.release(index, direction);
                }
                continue;
            }
            match self.body_through(index, direction, carried, false).await {
                Verdict::Continue(passed) => carried = passed,
                ended => return ended,
            }
        }
        Verdict::Continue(carried)
    }

    /// Whether a plugin holds bytes back that it does not want to hold, or cannot any more.
    fn lets_go(&self, index: usize, direction: Direction) -> bool {
        let takes_part = self.takes_part(index);
        self.flow(index, direction, |flow| flow.holding && (flow.resumed || !takes_part))
            .unwrap_or(false)
    }

    /// Trailers pass the plugins in `order`. Each lets go of the body it held, which passes the following plugins before
    /// the trailers do.
    pub(super) async fn trailers(
        &mut self,
        order: impl Iterator<Item = usize>,
        direction: Direction,
    ) -> Verdict<HeaderMap> {
        let mut carried = Bytes::new();
        for index in order {
            if !carried.is_empty() {
                match self.body_through(index, direction, carried, false).await {
                    Verdict::Continue(passed) => carried = passed,
                    Verdict::Respond(response) => return Verdict::Respond(response),
                    Verdict::Fail => return Verdict::Fail,
                }
            }
            let callbacks = self.plugins.seats[index].module.guest.callbacks;
            let wanted = match direction {
                Direction::Request => callbacks.request_trailers,
                Direction::Response => callbacks.response_trailers,
            };
            let outcome = if wanted {
                match self.ask(index, direction, |instance, context| {
                    instance.trailers(context, direction)
                }) {
                    Asked::Action(action) => self.settle(index, direction, action).await,
                    Asked::Nothing => Outcome::Continue,
                    Asked::Fail => Outcome::Fail,
                }
            } else {
                self.settle(index, direction, Action::Continue).await
            };
            match outcome {
                Outcome::Continue => {}
                Outcome::Respond(response) => return Verdict::Respond(response),
                Outcome::Fail => return Verdict::Fail,
            }
            carried = joined(carried, self.release(index, direction));
        }
        let mut exchange = self.exchange.borrow_mut();
        let (trailers, live, released) = match direction {
            Direction::Request => {
                let half = &mut exchange.request;
                (&half.trailers, &mut half.trailers_live, &mut half.released)
            }
            Direction::Response => {
                let half = &mut exchange.response;
                (&half.trailers, &mut half.trailers_live, &mut half.released)
            }
        };
        *released = carried;
        *live = false;
        Verdict::Continue(trailers.clone().unwrap_or_default())
    }

    /// Calls the guest. The first call in the direction of the request opens its context.
    pub(super) fn ask(
        &mut self,
        index: usize,
        direction: Direction,
        callback: impl FnOnce(&mut Instance, &Rc<StreamContext>) -> Result<Action, GuestFailure>,
    ) -> Asked {
        let exchange = &self.exchange;
        let answer = match &self.legs[index] {
            Leg::Open { guest, context } => {
                context.flow(direction, |flow| flow.resumed = false);
                guest.run(|instance| callback(instance, context))
            }
            // It has not seen the request: one before it has answered. As in Envoy it does not see the answer either.
            Leg::Unopened if direction == Direction::Response => return Asked::Nothing,
            Leg::Unopened => match self.plugins.seats[index].slot.guest() {
                None => Err(Poisoned),
                Some(guest) => {
                    let root = self.plugins.seats[index].root;
                    let opened = guest.run(|instance| {
                        let context = instance.open(root, exchange)?;
                        let action = callback(instance, &context)?;
                        Ok((context, action))
                    });
                    opened.map(|(context, action)| {
                        self.legs[index] = Leg::Open { guest, context };
                        action
                    })
                }
            },
            Leg::Skipped(_) => return Asked::Nothing,
            Leg::Failed => return Asked::Fail,
        };
        match answer {
            Ok(action) => Asked::Action(action),
            Err(Poisoned) => self.lose(index),
        }
    }

    /// The plugin failed: its policy decides.
    pub(super) fn lose(&mut self, index: usize) -> Asked {
        self.plugins.seats[index].stats.failed_streams.add(1);
        match self.policy(index) {
            FailurePolicy::Closed | FailurePolicy::Reload => {
                self.legs[index] = Leg::Failed;
                Asked::Fail
            }
            FailurePolicy::Open => {
                self.legs[index] = match std::mem::replace(&mut self.legs[index], Leg::Skipped(None)) {
                    Leg::Open { context, .. } => Leg::Skipped(Some(context)),
                    _ => Leg::Skipped(None),
                };
                Asked::Nothing
            }
        }
    }

    /// Waits until one plugin lets the exchange go on, or somebody ends it. Plugins that are not asked now may end it
    /// as well: by a local response from a tick or a call's answer, or by failing.
    pub(super) async fn settle(&mut self, index: usize, direction: Direction, action: Action) -> Outcome {
        poll_fn(|task| self.poll_settled(index, direction, action, task)).await
    }

    pub(super) fn poll_settled(
        &mut self,
        index: usize,
        direction: Direction,
        action: Action,
        task: &Context<'_>,
    ) -> Poll<Outcome> {
        match self.interrupted() {
            Outcome::Continue => {}
            ended => return Poll::Ready(ended),
        }
        if matches!(self.legs[index], Leg::Failed) {
            return Poll::Ready(Outcome::Fail);
        }
        if action == Action::Continue || !self.takes_part(index) || self.resumed(index, direction) {
            return Poll::Ready(Outcome::Continue);
        }
        self.exchange.borrow_mut().waker = Some(task.waker().clone());
        Poll::Pending
    }

    /// Whether somebody ended the exchange, asked or not.
    pub(super) fn interrupted(&mut self) -> Outcome {
        for leg in 0..self.legs.len() {
            let failed = match &self.legs[leg] {
                Leg::Open { context, .. } => context.failed() && matches!(self.lose(leg), Asked::Fail),
                Leg::Failed => true,
                Leg::Unopened | Leg::Skipped(_) => false,
            };
            if failed {
                return Outcome::Fail;
            }
        }
        let mut exchange = self.exchange.borrow_mut();
        if exchange.reset {
            return Outcome::Fail;
        }
        match exchange.local_response.take() {
            Some(response) => Outcome::Respond(response),
            None => Outcome::Continue,
        }
    }

    fn takes_part(&self, index: usize) -> bool {
        matches!(self.legs[index], Leg::Open { .. })
    }

    /// Adds to what the plugin sees of a body. Returns what it held back and has let go of since.
    fn hold(&self, index: usize, direction: Direction, data: Bytes) -> Bytes {
        let held = self.flow(index, direction, |flow| {
            if flow.holding && !flow.resumed {
                match &mut flow.body {
                    Some(body) => body.append(&data),
                    None => flow.body = Some(data.into()),
                }
                return None;
            }
            flow.holding = false;
            flow.body.replace(data.into())
        });
        held.flatten().map(BodyBuffer::into_bytes).unwrap_or_default()
    }

    /// Adds to what the plugin holds back, whatever it asked for meanwhile.
    pub(super) fn keep_holding(&self, index: usize, direction: Direction, data: Bytes) {
        self.flow(index, direction, |flow| match &mut flow.body {
            Some(body) => body.append(&data),
            None => flow.body = Some(data.into()),
        });
    }

    /// Takes what the plugin has seen of a body, to pass it on.
    pub(super) fn release(&self, index: usize, direction: Direction) -> Bytes {
        let body = self.flow(index, direction, |flow| {
            flow.holding = false;
            flow.body.take()
        });
        body.flatten().map(BodyBuffer::into_bytes).unwrap_or_default()
    }

    pub(super) fn held(&self, index: usize, direction: Direction) -> usize {
        self.flow(index, direction, |flow| flow.body.as_ref().map_or(0, BodyBuffer::len))
            .unwrap_or(0)
    }

    pub(super) fn most_held(&self, index: usize) -> usize {
        usize::try_from(self.plugins.seats[index].module.limits.body.0).unwrap_or(usize::MAX)
    }

    fn resumed(&self, index: usize, direction: Direction) -> bool {
        self.flow(index, direction, |flow| flow.resumed).unwrap_or(false)
    }

    fn flow<R>(&self, index: usize, direction: Direction, act: impl FnOnce(&mut Flow) -> R) -> Option<R> {
        match &self.legs[index] {
            Leg::Open { context, .. } | Leg::Skipped(Some(context)) => Some(context.flow(direction, act)),
            Leg::Unopened | Leg::Skipped(None) | Leg::Failed => None,
        }
    }
}

fn joined(first: Bytes, second: Bytes) -> Bytes {
    match (first.is_empty(), second.is_empty()) {
        (true, _) => second,
        (_, true) => first,
        (false, false) => {
            let mut both = BytesMut::with_capacity(first.len() + second.len());
            both.extend_from_slice(&first);
            both.extend_from_slice(&second);
            both.freeze()
        }
    }
}

/// A plugin may hold back so much of a body and no more.
pub(super) fn too_large(direction: Direction) -> LocalResponse {
    let status = match direction {
        Direction::Request => StatusCode::PAYLOAD_TOO_LARGE,
        Direction::Response => StatusCode::INTERNAL_SERVER_ERROR,
    };
    LocalResponse {
        status,
        headers: HeaderMap::new(),
        body: Bytes::new(),
        details: "plugin_holds_too_much".to_owned(),
        breaks_off: false,
    }
}
