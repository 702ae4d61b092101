//! `cargo xtask bench`: release builds, and the measurement itself, which stands in `tests/bench`.

use anyhow::{Result, bail};

use crate::{
    filter,
    progress::Progress,
    workspace::{Workspace, succeed},
};

/// Builds what is measured and measures it; words after the subject go to the measurement.
///
/// # Errors
/// When there is no such benchmark, or a build or the measurement fails.
pub fn run(workspace: &Workspace, progress: &Progress, words: &[&str]) -> Result<()> {
    let ["gateway", rest @ ..] = words else {
        bail!(
            "`{}` does not exist; there is `cargo xtask bench gateway`",
            [&["bench"], words].concat().join(" ")
        );
    };
    filter::build(workspace, progress)?;
    progress.step("building the gateway (release)");
    succeed(&mut workspace.cargo(&["build", "--release", "-p", "postern-gateway"]))?;
    progress.step("building and running the measurement (release)");
    let measurement = ["run", "--release", "-p", "postern-e2e", "--bin", "bench-gateway", "--"];
    succeed(&mut workspace.cargo(&[&measurement[..], rest].concat()))
}
