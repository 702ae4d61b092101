//! Log lines on stderr, as text or JSON.

use tracing::level_filters::LevelFilter;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;

/// How log lines are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum LogFormat {
    /// For people.
    Text,
    /// One JSON object per line.
    Json,
}

/// Starts logging. Called once, before anything is logged.
pub fn start(format: LogFormat, level: LevelFilter) {
    // What the driver of the database says of an error is said again by whoever asked it, and a lost database would make
    // it say so for every connection.
    let driver = if level > LevelFilter::INFO {
        level
    } else {
        LevelFilter::OFF
    };
    let filter = Targets::new().with_default(level).with_target("sqlx", driver);
    let lines = tracing_subscriber::fmt()
        .with_max_level(LevelFilter::TRACE)
        .with_writer(std::io::stderr);
    match format {
        LogFormat::Text => lines.with_ansi(false).finish().with(filter).init(),
        LogFormat::Json => lines.json().flatten_event(true).finish().with(filter).init(),
    }
}
