//! What the gateway says on standard error.

use clap::ValueEnum;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::LevelFilter;

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    Text,
    Json,
}

/// Starts logging. `level` is a level or a filter such as `info,postern_gateway=debug`.
pub fn start(format: LogFormat, level: &str) -> Result<(), String> {
    // A word that is no level would be taken for a part of the program, of which everything is shown.
    for part in level.split(',').filter(|part| !part.contains(['=', '['])) {
        if part.trim().parse::<LevelFilter>().is_err() {
            return Err(format!(
                "--log-level {level}: `{part}` is no level: write error, warn, info, debug or trace, or a filter such as \
                 `info,postern_gateway=debug`"
            ));
        }
    }
    let filter = EnvFilter::try_new(level).map_err(|error| format!("--log-level {level}: {error}"))?;
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr);
    match format {
        LogFormat::Text => builder.with_target(false).init(),
        LogFormat::Json => builder.json().init(),
    }
    Ok(())
}
