//! What a program costs: CPU time and memory of a process and all it started, as the kernel counts them (proc(5)).

use std::{env, fs, path::PathBuf, process::Command};

use anyhow::{Context, Result, bail};

/// A process and everything it started that still runs.
pub fn tree(process: u32) -> Vec<u32> {
    let mut all = vec![process];
    let threads = fs::read_dir(format!("/proc/{process}/task"))
        .into_iter()
        .flatten()
        .flatten();
    for thread in threads {
        let children = fs::read_to_string(thread.path().join("children")).unwrap_or_default();
        all.extend(
            children
                .split_whitespace()
                .filter_map(|child| child.parse().ok())
                .flat_map(tree),
        );
    }
    all
}

/// utime + stime, in clock ticks; fields 14 and 15 of `stat`.
///
/// # Errors
/// When one of the processes has ended.
pub fn cpu_ticks(processes: &[u32]) -> Result<f64> {
    let ticks = processes.iter().map(|process| stat(*process, 14, 15));
    ticks.sum::<Option<f64>>().context("a measured program ended")
}

/// The same of a process that starts and ends others all the time: what those used that have ended is in fields 16 and 17
/// of its own `stat`.
///
/// # Errors
/// When the process itself has ended.
pub fn cpu_ticks_with_ended(process: u32) -> Result<f64> {
    let ended = stat(process, 16, 17).context("a measured program ended")?;
    // Who ends between the look at the tree and this one is counted the next time.
    let running: f64 = tree(process)
        .into_iter()
        .filter_map(|process| stat(process, 14, 15))
        .sum();
    Ok(ended + running)
}

/// Resident memory, MiB.
///
/// # Errors
/// When one of the processes has ended.
pub fn rss_mib(processes: &[u32]) -> Result<f64> {
    let mut kib = 0.0;
    for process in processes {
        let status = fs::read_to_string(format!("/proc/{process}/status")).context("a measured program ended")?;
        let line = status
            .lines()
            .find_map(|line| line.strip_prefix("VmRSS:"))
            .unwrap_or_default();
        kib += line
            .trim()
            .trim_end_matches("kB")
            .trim()
            .parse::<f64>()
            .unwrap_or_default();
    }
    Ok(kib / 1024.0)
}

/// Clock ticks per second, in which the kernel counts CPU time.
///
/// # Errors
/// When `getconf` does not say.
pub fn ticks_per_second() -> Result<f64> {
    let output = Command::new("getconf")
        .arg("CLK_TCK")
        .output()
        .context("cannot run `getconf`")?;
    String::from_utf8_lossy(&output.stdout)
        .trim()
        .parse()
        .context("`getconf CLK_TCK` printed no number")
}

/// A command that runs on one core only.
pub fn on_core(core: u32, program: &std::path::Path) -> Command {
    let mut command = Command::new("taskset");
    command.args(["-c", &core.to_string()]).arg(program);
    command
}

/// Finds a program; Debian keeps servers in `sbin`, which is not in everybody's `PATH`.
///
/// # Errors
/// When it is not there: the Debian package that has it.
pub fn in_path(program: &str, package: &str) -> Result<PathBuf> {
    let path = env::var_os("PATH").unwrap_or_default();
    let folders = env::split_paths(&path).chain(["/usr/sbin".into(), "/usr/local/sbin".into()]);
    match folders.map(|folder| folder.join(program)).find(|file| file.is_file()) {
        Some(found) => Ok(found),
        None => bail!("`{program}` is missing; install the Debian package {package}"),
    }
}

/// The sum of two fields of `stat`, which count from 1.
fn stat(process: u32, one: usize, other: usize) -> Option<f64> {
    let stat = fs::read_to_string(format!("/proc/{process}/stat")).ok()?;
    // The name in field 2 may hold anything, also spaces.
    let (_, after_name) = stat.rsplit_once(')')?;
    let fields: Vec<&str> = after_name.split_whitespace().collect();
    let field = |number: usize| fields.get(number - 3)?.parse::<f64>().ok();
    Some(field(one)? + field(other)?)
}
