//! A TCP connection as plugins see it: what the client sends passes them in order, what the upstream sends in reverse.

use std::cell::RefCell;
use std::rc::Rc;

use bytes::{Bytes, BytesMut};

use super::Watch;
use super::body::BodyBuffer;
use super::exchange::{Connection, Exchange};
use crate::abi::contexts::StreamContext;
use crate::abi::types::{Action, Direction};
use crate::plugin::guest::Guest;
use crate::plugin::{FailurePolicy, Plugins};

/// What Envoy's TCP proxy asks for the name of the cluster.
const CLUSTER: &[u8] = b"envoy.tcp_proxy.cluster";

/// A plugin ended the connection: it closed it, failed, or held back too much.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ended;

/// Bytes that passed all plugins, and whether they are the last.
pub type Passed = (Bytes, bool);

/// Who closed a side of the connection, as `proxy_peer_type_t` counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Closer {
    /// The gateway.
    Local = 1,
    /// The other end.
    Remote = 2,
}

/// The client's side, or the upstream's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    Client,
    Upstream,
}

impl Side {
    const fn direction(self) -> Direction {
        match self {
            Self::Client => Direction::Request,
            Self::Upstream => Direction::Response,
        }
    }
}

/// One connection in the hands of the plugins. Dropping it ends its contexts.
pub struct PluginConnection {
    plugins: Rc<Plugins>,
    exchange: Rc<RefCell<Exchange>>,
    /// One per plugin; `None` never took part.
    legs: Vec<Option<Leg>>,
}

struct Leg {
    guest: Rc<Guest>,
    context: Rc<StreamContext>,
    opening: Opening,
    /// The end of each direction is held back with its last bytes.
    held_end: [bool; 2],
    /// The plugin failed and its policy is `open`: what it held goes on without it.
    lost: bool,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Opening {
    NotAsked,
    /// `proxy_on_new_connection` paused.
    Paused,
    Open,
}

impl PluginConnection {
    pub(crate) fn new(plugins: Rc<Plugins>, connection: Rc<Connection>) -> Result<Self, Ended> {
        let exchange = Rc::new(RefCell::new(Exchange::of_tcp(connection)));
        let mut this = Self {
            legs: plugins.seats.iter().map(|_| None).collect(),
            plugins,
            exchange,
        };
        for index in 0..this.legs.len() {
            this.join(index)?;
        }
        Ok(this)
    }

    /// Hears when a plugin goes on or ends the connection without being asked.
    pub fn watch(&self) -> Watch {
        Watch::new(Rc::clone(&self.exchange), self.plugins.needs)
    }

    /// The cluster a plugin chose, as filter state `envoy.tcp_proxy.cluster`.
    pub fn cluster(&self) -> Option<String> {
        let chosen = self.exchange.borrow().filter_state(CLUSTER)?;
        String::from_utf8(chosen).ok()
    }

    /// Tells plugins, by properties, where the connection goes, and to which endpoint, once there is one.
    pub fn set_destination(&mut self, destination: Rc<super::Destination>, upstream: Option<super::Ends>) {
        let mut exchange = self.exchange.borrow_mut();
        (exchange.destination, exchange.upstream) = (Some(destination), upstream);
    }

    /// Whether every plugin has let the connection begin.
    pub fn is_open(&self) -> bool {
        self.legs.iter().flatten().all(|leg| leg.opening == Opening::Open)
    }

    /// Shows bytes of one side to the plugins, or, without any, only asks those that have not seen the connection yet.
    pub fn data(&mut self, side: Side, data: Bytes, end: bool) -> Result<Passed, Ended> {
        self.advance(side, 0, data, end)
    }

    /// What plugins have let go of since, to be asked after the watch has woken.
    pub fn resumed(&mut self, side: Side) -> Result<Passed, Ended> {
        self.check()?;
        let (mut all, mut ended) = (BytesMut::new(), false);
        // What the last plugins hold came first.
        for position in (0..self.legs.len()).rev() {
            let index = self.index(side, position);
            let Some(leg) = &mut self.legs[index] else { continue };
            let direction = side.direction();
            if !leg.context.flow(direction, |flow| std::mem::take(&mut flow.resumed)) && !leg.lost {
                continue;
            }
            if side == Side::Client && leg.opening == Opening::Paused {
                leg.opening = Opening::Open;
            }
            let (data, end) = leg.take(direction);
            let (data, end) = self.advance(side, position + 1, data, end)?;
            all.extend_from_slice(&data);
            ended |= end;
        }
        Ok((all.freeze(), ended))
    }

    /// `proxy_on_downstream_connection_close` or `proxy_on_upstream_connection_close`.
    pub fn closed(&mut self, side: Side, closer: Closer) {
        for index in 0..self.legs.len() {
            if let Some(leg) = self.legs[index].as_ref().filter(|leg| !leg.lost) {
                let (direction, context) = (side.direction(), &leg.context);
                // The connection ends anyway.
                let _ = leg
                    .guest
                    .run(|instance| instance.connection_close(context, direction, closer as u32));
            }
        }
    }

    /// Opens the context of one plugin, unless the plugin has nothing to do with connections.
    fn join(&mut self, index: usize) -> Result<(), Ended> {
        let seat = &self.plugins.seats[index];
        if !seat.module.guest.callbacks.tcp {
            return Ok(());
        }
        let exchange = &self.exchange;
        let opened = seat
            .slot
            .guest()
            .and_then(|guest| Some((guest.run(|instance| instance.open(seat.root, exchange)).ok()?, guest)));
        match opened {
            Some((context, guest)) => {
                self.legs[index] = Some(Leg {
                    guest,
                    context,
                    opening: Opening::NotAsked,
                    held_end: [false; 2],
                    lost: false,
                });
                Ok(())
            }
            None => self.lose(index),
        }
    }

