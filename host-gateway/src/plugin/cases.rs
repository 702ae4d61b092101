//! `postern-gateway plugin test`: a plugin against requests, upstreams and calls that a file describes. No network.

mod check;
mod compare;
mod drive;

use std::cell::RefCell;
use std::path::Path;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Response};
use schemars::{JsonSchema, Schema, schema_for};
use serde::Deserialize;
use serde_json::{Map, Value};
use serde_saphyr::Spanned;
use tokio::task::LocalSet;
use tracing::subscriber::{NoSubscriber, with_default};

use super::{Loading, PluginConfig, PluginModule, PluginProcess, Plugins};
use crate::cluster::{CallError, Clusters};
use crate::config::{self, Source};
use crate::error::UpstreamError;

/// The whole file.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct File {
    /// What stands in gateway.yaml, without `wasm`; `name` may be left out.
    #[serde(default)]
    #[schemars(with = "Option<Map<String, Value>>")]
    plugin: Option<Spanned<Map<String, Value>>>,
    /// Names of clusters that plugins may call, beside those that `calls` name.
    #[serde(default)]
    clusters: Vec<String>,
    #[schemars(with = "Vec<Case>")]
    cases: Spanned<Vec<Spanned<Case>>>,
}

/// One exchange, and what should come of it.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Case {
    name: String,
    #[serde(default)]
    request: Request,
    /// What the upstream answers, if the request gets there.
    #[serde(default)]
    upstream: Answer,
    /// Answers to the plugin's HTTP calls. The first that fits and was not used yet is given.
    #[serde(default)]
    calls: Vec<Call>,
    /// How long the plugin may keep the exchange waiting.
    #[serde(default = "default_timeout")]
    timeout: config::Duration,
    #[serde(default)]
    expect: Expectation,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
struct Request {
    method: String,
    /// With its query.
    path: String,
    /// A text, or a list of texts, by name.
    headers: Fields,
    body: Option<Body>,
    trailers: Option<Fields>,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
struct Answer {
    status: u16,
    headers: Fields,
    body: Option<Body>,
    trailers: Option<Fields>,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Call {
    cluster: String,
    /// Only calls of this path, with its query.
    #[serde(default)]
    path: Option<String>,
    /// Nobody answers, or not to the end.
    failed: Option<CallEnd>,
    /// 200, if it is not given.
    status: Option<u16>,
    headers: Option<Fields>,
    body: Option<String>,
}

/// How a call fails.
#[derive(Debug, Clone, Copy, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
enum CallEnd {
    /// No connection.
    Unreachable,
    /// No answer in time.
    Timeout,
    /// The connection ends before an answer.
    Reset,
    /// The answer begins and breaks off.
    Broken,
}

impl From<CallEnd> for CallError {
    fn from(end: CallEnd) -> Self {
        match end {
            CallEnd::Unreachable => UpstreamError::Connect.into(),
            CallEnd::Timeout => UpstreamError::Timeout.into(),
            CallEnd::Reset => UpstreamError::Reset.into(),
            CallEnd::Broken => Self::Incomplete,
        }
    }
}

/// A body as one text, or as the parts in which it arrives.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(try_from = "Value")]
#[schemars(untagged)]
enum Body {
    Whole(String),
    Parts(Vec<String>),
}

impl TryFrom<Value> for Body {
    type Error = &'static str;

