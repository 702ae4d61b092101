//! Counters for Prometheus.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::{Mutex, PoisonError};

/// What was issued and what was refused since the start. The labels come from the program, never from a request.
#[derive(Default)]
pub struct Metrics {
    issued: Mutex<BTreeMap<(&'static str, bool), u64>>,
    refused: Mutex<BTreeMap<&'static str, u64>>,
}

impl Metrics {
    /// Counts an answer with a token, which was made for it or had been given before.
    pub fn issued(&self, grant: &'static str, repeated: bool) {
        *self
            .issued
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .entry((grant, repeated))
            .or_default() += 1;
    }

    /// Counts a refusal.
    pub fn refused(&self, error: &'static str) {
        *self
            .refused
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .entry(error)
            .or_default() += 1;
    }

    /// The Prometheus text.
    pub fn render(&self, pollers: i64, revocations: i64) -> String {
        let mut text = String::from(
            "# HELP postern_auth_tokens_issued_total Answers with a token; repeated: the same token while valid.\n\
             # TYPE postern_auth_tokens_issued_total counter\n",
        );
        for ((grant, repeated), count) in self.issued.lock().unwrap_or_else(PoisonError::into_inner).iter() {
            let _ = writeln!(
                text,
                r#"postern_auth_tokens_issued_total{{grant="{grant}",repeated="{repeated}"}} {count}"#
            );
        }
        text.push_str(
            "# HELP postern_auth_refusals_total Refused requests.\n# TYPE postern_auth_refusals_total counter\n",
        );
        for (error, count) in self.refused.lock().unwrap_or_else(PoisonError::into_inner).iter() {
            let _ = writeln!(text, r#"postern_auth_refusals_total{{error="{error}"}} {count}"#);
        }
        let _ = write!(
            text,
            "# HELP postern_auth_feed_pollers Gateways waiting for the feed.\n\
             # TYPE postern_auth_feed_pollers gauge\npostern_auth_feed_pollers {pollers}\n\
             # HELP postern_auth_revocations_live Revocations whose tokens have not expired.\n\
             # TYPE postern_auth_revocations_live gauge\npostern_auth_revocations_live {revocations}\n"
        );
        text
    }
}
