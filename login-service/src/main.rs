//! `postern-login`: users, roles and permissions, behind the three reserved interfaces of the legacy systems and the
//! permission feed of the gateways.

mod app;
mod authn;
mod cli;
mod clock;
mod config;
mod db;
mod duration;
mod endpoints;
mod entropy;
mod error;
mod feed;
mod import;
mod logging;
mod metrics;
mod name;
mod parameters;
mod password;
mod permission_url;
mod router;
mod serve;

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
