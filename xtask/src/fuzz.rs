//! `cargo xtask fuzz`: libFuzzer on what `access` reads from strangers, with the Rust that is here.
//!
//! cargo-fuzz asks for the same flags; by itself it wants a nightly compiler, for sanitizers that code without `unsafe` has
//! no use for.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result, bail};

use crate::{
    progress::Progress,
    workspace::{Workspace, succeed},
};

/// What is fuzzed; each is a file in `access/fuzz/targets/`, with seeds in `access/fuzz/seeds/`, and what long runs found in
/// `access/fuzz/corpus.tar.gz` (few of them reach everything: `-set_cover_merge=1`).
const TARGETS: &[&str] = &["path", "route", "jws", "snapshot", "config"];

/// Edge coverage, comparisons that guide the mutations, and no optimisation that hides either.
const FLAGS: &str = "-Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 \
    -Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-pc-table \
    -Cllvm-args=-sanitizer-coverage-trace-compares -Ccodegen-units=1 --cfg fuzzing";

/// Runs one target, or each: for so many seconds, and what it finds stays in `target/fuzz/corpus/`; or so many inputs,
/// always the same ones. An input that breaks a target is written to `target/fuzz/`, and named.
///
/// # Errors
/// When a word is wrong, the build fails, or a target is broken by an input.
pub fn run(workspace: &Workspace, progress: &Progress, words: &[&str]) -> Result<()> {
    let mut targets = TARGETS.to_vec();
    let (mut seconds, mut runs) = (60u32, None);
    let mut words = words.iter();
    while let Some(word) = words.next() {
        match *word {
            "--seconds" => seconds = number(word, words.next())?,
            "--runs" => runs = Some(number(word, words.next())?),
            target if TARGETS.contains(&target) => targets = vec![target],
            other => bail!(
                "`{other}` is not fuzzed; there are {}, --seconds and --runs",
                TARGETS.join(", ")
            ),
        }
    }
    let (host, folder) = (host()?, workspace.target.join("fuzz"));
    progress.step("building the fuzz targets");
    let manifest = workspace.root.join("access/fuzz/Cargo.toml");
    let mut build = workspace.cargo(&["build", "--release", "--target", &host, "--manifest-path"]);
    build.arg(&manifest).arg("--target-dir").arg(&folder);
    // With a target named, the flags do not reach build scripts and macros.
    succeed(build.env("RUSTFLAGS", FLAGS))?;
    let kept = unpack_corpus(workspace, &folder)?;
    for target in targets {
        let mut fuzz = Command::new(folder.join(&host).join("release").join(target));
        // What is found goes into the first folder that is named: never into the seeds.
        match runs {
            // From what is in the repository alone and always with the same choices: the same code gives the same answer.
            Some(runs) => {
                progress.step(format_args!("fuzzing {target}, {runs} inputs"));
                let scratch = folder.join("scratch").join(target);
                // Nothing there: nothing to remove.
                let _absent = fs::remove_dir_all(&scratch);
                create(&scratch)?;
                fuzz.args([format!("-runs={runs}"), "-seed=1".into()]).arg(scratch);
            }
            None => {
                let corpus = folder.join("corpus").join(target);
                create(&corpus)?;
                progress.step(format_args!("fuzzing {target} for {seconds} s"));
                fuzz.arg(format!("-max_total_time={seconds}")).arg(&corpus);
            }
        }
        fuzz.arg(workspace.root.join("access/fuzz/seeds").join(target))
            .arg(kept.join(target))
            .arg(format!("-artifact_prefix={}/{target}-", folder.display()))
            .args([
                "-print_final_stats=1",
                "-verbosity=0",
                "-timeout=5",
                "-rss_limit_mb=2048",
            ]);
        succeed(&mut fuzz)?;
    }
    Ok(())
}

/// What long runs found, a folder for each target. Returns where they are.
fn unpack_corpus(workspace: &Workspace, folder: &Path) -> Result<PathBuf> {
    let kept = folder.join("kept");
    // Nothing there: nothing to remove.
    let _absent = fs::remove_dir_all(&kept);
    create(&kept)?;
    let mut tar = Command::new("tar");
    tar.arg("-xzf").arg(workspace.root.join("access/fuzz/corpus.tar.gz"));
    succeed(tar.arg("-C").arg(&kept))?;
    Ok(kept)
}

fn create(folder: &Path) -> Result<()> {
    fs::create_dir_all(folder).with_context(|| format!("cannot create {}", folder.display()))
}

fn number(flag: &str, value: Option<&&str>) -> Result<u32> {
    let value = value.copied().unwrap_or_default();
    match value.parse() {
        Ok(0) | Err(_) => bail!("`{flag} {value}`: write a whole number above 0"),
        Ok(number) => Ok(number),
    }
}

/// The machine's own target, as rustc calls it.
fn host() -> Result<String> {
    let output = Command::new("rustc")
        .arg("-vV")
        .output()
        .context("cannot start rustc")?;
    let text = String::from_utf8_lossy(&output.stdout);
    let host = text.lines().find_map(|line| line.strip_prefix("host: "));
    Ok(host.context("`rustc -vV` names no host")?.to_owned())
}