    fn try_from(value: Value) -> Result<Self, Self::Error> {
        let text = |value| match value {
            Value::String(text) => Some(text),
            _ => None,
        };
        let body = match value {
            Value::Array(parts) => parts.into_iter().map(text).collect::<Option<_>>().map(Self::Parts),
            value => text(value).map(Self::Whole),
        };
        body.ok_or("must be a text, or a list of texts, its parts: write numbers in quotes")
    }
}

/// Why a client gets no answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
enum NoAnswer {
    /// The plugin closes the stream.
    Closed,
    /// The plugin keeps the exchange waiting until the case's `timeout`.
    Paused,
}

/// What should come of an exchange. What is not named may be anything.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
struct Expectation {
    /// What the client gets.
    status: Option<u16>,
    /// A text, a list of texts, or null for a field that must not be there.
    headers: Fields,
    body: Option<String>,
    trailers: Fields,
    /// What the upstream gets; null: nothing may get there.
    #[serde(deserialize_with = "present")]
    #[schemars(with = "Option<Arriving>")]
    upstream: Option<Option<Arriving>>,
    /// The client gets no answer.
    no_answer: Option<NoAnswer>,
    /// The answer begins and breaks off: its head has gone on when the plugin ends the exchange.
    broken: bool,
    /// How many HTTP calls the plugin makes.
    calls: Option<usize>,
    /// The plugin fails: it traps, runs too long, or needs too much memory.
    failed: bool,
}

#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
struct Arriving {
    method: Option<String>,
    path: Option<String>,
    headers: Fields,
    body: Option<String>,
    trailers: Fields,
}

/// Fields by name, in the order of the file.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(transparent)]
struct Fields(Map<String, Value>);

/// How a whole file went.
pub struct Report {
    /// A line per case, and lines below those that failed.
    pub text: String,
    pub cases: usize,
    pub failed: usize,
}

/// The JSON Schema of a file of cases.
pub fn schema() -> Schema {
    schema_for!(File)
}

/// Runs every case of a file, each with a VM of its own. The error is one line for the user: nothing could be run.
pub fn test(wasm: &Path, requests: &Path, traced: bool) -> Result<Report, String> {
    let source = Source::read(requests).map_err(|error| error.to_string())?;
    let file: File = source.parse().map_err(|error| error.to_string())?;
    let config = plugin_config(&file, &source, wasm)?;
    if file.cases.value.is_empty() {
        let problem = "is empty: describe at least one request";
        return Err(source.error(&file.cases, "cases", problem).to_string());
    }
    check::names(&file.cases.value, &source)?;
    for (index, case) in file.cases.value.iter().enumerate() {
        check::check(&case.value).map_err(|(key, problem)| {
            let problem = format!("{problem} (case `{}`)", case.value.name);
            source.error(case, format!("cases[{index}].{key}"), problem).to_string()
        })?;
    }
    let traced = if traced { vec![config.name.clone()] } else { Vec::new() };
    let loading = Loading {
        folder: Path::new(""),
        cache: None,
        traced: &traced,
    };
    let module = PluginModule::load(&config, &loading).map_err(|error| error.to_string())?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| format!("cannot start: {error}"))?;
    let called = file.cases.value.iter().flat_map(|case| &case.value.calls);
    let names = called.map(|call| &call.cluster).chain(&file.clusters);
    let clusters = Clusters::answered_by(names, |_, _| Box::pin(std::future::pending()));
    // What it says at its start, it says again in each case.
    with_default(NoSubscriber::default(), || {
        Plugins::check(&[Arc::clone(&module)], &clusters)
    })
    .map_err(|error| error.to_string())?;
    let mut report = Report {
        text: String::new(),
        cases: file.cases.value.len(),
        failed: 0,
    };
    for case in file.cases.value.iter().map(|case| &case.value) {
        let run = run(case, &file.clusters, &module);
        let problems = LocalSet::new().block_on(&runtime, run)?;
        let mark = if problems.is_empty() { "ok  " } else { "FAIL" };
        report.text.push_str(&format!("{mark} {}\n", case.name));
        for problem in &problems {
            report.text.push_str(&format!("     {problem}\n"));
        }
        report.failed += usize::from(!problems.is_empty());
    }
    Ok(report)
}

fn plugin_config(file: &File, source: &Source, wasm: &Path) -> Result<PluginConfig, String> {
    let at = |key: String, problem: String| match &file.plugin {
        Some(plugin) => source.error(plugin, key, problem).to_string(),
        None => problem,
    };
    let mut keys = file
        .plugin
        .as_ref()
        .map(|plugin| plugin.value.clone())
        .unwrap_or_default();
    let name = wasm.file_stem().unwrap_or_default().to_string_lossy();
    keys.entry("name").or_insert_with(|| name.into());
    if let Some((key, problem)) = check::senseless(&keys) {
        return Err(at(format!("plugin.{key}"), problem.to_owned()));
    }
    keys.insert("wasm".to_owned(), wasm.to_string_lossy().into());
    let config: PluginConfig =
        serde_json::from_value(Value::Object(keys)).map_err(|error| at("plugin".to_owned(), error.to_string()))?;
    match config.nonsense() {
        Ok(()) => Ok(config),
        Err((key, problem)) => Err(at(format!("plugin.{key}"), problem)),
    }
}

/// What is wrong with how a case went; nothing, if all is as expected.
async fn run(case: &Case, clusters: &[String], module: &Arc<PluginModule>) -> Result<Vec<String>, String> {
    let calls = Rc::new(RefCell::new(Calls::of(case)?));
    let names = case.calls.iter().map(|call| &call.cluster).chain(clusters);
    let answering = Rc::clone(&calls);
    let clusters = Clusters::answered_by(names, move |cluster, request| {
        let answer = answering.borrow_mut().answer(cluster, &request);
        Box::pin(async { answer })
    });
    let plugins = Plugins::start(std::slice::from_ref(module), clusters, PluginProcess::new())
        .map_err(|error| error.to_string())?;
    let outcome = drive::drive(&plugins, case).await?;
    // What a plugin still asks for at its end is part of the case.
    tokio::task::yield_now().await;
    let calls = calls.borrow();
    let failures = plugins.seats.iter().map(|seat| seat.stats.traps.get()).sum::<u64>();
    let mut problems = compare::problems(&case.expect, &outcome, calls.made);
    match (failures, case.expect.failed) {
        (0, true) => problems.push("failed: the plugin was expected to fail, and did not".to_owned()),
        (1.., false) => {
            problems.push("the plugin failed (why, stands in the log); expect `failed: true` if it should".to_owned())
        }
        _ => {}
    }
    problems.extend(
        calls
            .unanswered
            .iter()
            .map(|call| format!("an HTTP call that no entry of `calls` answers: {call}")),
    );
    Ok(problems)
}

/// The answers that are left, and what was asked.
struct Calls {
    left: Vec<Ready>,
    made: usize,
    unanswered: Vec<String>,
}

/// An answer for the first call to the cluster, and of the path if there is one.
struct Ready {
    cluster: String,
    path: Option<String>,
    answer: Result<Response<Bytes>, CallError>,
}

impl Calls {
    fn of(case: &Case) -> Result<Self, String> {
        let mut left = Vec::new();
        for call in &case.calls {
            let answer = if let Some(end) = call.failed {
                Err(end.into())
            } else {
                let mut answer = Response::new(Bytes::from(call.body.clone().unwrap_or_default()));
                *answer.status_mut() = status(call.status.unwrap_or(default_status()), &case.name)?;
                *answer.headers_mut() = call.headers.clone().unwrap_or_default().map(&case.name)?;
                Ok(answer)
            };
            left.push(Ready {
                cluster: call.cluster.clone(),
                path: call.path.clone(),
                answer,
            });
        }
        Ok(Self {
            left,
            made: 0,
            unanswered: Vec::new(),
        })
    }

