//! Where PostgreSQL's programs are.

use std::os::unix::fs::MetadataExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The folder with `initdb`, `pg_ctl` and `psql`.
#[derive(Debug, Clone)]
pub struct Installed {
    folder: PathBuf,
}

/// Finds PostgreSQL: in the folder that the variable `POSTGRES_BIN` names, in `PATH`, or where Debian has it, the newest
/// version. `None` where it is not installed.
///
/// # Errors
/// When `POSTGRES_BIN` is set and PostgreSQL is not there: what to do, for people.
pub fn find() -> Result<Option<Installed>, String> {
    if let Some(folder) = std::env::var_os("POSTGRES_BIN").filter(|value| !value.is_empty()) {
        let folder = PathBuf::from(folder);
        if !is_complete(&folder) {
            let folder = folder.display();
            return Err(format!(
                "POSTGRES_BIN names {folder}, which has no initdb, pg_ctl and psql; correct it or unset it"
            ));
        }
        return Ok(Some(Installed { folder }));
    }
    let path = std::env::var_os("PATH").unwrap_or_default();
    let mut folders = std::env::split_paths(&path).chain(debian());
    let found = folders.find(|folder| is_complete(folder));
    Ok(found.map(|folder| Installed { folder }))
}

impl Installed {
    /// A command that runs one of the programs.
    pub fn command(&self, program: &str) -> Command {
        Command::new(self.folder.join(program))
    }

    pub(crate) fn folder(&self) -> &Path {
        &self.folder
    }
}

/// Whom PostgreSQL is to run as: it refuses to run as root.
#[derive(Debug, Clone, Copy)]
pub struct Account {
    /// The number of the user.
    pub user: u32,
    /// The number of the group.
    pub group: u32,
}

impl Account {
    /// The user `postgres` where we are root; else nobody but ourselves.
    ///
    /// # Panics
    /// When we are root and there is no user `postgres`.
    pub fn find() -> Option<Self> {
        // Whoever runs us owns our entry there.
        let root = std::fs::metadata("/proc/self").is_ok_and(|process| process.uid() == 0);
        root.then(|| {
            let users = std::fs::read_to_string("/etc/passwd").unwrap_or_default();
            let account = users.lines().find_map(Self::of_line);
            account.unwrap_or_else(|| panic!("PostgreSQL does not run as root, and there is no user `postgres`"))
        })
    }

    fn of_line(line: &str) -> Option<Self> {
        let mut fields = line.strip_prefix("postgres:")?.split(':').skip(1);
        let mut number = || fields.next()?.parse().ok();
        Some(Self {
            user: number()?,
            group: number()?,
        })
    }

    /// Lets a command run as that user, with none of our groups.
    pub fn take(self, command: &mut Command) {
        command.uid(self.user).gid(self.group);
    }
}

/// Debian's folders, the newest version first.
fn debian() -> Vec<PathBuf> {
    let mut versions: Vec<(u32, PathBuf)> = std::fs::read_dir("/usr/lib/postgresql")
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|entry| Some((entry.file_name().to_str()?.parse().ok()?, entry.path().join("bin"))))
        .collect();
    versions.sort_by_key(|(version, _)| std::cmp::Reverse(*version));
    versions.into_iter().map(|(_, folder)| folder).collect()
}

fn is_complete(folder: &Path) -> bool {
    ["initdb", "pg_ctl", "psql"]
        .iter()
        .all(|program| folder.join(program).is_file())
}
