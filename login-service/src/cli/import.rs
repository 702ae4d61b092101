//! `postern-login import …`

use std::path::{Path, PathBuf};

use clap::Args;

use super::{Error, print, table};
use crate::db::Database;
use crate::import::{self, Dump};

#[derive(Debug, Args)]
pub struct Import {
    /// Files with SQL, read as one: the schema may be in another file than the rows
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
}

/// What `import --help` says after the options.
pub const AFTER_HELP: &str = "Reads sys_user, sys_role, sys_role_user, sys_permission and sys_permission_role out of what \
mysqldump writes, or of SQL written by hand; other tables are skipped. Ids are kept.\n\n\
Plain passwords, also with {noop}, are hashed. bcrypt hashes ({bcrypt}, $2a$, $2b$, $2y$) are kept until their users sign \
in, and then replaced.\n\n\
The import adds and updates, and takes nothing away. Users who are there already keep their passwords. Importing again \
changes nothing; an import that was cut short goes on where it stopped. It may run while the service does, and reaches \
the gateways at once.\n\n\
Example:\n  \
mysqldump --default-character-set=utf8mb4 --result-file=sys.sql DATABASE\n  \
postern-login import sys.sql";

/// Reads the files, stores what is in them, and reports on standard output. Fails only where there was nothing to read.
pub async fn run(import: Import, database: &Database) -> Result<(), Error> {
    let dumps = import
        .files
        .iter()
        .map(|file| read(file))
        .collect::<Result<Vec<_>, _>>()?;
    let report = import::import(database, &dumps, |done, total| {
        if done < total {
            eprintln!("postern-login: {done} of {total} users");
        }
    })
    .await?;
    let mut told = table::lines(["TABLE", "TAKEN", "UNCHANGED", "CHANGED", "REFUSED"], &report.tables());
    for line in report.lines() {
        told += &format!("{line}\n");
    }
    print(&told)?;
    if report.is_empty() {
        return Err(Error::NothingToImport);
    }
    Ok(())
}

fn read(file: &Path) -> Result<Dump, Error> {
    let bytes = std::fs::read(file).map_err(|cause| Error::UnreadableDump {
        file: file.into(),
        cause,
    })?;
    Ok(Dump {
        name: file.display().to_string(),
        bytes,
    })
}
