//! The process that starts PostgreSQL and ends it: a shell that waits until the pipe to us closes. The kernel closes it
//! also when a test aborts or is killed, so that nothing is left behind.

use std::fs::{DirBuilder, remove_dir_all};
use std::io::{BufRead as _, BufReader, Read as _};
use std::net::TcpListener;
use std::os::unix::fs::{DirBuilderExt as _, chown};
use std::os::unix::process::CommandExt as _;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};

use crate::installed::{Account, Installed};

#[derive(Debug)]
pub struct Watcher {
    pub port: u16,
    shell: Child,
}

/// Arguments: the programs' folder, the cluster's folder, the port.
const SCRIPT: &str = r#"
programs=$1 folder=$2 port=$3
data=$folder/data log=$folder/log
trap '' PIPE
clean() {
    "$programs/pg_ctl" -D "$data" -m immediate -w stop
    cd /
    rm -rf "$folder"
}
trap 'clean >/dev/null 2>&1' EXIT
"$programs/initdb" -D "$data" --username=postgres --auth=trust --encoding=UTF8 --locale=C --no-sync >"$log" 2>&1 &&
"$programs/pg_ctl" -D "$data" -l "$log" -w -t 120 -o "-p $port -h 127.0.0.1 -k $folder -N 300" start >>"$log" 2>&1 || {
    tail -n 20 "$log"
    exit 1
}
echo ready
read -r _
"#;

impl Watcher {
    /// Starts a cluster and waits until it answers.
    pub fn start(installed: &Installed) -> Self {
        let mut said = String::new();
        // Somebody else may take the port between our look and PostgreSQL's.
        for _ in 0..3 {
            match Self::try_start(installed) {
                Ok(watcher) => return watcher,
                Err(log) => said = log,
            }
        }
        panic!("PostgreSQL does not start:\n{said}")
    }

    fn try_start(installed: &Installed) -> Result<Self, String> {
        let port = TcpListener::bind("127.0.0.1:0")
            .and_then(|listener| listener.local_addr())
            .unwrap_or_else(|error| panic!("there is no free port: {error}"))
            .port();
        let account = Account::find();
        let folder = folder(account);
        let mut command = Command::new("/bin/sh");
        command
            .args(["-c", SCRIPT, "sh"])
            .args([installed.folder(), &folder])
            .arg(port.to_string())
            .current_dir(&folder)
            // Ctrl-C in the terminal is for the tests; PostgreSQL ends when they do.
            .process_group(0)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null());
        if let Some(account) = account {
            account.take(&mut command);
        }
        let mut shell = command.spawn().unwrap_or_else(|error| {
            let _ = remove_dir_all(&folder);
            panic!("cannot run /bin/sh: {error}")
        });
        let mut first = String::new();
        let mut said = BufReader::new(shell.stdout.take().unwrap_or_else(|| unreachable!("it is piped")));
        let _ = said.read_line(&mut first);
        if first == "ready\n" {
            return Ok(Self { port, shell });
        }
        let _ = said.read_to_string(&mut first);
        let _ = shell.wait();
        Err(first)
    }
}

impl Drop for Watcher {
    fn drop(&mut self) {
        drop(self.shell.stdin.take());
        let _ = self.shell.wait();
    }
}

/// A new folder, short enough that a socket may lie in it.
fn folder(account: Option<Account>) -> PathBuf {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    let folder = PathBuf::from(format!("/tmp/postgres-{}-{number}", std::process::id()));
    // What is there bears our number from before: its process is gone.
    let _ = remove_dir_all(&folder);
    DirBuilder::new()
        .mode(0o700)
        .create(&folder)
        .and_then(|()| match account {
            Some(account) => chown(&folder, Some(account.user), Some(account.group)),
            None => Ok(()),
        })
        .unwrap_or_else(|error| panic!("cannot create {}: {error}", folder.display()));
    folder
}
