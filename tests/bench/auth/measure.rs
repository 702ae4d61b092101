//! One repetition of one subject: every call it can be asked for.

use std::fmt;

use anyhow::Result;
use postern_e2e::processes::{cpu_ticks, cpu_ticks_with_ended, rss_mib, tree};

use crate::{
    Bench, load,
    subjects::{Call, Subject, postmaster},
};

pub const WARM_UP_SECONDS: u32 = 2;

/// What was measured.
pub struct Sample {
    /// CPU microseconds per call of the server's process.
    pub cpu: f64,
    /// CPU microseconds per call of PostgreSQL, where it works for the server.
    pub postgres_cpu: Option<f64>,
    pub calls_per_second: f64,
    /// Latency, microseconds.
    pub p50: f64,
    pub p99: f64,
    /// Resident memory of the server's process after the run, MiB.
    pub rss: f64,
}

impl fmt::Display for Sample {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            cpu,
            postgres_cpu,
            calls_per_second,
            p50,
            p99,
            rss,
        } = self;
        write!(f, "{cpu:.1} µs CPU/call")?;
        if let Some(postgres) = postgres_cpu {
            write!(f, " and {postgres:.1} of PostgreSQL")?;
        }
        write!(
            f,
            ", {calls_per_second:.0}/s, p50 {p50:.0} µs, p99 {p99:.0} µs, {rss:.0} MiB"
        )
    }
}

/// Starts the subject, checks that it answers rightly, and measures call after call.
pub fn measure(
    bench: &Bench,
    subject: &Subject,
    repetition: u32,
    told: impl Fn(Call, &Sample),
) -> Result<Vec<(Call, Sample)>> {
    let mut server = subject.start(bench)?;
    let postmaster = match bench.postgres.filter(|_| subject.uses_postgres()) {
        Some(postgres) => Some(postmaster(postgres)?),
        None => None,
    };
    let postgres_ticks = || postmaster.map(cpu_ticks_with_ended).transpose();
    let mut samples = Vec::new();
    for call in subject.calls() {
        let (path, requests) = server.requests(*call)?;
        let run = |seconds, name: &str| load::run(bench, server.port, path, &requests, seconds, name);
        run(WARM_UP_SECONDS, &format!("w{repetition}"))?;
        let processes = tree(server.program.id());
        let (before, postgres_before) = (cpu_ticks(&processes)?, postgres_ticks()?);
        let load = run(bench.options.seconds, &format!("m{repetition}"))?;
        let (after, postgres_after) = (cpu_ticks(&processes)?, postgres_ticks()?);
        let per_call = |ticks: f64| ticks / bench.ticks_per_second / load.calls * 1e6;
        let sample = Sample {
            cpu: per_call(after - before),
            postgres_cpu: postgres_before
                .zip(postgres_after)
                .map(|(before, after)| per_call(after - before)),
            calls_per_second: load.calls / load.seconds,
            p50: load.p50,
            p99: load.p99,
            rss: rss_mib(&processes)?,
        };
        told(*call, &sample);
        samples.push((*call, sample));
    }
    server.program.terminate();
    server.program.wait_stopped();
    Ok(samples)
}
