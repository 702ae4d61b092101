//! One line per exchange, written by a thread of its own. Off unless configured.

use std::cell::RefCell;
use std::fs::{File, OpenOptions};
use std::io::Write;
use std::net::SocketAddr;
use std::path::Path;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::thread::JoinHandle;

use http::header::{HOST, USER_AGENT};
use http::{HeaderName, StatusCode, request};
use serde::Serialize;
use tokio::time::Instant;

use crate::clock;
use crate::config::{self, AccessLogFormat};
use crate::metrics::WorkerMetrics;
use crate::plugin::Connection;

/// Lines are handed over in blocks of about this many bytes, or once a second.
const BLOCK: usize = 16 * 1024;
/// Blocks that may wait for the disk; more are dropped and counted.
const WAITING_BLOCKS: usize = 256;

/// The writing thread, and the way to it.
pub struct Writer {
    sender: SyncSender<Vec<u8>>,
    thread: JoinHandle<()>,
    format: AccessLogFormat,
}

/// One worker's part: collects lines without touching the disk.
pub struct AccessLog {
    format: AccessLogFormat,
    buffer: RefCell<Vec<u8>>,
    sender: SyncSender<Vec<u8>>,
    metrics: Arc<WorkerMetrics>,
}

/// What is to be said of one exchange; written when it is dropped.
pub struct Record {
    log: Rc<AccessLog>,
    started: Instant,
    line: Line,
}

#[derive(Serialize)]
struct Line {
    time: String,
    client: SocketAddr,
    method: String,
    host: Option<String>,
    /// Path and query as received; values of parameters that carry secrets are left out.
    path: String,
    protocol: &'static str,
    user_agent: Option<String>,
    status: u16,
    /// Body bytes sent.
    bytes: u64,
    duration_us: u64,
    cluster: Option<String>,
    upstream: Option<SocketAddr>,
    /// Why no upstream answered, or what a plugin gave as details of its answer.
    reason: Option<String>,
    /// False when the answer broke off.
    complete: bool,
}

impl Writer {
    /// Opens the file (`-` for standard output) and starts the thread.
    pub fn start(config: &config::AccessLog, folder: &Path) -> Result<Self, String> {
        let (sender, blocks) = sync_channel(WAITING_BLOCKS);
        let file = if config.path.value == Path::new("-") {
            None
        } else {
            let path = folder.join(&config.path.value);
            let file = OpenOptions::new().create(true).append(true).open(&path);
            let unusable = |error| {
                let shown = path.display();
                format!(
                    "cannot write {shown}: {error}; the folder must be there, and the gateway's user may write to it"
                )
            };
            Some(file.map_err(unusable)?)
        };
        let thread = std::thread::Builder::new()
            .name("access-log".to_owned())
            .spawn(move || write(&blocks, file))
            .map_err(|error| format!("cannot start the access log's thread: {error}"))?;
        Ok(Self {
            sender,
            thread,
            format: config.format,
        })
    }

    pub fn worker(&self, metrics: &Arc<WorkerMetrics>) -> AccessLog {
        AccessLog {
            format: self.format,
            buffer: RefCell::new(Vec::with_capacity(BLOCK)),
            sender: self.sender.clone(),
            metrics: Arc::clone(metrics),
        }
    }

    /// Waits until everything is written. The workers must be gone.
    pub fn finish(self) {
        drop(self.sender);
        let _ = self.thread.join();
    }
}

fn write(blocks: &Receiver<Vec<u8>>, mut file: Option<File>) {
    for block in blocks {
        let written = match &mut file {
            Some(file) => file.write_all(&block),
            None => std::io::stdout().lock().write_all(&block),
        };
        if let Err(error) = written {
            tracing::warn!(%error, "the access log cannot be written");
        }
    }
}

impl AccessLog {
    /// Hands over what was collected; called every second and when a worker ends.
    pub fn flush(&self) {
        let mut buffer = self.buffer.borrow_mut();
        if buffer.is_empty() {
            return;
        }
        let block = std::mem::replace(&mut *buffer, Vec::with_capacity(BLOCK));
        if let Err(TrySendError::Full(block) | TrySendError::Disconnected(block)) = self.sender.try_send(block) {
            self.metrics
                .access_log_lost
                .add(block.iter().filter(|byte| **byte == b'\n').count() as u64);
        }
    }

