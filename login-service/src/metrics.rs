//! Counters, in the text format of Prometheus.

use std::fmt::Write as _;
use std::sync::atomic::{AtomicU64, Ordering};

/// A number that only grows.
#[derive(Debug, Default)]
pub struct Counter(AtomicU64);

impl Counter {
    /// One more.
    pub fn add(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }

    fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// What the service counts.
#[derive(Debug, Default)]
pub struct Metrics {
    /// Right passwords of enabled users.
    pub logins_accepted: Counter,
    /// Wrong passwords, unknown and disabled users.
    pub logins_refused: Counter,
    /// Answered 503 because too many checks were waiting.
    pub logins_saturated: Counter,
    /// Polls answered with a document.
    pub polls_changed: Counter,
    /// Polls answered 304.
    pub polls_unchanged: Counter,
}

impl Metrics {
    /// The page at `/metrics`.
    pub fn page(&self, feed_number: i64, pollers: usize) -> String {
        let mut page = String::new();
        family(
            &mut page,
            "postern_login_logins_total",
            "counter",
            "Password checks by their outcome.",
        );
        for (outcome, counter) in [
            ("accepted", &self.logins_accepted),
            ("refused", &self.logins_refused),
            ("saturated", &self.logins_saturated),
        ] {
            sample(
                &mut page,
                &format!("postern_login_logins_total{{outcome=\"{outcome}\"}}"),
                counter.get(),
            );
        }
        family(
            &mut page,
            "postern_login_feed_polls_total",
            "counter",
            "Answered polls of the permission feed.",
        );
        for (answer, counter) in [("changed", &self.polls_changed), ("unchanged", &self.polls_unchanged)] {
            sample(
                &mut page,
                &format!("postern_login_feed_polls_total{{answer=\"{answer}\"}}"),
                counter.get(),
            );
        }
        family(
            &mut page,
            "postern_login_feed_pollers",
            "gauge",
            "Polls of the permission feed that are held now.",
        );
        sample(&mut page, "postern_login_feed_pollers", pollers);
        family(
            &mut page,
            "postern_login_feed_version",
            "gauge",
            "Number of the newest change.",
        );
        sample(&mut page, "postern_login_feed_version", feed_number);
        page
    }
}

fn family(page: &mut String, name: &str, kind: &str, help: &str) {
    // Writing to a string cannot fail.
    let _ = writeln!(page, "# HELP {name} {help}\n# TYPE {name} {kind}");
}

fn sample(page: &mut String, series: &str, value: impl std::fmt::Display) {
    let _ = writeln!(page, "{series} {value}");
}
