//! The command line of the gateway.

use std::io::{self, Write as _};
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};
use postern_gateway::config::{Config, folder_of};
use postern_gateway::logging::{self, LogFormat};
use postern_gateway::{check, envoy, run};

/// A request costs some forty small allocations, all freed by the thread that made them: what this allocator is good at.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// HTTP reverse proxy that hosts proxy-wasm plugins.
#[derive(Parser)]
#[command(name = "postern-gateway", version, about)]
struct Cli {
    #[command(subcommand)]
    command: Command,
    /// How log lines on standard error look.
    #[arg(long, global = true, value_enum, default_value = "text")]
    log_format: LogFormat,
    /// error, warn, info, debug, trace, or a filter such as `info,postern_gateway=debug`.
    #[arg(long, global = true, default_value = "info")]
    log_level: String,
}

#[derive(Subcommand)]
enum Command {
    /// Serve until SIGTERM or SIGINT, then let running exchanges finish.
    Run(File),
    /// Check the configuration, and start every plugin once with its own; exit code 0 or 1.
    Check(File),
    /// Print the Envoy bootstrap (JSON) that does the same as the configuration.
    Envoy(File),
    /// Print the JSON Schema of the configuration.
    Schema,
}

#[derive(Args)]
struct File {
    /// The configuration, `gateway.yaml`.
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    let done = logging::start(cli.log_format, &cli.log_level).and_then(|()| match cli.command {
        Command::Run(file) => run::run(&file.config),
        Command::Check(file) => check(&file),
        Command::Envoy(file) => envoy(&file),
        Command::Schema => print(&schemars::schema_for!(Config)),
    });
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

fn check(file: &File) -> Result<(), String> {
    check::check(&file.config)?;
    println!("{} is good", file.config.display());
    Ok(())
}

fn envoy(file: &File) -> Result<(), String> {
    let config = Config::load(&file.config).map_err(|error| error.to_string())?;
    let bootstrap = envoy::bootstrap(&config, folder_of(&file.config))?;
    if let Some(workers) = &config.workers {
        eprintln!(
            "note: run Envoy with `--concurrency {}` to have as many workers",
            workers.value
        );
    }
    print(&bootstrap)
}

fn print(value: &impl serde::Serialize) -> Result<(), String> {
    let text = serde_json::to_string_pretty(value).map_err(|error| error.to_string())?;
    match writeln!(io::stdout(), "{text}") {
        // Who stops reading early, as `head` does, has read enough.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        written => written.map_err(|error| format!("cannot write to standard output: {error}")),
    }
}
