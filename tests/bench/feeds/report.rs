//! Percentiles, on the screen and as JSON.

use std::fs;

use anyhow::{Context, Result};
use postern_e2e::processes::{cpu_ticks, rss_mib, tree};
use serde_json::{Value, json};
use xtask::workspace::Workspace;

use crate::{AuthServer, Options, Times};

/// Prints the table and writes `target/bench/feeds.json`.
pub fn report(workspace: &Workspace, options: &Options, auth: &AuthServer, times: &Times) -> Result<()> {
    let processes = tree(auth.program.id());
    let cpu = cpu_ticks(&processes)? / auth.ticks_per_second;
    let memory = rss_mib(&processes)?;
    println!(
        "\nMilliseconds from an acknowledged logout until it is known; {} simulated gateways and the real hosts, {} rounds\n",
        options.gateways, options.rounds
    );
    println!("{:<34} {:>8} {:>8} {:>8} {:>8}", "", "p50", "p99", "max", "goal p99");
    let mut rows = Vec::new();
    let told = ("a simulated gateway is told", &times.told);
    let hosts = times.refused.iter().map(|(name, times)| (*name, times));
    for (name, times) in std::iter::once(told).chain(hosts) {
        let mut sorted = times.clone();
        sorted.sort_by(f64::total_cmp);
        let [p50, p99, max] = [0.50, 0.99, 1.0].map(|part| percentile(&sorted, part));
        println!("{name:<34} {p50:>8.1} {p99:>8.1} {max:>8.1} {:>8}", 100);
        rows.push(json!({ "name": name, "p50_ms": p50, "p99_ms": p99, "max_ms": max, "samples": sorted.len() }));
    }
    println!("\nauth server: {cpu:.1} s of CPU in all, {memory:.0} MiB");
    let document: Value = json!({
        "gateways": options.gateways,
        "rounds": options.rounds,
        "subjects": rows,
        "auth_server": { "cpu_seconds": cpu, "rss_mib": memory },
    });
    let path = workspace.target.join("bench/feeds.json");
    fs::write(&path, format!("{document:#}\n")).with_context(|| format!("cannot write {}", path.display()))?;
    println!("{}", path.display());
    Ok(())
}

/// Of sorted figures, the smallest that so many are not above.
fn percentile(sorted: &[f64], part: f64) -> f64 {
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        clippy::cast_precision_loss,
        reason = "an index into figures that fit into memory"
    )]
    let index = ((sorted.len() as f64 * part).ceil() as usize).saturating_sub(1);
    sorted.get(index).copied().unwrap_or(f64::NAN)
}
