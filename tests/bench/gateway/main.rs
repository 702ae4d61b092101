//! `cargo xtask bench gateway`, `cargo xtask bench filter` and `cargo xtask bench plugins`: what a request costs the proxy, ours and others', side by side
//! in one run.
//!
//! The one number is CPU microseconds per request of the proxy's processes: it hardly depends on the load generator. The
//! proxy has core 0 for itself with one worker; wrk (1 thread) and the upstream (nginx, 3 bytes) share core 1. After two
//! seconds of warm-up the subjects are measured in turn, in reverse order every other time. Only ratios within one run
//! mean anything.

mod feed;
mod load;
mod measure;
mod peers;
mod report;
mod tokens;
mod tools;

use std::{fs, path::PathBuf, process::ExitCode};

use anyhow::{Context, Result, bail};
use postern_e2e::ports;
use xtask::{progress::Progress, workspace::Workspace};

use crate::{measure::Sample, peers::Subject, tools::Tools};

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
    seconds: u32,
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
    /// Where every proxy listens, one at a time.
    proxy_port: u16,
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
        proxy_port: ports::free(),
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
    let mut samples: Vec<Vec<Sample>> = subjects.iter().map(|_| Vec::new()).collect();
    for repetition in 0..bench.options.repetitions {
        let mut order: Vec<usize> = (0..subjects.len()).collect();
        if repetition % 2 == 1 {
            order.reverse();
        }
        for index in order {
            let Subject { name, .. } = &subjects[index];
            let sample = measure::measure(&bench, &subjects[index]).with_context(|| format!("measuring {name}"))?;
            progress.step(format_args!(
                "{}/{} {name}: {sample}",
                repetition + 1,
                bench.options.repetitions
            ));
            samples[index].push(sample);
        }
    }
    report::report(&bench, &subjects, &samples)
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
            seconds: 10,
            repetitions: 3,
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
