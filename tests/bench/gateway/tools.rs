//! The programs that a measurement needs.

use std::{
    env,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result, bail};
use xtask::{envoy, workspace::Workspace};

/// Where they are.
pub struct Tools {
    pub wrk: PathBuf,
    pub nginx: PathBuf,
    pub envoy: PathBuf,
    /// Our gateway, built for release.
    pub gateway: PathBuf,
    /// The shipped filter.
    pub filter: PathBuf,
    /// Clock ticks per second, in which the kernel counts CPU time.
    pub ticks_per_second: f64,
}

impl Tools {
    /// Finds them all before anything is measured.
    pub fn find(workspace: &Workspace) -> Result<Self> {
        if std::thread::available_parallelism().is_ok_and(|cores| cores.get() < 2) {
            bail!("the measurement needs two cores: one for the proxy, one for load and upstream");
        }
        in_path("taskset", "util-linux")?;
        let Some(envoy) = envoy::find(workspace)? else {
            bail!("Envoy is not there; `cargo xtask envoy` installs it into the target folder");
        };
        let tools = Self {
            wrk: in_path("wrk", "wrk")?,
            nginx: in_path("nginx", "nginx-light")?,
            envoy,
            gateway: workspace.target.join("release/postern-gateway"),
            filter: workspace.filter(),
            ticks_per_second: ticks_per_second()?,
        };
        for built in [&tools.gateway, &tools.filter] {
            if !built.is_file() {
                bail!("{} is missing; `cargo xtask bench gateway` builds it", built.display());
            }
        }
        Ok(tools)
    }
}

/// A command that runs on one core only.
pub fn on_core(core: u32, program: &Path) -> Command {
    let mut command = Command::new("taskset");
    command.args(["-c", &core.to_string()]).arg(program);
    command
}

/// Debian keeps servers in `sbin`, which is not in everybody's `PATH`.
fn in_path(program: &str, package: &str) -> Result<PathBuf> {
    let path = env::var_os("PATH").unwrap_or_default();
    let folders = env::split_paths(&path).chain(["/usr/sbin".into(), "/usr/local/sbin".into()]);
    match folders.map(|folder| folder.join(program)).find(|file| file.is_file()) {
        Some(found) => Ok(found),
        None => bail!("`{program}` is missing; install the Debian package {package}"),
    }
}

fn ticks_per_second() -> Result<f64> {
    let output = Command::new("getconf")
        .arg("CLK_TCK")
        .output()
        .context("cannot run `getconf`")?;
    String::from_utf8_lossy(&output.stdout)
        .trim()
        .parse()
        .context("`getconf CLK_TCK` printed no number")
}
