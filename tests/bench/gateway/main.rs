//! `cargo xtask bench gateway`, `cargo xtask bench filter` and `cargo xtask bench plugins`: what a request costs the proxy, ours and others', side by side
//! in one run.
//!
//! The one number is CPU microseconds per request of the proxy's processes: it hardly depends on the load generator. The
//! proxies run all the time, warm, on core 0 with one worker each, and get load one at a time; wrk (1 thread) and the
//! upstream (nginx, 3 bytes) share core 1. What is compared is measured in slices of a second right after one another,
//! forth and back (A B B A): a machine that slows down, or whose neighbours wake up, does so to both. Of the ratios of many
//! such blocks the median counts; figures of different blocks are not compared.

mod feed;
mod load;
mod measure;
mod peers;
mod questions;
mod report;
mod tokens;
mod tools;

use std::{fs, path::PathBuf, process::ExitCode};

use anyhow::{Context, Result, bail};
use postern_e2e::ports;
use xtask::{progress::Progress, workspace::Workspace};

use crate::{
    measure::{Running, Sample},
    tools::Tools,
};

/// What is compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Comparison {
    /// Our gateway beside Envoy, and the filter in both.
    Gateway,
    /// The filter in both hosts under all kinds of tokens, rules and revocations, beside what Envoy brings.
    Filter,
    /// Plugins that do next to nothing, one and ten, in both hosts; and what VMs cost.
    Plugins,
}

/// What the command line says.
struct Options {
    comparison: Comparison,
    /// Of a slice.
    seconds: u32,
    /// Blocks of each comparison.
    repetitions: u32,
    connections: u32,
    /// Only subjects of these names; empty: all.
    only: Vec<String>,
}

/// Where everything of a run lies, and what it needs.
struct Bench {
    workspace: Workspace,
    folder: PathBuf,
    tools: Tools,
    options: Options,
    upstream_port: u16,
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
    let workspace = Workspace::locate()?;
    let progress = Progress::begin();
    let tools = Tools::find(&workspace)?;
    let folder = workspace.target.join("bench").join(options.comparison.name());
    fs::create_dir_all(&folder).with_context(|| format!("cannot create {}", folder.display()))?;
    let bench = Bench {
        workspace,
        folder,
        tools,
        options,
        upstream_port: ports::free(),
    };

    let _upstream = load::start_upstream(&bench)?;
    let mut subjects = peers::subjects(&bench)?;
    let only = &bench.options.only;
    subjects.retain(|subject| only.is_empty() || only.contains(&subject.name));
    progress.step("making tokens");
    for subject in &subjects {
        tokens::make(subject.tokens, &bench.folder)?;
    }
    progress.step(format_args!("starting and warming up {} proxies", subjects.len()));
    let mut answers = questions::among(bench.options.comparison, &subjects);
    if answers.is_empty() {
        bail!("--only: no two of these are compared with each other; name both sides, as in the table of a whole run");
    }
    let mut running = Vec::new();
    for subject in &subjects {
        running.push(Running::start(&bench, subject).with_context(|| format!("starting {}", subject.name))?);
    }
    let mut samples: Vec<Vec<Sample>> = subjects.iter().map(|_| Vec::new()).collect();
    for repetition in 0..bench.options.repetitions {
        for answer in &mut answers {
            let block = block(&mut running, answer.asks(), &mut samples)?;
            answer.add(&block);
        }
        progress.step(format_args!(
            "{}/{} rounds of {} comparisons",
            repetition + 1,
            bench.options.repetitions,
            answers.len()
        ));
    }
    drop(running);
    report::report(&bench, &subjects, &samples, &answers)
}

/// Measures these subjects in turn, and back. Returns the CPU time per request of each over both its slices.
fn block(running: &mut [Running<'_>], asked: &[usize], samples: &mut [Vec<Sample>]) -> Result<Vec<f64>> {
    let mut cpu = vec![0.0; asked.len()];
    let places = 0..asked.len();
    for place in places.clone().chain(places.rev()) {
        let index = asked[place];
        let name = &running[index].subject.name;
        let sample = running[index].slice().with_context(|| format!("measuring {name}"))?;
        cpu[place] += sample.cpu / 2.0;
        samples[index].push(sample);
    }
    Ok(cpu)
}

impl Comparison {
    /// As it stands in commands and files.
    fn name(self) -> &'static str {
        match self {
            Self::Gateway => "gateway",
            Self::Filter => "filter",
            Self::Plugins => "plugins",
        }
    }
}

impl Options {
    fn parse() -> Result<Self> {
        let mut words = std::env::args().skip(1);
        let comparison = match words.next().as_deref() {
            Some("gateway") => Comparison::Gateway,
            Some("filter") => Comparison::Filter,
            Some("plugins") => Comparison::Plugins,
            _ => bail!("say what to compare: gateway, filter or plugins"),
        };
        let mut options = Self {
            comparison,
            seconds: 1,
            repetitions: 10,
            connections: 64,
            only: Vec::new(),
        };
        let words: Vec<String> = words.collect();
        for pair in words.chunks(2) {
            let [flag, value] = pair else {
                bail!("`{}` needs a value", pair.join(" "))
            };
            let number = match flag.as_str() {
                "--seconds" => &mut options.seconds,
                "--repetitions" => &mut options.repetitions,
                "--connections" => &mut options.connections,
                "--only" => {
                    options.only = value.split(',').map(|name| name.trim().to_owned()).collect();
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
