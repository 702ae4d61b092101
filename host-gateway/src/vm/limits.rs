//! What a guest may use: memory, and time per call.

use std::fmt;
use std::time::Duration;

use schemars::JsonSchema;
use serde::Deserialize;
use wasmtime::ResourceLimiter;

use super::deadline::Deadline;
use crate::config;

/// Most entries a guest's tables may have together (full-Go guests need about 6,300).
const TABLE_ENTRIES: usize = 10_000;

/// `limits:` of a plugin.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Limits {
    /// Linear memory of one VM, for example `64MiB` (the default). A guest that asks for more is told no.
    pub memory: ByteSize,
    /// Longest single call into the guest, in processor time, for example `100ms` (the default). A longer one, at the latest
    /// one that is twice as long, poisons the VM. To start and to take its configuration, which may hold a hundred thousand
    /// rules, a guest has a hundred times as long.
    pub call: CallTime,
    /// A VM whose memory has grown beyond this is replaced by a fresh one, which gives the memory back; its open streams
    /// finish in the old one. Default: nine tenths of `memory`.
    pub recycle: Option<ByteSize>,
    /// Most bytes of one body that the plugin may hold back (default `1MiB`). A request that has more is answered 413. A
    /// response is cut, for its head is out already; while a plugin with `compat: spec` still pauses at its head it is
    /// answered 500.
    pub body: ByteSize,
    /// Most HTTP calls of one VM that are under way (default 1000); more are refused to the plugin.
    pub calls: u32,
    /// Most bytes that the HTTP and gRPC calls of one VM may hold together while they are under way, of what they send and
    /// of their answers (default `64MiB`). More calls and messages are refused to the plugin, longer answers are failures.
    pub call_bytes: ByteSize,
    /// Most exchanges that one VM may have open (default 100000); to more of them the plugin counts as failed.
    pub contexts: u32,
    /// Most log lines of one VM per second (default 1000); more are left out.
    pub log_lines: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            memory: ByteSize::default(),
            call: CallTime::default(),
            recycle: None,
            body: ByteSize(1 << 20),
            calls: 1000,
            call_bytes: ByteSize(64 << 20),
            contexts: 100_000,
            log_lines: 1000,
        }
    }
}

impl Limits {
    /// For a call.
    pub(crate) fn call_deadline(&self) -> Deadline {
        Deadline::new(self.call.0)
    }

    /// For a call at the start: nobody waits for an answer then, and there is more to do.
    pub(crate) fn start_deadline(&self) -> Deadline {
        Deadline::new(self.call.0.saturating_mul(100))
    }

    /// Linear memory in bytes beyond which a VM that had `at_start` of them is replaced. What its configuration needs is
    /// no reason: a fresh VM would need it too.
    pub(crate) fn high_water(&self, at_start: u64) -> u64 {
        let limit = self.recycle.map_or(self.memory.0 / 10 * 9, |bytes| bytes.0);
        limit.max(at_start + at_start / 2)
    }
}

/// A number of bytes, written as `512KiB`, `64MiB`, `1GiB` or a plain number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(try_from = "String")]
#[schemars(with = "String")]
pub struct ByteSize(pub u64);

impl Default for ByteSize {
    fn default() -> Self {
        Self(64 << 20)
    }
}

impl TryFrom<String> for ByteSize {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let (number, unit) = split_unit(&text);
        let scale: u64 = match unit {
            "" | "B" => 1,
            "KiB" => 1 << 10,
            "MiB" => 1 << 20,
            "GiB" => 1 << 30,
            _ => return Err(format!("`{text}` is not a size: write for example 64MiB")),
        };
        number
            .parse::<u64>()
            .ok()
            .and_then(|number| number.checked_mul(scale))
            .filter(|bytes| *bytes > 0)
            .map(Self)
            .ok_or_else(|| format!("`{text}` is not a size: write for example 64MiB"))
    }
}

/// The longest a call may take: an end must be in sight, so zero is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(try_from = "config::Duration")]
#[schemars(with = "config::Duration")]
pub struct CallTime(pub Duration);

impl Default for CallTime {
    fn default() -> Self {
        Self(Duration::from_millis(100))
    }
}

impl TryFrom<config::Duration> for CallTime {
    type Error = &'static str;

    fn try_from(time: config::Duration) -> Result<Self, Self::Error> {
        time.limit()
            .map(Self)
            .ok_or("a call into a plugin must have a limit: write for example 100ms")
    }
}

fn split_unit(text: &str) -> (&str, &str) {
    let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    (&text[..end], text[end..].trim())
}

/// Says no to growth beyond a plugin's share. The guest sees −1 from `memory.grow` and may handle it.
#[derive(Debug)]
pub(crate) struct Share {
    memory: usize,
    pub(crate) denied: bool,
}

impl Share {
    pub(crate) fn new(limits: &Limits) -> Self {
        Self {
            memory: usize::try_from(limits.memory.0).unwrap_or(usize::MAX),
            denied: false,
        }
    }
}

impl ResourceLimiter for Share {
    fn memory_growing(&mut self, _current: usize, desired: usize, _maximum: Option<usize>) -> wasmtime::Result<bool> {
        let granted = desired <= self.memory;
        self.denied |= !granted;
        Ok(granted)
    }

    fn table_growing(&mut self, _current: usize, desired: usize, _maximum: Option<usize>) -> wasmtime::Result<bool> {
        Ok(desired <= TABLE_ENTRIES)
    }
}

impl fmt::Display for ByteSize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            bytes if bytes.is_multiple_of(1 << 20) => write!(f, "{}MiB", bytes >> 20),
            bytes if bytes.is_multiple_of(1 << 10) => write!(f, "{}KiB", bytes >> 10),
            bytes => write!(f, "{bytes}B"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_and_times_read_as_written() {
        assert_eq!(ByteSize::try_from("64MiB".to_owned()), Ok(ByteSize(64 << 20)));
        assert_eq!(ByteSize::try_from("4096".to_owned()), Ok(ByteSize(4096)));
        assert!(ByteSize::try_from("64MB".to_owned()).is_err());
        assert!(ByteSize::try_from("0".to_owned()).is_err());
        assert_eq!(
            serde_json::from_str::<CallTime>("\"2s\"").unwrap(),
            CallTime(Duration::from_secs(2))
        );
        assert!(serde_json::from_str::<CallTime>("\"0\"").is_err());
    }
}
