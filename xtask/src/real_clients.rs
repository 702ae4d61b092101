//! `cargo xtask clients`: programs and libraries of others that call Postern in the end-to-end suite, unmodified.

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result, bail};

use crate::{
    progress::Progress,
    workspace::{Workspace, succeed},
};

/// From the Python package index, with what they bring along: a release of any of them may change what goes over the wire.
const PYTHON: &[&str] = &[
    "requests-oauthlib==2.0.0",
    "oauthlib==4.0.1",
    "requests==2.34.2",
    "certifi==2026.10.18",
    "charset-normalizer==3.5.2",
    "idna==3.20",
    "urllib3==2.8.0",
];

/// From the npm registry.
const NPM: &[&str] = &["request@2.88.2", "jquery@3.7.1"];

/// What a client needs that is not ours to install: programs by their names, and the Debian package that has one of them.
const CURL: (&[&str], &str) = (&["curl"], "curl");
const NODE: (&[&str], &str) = (&["node", "nodejs"], "nodejs");
const CHROMIUM: (&[&str], &str) = (&["chromium", "chromium-browser", "google-chrome"], "chromium");

/// The clients that are there; `None`: this one is not.
#[derive(Debug, Clone)]
pub struct RealClients {
    /// curl.
    pub curl: Option<PathBuf>,
    /// A Python that has requests and requests-oauthlib.
    pub python: Option<PathBuf>,
    /// Node with the package `request`.
    pub node: Option<Node>,
    /// Chromium, and jQuery for its pages.
    pub browser: Option<Browser>,
    /// Chromium alone.
    pub chromium: Option<PathBuf>,
}

/// Node, and the folder with its packages.
#[derive(Debug, Clone)]
pub struct Node {
    /// `node`.
    pub program: PathBuf,
    /// The folder `node_modules`.
    pub modules: PathBuf,
}

/// Chromium, and the file with jQuery.
#[derive(Debug, Clone)]
pub struct Browser {
    /// `chromium`.
    pub program: PathBuf,
    /// `jquery.js`.
    pub jquery: PathBuf,
}

/// Looks for every client.
pub fn find(workspace: &Workspace) -> RealClients {
    let python = folder(workspace, "python");
    let npm = folder(workspace, "node");
    let modules = npm.join("node_modules");
    let has_npm = is_installed(&npm, NPM);
    let chromium = in_path(CHROMIUM.0);
    RealClients {
        curl: in_path(CURL.0),
        python: is_installed(&python, PYTHON).then(|| python.join("bin/python")),
        node: in_path(NODE.0).filter(|_| has_npm).map(|program| Node {
            program,
            modules: modules.clone(),
        }),
        browser: chromium.clone().filter(|_| has_npm).map(|program| Browser {
            program,
            jquery: modules.join("jquery/dist/jquery.js"),
        }),
        chromium,
    }
}

impl RealClients {
    /// A line for each client that is missing: what is skipped, and what brings it.
    pub fn missing(&self) -> Vec<&'static str> {
        let lines = [
            (
                self.curl.is_none(),
                "every scenario with curl: it is not there; install Debian's package curl",
            ),
            (
                self.python.is_none(),
                "every scenario with Python's requests: it is not there; `cargo xtask clients` installs it",
            ),
            (
                self.node.is_none(),
                "every scenario with Node's request: it is not there; `cargo xtask clients` installs it",
            ),
            (
                self.browser.is_none(),
                "every scenario with jQuery in Chromium: it is not there; `cargo xtask clients` installs it",
            ),
            (
                self.chromium.is_none(),
                "every test of the login pages: Chromium is not there; install Debian's package chromium",
            ),
        ];
        lines
            .into_iter()
            .filter_map(|(missing, line)| missing.then_some(line))
            .collect()
    }
}

/// Installs the packages into the target folder.
///
/// # Errors
/// When a program is missing, with the Debian package that has it; or when a package cannot be installed.
pub fn install(workspace: &Workspace, progress: &Progress) -> Result<()> {
    for (names, package) in [CURL, NODE, CHROMIUM, (&["npm"], "npm")] {
        if in_path(names).is_none() {
            bail!(
                "{} is not there; install the Debian package {package} and try again",
                names[0]
            );
        }
    }
    let python = folder(workspace, "python");
    install_into(&python, PYTHON, progress, || {
        if succeed(Command::new("python3").args(["-m", "venv"]).arg(&python)).is_err() {
            bail!("cannot make a Python environment; install the Debian package python3-venv and try again");
        }
        let mut pip = Command::new(python.join("bin/pip"));
        succeed(
            pip.args(["install", "--quiet", "--disable-pip-version-check"])
                .args(PYTHON),
        )
    })?;
    let node = folder(workspace, "node");
    install_into(&node, NPM, progress, || {
        let mut npm = Command::new("npm");
        npm.args([
            "install",
            "--no-audit",
            "--no-fund",
            "--ignore-scripts",
            "--loglevel=error",
        ]);
        succeed(npm.arg("--prefix").arg(&node).args(NPM))
    })
}

/// Installs packages into a folder that is begun anew, unless just these are in it.
fn install_into(
    folder: &Path,
    packages: &[&str],
    progress: &Progress,
    install: impl FnOnce() -> Result<()>,
) -> Result<()> {
    if is_installed(folder, packages) {
        return Ok(());
    }
    progress.step(format_args!("installing {} into {}", packages[0], folder.display()));
    if folder.exists() {
        fs::remove_dir_all(folder).with_context(|| format!("cannot remove {}", folder.display()))?;
    }
    fs::create_dir_all(folder).with_context(|| format!("cannot create {}", folder.display()))?;
    install()?;
    let list = list(folder);
    fs::write(&list, packages.join("\n")).with_context(|| format!("cannot write {}", list.display()))
}

/// Whether these packages, in these versions, were installed to the end.
fn is_installed(folder: &Path, packages: &[&str]) -> bool {
    fs::read_to_string(list(folder)).is_ok_and(|installed| installed == packages.join("\n"))
}

/// The file that lists what a folder has.
fn list(folder: &Path) -> PathBuf {
    folder.join("installed.txt")
}

fn folder(workspace: &Workspace, name: &str) -> PathBuf {
    workspace.target.join("clients").join(name)
}

fn in_path(names: &[&str]) -> Option<PathBuf> {
    let path = env::var_os("PATH")?;
    let programs = env::split_paths(&path).flat_map(|folder| names.iter().map(move |name| folder.join(name)));
    programs.into_iter().find(|program| program.is_file())
}