    fn append(&self, line: &Line) {
        let mut buffer = self.buffer.borrow_mut();
        match self.format {
            AccessLogFormat::Json => {
                // Writing plain data to memory does not fail.
                let _ = serde_json::to_writer(&mut *buffer, line);
            }
            AccessLogFormat::Text => line.write_text(&mut buffer),
        }
        buffer.push(b'\n');
        let full = buffer.len() >= BLOCK;
        drop(buffer);
        if full {
            self.flush();
        }
    }
}

impl Drop for AccessLog {
    fn drop(&mut self) {
        self.flush();
    }
}

impl Record {
    pub fn begin(log: &Rc<AccessLog>, connection: &Connection, head: &request::Parts) -> Box<Self> {
        let field = |name: HeaderName| {
            head.headers
                .get(name)
                .map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned())
        };
        Box::new(Self {
            log: Rc::clone(log),
            started: Instant::now(),
            line: Line {
                time: clock::rfc3339(clock::now_ms()),
                client: connection.source,
                method: head.method.as_str().to_owned(),
                host: field(HOST),
                path: without_secrets(head.uri.path_and_query().map_or("", |path| path.as_str())),
                protocol: if head.version == http::Version::HTTP_10 {
                    "HTTP/1.0"
                } else {
                    "HTTP/1.1"
                },
                user_agent: field(USER_AGENT),
                status: 0,
                bytes: 0,
                duration_us: 0,
                cluster: None,
                upstream: None,
                reason: None,
                // A record that is dropped before its answer belongs to a client that left.
                complete: false,
            },
        })
    }

    pub fn routed(&mut self, cluster: &str) {
        self.line.cluster = Some(cluster.to_owned());
    }

    pub fn upstream(&mut self, address: SocketAddr) {
        self.line.upstream = Some(address);
    }

    pub fn reason(&mut self, reason: String) {
        self.line.reason = (!reason.is_empty()).then_some(reason);
    }

    pub fn answered(&mut self, status: StatusCode) {
        self.line.status = status.as_u16();
        self.line.complete = true;
    }

    pub fn sent(&mut self, bytes: usize) {
        self.line.bytes += bytes as u64;
    }

    pub fn broken(&mut self) {
        self.line.complete = false;
    }
}

impl Drop for Record {
    fn drop(&mut self) {
        self.line.duration_us = u64::try_from(self.started.elapsed().as_micros()).unwrap_or(u64::MAX);
        self.log.append(&self.line);
    }
}

impl Line {
    /// The combined log format with the duration in microseconds at the end.
    fn write_text(&self, out: &mut Vec<u8>) {
        let quoted = |text: &str| text.replace(|c: char| c.is_control() || matches!(c, '"' | '\\'), "?");
        let _ = write!(
            out,
            "{} - - [{}] \"{} {} {}\" {} {} \"{}\" {}",
            self.client.ip(),
            self.time,
            quoted(&self.method),
            quoted(&self.path),
            self.protocol,
            self.status,
            self.bytes,
            quoted(self.user_agent.as_deref().unwrap_or("-")),
            self.duration_us,
        );
    }
}

/// A request target in which the values of query parameters that carry tokens or secrets are replaced by `-`.
fn without_secrets(target: &str) -> String {
    let Some((path, query)) = target.split_once('?') else {
        return target.to_owned();
    };
    let mut out = format!("{path}?");
    for (index, parameter) in query.split('&').enumerate() {
        if index > 0 {
            out.push('&');
        }
        match parameter.split_once('=') {
            Some((name, _)) if is_secret(name) => {
                out.push_str(name);
                out.push_str("=-");
            }
            _ => out.push_str(parameter),
        }
    }
    out
}

fn is_secret(parameter: &str) -> bool {
    // An encoded name could hide any of these words.
    let name = parameter.to_ascii_lowercase();
    name.contains('%')
        || ["token", "secret", "password", "code", "assertion"]
            .iter()
            .any(|word| name.contains(word))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_in_queries_are_left_out() {
        assert_eq!(without_secrets("/a"), "/a");
        assert_eq!(without_secrets("/a?b=c&access_token=x.y&d"), "/a?b=c&access_token=-&d");
        assert_eq!(without_secrets("/a?Token=x&%74oken=y"), "/a?Token=-&%74oken=-");
    }
}
