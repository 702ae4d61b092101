//! `cargo xtask bench`: release builds, and the measurement itself, which stands in `tests/bench`.

use std::process::Command;

use anyhow::{Result, bail};

use crate::{
    filter,
    progress::Progress,
    workspace::{Workspace, succeed},
};

/// The peer of the auth server, from the npm registry.
pub const OIDC_PROVIDER: &str = "oidc-provider@9.13.3";

/// Builds what is measured and measures it; words after the subject go to the measurement.
///
/// # Errors
/// When there is no such benchmark, or a build or the measurement fails.
pub fn run(workspace: &Workspace, progress: &Progress, words: &[&str]) -> Result<()> {
    let measurement = match words {
        [comparison @ ("gateway" | "filter" | "plugins"), ..] => {
            filter::build(workspace, progress)?;
            if *comparison != "gateway" {
                filter::build_trivial(workspace)?;
            }
            progress.step("building the gateway (release)");
            let mut build = vec![
                "build",
                "--release",
                "-p",
                "postern-gateway",
                "--bin",
                "postern-gateway",
            ];
            if *comparison == "plugins" {
                build.extend(["--example", "vm_costs"]);
            }
            succeed(&mut workspace.cargo(&build))?;
            "bench-gateway"
        }
        ["auth", ..] => {
            progress.step("building the auth server (release)");
            succeed(&mut workspace.cargo(&["build", "--release", "-p", "postern-auth"]))?;
            install_oidc_provider(workspace, progress)?;
            "bench-auth"
        }
        ["feeds", ..] => {
            filter::build(workspace, progress)?;
            progress.step("building the auth server and the gateway (release)");
            let packages = ["-p", "postern-auth", "-p", "postern-gateway"];
            succeed(&mut workspace.cargo(&[&["build", "--release"][..], &packages].concat()))?;
            "bench-feeds"
        }
        _ => bail!(
            "`{}` does not exist; there are `cargo xtask bench gateway`, `filter`, `plugins`, `auth` and `feeds`",
            [&["bench"], words].concat().join(" ")
        ),
    };
    progress.step("building and running the measurement (release)");
    let run = ["run", "--release", "-p", "postern-e2e", "--bin", measurement, "--"];
    // Which of its comparisons to make is the first word for `bench-gateway`.
    let words = if measurement == "bench-gateway" {
        words
    } else {
        &words[1..]
    };
    succeed(&mut workspace.cargo(&[&run[..], words].concat()))
}

/// Into the folder of the measurement, unless it is there.
fn install_oidc_provider(workspace: &Workspace, progress: &Progress) -> Result<()> {
    let folder = workspace.target.join("bench/auth");
    let (name, version) = OIDC_PROVIDER.split_once('@').unwrap_or((OIDC_PROVIDER, ""));
    let installed = std::fs::read_to_string(folder.join("node_modules").join(name).join("package.json"));
    if installed.is_ok_and(|package| package.contains(&format!("\"version\": \"{version}\""))) {
        return Ok(());
    }
    progress.step(format_args!("installing {OIDC_PROVIDER} into {}", folder.display()));
    std::fs::create_dir_all(&folder)?;
    let mut npm = Command::new("npm");
    npm.args([
        "install",
        "--no-audit",
        "--no-fund",
        "--ignore-scripts",
        "--loglevel=error",
    ]);
    if succeed(npm.arg("--prefix").arg(&folder).arg(OIDC_PROVIDER)).is_err() {
        bail!("{OIDC_PROVIDER} cannot be installed; it needs the Debian packages nodejs and npm, and the npm registry");
    }
    Ok(())
}
