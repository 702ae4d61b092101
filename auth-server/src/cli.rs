//! The command line.

mod client;
mod doctor;
mod import;
mod keys;
mod revoke;
mod serve;

use std::io::{self, BufRead as _, Write as _};
use std::path::PathBuf;

use anyhow::{Context as _, bail};
use clap::{Parser, Subcommand, ValueEnum};
use tracing_subscriber::EnvFilter;

use crate::config::Config;
use crate::db::Database;

/// OAuth2 server: issues, refreshes and revokes tokens, and tells the gateways at once.
///
/// Start with `postern-auth client add …` and `postern-auth serve`; the commands work on the database directly, also
/// while the server runs, and take effect at the gateways within 100 ms.
#[derive(Parser)]
#[command(name = "postern-auth", version)]
pub struct Arguments {
    /// The configuration file.
    #[arg(long, global = true, default_value = "auth.yaml", value_name = "FILE")]
    config: PathBuf,
    /// How log lines on stderr look.
    #[arg(long, global = true, value_enum, default_value = "text")]
    log_format: LogFormat,
    /// What is logged: error, warn, info, debug or trace, also per module (`info,postern_auth=debug`).
    #[arg(long, global = true, default_value = "info", value_name = "LEVEL")]
    log_level: String,
    #[command(subcommand)]
    command: Command,
}

#[derive(Clone, Copy, ValueEnum)]
enum LogFormat {
    Text,
    Json,
}

#[derive(Subcommand)]
enum Command {
    /// Serve requests until SIGTERM or SIGINT.
    Serve,
    /// Check the configuration, and whether the database can be reached; exit code 0 when they can be used, 1 when not.
    Check,
    /// Print the JSON Schema of the configuration.
    Schema,
    /// Add, list and remove OAuth clients.
    #[command(subcommand)]
    Client(client::ClientCommand),
    /// List and rotate signing keys.
    #[command(subcommand)]
    Keys(keys::KeysCommand),
    /// Take back everything of a user or a client, or one token: at the gateways within 100 ms, here at once.
    Revoke(revoke::Revoke),
    /// Take clients and living tokens over from dumps of a MySQL database of Spring Security OAuth.
    ///
    /// Secrets are hashed; those that are bcrypt hashes stay so until the client next shows the secret. Living tokens are
    /// honoured until they expire, so nobody has to log in again. The report tells of every row what became of it; a
    /// second import of the same dump changes nothing.
    Import(import::Import),
    /// List every setting that is weaker than today's best practice, why, and what to do about it.
    Doctor(doctor::Doctor),
}

/// Runs one command to its end.
pub fn run(arguments: Arguments) -> anyhow::Result<()> {
    start_log(&arguments)?;
    if let Command::Schema = arguments.command {
        let schema = serde_json::to_string_pretty(&schemars::schema_for!(Config))?;
        return print(&format!("{schema}\n"));
    }
    let config = Config::read(&arguments.config)?;
    let runtime = tokio::runtime::Runtime::new().context("the runtime cannot be started")?;
    runtime.block_on(async {
        match arguments.command {
            Command::Serve => serve::serve(config).await,
            Command::Check => {
                Database::check(&config.database_location()).await?;
                println!("{} can be used", arguments.config.display());
                Ok(())
            }
            Command::Schema => Ok(()),
            Command::Client(command) => client::run(command, open(&config).await?).await,
            Command::Keys(command) => keys::run(command, open(&config).await?).await,
            Command::Revoke(arguments) => revoke::run(arguments, open(&config).await?).await,
            Command::Import(arguments) => import::run(arguments, open(&config).await?).await,
            Command::Doctor(arguments) => doctor::run(&arguments, &config, open(&config).await?).await,
        }
    })
}

/// What an operator hands over where nobody sees it: secrets and tokens. Without the end of the line.
fn first_line_of_stdin() -> anyhow::Result<String> {
    let mut line = String::new();
    let read = io::stdin().lock().read_line(&mut line);
    read.context("standard input cannot be read")?;
    let line = line.trim_end_matches(['\r', '\n']);
    if line.is_empty() {
        bail!("the first line of standard input is empty; write it there");
    }
    Ok(line.to_owned())
}

/// Prints what may be long. Who stops reading early, as `head` does, has read enough.
fn print(text: &str) -> anyhow::Result<()> {
    match io::stdout().write_all(text.as_bytes()) {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        written => written.context("cannot write to standard output"),
    }
}

async fn open(config: &Config) -> anyhow::Result<Database> {
    Ok(Database::open(&config.database_location()).await?)
}

fn start_log(arguments: &Arguments) -> anyhow::Result<()> {
    let filter = EnvFilter::try_new(&arguments.log_level).with_context(|| {
        format!(
            "--log-level {}: write error, warn, info, debug or trace",
            arguments.log_level
        )
    })?;
    // What the driver of the database says of an error is said again by whoever asked it, and a lost database would make
    // it say so for every connection.
    let driver = !arguments.log_level.contains("sqlx") && !["debug", "trace"].contains(&arguments.log_level.as_str());
    let filter = match "sqlx=off".parse() {
        Ok(quiet) if driver => filter.add_directive(quiet),
        _ => filter,
    };
    let log = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr);
    match arguments.log_format {
        LogFormat::Text => log.init(),
        LogFormat::Json => log.json().init(),
    }
    Ok(())
}
