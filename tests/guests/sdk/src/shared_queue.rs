//! Queues between the VMs of a host.

use proxy_wasm::{
    traits::{Context, HttpContext},
    types::Action,
};

use crate::case::{case, tell};

const QUEUE: &str = "jobs";
const DONE: &str = "jobs done";

/// Makes the root context the one that is told.
pub fn register(root: &dyn Context) {
    root.register_shared_queue(QUEUE);
}

/// Notes what was in the queue.
pub fn ready(root: &dyn Context, queue: u32) {
    while let Ok(Some(job)) = root.dequeue_shared_queue(queue) {
        let (done, _) = root.get_shared_data(DONE);
        let mut done = done.unwrap_or_default();
        done.extend(job);
        done.push(b' ');
        // Only this root context writes.
        let _set = root.set_shared_data(DONE, Some(&done), None);
    }
}

pub struct SharedQueue;

impl Context for SharedQueue {}

impl HttpContext for SharedQueue {
    fn on_http_request_headers(&mut self, _: usize, _: bool) -> Action {
        let jobs = self.resolve_shared_queue("phases", QUEUE);
        let lines = match case(self).as_str() {
            "send" => {
                let sent =
                    jobs.map(|queue| [&b"one"[..], b"two"].map(|job| self.enqueue_shared_queue(queue, Some(job))));
                vec![format!("{sent:?}")]
            }
            "done" => {
                let (done, _) = self.get_shared_data(DONE);
                vec![String::from_utf8_lossy(&done.unwrap_or_default()).into_owned()]
            }
            _ => vec![
                format!("{:?}", self.resolve_shared_queue("phases", "unknown")),
                format!("{:?}", self.resolve_shared_queue("unknown", QUEUE)),
                format!("{:?}", self.dequeue_shared_queue(4_000_000)),
                format!("{:?}", self.enqueue_shared_queue(4_000_000, Some(b"job"))),
                format!("{:?}", jobs.map(|queue| self.dequeue_shared_queue(queue))),
            ],
        };
        tell(self, &lines);
        Action::Pause
    }
}