    fn advance(&mut self, side: Side, from: usize, mut data: Bytes, mut end: bool) -> Result<Passed, Ended> {
        for position in from..self.legs.len() {
            let index = self.index(side, position);
            if side == Side::Client && !self.may_begin(index, &data, end)? {
                self.hold(index, side, data, end)?;
                return Ok((Bytes::new(), false));
            }
            if data.is_empty() && !end {
                continue;
            }
            match self.pass(index, side, data, end)? {
                Some(passed) => (data, end) = passed,
                None => return Ok((Bytes::new(), false)),
            }
        }
        Ok((data, end))
    }

    /// Calls `proxy_on_new_connection` where that has not happened. A plugin that paused there is asked again when there
    /// is data, as in Envoy.
    fn may_begin(&mut self, index: usize, data: &Bytes, end: bool) -> Result<bool, Ended> {
        let Some(leg) = &mut self.legs[index] else {
            return Ok(true);
        };
        if leg.opening == Opening::NotAsked {
            let context = &leg.context;
            let action = leg.guest.run(|instance| instance.new_connection(context));
            let resumed = context.flow(Direction::Request, |flow| std::mem::take(&mut flow.resumed));
            leg.opening = match action {
                Ok(Action::Pause) if !resumed => Opening::Paused,
                Ok(_) => Opening::Open,
                Err(_) => {
                    self.lose(index)?;
                    return Ok(true);
                }
            };
            self.check()?;
        }
        let opening = self.legs[index].as_ref().map_or(Opening::Open, |leg| leg.opening);
        Ok(opening == Opening::Open || !data.is_empty() || end)
    }

    /// `proxy_on_downstream_data` or `proxy_on_upstream_data` with all that is held. `None`: the plugin keeps it.
    fn pass(&mut self, index: usize, side: Side, data: Bytes, end: bool) -> Result<Option<Passed>, Ended> {
        self.hold(index, side, data.clone(), end)?;
        let direction = side.direction();
        let Some(leg) = &mut self.legs[index] else {
            return Ok(Some((data, end)));
        };
        let context = Rc::clone(&leg.context);
        context.flow(direction, |flow| flow.resumed = false);
        if leg.lost {
            return Ok(Some(leg.take(direction)));
        }
        let end = leg.held_end[direction as usize];
        let action = leg.guest.run(|instance| instance.data(&context, direction, end));
        let resumed = context.flow(direction, |flow| std::mem::take(&mut flow.resumed));
        let passed = match action {
            Ok(Action::Pause) if !resumed => None,
            Ok(_) => {
                leg.opening = Opening::Open;
                Some(leg.take(direction))
            }
            Err(_) => {
                let held = leg.take(direction);
                self.lose(index)?;
                Some(held)
            }
        };
        self.check()?;
        Ok(passed)
    }

    fn hold(&mut self, index: usize, side: Side, data: Bytes, end: bool) -> Result<(), Ended> {
        let direction = side.direction();
        let Some(leg) = &mut self.legs[index] else {
            return Ok(());
        };
        leg.held_end[direction as usize] |= end;
        let lost = leg.lost;
        let held = leg.context.flow(direction, |flow| match &mut flow.body {
            Some(body) => {
                body.append(&data);
                body.len()
            }
            none => none.insert(data.into()).len(),
        });
        let most = usize::try_from(self.plugins.seats[index].module.limits.body.0).unwrap_or(usize::MAX);
        if held > most && !lost { Err(Ended) } else { Ok(()) }
    }

    /// Whether somebody ended the connection, asked or not.
    fn check(&mut self) -> Result<(), Ended> {
        for index in 0..self.legs.len() {
            if self.legs[index]
                .as_ref()
                .is_some_and(|leg| !leg.lost && leg.context.failed())
            {
                self.lose(index)?;
            }
        }
        if self.exchange.borrow().reset {
            Err(Ended)
        } else {
            Ok(())
        }
    }

    /// The plugin failed: its policy decides.
    fn lose(&mut self, index: usize) -> Result<(), Ended> {
        if self.plugins.seats[index].policy() != FailurePolicy::Open {
            return Err(Ended);
        }
        if let Some(leg) = &mut self.legs[index] {
            leg.lost = true;
            leg.opening = Opening::Open;
            // What it holds, in either direction, goes on with the next look: see `resumed`.
            self.exchange.borrow_mut().wake();
        }
        Ok(())
    }

    fn index(&self, side: Side, position: usize) -> usize {
        match side {
            Side::Client => position,
            Side::Upstream => self.legs.len() - 1 - position,
        }
    }
}

impl Leg {
    fn take(&mut self, direction: Direction) -> Passed {
        let held = self.context.flow(direction, |flow| flow.body.take());
        let end = std::mem::take(&mut self.held_end[direction as usize]);
        (held.map(BodyBuffer::into_bytes).unwrap_or_default(), end)
    }
}

impl Drop for PluginConnection {
    fn drop(&mut self) {
        self.exchange.borrow_mut().over = true;
        for Leg {
            guest, context, lost, ..
        } in self.legs.iter().flatten()
        {
            if !lost && !context.failed() {
                // A failure has been dealt with by `run`: nobody waits for this connection any more.
                let _ = guest.close(context);
            }
        }
    }
}
