//! Guests built with the proxy-wasm SDK, one for each phase of an exchange, all in one module: the plugin's configuration
//! names the phase, and the last segment of a request's path what is to be done in it. What is expected of each stands in
//! `tests/e2e/phases/`.

mod case;
mod connection;
mod failing;
mod foreign_function;
mod grpc;
mod http_call;
mod life;
mod local_response;
mod metrics;
mod own_answer;
mod properties;
mod request_body;
mod request_headers;
mod request_trailers;
mod response_body;
mod response_headers;
mod response_trailers;
mod shared_data;
mod shared_queue;
mod statuses;
mod timer;

use std::time::Duration;

use proxy_wasm::{
    traits::{Context, HttpContext, RootContext, StreamContext},
    types::{ContextType, LogLevel},
};

/// Makes the context of one exchange, which has this id.
type NewContext = fn(u32) -> Box<dyn HttpContext>;

/// What a configuration may say.
const PHASES: &[(&str, NewContext)] = &[
    ("request_headers", |_| Box::new(request_headers::RequestHeaders)),
    ("request_body", |_| Box::<request_body::RequestBody>::default()),
    ("request_trailers", |_| {
        Box::<request_trailers::RequestTrailers>::default()
    }),
    ("response_headers", |_| {
        Box::<response_headers::ResponseHeaders>::default()
    }),
    ("response_body", |_| Box::<response_body::ResponseBody>::default()),
    ("response_trailers", |_| {
        Box::<response_trailers::ResponseTrailers>::default()
    }),
    ("local_response", |id| Box::new(local_response::LocalResponse::new(id))),
    ("http_call", |_| Box::<http_call::HttpCall>::default()),
    ("grpc", |_| Box::<grpc::Grpc>::default()),
    ("timer", |id| Box::new(timer::Waiting(id))),
    ("shared_data", |_| Box::new(shared_data::SharedData)),
    ("shared_queue", |_| Box::new(shared_queue::SharedQueue)),
    ("metrics", |_| Box::new(metrics::Metrics)),
    ("properties", |_| Box::<properties::Properties>::default()),
    ("foreign_function", |_| Box::new(foreign_function::ForeignFunction)),
    ("statuses", |id| Box::new(statuses::Statuses(id))),
    ("life", |_| Box::new(life::Life)),
    ("failing", |_| Box::<failing::Failing>::default()),
    ("own_answer", |_| Box::<own_answer::OwnAnswer>::default()),
];
/// The phase of TCP connections.
const CONNECTION: &str = "connection";

struct Root {
    phase: String,
}

impl Context for Root {
    fn on_http_call_response(&mut self, _: u32, headers: usize, _: usize, _: usize) {
        timer::answered(headers);
    }
}

impl RootContext for Root {
    fn on_configure(&mut self, _: usize) -> bool {
        let configuration = self.get_plugin_configuration().unwrap_or_default();
        self.phase = String::from_utf8_lossy(&configuration).into_owned();
        match self.phase.as_str() {
            "timer" | "local_response" => self.set_tick_period(timer::PERIOD),
            "shared_queue" => shared_queue::register(self),
            "statuses" => {
                statuses::tried("configure", 0);
                self.set_tick_period(timer::PERIOD);
            }
            _ => {}
        }
        let known = self.phase == CONNECTION || PHASES.iter().any(|(name, _)| *name == self.phase);
        if !known {
            log::error!("there is no phase `{}`", self.phase);
        }
        known
    }

    fn on_tick(&mut self) {
        if self.phase == "statuses" {
            self.set_tick_period(Duration::ZERO);
            return statuses::tried("tick", 0);
        }
        timer::tick(self);
    }

    fn on_queue_ready(&mut self, queue: u32) {
        shared_queue::ready(self, queue);
    }

    fn get_type(&self) -> Option<ContextType> {
        Some(match self.phase.as_str() {
            CONNECTION => ContextType::StreamContext,
            _ => ContextType::HttpContext,
        })
    }

    fn create_http_context(&self, id: u32) -> Option<Box<dyn HttpContext>> {
        let (_, new) = PHASES.iter().find(|(name, _)| *name == self.phase)?;
        Some(new(id))
    }

    fn create_stream_context(&self, _: u32) -> Option<Box<dyn StreamContext>> {
        Some(Box::<connection::Connection>::default())
    }
}

proxy_wasm::main! {{
    proxy_wasm::set_log_level(LogLevel::Info);
    proxy_wasm::set_root_context(|_| Box::new(Root { phase: String::new() }));
}}
