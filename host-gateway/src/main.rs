//! The command line of the gateway.

use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};
use postern_gateway::config::{Config, folder_of};
use postern_gateway::logging::{self, LogFormat};
use postern_gateway::{check, envoy, plugin, run};

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
    Run(Run),
    /// Check the configuration, start every plugin once with its own and open a context for a request in it; exit code 0
    /// or 1.
    Check(File),
    /// Print the Envoy bootstrap (JSON) that does the same as the configuration.
    Envoy(File),
    /// Print the JSON Schema of the configuration.
    Schema,
    /// Look into plugins without serving anything.
    #[command(subcommand)]
    Plugin(Plugin),
}

#[derive(Args)]
struct Run {
    #[command(flatten)]
    file: File,
    /// Write every call into this plugin, and every host function that it calls, to the log. Secrets are masked. May be
    /// given more than once.
    #[arg(long, value_name = "NAME")]
    trace_plugin: Vec<String>,
}

#[derive(Subcommand)]
enum Plugin {
    /// Show what a plugin is built for, what it exports, and which of its imports the gateway has; exit code 1 if it cannot
    /// run here.
    Inspect {
        /// A WebAssembly file.
        file: PathBuf,
    },
    /// Run a plugin against requests that a file describes, without a network; exit code 1 if one ends otherwise than
    /// expected. docs/plugins.md describes the file.
    Test {
        /// A WebAssembly file.
        file: PathBuf,
        /// The requests, and what should come of them (YAML).
        #[arg(long, value_name = "FILE")]
        requests: PathBuf,
        /// Write every call into the plugin, and every host function that it calls, to the log.
        #[arg(long)]
        trace: bool,
    },
    /// Print the JSON Schema of the file that describes requests.
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
        Command::Run(command) => run::run(&command.file.config, &command.trace_plugin),
        Command::Check(file) => check(&file),
        Command::Envoy(file) => envoy(&file),
        Command::Schema => print(&schemars::schema_for!(Config)),
        Command::Plugin(Plugin::Inspect { file }) => inspect(&file),
        Command::Plugin(Plugin::Schema) => print(&plugin::cases::schema()),
        Command::Plugin(Plugin::Test { file, requests, trace }) => test(&file, &requests, trace),
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
    for note in envoy::notes(&config) {
        eprintln!("note: {note}");
    }
    print(&bootstrap)
}

fn inspect(file: &Path) -> Result<(), String> {
    let (description, verdict) = plugin::inspect::inspect(file);
    description.map_or(Ok(()), |text| write(text.trim_end()))?;
    verdict
}

fn test(file: &Path, requests: &Path, trace: bool) -> Result<(), String> {
    let report = plugin::cases::test(file, requests, trace)?;
    write(report.text.trim_end())?;
    match report.failed {
        0 => write(&format!("{} cases, all as expected", report.cases)),
        failed => Err(format!("{failed} of {} cases did not end as expected", report.cases)),
    }
}

fn print(value: &impl serde::Serialize) -> Result<(), String> {
    let text = serde_json::to_string_pretty(value).map_err(|error| error.to_string())?;
    write(&text)
}

fn write(text: &str) -> Result<(), String> {
    match writeln!(io::stdout(), "{text}") {
        // Who stops reading early, as `head` does, has read enough.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        written => written.map_err(|error| format!("cannot write to standard output: {error}")),
    }
}
