//! Where things are: the sources, the build products, the programs.

use std::{
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result, bail};

use crate::filter::TARGET;

/// The folders of this workspace.
#[derive(Debug, Clone)]
pub struct Workspace {
    /// The folder of the root `Cargo.toml`.
    pub root: PathBuf,
    /// Cargo's target folder.
    pub target: PathBuf,
}

impl Workspace {
    /// Finds the workspace that the running program (xtask, a test or a benchmark) was built from.
    ///
    /// # Errors
    /// When the program stands outside of a target folder of cargo.
    pub fn locate() -> Result<Self> {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"))
            .parent()
            .context("xtask stands in a workspace")?;
        let program = std::env::current_exe().context("cannot tell where this program stands")?;
        // Cargo marks its target folder with a cache tag, wherever `CARGO_TARGET_DIR` may have put it.
        let target = program
            .ancestors()
            .find(|folder| folder.join("CACHEDIR.TAG").is_file())
            .with_context(|| format!("{} stands in no target folder of cargo", program.display()))?;
        Ok(Self {
            root: root.to_owned(),
            target: target.to_owned(),
        })
    }

    /// What cargo makes of the filter, from which `cargo xtask filter` writes it.
    pub fn half_built_filter(&self) -> PathBuf {
        self.target.join(TARGET).join("filter/postern_filter.wasm")
    }

    /// The shipped filter, as `cargo xtask filter` writes it.
    pub fn filter(&self) -> PathBuf {
        self.root.join("dist/postern_filter.wasm")
    }

    /// The guests of the end-to-end suite, as `cargo xtask guests` builds them.
    pub fn guests(&self) -> PathBuf {
        self.target.join(TARGET).join("filter/postern_guests.wasm")
    }

    /// A program of ours, built with the dev profile.
    pub fn program(&self, name: &str) -> PathBuf {
        self.target.join("debug").join(name)
    }

    /// Cargo, in the root of the workspace, without what the outer `cargo run` told this program about its own package
    /// (build scripts look at some of it, and would run again).
    pub fn cargo(&self, arguments: &[&str]) -> Command {
        let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
        cargo.current_dir(&self.root).args(arguments);
        for (name, _) in std::env::vars_os() {
            let text = name.to_string_lossy();
            if text.starts_with("CARGO_PKG_") || text.starts_with("CARGO_MANIFEST_") || text == "CARGO_PRIMARY_PACKAGE"
            {
                cargo.env_remove(&name);
            }
        }
        cargo
    }
}

/// Runs a command to its end with its output shown.
///
/// # Errors
/// When it cannot be started or does not succeed.
pub fn succeed(command: &mut Command) -> Result<()> {
    let shown = shown(command);
    let status = command.status().with_context(|| format!("cannot run `{shown}`"))?;
    if !status.success() {
        bail!("`{shown}` failed ({status})");
    }
    Ok(())
}

/// The command as one would type it.
pub fn shown(command: &Command) -> String {
    let program = Path::new(command.get_program())
        .file_name()
        .unwrap_or(command.get_program());
    let mut words = vec![program.to_string_lossy()];
    words.extend(command.get_args().map(|argument| argument.to_string_lossy()));
    words.join(" ")
}
