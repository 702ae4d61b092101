//! Following the feeds: one long poll to each server, asked again as soon as it is answered.

use std::time::Duration;

use postern_access::config::Server;
use postern_access::denial::Unavailable;
use postern_access::policy::Need;
use postern_access::state::FeedError;

use crate::calls::{self, Call};
use crate::gate::Gate;

/// The long poll of one feed.
#[derive(Default)]
pub struct Poll {
    in_flight: bool,
    /// Failures in a row.
    failures: u32,
    /// Not before this time (Unix milliseconds).
    next_at: u64,
    configured: bool,
}

impl Poll {
    pub fn new(server: Option<&Server>) -> Self {
        Self {
            configured: server.is_some(),
            ..Self::default()
        }
    }

    /// Whether it must be asked again before long.
    pub fn retrying(&self) -> bool {
        self.configured && !self.in_flight
    }

    fn due(&self, now: u64) -> bool {
        self.retrying() && now >= self.next_at
    }

    fn answered(&mut self) {
        *self = Self {
            configured: self.configured,
            ..Self::default()
        };
    }

    /// Asks again after a pause that doubles from 50 ms to 2 s, so that a server coming back is found soon and a broken
    /// one is not flooded.
    fn failed(&mut self, now: u64) {
        let pause = 50u64.saturating_mul(1 << self.failures.min(6)).min(2000);
        self.in_flight = false;
        self.failures = self.failures.saturating_add(1);
        self.next_at = now.saturating_add(pause);
    }
}

/// Sends the polls that are due.
pub fn follow(gate: &mut Gate, now: u64) {
    let config = gate.policy.config();
    // A held poll must end well before the snapshot would count as stale.
    let wait = (config.max_stale.millis / 2000).clamp(1, LONGEST_WAIT);
    let timeout = Duration::from_secs(wait.saturating_add(10));
    let mut made = Vec::new();
    if let Some(server) = config.auth_server.as_ref().filter(|_| gate.token_poll.due(now)) {
        let path = feed_path("/feed/tokens", gate.state.token_version(), wait);
        let id = calls::get(
            &server.cluster,
            &server.authority,
            &path,
            gate.credentials.auth_server.as_deref(),
            timeout,
        );
        made.push((id, Call::TokenFeed));
    }
    if let Some(server) = config.login_service.as_ref().filter(|_| gate.permission_poll.due(now)) {
        let path = feed_path("/feed/permissions", gate.state.permission_version(), wait);
        let id = calls::get(
            &server.cluster,
            &server.authority,
            &path,
            gate.credentials.login_service.as_deref(),
            timeout,
        );
        made.push((id, Call::PermissionFeed));
    }
    for (id, call) in made {
        let poll = if matches!(call, Call::TokenFeed) {
            &mut gate.token_poll
        } else {
            &mut gate.permission_poll
        };
        match id {
            Some(id) => {
                poll.in_flight = true;
                gate.calls.insert(id, call);
            }
            None => poll.failed(now),
        }
    }
}

/// The longest time a server may hold a poll, in seconds.
const LONGEST_WAIT: u64 = 25;

fn feed_path(path: &str, version: Option<&str>, wait: u64) -> String {
    match version.filter(|version| !version.is_empty()) {
        Some(version) => format!("{path}?after={}&wait={wait}", calls::query_value(version)),
        None => format!("{path}?wait={wait}"),
    }
}

/// An answer of the token feed: status (`None`: no answer came) and body.
pub fn tokens_answered(gate: &mut Gate, status: Option<u16>, body: &[u8], now: u64) {
    let failed = match status {
        Some(200) => match gate.state.apply_tokens(body, now) {
            Ok(()) => {
                snapshot_came(gate, now);
                None
            }
            Err(error) => {
                gate.state.forget_token_version();
                Some(describe(&error))
            }
        },
        Some(304) => {
            gate.state.tokens_unchanged(now);
            None
        }
        status => Some(no_answer(status)),
    };
    settle(&mut gate.token_poll, "tokens", failed, now);
}

/// An answer of the permission feed, likewise.
pub fn permissions_answered(gate: &mut Gate, status: Option<u16>, body: &[u8], now: u64) {
    let failed = match status {
        Some(200) => match gate.state.apply_permissions(body, now) {
            Ok(refused) => {
                snapshot_came(gate, now);
                for error in refused {
                    log::warn!("a row of the permission table is left out, its path stays refused: {error}");
                }
                None
            }
            Err(error) => {
                gate.state.forget_permission_version();
                Some(describe(&error))
            }
        },
        Some(304) => {
            gate.state.permissions_unchanged(now);
            None
        }
        status => Some(no_answer(status)),
    };
    settle(&mut gate.permission_poll, "permissions", failed, now);
}

/// With the last of the first snapshots, those are decided about who waited for them.
fn snapshot_came(gate: &mut Gate, now: u64) {
    if gate.state.available(now) != Err(Unavailable::NoSnapshot) {
        gate.waiting.answered(&Need::Snapshots);
    }
}

fn settle(poll: &mut Poll, feed: &str, failed: Option<String>, now: u64) {
    match failed {
        None => poll.answered(),
        Some(why) => {
            // Once per outage, not once per attempt.
            if poll.failures == 0 {
                log::warn!("feed of {feed}: {why}; deciding on the last snapshot until max_stale, asking again");
            }
            poll.failed(now);
        }
    }
}

fn describe(error: &FeedError) -> String {
    error.to_string()
}

/// Why an answer that is not 200 says nothing.
pub fn no_answer(status: Option<u16>) -> String {
    match status {
        Some(401) => "the server refused our credentials".into(),
        Some(status) => format!("the server answered {status}"),
        None => "no answer".into(),
    }
}
