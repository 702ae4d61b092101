//! A program that runs beside this one: started with its output in a log file, watched, stopped.

use std::{
    fs::{self, File},
    io::Write,
    os::unix::process::CommandExt,
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    thread,
    time::Duration,
};

use anyhow::{Context, Result};

use crate::clock;

/// How long a program may take to stop by itself.
const GRACE: Duration = Duration::from_secs(10);

/// A running program. Dropped, it is killed.
pub struct Program {
    /// What people call it.
    pub name: String,
    /// Where its output goes.
    pub log: PathBuf,
    child: Child,
    guard: Child,
}

impl Program {
    /// Starts the command in a process group of its own (so that Ctrl-C at the terminal reaches it only through us),
    /// with stdout and stderr in the log file, which is begun anew.
    ///
    /// # Errors
    /// When the log cannot be written or the program cannot be started.
    pub fn start(name: &str, mut command: Command, log: &Path) -> Result<Self> {
        if let Some(folder) = log.parent() {
            fs::create_dir_all(folder).with_context(|| format!("cannot create {}", folder.display()))?;
        }
        let out = File::create(log).with_context(|| format!("cannot write {}", log.display()))?;
        let err = out
            .try_clone()
            .with_context(|| format!("cannot write {}", log.display()))?;
        let child = command
            .process_group(0)
            .stdin(Stdio::null())
            .stdout(out)
            .stderr(err)
            .spawn()
            .with_context(|| format!("cannot start {}", Path::new(command.get_program()).display()))?;
        let guard = guard(child.id())?;
        Ok(Self {
            name: name.to_owned(),
            log: log.to_owned(),
            child,
            guard,
        })
    }

    /// The process id, which is also the id of the process group.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// How it ended, when it did.
    pub fn exited(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().ok().flatten()
    }

    /// Asks it to stop, as a service manager would.
    pub fn terminate(&self) {
        signal("TERM", self.child.id());
    }

    /// Waits for it to stop after [`Self::terminate`]; one that does not is killed. Says whether it stopped by itself.
    pub fn wait_stopped(&mut self) -> bool {
        let deadline = clock::now() + GRACE;
        while clock::now() < deadline {
            if self.exited().is_some() {
                return true;
            }
            thread::sleep(Duration::from_millis(20));
        }
        self.kill();
        false
    }

    /// Ends it without asking.
    pub fn kill(&mut self) {
        if self.exited().is_none() {
            signal("KILL", self.child.id());
        }
        // An error means that it is gone already, which is what was asked for.
        let _gone = self.child.wait();
    }

    /// The last lines of its log.
    pub fn log_tail(&self, lines: usize) -> String {
        let text = fs::read(&self.log).unwrap_or_default();
        let text = String::from_utf8_lossy(&text);
        let all: Vec<&str> = text.lines().collect();
        all[all.len().saturating_sub(lines)..].join("\n")
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        self.kill();
        if let Some(stdin) = &mut self.guard.stdin {
            // A guard that is gone needs no word.
            let _gone = stdin.write_all(b"done\n");
        }
        let _gone = self.guard.wait();
    }
}

/// Kills the process group when this process ends without having stopped it, however it ends: then the pipe closes
/// before the word is said. (Statics are never dropped, and nothing is when a process is killed.)
fn guard(group: u32) -> Result<Child> {
    Command::new("sh")
        .args([
            "-c",
            "read -r word || kill -s KILL -- \"-$1\"",
            "guard",
            &group.to_string(),
        ])
        .process_group(0)
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .context("cannot run `sh`")
}

/// Sends a signal to a process group. The shell's `kill` is on every machine, and needs no `unsafe`.
fn signal(name: &str, group: u32) {
    let script = format!("kill -s {name} -- -{group}");
    // A group that is gone needs no signal.
    let _gone = Command::new("sh").args(["-c", &script]).stderr(Stdio::null()).status();
}
