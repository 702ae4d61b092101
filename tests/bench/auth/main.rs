//! `cargo xtask bench auth`: what a call costs the auth server, on SQLite and on PostgreSQL, beside npm `oidc-provider`.
//!
//! The one number is CPU microseconds per call of the server's process: it hardly depends on the load generator. The
//! server has core 0 for itself, wrk (1 thread) core 1. PostgreSQL runs where the kernel puts it; what it costs is shown
//! apart. After two seconds of warm-up each call is measured, the subjects in reverse order every other time. Only ratios
//! within one run mean anything.

mod load;
mod measure;
mod report;
mod subjects;

use std::{fs, path::PathBuf, process::ExitCode};

use anyhow::{Context, Result, bail};
use postern_e2e::processes::{in_path, ticks_per_second};
use private_postgres::Postgres;
use xtask::{bench::OIDC_PROVIDER, progress::Progress, workspace::Workspace};

use crate::{measure::Sample, subjects::Subject};

/// What the command line says.
struct Options {
    seconds: u32,
    repetitions: u32,
    connections: u32,
    /// Only subjects with this in their name; empty: all.
    only: String,
}

/// Where everything of a run lies, and what it needs.
struct Bench {
    workspace: Workspace,
    folder: PathBuf,
    wrk: PathBuf,
    node: PathBuf,
    /// Our server, built for release.
    auth: PathBuf,
    /// `None`: not installed.
    postgres: Option<&'static Postgres>,
    /// Clock ticks per second, in which the kernel counts CPU time.
    ticks_per_second: f64,
    options: Options,
}

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<()> {
    let options = Options::parse()?;
    let progress = Progress::begin();
    let bench = Bench::prepare(options)?;
    let mut subjects = subjects::all(&bench);
    subjects.retain(|subject| subject.name.contains(&bench.options.only));
    let mut samples: Vec<(String, Vec<Sample>)> = Vec::new();
    for repetition in 0..bench.options.repetitions {
        let mut order: Vec<&Subject> = subjects.iter().collect();
        if repetition % 2 == 1 {
            order.reverse();
        }
        for subject in order {
            let measured = measure::measure(&bench, subject, repetition, |call, sample| {
                let repetitions = bench.options.repetitions;
                progress.step(format_args!(
                    "{}/{repetitions} {}, {call}: {sample}",
                    repetition + 1,
                    subject.name
                ));
            });
            for (call, sample) in measured.with_context(|| format!("measuring {}", subject.name))? {
                let name = format!("{}, {call}", subject.name);
                match samples.iter_mut().find(|(known, _)| *known == name) {
                    Some((_, samples)) => samples.push(sample),
                    None => samples.push((name, vec![sample])),
                }
            }
        }
    }
    report::report(&bench, &samples)
}

impl Bench {
    /// Finds everything before anything is measured.
    fn prepare(options: Options) -> Result<Self> {
        if std::thread::available_parallelism().is_ok_and(|cores| cores.get() < 2) {
            bail!("the measurement needs two cores: one for the server, one for the load");
        }
        in_path("taskset", "util-linux")?;
        let workspace = Workspace::locate()?;
        let folder = workspace.target.join("bench/auth");
        fs::create_dir_all(&folder).with_context(|| format!("cannot create {}", folder.display()))?;
        let auth = workspace.target.join("release/postern-auth");
        if !auth.is_file() || !folder.join("node_modules/oidc-provider").is_dir() {
            bail!(
                "{} or {OIDC_PROVIDER} is missing; `cargo xtask bench auth` brings both",
                auth.display()
            );
        }
        Ok(Self {
            wrk: in_path("wrk", "wrk")?,
            node: in_path("node", "nodejs")?,
            auth,
            postgres: Postgres::shared(),
            ticks_per_second: ticks_per_second()?,
            workspace,
            folder,
            options,
        })
    }

    /// Writes a file into the folder of the run.
    fn write(&self, name: &str, text: &str) -> Result<PathBuf> {
        let path = self.folder.join(name);
        fs::write(&path, text).with_context(|| format!("cannot write {}", path.display()))?;
        Ok(path)
    }
}

impl Options {
    fn parse() -> Result<Self> {
        let mut options = Self {
            seconds: 5,
            repetitions: 3,
            connections: 32,
            only: String::new(),
        };
        let words: Vec<String> = std::env::args().skip(1).collect();
        for pair in words.chunks(2) {
            let [flag, value] = pair else {
                bail!("`{}` needs a value", pair.join(" "))
            };
            let number = match flag.as_str() {
                "--seconds" => &mut options.seconds,
                "--repetitions" => &mut options.repetitions,
                "--connections" => &mut options.connections,
                "--only" => {
                    options.only.clone_from(value);
                    continue;
                }
                _ => bail!("`{flag}` is not known; there are --seconds, --repetitions, --connections and --only"),
            };
            *number = match value.parse() {
                Ok(0) | Err(_) => bail!("`{flag} {value}`: write a whole number above 0"),
                Ok(value) => value,
            };
        }
        Ok(options)
    }
}
