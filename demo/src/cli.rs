//! The command line.

use std::net::SocketAddr;

use clap::{Args, Parser, Subcommand};
use http::Uri;
use tracing::level_filters::LevelFilter;

use crate::logging::{self, LogFormat};
use crate::{listener, provider, service};

/// The demo services of Postern: one that clients call, and the provider it fetches its data from.
#[derive(Debug, Parser)]
#[command(name = "postern-demo", version, about)]
pub struct Cli {
    #[command(flatten)]
    options: Options,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Args)]
struct Options {
    /// How log lines on stderr are written
    #[arg(long, global = true, value_enum, default_value_t = LogFormat::Text)]
    log_format: LogFormat,
    /// What is logged: off, error, warn, info, debug or trace
    #[arg(long, global = true, value_name = "LEVEL", default_value_t = LevelFilter::INFO)]
    log_level: LevelFilter,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the service that clients call through the gateway
    Service {
        /// Where to listen (port 0: any free one)
        #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:8088")]
        listen: SocketAddr,
        /// Where the provider is
        #[arg(long, value_name = "URL", default_value = "http://127.0.0.1:8089", value_parser = provider_url)]
        provider: Uri,
    },
    /// Run the provider of data
    Provider {
        /// Where to listen (port 0: any free one)
        #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:8089")]
        listen: SocketAddr,
    },
}

/// Runs one of the services until SIGTERM or SIGINT.
pub fn run(cli: Cli) -> Result<(), listener::Error> {
    logging::start(cli.options.log_format, cli.options.log_level);
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(async {
        match cli.command {
            Command::Service { listen, provider } => {
                listener::serve("service", listen, "/demo/test", service::router(&provider)).await
            }
            Command::Provider { listen } => listener::serve("provider", listen, "/data", provider::router()).await,
        }
    })
}

/// Reads `http://HOST:PORT`.
fn provider_url(text: &str) -> Result<Uri, String> {
    let url: Uri = text
        .parse()
        .map_err(|error| format!("{error}; write http://HOST:PORT"))?;
    if url.scheme_str() != Some("http") || url.authority().is_none() || !matches!(url.path(), "" | "/") {
        return Err("write http://HOST:PORT, without a path".into());
    }
    Ok(url)
}
