//! Connections whose bytes are not read as HTTP: those of TCP listeners, and those that have changed the protocol. They
//! keep a worker from stopping until they end or are cut off.

use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;

use tokio::sync::watch;

/// After they were cut off, tunnels have so long to tell their plugins.
const FAREWELL: Duration = Duration::from_millis(200);

/// The open tunnels of one worker.
#[derive(Default)]
pub struct Tunnels {
    open: Cell<usize>,
    cut: watch::Sender<bool>,
}

/// One tunnel, open until this is dropped.
pub struct Tunnel {
    tunnels: Rc<Tunnels>,
    cut: watch::Receiver<bool>,
}

impl Tunnels {
    pub fn enter(self: &Rc<Self>) -> Tunnel {
        self.open.set(self.open.get() + 1);
        Tunnel {
            tunnels: Rc::clone(self),
            cut: self.cut.subscribe(),
        }
    }

    pub fn is_empty(&self) -> bool {
        self.open.get() == 0
    }

    /// Ends them all.
    pub async fn cut(&self) {
        self.cut.send_replace(true);
        let all_ended = async {
            while !self.is_empty() {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        };
        // Who has not ended by then is waiting for a plugin, which is told by its end.
        let _ = tokio::time::timeout(FAREWELL, all_ended).await;
    }
}

impl Tunnel {
    /// Ends when the tunnel has to.
    pub async fn cut_off(&self) {
        // The sender lives as long as the tunnels do.
        let _ = self.cut.clone().wait_for(|cut| *cut).await;
    }
}

impl Drop for Tunnel {
    fn drop(&mut self) {
        self.tunnels.open.set(self.tunnels.open.get() - 1);
    }
}
