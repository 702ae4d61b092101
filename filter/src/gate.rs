//! What the root context and the stream contexts of a VM share.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::Duration;

use postern_access::policy::{Need, Policy};
use postern_access::shared_answers::Slots;
use postern_access::state::State;
use postern_access::waiting::{Stream, Waiting};
use proxy_wasm::hostcalls;

use crate::calls::{Call, Credentials};
use crate::feeds::Poll;
use crate::keys::Fetches;
use crate::metrics::Metrics;

/// Shared within the one thread of a VM.
pub type Shared = Rc<RefCell<Gate>>;

/// Policy and state, the calls under way, and the streams that wait for one of them.
pub struct Gate {
    pub policy: Policy,
    pub state: State,
    pub credentials: Credentials,
    pub token_poll: Poll,
    pub permission_poll: Poll,
    /// The calls under way, by the host's call id.
    pub calls: BTreeMap<u32, Call>,
    /// The paused streams.
    pub waiting: Waiting,
    /// Users to look up; the root context makes the calls, as an answer must outlive the stream that asked first.
    pub wanted: Vec<String>,
    /// The auth server did not answer the last question about a token.
    pub introspection_failing: bool,
    /// Where the VMs of this host share what they are told of opaque tokens; `None`: the host keeps nothing for all.
    pub answers: Option<Slots>,
    /// How it goes with the keys of each issuer of the configuration.
    pub keys: Vec<Fetches>,
    pub metrics: Metrics,
    /// The tick period that the host was told last, in milliseconds.
    pub tick: u64,
    /// When expired entries were dropped the last time; 0: the first tick is still to come.
    pub swept_at: u64,
}

impl Gate {
    /// Notes that a stream waits, and sees to it that what it waits for is asked for soon.
    pub fn wait(&mut self, need: Need, stream: Stream) {
        self.want(&need);
        self.waiting.put(need, stream);
    }

    /// Sees to it that this is asked for soon.
    pub fn want(&mut self, need: &Need) {
        match need {
            Need::Authorities(user) => {
                let asked = self.wanted.contains(user)
                    || self
                        .calls
                        .values()
                        .any(|call| matches!(call, Call::Authorities { user: asked, .. } if asked == user));
                if !asked {
                    self.wanted.push(user.clone());
                }
            }
            Need::Introspection(token) => self.state.want_introspection(token),
            // The next tick looks whether keys are due.
            Need::Keys(_) | Need::Snapshots | Need::ClientCertificate => {}
        }
    }

    /// How soon the root context must run again, in milliseconds.
    pub fn next_tick(&self) -> u64 {
        if self.swept_at == 0
            || self.waiting.in_arrears()
            || !self.wanted.is_empty()
            || self.state.introspections_wanted()
        {
            SOON
        } else if self.state.introspections_put_off() {
            AGAIN
        } else if !self.waiting.is_empty() || self.token_poll.retrying() || self.permission_poll.retrying() {
            OFTEN
        } else {
            IDLE
        }
    }

    /// Tells the host the tick period, if it changed.
    pub fn set_tick(&mut self) {
        let tick = self.next_tick();
        if tick != self.tick && hostcalls::set_tick_period(Duration::from_millis(tick)).is_ok() {
            self.tick = tick;
        }
    }
}

/// A call must be made that a stream asked for, or it is a waiting stream's turn.
const SOON: u64 = 1;
/// Another VM has the answer soon.
pub const AGAIN: u64 = 4;
/// Streams wait, or a feed must be asked again.
const OFTEN: u64 = 20;
/// Nothing to do but housekeeping.
const IDLE: u64 = 1000;
