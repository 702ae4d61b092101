//! Medians with their spread, and the ratios that count.

use std::{fs, path::Path, process::Command};

use anyhow::{Context, Result, bail};
use postern_e2e::processes::on_core;
use postern_e2e::spread::Spread;
use serde_json::{Value, json};

use crate::{Bench, Comparison, measure::Sample, peers::Subject, questions::Answer};

/// Prints the table and the ratios, and writes everything to `target/bench/gateway.json` or `filter.json`.
pub fn report(bench: &Bench, subjects: &[Subject], samples: &[Vec<Sample>], answers: &[Answer]) -> Result<()> {
    let rows: Vec<Row> = subjects
        .iter()
        .zip(samples)
        .map(|(subject, samples)| Row::new(subject, samples))
        .collect();
    let conditions = format!(
        "1000 tokens of each algorithm, all warm, or 12000 where it says cold; 4 rules and no revocations where it does not \
         say more; {} connections; HTTP/1.1 without TLS; {} blocks of two slices of {} s for each comparison; medians \
         (min–max)",
        bench.options.connections, bench.options.repetitions, bench.options.seconds
    );
    println!("\n{conditions}\n");
    println!(
        "{:<50} {:>22} {:>9} {:>8} {:>8} {:>8}",
        "", "CPU µs/request", "per s", "p50 µs", "p99 µs", "MiB"
    );
    for row in &rows {
        println!(
            "{:<50} {:>22} {:>9.0} {:>8.0} {:>8.0} {:>8.0}",
            row.name,
            row.cpu.to_string(),
            row.requests_per_second.median,
            row.p50.median,
            row.p99.median,
            row.rss.median
        );
    }
    let disturbed = rows.iter().map(|row| row.disturbed.median).fold(0.0, f64::max);
    if disturbed > 0.1 {
        println!(
            "\nUp to {:.0} % of core 0 went to something else: measure on a quiet machine.",
            100.0 * disturbed
        );
    }
    println!();
    for answer in answers {
        println!("{answer}");
    }
    let vm_costs = match bench.options.comparison {
        Comparison::Plugins => vm_costs(bench)?,
        Comparison::Gateway | Comparison::Filter => Vec::new(),
    };
    let document = json!({
        "vm_costs": vm_costs,
        "conditions": conditions,
        "machine": machine(&bench.tools.envoy),
        "subjects": rows.iter().map(Row::json).collect::<Vec<_>>(),
        "ratios": answers.iter().map(Answer::json).collect::<Vec<_>>(),
    });
    let name = bench.options.comparison.name();
    let path = bench.workspace.target.join(format!("bench/{name}.json"));
    fs::write(&path, format!("{document:#}\n")).with_context(|| format!("cannot write {}", path.display()))?;
    println!("\n{}", path.display());
    Ok(())
}

/// What VMs cost, without a proxy around them; printed as they come.
fn vm_costs(bench: &Bench) -> Result<Vec<Value>> {
    let program = bench.tools.gateway.with_file_name("examples").join("vm_costs");
    let mut command = on_core(0, &program);
    let output = command
        .args([&bench.tools.trivial, &bench.tools.filter])
        .output()
        .with_context(|| format!("cannot run {}", program.display()))?;
    if !output.status.success() {
        bail!("vm_costs failed: {}", String::from_utf8_lossy(&output.stderr).trim());
    }
    println!();
    let text = String::from_utf8_lossy(&output.stdout);
    let costs = text.lines().map(|line| {
        println!("{line}");
        serde_json::from_str(line).context("vm_costs printed no JSON")
    });
    costs.collect()
}

struct Row {
    name: String,
    cpu: Spread,
    requests_per_second: Spread,
    p50: Spread,
    p99: Spread,
    rss: Spread,
    proxy_core_busy: Spread,
    load_core_busy: Spread,
    disturbed: Spread,
}

impl Row {
    fn new(subject: &Subject, samples: &[Sample]) -> Self {
        let spread = |figure: fn(&Sample) -> f64| Spread::of(samples.iter().map(figure).collect());
        Self {
            name: subject.name.clone(),
            cpu: spread(|sample| sample.cpu),
            requests_per_second: spread(|sample| sample.requests_per_second),
            p50: spread(|sample| sample.p50),
            p99: spread(|sample| sample.p99),
            rss: spread(|sample| sample.rss),
            proxy_core_busy: spread(|sample| sample.busy[0]),
            load_core_busy: spread(|sample| sample.busy[1]),
            disturbed: spread(|sample| sample.disturbed),
        }
    }

    fn json(&self) -> Value {
        json!({
            "name": self.name,
            "cpu_microseconds_per_request": self.cpu.json(),
            "requests_per_second": self.requests_per_second.json(),
            "p50_microseconds": self.p50.json(),
            "p99_microseconds": self.p99.json(),
            "rss_mib": self.rss.json(),
            "core_0_busy": self.proxy_core_busy.json(),
            "core_1_busy": self.load_core_busy.json(),
            "core_0_busy_with_something_else": self.disturbed.json(),
        })
    }
}

fn machine(envoy: &Path) -> Value {
    let cpus = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = cpus
        .lines()
        .find_map(|line| line.strip_prefix("model name"))
        .unwrap_or_default();
    let version = Command::new(envoy)
        .arg("--version")
        .output()
        .map(|output| output.stdout)
        .unwrap_or_default();
    json!({
        "cpu": model.trim_start_matches(['\t', ' ', ':']),
        "cores": std::thread::available_parallelism().map_or(0, usize::from),
        "envoy": String::from_utf8_lossy(&version).trim(),
    })
}
