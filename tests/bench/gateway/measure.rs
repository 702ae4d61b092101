//! A subject under load: one slice of time is one measurement.

use std::{fmt, fs, sync::atomic::AtomicBool, time::Duration};

use anyhow::{Context, Result, bail};
use postern_e2e::{
    client::Request,
    processes::{cpu_ticks, rss_mib, tree},
};
use xtask::{health, program::Program};

use crate::{
    Bench,
    load::{self, Load, PATH},
    peers::{self, Subject},
    tokens,
};

/// One round of warming up. A round is repeated until every token was seen, which a slow verification may delay.
const WARM_UP_SECONDS: u32 = 2;

/// What was measured.
pub struct Sample {
    /// CPU microseconds per request of the proxy's processes.
    pub cpu: f64,
    pub requests_per_second: f64,
    /// Latency, microseconds.
    pub p50: f64,
    pub p99: f64,
    /// Resident memory of the proxy's processes after the run, MiB.
    pub rss: f64,
    /// How busy the two cores were, 0 to 1.
    pub busy: [f64; 2],
    /// How much of core 0 went to something other than the proxy: other programs, or, on a virtual machine, its neighbours.
    pub disturbed: f64,
}

impl fmt::Display for Sample {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            cpu,
            requests_per_second,
            p50,
            p99,
            rss,
            busy,
            ..
        } = self;
        let [proxy, load] = busy.map(|busy| 100.0 * busy);
        write!(
            f,
            "{cpu:.1} µs CPU/request, {requests_per_second:.0}/s, p50 {p50:.0} µs, p99 {p99:.0} µs, {rss:.0} MiB, \
             core 0 {proxy:.0} %, core 1 {load:.0} %"
        )
    }
}

/// A subject that runs and is warm.
pub struct Running<'a> {
    pub subject: &'a Subject,
    bench: &'a Bench,
    /// Stopped when dropped.
    _program: Program,
    processes: Vec<u32>,
    /// So many tokens were shown to it: the next request shows the one whose turn it is.
    shown: f64,
}

impl<'a> Running<'a> {
    /// Starts the subject, checks that it decides rightly, and warms it up.
    pub fn start(bench: &'a Bench, subject: &'a Subject) -> Result<Self> {
        let log = bench.folder.join(format!("{}.log", peers::file_name(&subject.name)));
        let mut program = Program::start("proxy", subject.command(), &log)?;
        let ready = if subject.guards { 401 } else { 200 };
        health::wait(
            &mut program,
            subject.port,
            PATH,
            ready,
            Duration::from_secs(60),
            &AtomicBool::new(false),
        )?;
        check(bench, subject)?;
        let mut running = Self {
            subject,
            bench,
            processes: tree(program.id()),
            _program: program,
            shown: 0.0,
        };
        while running.shown < 2.0 * subject.tokens.count() as f64 {
            running.load(WARM_UP_SECONDS)?;
        }
        Ok(running)
    }

    /// One slice of load, while all other subjects have none.
    pub fn slice(&mut self) -> Result<Sample> {
        let (cpu, cores) = (cpu_ticks(&self.processes)?, core_ticks()?);
        let load = self.load(self.bench.options.seconds)?;
        let (cpu, cores) = (cpu_ticks(&self.processes)? - cpu, [cores, core_ticks()?]);
        let busy = [0, 1].map(|core| {
            let [before, after] = [cores[0][core], cores[1][core]];
            (after.busy - before.busy) / (after.all - before.all).max(1.0)
        });
        let stolen = (cores[1][0].stolen - cores[0][0].stolen) / (cores[1][0].all - cores[0][0].all).max(1.0);
        let cpu = cpu / self.bench.tools.ticks_per_second;
        Ok(Sample {
            cpu: cpu / load.requests * 1e6,
            disturbed: (busy[0] + stolen - cpu / load.seconds).max(0.0),
            requests_per_second: load.requests / load.seconds,
            p50: load.p50,
            p99: load.p99,
            rss: rss_mib(&self.processes)?,
            busy,
        })
    }

    fn load(&mut self, seconds: u32) -> Result<Load> {
        let load = load::run(self.bench, self.subject, seconds, self.shown)?;
        self.shown += load.requests;
        Ok(load)
    }
}

/// A proxy that lets everything pass is quick.
fn check(bench: &Bench, subject: &Subject) -> Result<()> {
    let (good, forged) = tokens::good_and_forged(subject.tokens, &bench.folder)?;
    let with = |path: &str, token: &str| Request::get(path).header("Authorization", &format!("Bearer {token}"));
    let guarded = [
        ("good token", with(PATH, &good), 200),
        ("missing role", with("/admin/x", &good), 403),
        ("forged token", with(PATH, &forged), 401),
        ("no token", Request::get(PATH), 401),
    ];
    let open = [("any request", Request::get(PATH), 200)];
    for (what, request, expected) in if subject.guards { &guarded[..] } else { &open[..] } {
        let status = request.send(subject.port).status;
        if status != *expected {
            bail!("{what}: answered {status}, not {expected}");
        }
    }
    Ok(())
}

#[derive(Clone, Copy)]
struct CoreTicks {
    busy: f64,
    stolen: f64,
    all: f64,
}

/// What cores 0 and 1 have done so far; proc(5), `/proc/stat`.
fn core_ticks() -> Result<[CoreTicks; 2]> {
    let stat = fs::read_to_string("/proc/stat").context("cannot read /proc/stat")?;
    let core = |name: &str| {
        let fields = stat
            .lines()
            .find_map(|line| line.strip_prefix(name))
            .unwrap_or_default();
        // user nice system idle iowait irq softirq steal
        let ticks: Vec<f64> = fields
            .split_whitespace()
            .take(8)
            .filter_map(|field| field.parse().ok())
            .collect();
        let all: f64 = ticks.iter().sum();
        let [idle, iowait, stolen] = [3, 4, 7].map(|field| ticks.get(field).copied().unwrap_or(0.0));
        CoreTicks {
            busy: all - idle - iowait - stolen,
            stolen,
            all,
        }
    };
    Ok([core("cpu0 "), core("cpu1 ")])
}
