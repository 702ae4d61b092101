//! `cargo xtask filter`: the shipped artifact, `dist/postern_filter.wasm`.

mod exports;

use std::{fs, path::Path, process::Command};

use anyhow::{Context, Result, bail};

use crate::{
    progress::Progress,
    workspace::{Workspace, succeed},
};

/// The only target that a filter of the proxy-wasm SDK links for.
pub const TARGET: &str = "wasm32-wasip1";

/// Builds the filter, strips the callbacks it does not use and writes the artifact.
///
/// # Errors
/// When the target cannot be added, the build fails or the module lacks an export that a host needs.
pub fn build(workspace: &Workspace, progress: &Progress) -> Result<()> {
    add_target(workspace, progress)?;
    progress.step("building the filter");
    succeed(&mut workspace.cargo(&[
        "build",
        "-p",
        "postern-filter",
        "--target",
        TARGET,
        "--profile",
        "filter",
    ]))?;
    let built = workspace.half_built_filter();
    let module = fs::read(&built).with_context(|| format!("cannot read {}", built.display()))?;
    let stripped = exports::strip(&module).with_context(|| format!("cannot strip {}", built.display()))?;
    write_if_changed(&workspace.filter(), &stripped)?;
    progress.step(format_args!(
        "dist/postern_filter.wasm: {} KiB",
        stripped.len().div_ceil(1024)
    ));
    Ok(())
}

/// Builds the filter that does next to nothing, which the benchmark compares ours with.
///
/// # Errors
/// When the build fails.
pub fn build_trivial(workspace: &Workspace) -> Result<()> {
    let example = ["--example", "trivial", "--target", TARGET, "--profile", "filter"];
    succeed(&mut workspace.cargo(&[&["build", "-p", "postern-filter"], &example[..]].concat()))
}

/// Builds the guests that the end-to-end suite runs on both hosts.
///
/// # Errors
/// When the target cannot be added or the build fails.
pub fn build_guests(workspace: &Workspace, progress: &Progress) -> Result<()> {
    add_target(workspace, progress)?;
    progress.step("building the guests of the end-to-end suite");
    let guests = [
        "build",
        "-p",
        "postern-guests",
        "--target",
        TARGET,
        "--profile",
        "filter",
    ];
    succeed(&mut workspace.cargo(&guests))
}

/// Adds the wasm target to the toolchain when it is not there.
///
/// # Errors
/// When it is not there and rustup cannot add it.
pub fn add_target(workspace: &Workspace, progress: &Progress) -> Result<()> {
    let rustc = Command::new("rustc")
        .current_dir(&workspace.root)
        .args(["--print", "target-libdir", "--target", TARGET])
        .output()
        .context("cannot run `rustc`")?;
    if Path::new(String::from_utf8_lossy(&rustc.stdout).trim()).is_dir() {
        return Ok(());
    }
    progress.step(format_args!("adding the target {TARGET}"));
    let added = Command::new("rustup")
        .current_dir(&workspace.root)
        .args(["target", "add", TARGET])
        .status();
    if !added.is_ok_and(|status| status.success()) {
        bail!("Rust's target {TARGET} is missing; install it (`rustup target add {TARGET}`) and try again");
    }
    Ok(())
}

/// Leaves the file alone when it is the same already, so that a host that watches it sees no change.
fn write_if_changed(path: &Path, bytes: &[u8]) -> Result<()> {
    if fs::read(path).is_ok_and(|old| old == bytes) {
        return Ok(());
    }
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder).with_context(|| format!("cannot create {}", folder.display()))?;
    }
    fs::write(path, bytes).with_context(|| format!("cannot write {}", path.display()))
}
