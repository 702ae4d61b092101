//! `cargo xtask test`: every check and every test, and at the end what ran and what did not.

use std::{process::ExitCode, time::Duration};

use anyhow::Result;

use crate::{
    clock, demo, envoy, filter,
    progress::Progress,
    real_clients,
    workspace::{Workspace, shown, succeed},
};

/// How one step ended.
struct Outcome {
    what: String,
    took: Duration,
    failed: bool,
}

/// Runs everything, also after a failure: one run shows all there is to mend.
///
/// # Errors
/// When Envoy, PostgreSQL or a client is missing where nothing may be skipped (`CI=true`), or `ENVOY_BIN` or `POSTGRES_BIN` is wrong.
pub fn run(workspace: &Workspace, progress: &Progress) -> Result<ExitCode> {
    let mut skipped = Vec::new();
    let envoy = envoy::find(workspace)?;
    if envoy.is_none() {
        skipped.push("every scenario on Envoy: it is not there; `cargo xtask envoy` installs it");
    }
    if private_postgres::find().map_err(anyhow::Error::msg)?.is_none() {
        skipped.push("every test on PostgreSQL: it is not there; install Debian's package postgresql");
    }
    let clients = real_clients::find(workspace);
    skipped.extend(clients.missing());
    if let Some(what) = skipped.first()
        && std::env::var("CI").is_ok_and(|value| value == "true")
    {
        anyhow::bail!("nothing may be skipped when CI=true, but {what}");
    }

    let mut outcomes = vec![
        step("cargo xtask filter", || filter::build(workspace, progress)),
        step("cargo xtask guests", || filter::build_guests(workspace, progress)),
    ];
    for words in COMMANDS {
        let mut command = workspace.cargo(words);
        // Tests of single crates know nothing of where these were installed.
        command.envs(envoy.iter().map(|envoy| ("ENVOY_BIN", envoy)));
        command.envs(clients.chromium.iter().map(|chromium| ("CHROMIUM_BIN", chromium)));
        let what = shown(&command);
        progress.step(&what);
        outcomes.push(step(&what, || succeed(&mut command)));
    }
    Ok(summary(&outcomes, &skipped))
}

/// Every cargo command, the quickest first. What links only for wasm is checked apart.
const COMMANDS: &[&[&str]] = &[
    &["fmt", "--all", "--check"],
    &[
        "clippy",
        "--workspace",
        "--exclude",
        "postern-filter",
        "--exclude",
        "postern-guests",
        "--all-targets",
        "--",
        "-D",
        "warnings",
    ],
    &[
        "clippy",
        "-p",
        "postern-filter",
        "-p",
        "postern-guests",
        "--target",
        filter::TARGET,
        "--",
        "-D",
        "warnings",
    ],
    demo::PROGRAMS,
    &[
        "test",
        "--workspace",
        "--exclude",
        "postern-filter",
        "--exclude",
        "postern-guests",
        "--no-fail-fast",
    ],
];

fn step(what: &str, run: impl FnOnce() -> Result<()>) -> Outcome {
    let began = clock::now();
    let result = run();
    if let Err(error) = &result {
        eprintln!("error: {error:#}");
    }
    Outcome {
        what: what.to_owned(),
        took: began.elapsed(),
        failed: result.is_err(),
    }
}

fn summary(outcomes: &[Outcome], skipped: &[&str]) -> ExitCode {
    println!("\nWhat ran:");
    for Outcome { what, took, failed } in outcomes {
        println!(
            "  {} {:6.1} s  {what}",
            if *failed { "FAILED" } else { "ok    " },
            took.as_secs_f64()
        );
    }
    match skipped {
        [] => println!("Skipped: nothing."),
        some => some.iter().for_each(|what| println!("Skipped: {what}")),
    }
    match outcomes.iter().filter(|outcome| outcome.failed).count() {
        0 => {
            println!("All is well.");
            ExitCode::SUCCESS
        }
        failures => {
            println!("{failures} of {} failed.", outcomes.len());
            ExitCode::FAILURE
        }
    }
}
