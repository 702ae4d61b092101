//! Which endpoint gets the next request.

use std::rc::Rc;
use std::sync::atomic::Ordering;

use super::Cluster;
use super::endpoint::Endpoint;
use crate::config::LoadBalancing;

impl Cluster {
    /// Endpoints that are ill or refused a connection a moment ago are passed over, unless all are.
    pub(super) fn choose(&self) -> &Rc<Endpoint> {
        if let [only] = self.endpoints.as_slice() {
            return only;
        }
        let count = self.endpoints.len();
        let start = match self.shared.load_balancing {
            LoadBalancing::Random => self.draw(),
            LoadBalancing::RoundRobin | LoadBalancing::LeastRequest => {
                self.next.replace(self.next.get().wrapping_add(1))
            }
        } % count;
        let in_turn = || self.endpoints[start..].iter().chain(&self.endpoints[..start]);
        let mut available = in_turn().filter(|endpoint| self.is_available(endpoint));
        let chosen = match self.shared.load_balancing {
            // The first of the least busy ones in turn: equal endpoints take turns.
            LoadBalancing::LeastRequest => available.min_by_key(|endpoint| endpoint.active.get()),
            LoadBalancing::RoundRobin | LoadBalancing::Random => available.next(),
        };
        chosen.unwrap_or(&self.endpoints[start])
    }

    /// Whether [`Cluster::choose`] has anything better than a guess.
    pub(super) fn has_available(&self) -> bool {
        self.endpoints.iter().any(|endpoint| self.is_available(endpoint))
    }

    fn is_available(&self, endpoint: &Endpoint) -> bool {
        self.shared.endpoints[endpoint.place].healthy.load(Ordering::Relaxed) && !endpoint.is_skipped()
    }

    /// xorshift64: endpoints need spreading, not secrets.
    fn draw(&self) -> usize {
        let mut x = self.random.get();
        x ^= x << 13;
        x ^= x >> 7;
        x ^= x << 17;
        self.random.set(x);
        (x >> 33) as usize
    }
}
