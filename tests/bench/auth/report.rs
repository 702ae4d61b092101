//! Medians with their spread, and the ratios that count.

use std::{fs, process::Command};

use anyhow::{Context, Result};
use postern_e2e::spread::Spread;
use serde_json::{Value, json};
use xtask::bench::OIDC_PROVIDER;

use crate::{
    Bench,
    measure::{Sample, WARM_UP_SECONDS},
    subjects::CLIENTS,
};

/// Which ratios are shown, with the goal for each.
const RATIOS: &[(&str, &str, &str)] = &[
    (
        "postern-auth on SQLite, fresh token",
        "oidc-provider, fresh token",
        "at most 0.2",
    ),
    (
        "postern-auth on PostgreSQL, fresh token",
        "oidc-provider, fresh token",
        "at most 0.2",
    ),
    (
        "postern-auth on SQLite, same token",
        "oidc-provider, fresh token",
        "at most 0.2",
    ),
    (
        "postern-auth on PostgreSQL, same token",
        "oidc-provider, fresh token",
        "at most 0.2",
    ),
    (
        "postern-auth on SQLite, introspection",
        "oidc-provider, introspection",
        "at most 0.2",
    ),
    (
        "postern-auth on PostgreSQL, introspection",
        "oidc-provider, introspection",
        "at most 0.2",
    ),
];

/// Prints the table and the ratios, and writes everything to `target/bench/auth.json`.
pub fn report(bench: &Bench, samples: &[(String, Vec<Sample>)]) -> Result<()> {
    let rows: Vec<Row> = samples.iter().map(|(name, samples)| Row::new(name, samples)).collect();
    let conditions = format!(
        "{CLIENTS} clients, as many tokens in turn; {} connections; {} × {} s after {WARM_UP_SECONDS} s of warm-up; HTTP/1.1 without TLS; \
         CPU of the server's process, PostgreSQL's beside it; \
         every acknowledged token is on the disk (SQLite: synchronous=FULL; PostgreSQL: fsync and synchronous_commit on), \
         {OIDC_PROVIDER} keeps its tokens in memory; medians (min–max)",
        bench.options.connections, bench.options.repetitions, bench.options.seconds
    );
    println!("\n{conditions}\n");
    println!(
        "{:<42} {:>22} {:>24} {:>9} {:>8} {:>8} {:>6}",
        "", "CPU µs/call", "PostgreSQL's", "per s", "p50 µs", "p99 µs", "MiB"
    );
    for row in &rows {
        println!(
            "{:<42} {:>22} {:>24} {:>9.0} {:>8.0} {:>8.0} {:>6.0}",
            row.name,
            row.cpu.to_string(),
            row.postgres_cpu.map(|cpu| cpu.to_string()).unwrap_or_default(),
            row.calls_per_second.median,
            row.p50.median,
            row.p99.median,
            row.rss.median
        );
    }
    if bench.postgres.is_none() {
        println!("\nPostgreSQL is not installed (Debian's package postgresql): left out.");
    }
    println!("\nCPU per call, and how many times as many calls a CPU second is enough for:");
    let mut ratios = Vec::new();
    for (ours, theirs, goal) in RATIOS {
        let cpu = |name: &str| rows.iter().find(|row| row.name == name).map(|row| row.cpu.median);
        if let (Some(left), Some(right)) = (cpu(ours), cpu(theirs)) {
            println!(
                "{:>5.2}  {:>5.1} times  {ours} ÷ {theirs} ({goal})",
                left / right,
                right / left
            );
            ratios.push(json!({ "of": ours, "to": theirs, "ratio": left / right, "goal": goal }));
        }
    }
    let document = json!({
        "conditions": conditions,
        "machine": machine(bench),
        "subjects": rows.iter().map(Row::json).collect::<Vec<_>>(),
        "ratios": ratios,
    });
    let path = bench.workspace.target.join("bench/auth.json");
    fs::write(&path, format!("{document:#}\n")).with_context(|| format!("cannot write {}", path.display()))?;
    println!("\n{}", path.display());
    Ok(())
}

struct Row {
    name: String,
    cpu: Spread,
    postgres_cpu: Option<Spread>,
    calls_per_second: Spread,
    p50: Spread,
    p99: Spread,
    rss: Spread,
}

impl Row {
    fn new(name: &str, samples: &[Sample]) -> Self {
        let spread = |figure: fn(&Sample) -> f64| Spread::of(samples.iter().map(figure).collect());
        let postgres: Option<Vec<f64>> = samples.iter().map(|sample| sample.postgres_cpu).collect();
        Self {
            name: name.to_owned(),
            cpu: spread(|sample| sample.cpu),
            postgres_cpu: postgres.map(Spread::of),
            calls_per_second: spread(|sample| sample.calls_per_second),
            p50: spread(|sample| sample.p50),
            p99: spread(|sample| sample.p99),
            rss: spread(|sample| sample.rss),
        }
    }

    fn json(&self) -> Value {
        json!({
            "name": self.name,
            "cpu_microseconds_per_call": self.cpu.json(),
            "postgresql_cpu_microseconds_per_call": self.postgres_cpu.map(|cpu| cpu.json()),
            "calls_per_second": self.calls_per_second.json(),
            "calls_per_cpu_second": 1e6 / self.cpu.median,
            "p50_microseconds": self.p50.json(),
            "p99_microseconds": self.p99.json(),
            "rss_mib": self.rss.json(),
        })
    }
}

fn machine(bench: &Bench) -> Value {
    let cpus = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = cpus
        .lines()
        .find_map(|line| line.strip_prefix("model name"))
        .unwrap_or_default();
    let node = Command::new(&bench.node).arg("--version").output();
    let node = node.map(|output| output.stdout).unwrap_or_default();
    json!({
        "cpu": model.trim_start_matches(['\t', ' ', ':']),
        "cores": std::thread::available_parallelism().map_or(0, usize::from),
        "node": String::from_utf8_lossy(&node).trim(),
        "peer": OIDC_PROVIDER,
    })
}
