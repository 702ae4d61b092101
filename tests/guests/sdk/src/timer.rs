//! Ticks of the root context, for which requests wait.

use std::{cell::RefCell, time::Duration};

use proxy_wasm::{
    hostcalls,
    traits::{Context, HttpContext},
    types::{Action, MapType},
};

use crate::{case::case, http_call};

pub const PERIOD: Duration = Duration::from_millis(20);

/// What a tick is to do for a context.
enum Due {
    Resume,
    Answer,
    Call,
}

thread_local! {
    static WAITING: RefCell<Vec<(u32, Due)>> = const { RefCell::new(Vec::new()) };
    /// Those for whom the root context has asked.
    static ASKED: RefCell<Vec<u32>> = const { RefCell::new(Vec::new()) };
}

fn wait(id: u32, due: Due) {
    WAITING.with_borrow_mut(|waiting| waiting.push((id, due)));
}

/// The next tick answers the request of this context.
pub fn answer_later(id: u32) {
    wait(id, Due::Answer);
}

pub fn tick(root: &dyn Context) {
    for (id, due) in WAITING.take() {
        match due {
            Due::Call => {
                if http_call::ask(root, "directory", "/answer", Duration::from_secs(5)).is_ok() {
                    ASKED.with_borrow_mut(|asked| asked.push(id));
                }
            }
            Due::Resume => resume(id, "tick"),
            // The client may have gone.
            Due::Answer if hostcalls::set_effective_context(id).is_ok() => {
                let headers = vec![("x-local", "one"), ("x-local", "two")];
                let _answered = hostcalls::send_http_response(403, headers, Some(b"local"));
            }
            Due::Answer => {}
        }
    }
}

/// A call of the root context is answered.
pub fn answered(headers: usize) {
    let by = if headers == 0 { "failure" } else { "answer" };
    for id in ASKED.take() {
        resume(id, by);
    }
}

fn resume(id: u32, by: &str) {
    if hostcalls::set_effective_context(id).is_ok() {
        let _set = hostcalls::set_map_value(MapType::HttpRequestHeaders, "x-resumed", Some(by));
        let _resumed = hostcalls::resume_http_request();
    }
}

/// A request that waits for a tick.
pub struct Waiting(pub u32);

impl Context for Waiting {}

impl HttpContext for Waiting {
    fn on_http_request_headers(&mut self, _: usize, _: bool) -> Action {
        wait(
            self.0,
            match case(self).as_str() {
                "call" => Due::Call,
                _ => Due::Resume,
            },
        );
        Action::Pause
    }
}
