//! The programs that a measurement needs.

use std::path::PathBuf;

use anyhow::{Result, bail};
use postern_e2e::processes::{in_path, ticks_per_second};
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
    /// A filter that does next to nothing.
    pub trivial: PathBuf,
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
            trivial: workspace.target.join("wasm32-wasip1/filter/examples/trivial.wasm"),
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