    fn answer(&mut self, cluster: &str, request: &http::Request<Bytes>) -> Result<Response<Bytes>, CallError> {
        self.made += 1;
        let path = request.uri().path_and_query().map_or("", |path| path.as_str());
        let fits =
            |ready: &Ready| ready.cluster == cluster && ready.path.as_deref().is_none_or(|wanted| wanted == path);
        match self.left.iter().position(fits) {
            Some(place) => self.left.remove(place).answer,
            None => {
                self.unanswered
                    .push(format!("{} {path} to {cluster}", request.method()));
                Err(UpstreamError::Connect.into())
            }
        }
    }
}

impl Fields {
    fn map(&self, case: &str) -> Result<HeaderMap, String> {
        let mut map = HeaderMap::new();
        for (name, value) in &self.0 {
            let wrong = || format!("case `{case}`: `{name}` is no field, or its value cannot be one");
            let field = HeaderName::try_from(name.as_str()).map_err(|_| wrong())?;
            for text in texts(value).ok_or_else(wrong)? {
                map.append(&field, HeaderValue::try_from(text).map_err(|_| wrong())?);
            }
        }
        Ok(map)
    }
}

/// The texts of a value: of a list each, of null none. `None` for what has no text.
fn texts(value: &Value) -> Option<Vec<String>> {
    match value {
        Value::Null => Some(Vec::new()),
        Value::String(text) => Some(vec![text.clone()]),
        Value::Number(number) => Some(vec![number.to_string()]),
        Value::Bool(bool) => Some(vec![bool.to_string()]),
        Value::Array(list) => list
            .iter()
            .map(texts)
            .collect::<Option<Vec<_>>>()
            .map(|all| all.concat()),
        Value::Object(_) => None,
    }
}

fn status(status: u16, case: &str) -> Result<http::StatusCode, String> {
    http::StatusCode::from_u16(status).map_err(|_| format!("case `{case}`: {status} is no status"))
}

impl Body {
    fn parts(&self) -> Vec<Bytes> {
        match self {
            Self::Whole(text) => vec![Bytes::from(text.clone())],
            Self::Parts(parts) => parts.iter().map(|part| Bytes::from(part.clone())).collect(),
        }
    }
}

impl Default for Request {
    fn default() -> Self {
        Self {
            method: "GET".to_owned(),
            path: "/".to_owned(),
            headers: Fields::default(),
            body: None,
            trailers: None,
        }
    }
}

impl Default for Answer {
    fn default() -> Self {
        Self {
            status: default_status(),
            headers: Fields::default(),
            body: None,
            trailers: None,
        }
    }
}

fn default_status() -> u16 {
    200
}

fn default_timeout() -> config::Duration {
    config::Duration::from_secs(5)
}

impl Case {
    fn timeout(&self) -> Duration {
        self.timeout.limit().unwrap_or(Duration::MAX)
    }
}

/// Tells a key that is null from one that is not there.
fn present<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Option<Option<Arriving>>, D::Error> {
    Option::deserialize(deserializer).map(Some)
}
