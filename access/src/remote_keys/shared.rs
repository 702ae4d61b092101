//! One fetch for all VMs of a host: what becomes of a fetch that is due here while another VM makes one, or has made it.

use serde_json::json;

use super::{Arrived, LEAST_PAUSE, MOST_PAUSE, RemoteKeys};
use crate::key_source::KeysAt;
use crate::shared_keys::{Now, Place, SharedSet};

/// After how long a VM looks again whether another one has fetched, in milliseconds.
const LOOK_AGAIN: u64 = 20;

/// What to do, now that a fetch is due here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// Fetch.
    Fetch,
    /// Another VM fetches, or has just done so: it is due again soon.
    Wait,
    /// Another VM has fetched in vain.
    Failed,
}

impl RemoteKeys {
    /// What is to be done in place of the fetch that has just begun, by what other VMs do. Anything but [`Step::Fetch`] ends
    /// it.
    pub(crate) fn step(&mut self, turn: Now, now: u64) -> Step {
        let follows = std::mem::take(&mut self.follows);
        match turn {
            Now::Nothing => Step::Fetch,
            Now::Fetching => {
                self.put_off(now.saturating_add(LOOK_AGAIN));
                self.follows = true;
                Step::Wait
            }
            Now::Ended {
                rest_until,
                failed: true,
                ..
            } if follows => {
                self.failed(now);
                self.not_before = rest_until;
                Step::Failed
            }
            Now::Ended { rest_until, .. } => {
                self.put_off(rest_until);
                Step::Wait
            }
        }
    }

    /// Whether a fetch that began then, of another VM, brought a set that is newer than ours.
    pub(crate) fn is_news(&self, began: u64) -> bool {
        began > self.began_at
    }

    /// Takes the set that another VM fetched, as if the fetch that has just begun here had brought it; `None`: it says
    /// nothing to us. `turn`: how long that VM rests.
    pub(crate) fn take(&mut self, set: &SharedSet<'_>, turn: Now, now: u64) -> Option<Arrived> {
        // One of the future is from before the clock was set back: how old it is, nobody knows.
        let known_age = set.at <= now.saturating_add(LEAST_PAUSE);
        let good_until = set.at.saturating_add(self.source.max_stale.millis);
        if !self.is_news(set.began) || !known_age || now > good_until {
            return None;
        }
        if let KeysAt::Discovery { .. } = self.source.at {
            let (document, discovered_at) = set.discovery?;
            self.discovered(document, discovered_at.min(now)).ok()?;
        }
        let arrived = self.replace(set.document).ok()?;
        self.fetched_at = set.at.min(now);
        self.began_at = set.began;
        let keys = self.keys.as_deref().unwrap_or_default();
        self.missed.arrived(keys, |missed| missed.since < set.began, now);
        self.follows = false;
        self.ended(false, self.fetched_at);
        // The VMs slow down together.
        if let Now::Ended { pause, rest_until, .. } = turn {
            self.pause = pause.clamp(LEAST_PAUSE, MOST_PAUSE);
            self.not_before = rest_until;
        }
        Some(arrived)
    }

    /// What other VMs are to take the set from, and when its fetch began; `None`: there is none, or it is too long.
    pub(crate) fn shared(&self, place: &Place) -> Option<(u64, Vec<u8>)> {
        self.keys.as_ref()?;
        let discovery = self.discovered.as_ref().map(|(uri, at)| {
            let document = json!({ "issuer": self.issuer, "jwks_uri": uri });
            (document.to_string(), *at)
        });
        let entry = place.write(&SharedSet {
            began: self.began_at,
            at: self.fetched_at,
            discovery: discovery.as_ref().map(|(document, at)| (document.as_bytes(), *at)),
            document: &self.document,
        })?;
        Some((self.began_at, entry))
    }

    /// How long nothing is fetched after a fetch, in milliseconds.
    pub(crate) fn pause(&self) -> u64 {
        self.pause
    }

    /// The fetch that has begun is not made before that time.
    pub(crate) fn put_off(&mut self, until: u64) {
        self.fetching = None;
        self.missed.want_again();
        self.wanted |= self.awaited;
        self.not_before = until;
    }
}
