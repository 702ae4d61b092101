//! `postern-demo`: the two demo services of the legacy systems. `service` is what clients call through the gateway;
//! `provider` is where it fetches its data from.

mod breaker;
mod cli;
mod clock;
mod json;
mod listener;
mod logging;
mod metrics;
mod provider;
mod provider_client;
mod service;

use std::process::ExitCode;

use clap::Parser;

fn main() -> ExitCode {
    match cli::run(cli::Cli::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let line = error.to_string().replace('\n', " ");
            eprintln!("error: {line}");
            ExitCode::FAILURE
        }
    }
}
