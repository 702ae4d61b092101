//! The command line of the policy: what the filter would decide, without a host.

mod cases;
mod clock;
mod config_file;
mod explain;
mod lint;
mod offline;
mod output;
mod request;
mod verify;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};
use postern_access::config::Config;

/// Lint, explain, test and verify with the filter's own decision code.
///
/// Exit codes: 0 all is well; 1 a finding, a failed case or a refused token; 2 wrong usage, or a file that cannot be read.
#[derive(Parser)]
#[command(name = "postern-policy", version, about)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Look for rules that never decide, public patterns that open protected ones, unknown keys and weak settings.
    ///
    /// Each finding is one line. Exit code 1 if there is an error or a warning; notes do not count.
    Lint {
        /// The plugin configuration (JSON or YAML), or a gateway.yaml.
        #[arg(value_name = "CONFIG", required_unless_present = "config")]
        file: Option<PathBuf>,
        /// The same.
        #[arg(long, value_name = "CONFIG", conflicts_with = "file")]
        config: Option<PathBuf>,
        /// Which plugin of a gateway.yaml with several.
        #[arg(long, value_name = "NAME")]
        plugin: Option<String>,
        /// The permission table, to find rows that are never asked: a feed document, or a list of name, url and method.
        #[arg(long, value_name = "FILE")]
        permissions: Option<PathBuf>,
    },
    /// Print each step of the decision about one request.
    Explain {
        #[command(flatten)]
        policy: PolicyFiles,
        /// Method and address: `GET https://host/path`, or `GET /path`.
        #[arg(long, value_name = "REQUEST")]
        request: String,
        /// One more header, `name: value`; may be given several times.
        #[arg(long = "header", value_name = "HEADER")]
        headers: Vec<String>,
        /// The token, as it stands after `Bearer`.
        #[arg(long, value_name = "TOKEN", conflicts_with = "claims")]
        token: Option<String>,
        /// Claims (JSON) that are taken for those of a token with a good signature; `iss`, `aud` and `exp` are filled in.
        #[arg(long, value_name = "JSON")]
        claims: Option<String>,
        /// Unix seconds; without it, the clock.
        #[arg(long, value_name = "TIME")]
        now: Option<u64>,
    },
    /// Run a table of requests and tokens, and compare the decisions with those expected.
    ///
    /// Each failure is one line, the last line counts. Exit code 1 if one failed.
    Test {
        #[command(flatten)]
        policy: PolicyFiles,
        /// The table (YAML): see docs/policy.md.
        #[arg(value_name = "CASES")]
        cases: PathBuf,
    },
    /// Say whether tokens are good, and if not, why.
    ///
    /// A token must be good in every respect in which the filter asks it to be, for an issuer whose keys are the given ones.
    /// Exit code 1 if one is refused; with --batch always 0, as each line has its own answer.
    Verify(verify::Verify),
    /// Print the JSON Schema of the plugin configuration, for editors and checks.
    Schema,
}

/// A policy, and what it would know in a host.
#[derive(Args)]
struct PolicyFiles {
    /// The plugin configuration (JSON or YAML), or a gateway.yaml.
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
    /// Which plugin of a gateway.yaml with several.
    #[arg(long, value_name = "NAME")]
    plugin: Option<String>,
    /// The permission table: a feed document, or a list of name, url and method. Without it the table is empty.
    #[arg(long, value_name = "FILE")]
    permissions: Option<PathBuf>,
    /// The keys of those issuers whose keys a host would fetch (a JWK Set).
    #[arg(long, value_name = "FILE")]
    jwks: Option<PathBuf>,
    /// The auth server's feed (`GET /feed/tokens`): its keys and revocations.
    #[arg(long, value_name = "FILE")]
    feed: Option<PathBuf>,
}

/// Exit code of wrong usage and unreadable files, as clap has it.
const UNUSABLE: u8 = 2;

fn main() -> ExitCode {
    let cli = Cli::parse();
    let done = match cli.command {
        Command::Lint {
            file,
            config,
            plugin,
            permissions,
        } => lint::run(
            &file.or(config).unwrap_or_default(),
            plugin.as_deref(),
            permissions.as_deref(),
        ),
        Command::Explain {
            policy,
            request,
            headers,
            token,
            claims,
            now,
        } => explain::run(&policy, &request, &headers, token.as_deref(), claims.as_deref(), now),
        Command::Test { policy, cases } => cases::run(&policy, &cases),
        Command::Verify(verify) => verify::run(&verify),
        Command::Schema => {
            let schema = schemars::schema_for!(Config).to_value();
            output::line(format_args!("{schema:#}")).map(|()| true)
        }
    };
    match done {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::from(UNUSABLE)
        }
    }
}
