//! `cargo xtask …`: build the filter, run the demo, run every check, benchmark.

use std::process::ExitCode;

use anyhow::{Result, bail};
use xtask::{bench, demo, envoy, filter, fuzz, progress::Progress, real_clients, test, workspace::Workspace};

const USAGE: &str = "\
cargo xtask <command>

  demo [--host gateway|envoy] [--data DIR]   build and run everything, with demo data; Ctrl-C stops it
       [--gateway-port 8081] [--admin-port 9901] [--auth-port 8086]
       [--login-port 8087] [--service-port 8088] [--provider-port 8089]
  test                                       every check and every test
  filter                                     build dist/postern_filter.wasm
  guests                                     build the guests that the end-to-end suite runs on both hosts
  envoy                                      make sure that Envoy is there, and print where
  clients                                    make sure that the clients of the end-to-end suite are there
  bench gateway|filter|plugins [--seconds 1] [--repetitions 10] [--connections 64] [--only SUBJECT,…]
                                             measure against peers, side by side; writes target/bench/….json
  bench auth [--seconds 5] [--repetitions 3] [--connections 32] [--only SUBJECT]
                                             the same for the auth server; writes target/bench/auth.json
  bench feeds [--gateways 1000] [--rounds 100]
                                             how soon a logout is known everywhere; writes target/bench/feeds.json
  fuzz [path|route|jws|snapshot|config] [--seconds 60 | --runs N]
                                             libFuzzer on what the filter reads from strangers
";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match run(&arguments) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: &[&str]) -> Result<ExitCode> {
    if arguments.iter().any(|word| matches!(*word, "--help" | "-h")) {
        print!("{USAGE}");
        return Ok(ExitCode::SUCCESS);
    }
    let workspace = Workspace::locate()?;
    let progress = Progress::begin();
    match arguments {
        ["demo", rest @ ..] => demo::run(&workspace, &progress, &demo::Options::parse(&workspace, rest)?)?,
        ["test"] => return test::run(&workspace, &progress),
        ["filter"] => filter::build(&workspace, &progress)?,
        ["guests"] => filter::build_guests(&workspace, &progress)?,
        ["envoy"] => println!("{}", envoy::find_or_install(&workspace, &progress)?.display()),
        ["clients"] => real_clients::install(&workspace, &progress)?,
        ["fuzz", rest @ ..] => fuzz::run(&workspace, &progress, rest)?,
        ["bench", rest @ ..] => bench::run(&workspace, &progress, rest)?,
        [] | ["help"] => print!("{USAGE}"),
        _ => bail!(
            "`{}` is not a command here; `cargo xtask help` lists what is",
            arguments.join(" ")
        ),
    }
    Ok(ExitCode::SUCCESS)
}
