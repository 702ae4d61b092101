//! Plugins: none run in this build; a configured one is refused at start.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderMap, StatusCode, request, response};
use schemars::JsonSchema;
use serde::Deserialize;

use crate::cluster::Clusters;

/// An entry of `plugins:` in gateway.yaml.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PluginConfig {
    pub name: String,
    pub wasm: PathBuf,
    #[serde(default)]
    pub root_id: String,
    #[serde(default)]
    pub vm_id: String,
    pub vm_configuration: Option<serde_json::Value>,
    pub configuration: Option<serde_json::Value>,
    #[serde(default)]
    pub failure: FailurePolicy,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum FailurePolicy {
    #[default]
    Closed,
    Open,
}

pub struct PluginModule;

#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct PluginError(String);

impl PluginModule {
    pub fn load(config: &PluginConfig, _base_folder: &Path) -> Result<Arc<PluginModule>, PluginError> {
        Err(PluginError(format!(
            "plugin `{}`: this build runs no plugins",
            config.name
        )))
    }
}

pub struct Plugins;

impl Plugins {
    pub fn start(
        _modules: &[Arc<PluginModule>],
        _clusters: Rc<Clusters>,
        _process: Arc<PluginProcess>,
    ) -> Result<Rc<Plugins>, PluginError> {
        Ok(Rc::new(Plugins))
    }

    pub fn is_empty(&self) -> bool {
        true
    }

    pub fn open(self: &Rc<Self>, _connection: Rc<Connection>) -> PluginStream {
        PluginStream
    }
}

pub struct PluginProcess;

impl PluginProcess {
    pub fn new() -> Arc<Self> {
        Arc::new(Self)
    }

    pub fn render_metrics(&self, _out: &mut String) {}
}

pub struct Connection {
    pub id: u64,
    pub source: SocketAddr,
    pub destination: SocketAddr,
}

pub struct PluginStream;

impl PluginStream {
    pub async fn request_headers(&mut self, head: request::Parts, _end_of_stream: bool) -> Verdict<request::Parts> {
        Verdict::Continue(head)
    }

    pub fn wants_request_body(&self) -> bool {
        false
    }

    pub async fn request_body(&mut self, data: Bytes, _end_of_stream: bool) -> Verdict<Bytes> {
        Verdict::Continue(data)
    }

    pub fn wants_request_trailers(&self) -> bool {
        false
    }

    pub async fn request_trailers(&mut self, trailers: HeaderMap) -> Verdict<HeaderMap> {
        Verdict::Continue(trailers)
    }

    pub fn take_released_request_body(&mut self) -> Bytes {
        Bytes::new()
    }

    pub fn wants_response_headers(&self) -> bool {
        false
    }

    pub async fn response_headers(&mut self, head: response::Parts, _end_of_stream: bool) -> Verdict<response::Parts> {
        Verdict::Continue(head)
    }

    pub fn wants_response_body(&self) -> bool {
        false
    }

    pub async fn response_body(&mut self, data: Bytes, _end_of_stream: bool) -> Verdict<Bytes> {
        Verdict::Continue(data)
    }

    pub fn wants_response_trailers(&self) -> bool {
        false
    }

    pub async fn response_trailers(&mut self, trailers: HeaderMap) -> Verdict<HeaderMap> {
        Verdict::Continue(trailers)
    }

    pub fn take_released_response_body(&mut self) -> Bytes {
        Bytes::new()
    }

    pub fn set_destination(&mut self, _destination: Destination) {}
}

pub struct Destination {
    pub route: Rc<str>,
    pub cluster: Rc<str>,
    pub upstream: Option<SocketAddr>,
}

pub enum Verdict<T> {
    Continue(T),
    Respond(LocalResponse),
    Fail,
}

pub struct LocalResponse {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub body: Bytes,
    pub details: String,
    pub grpc_status: Option<i32>,
}
