//! `postern-auth import`.

use std::path::PathBuf;
use std::rc::Rc;

use anyhow::{Context as _, bail};
use clap::Args;
use postern_mysql_dump::Reader;

use super::print;
use crate::clock;
use crate::db::Database;
use crate::import::{self, Options, Rows, TABLES};
use crate::profiles::Profile;

/// Every so many rows a line tells how far the reading is, and the writing.
const ROWS_PER_LINE: u64 = 100_000;
const WRITTEN_PER_LINE: usize = 5_000;

/// What to import.
#[derive(Args)]
pub struct Import {
    /// The contract that the clients were served by: spring, uaa or principal.
    #[arg(long, default_value = "spring")]
    profile: Profile,
    /// Take what the dump says of clients that are registered here already, but otherwise.
    #[arg(long)]
    overwrite: bool,
    /// Take no tokens: they are those of the last dump, after which the old server issues and takes back no more.
    #[arg(long)]
    without_tokens: bool,
    /// Dumps of the tables of Spring Security OAuth, written by mysqldump or by hand.
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
}

/// Reads every file, then takes what can be taken. Prints the report.
pub async fn run(arguments: Import, database: Database) -> anyhow::Result<()> {
    let Import {
        profile,
        overwrite,
        without_tokens,
        files,
    } = arguments;
    if profile == Profile::Tkey {
        bail!("--profile tkey: such a system keeps neither clients nor tokens in these tables; use `client add`");
    }
    let mut dumps = Vec::new();
    for file in &files {
        let dump = std::fs::read(file).with_context(|| format!("{} cannot be read", file.display()))?;
        dumps.push((Rc::<str>::from(file.display().to_string()), dump));
    }
    let mut reader = Reader::new(TABLES);
    let mut rows = Rows::default();
    for (file, dump) in &dumps {
        eprintln!("reading {file} ({} KiB)", dump.len().div_ceil(1024));
        for row in reader.rows(dump) {
            rows.add(file, row);
            if rows.count % ROWS_PER_LINE == 0 {
                eprintln!("{} rows read", rows.count);
            }
        }
    }
    if rows.count == 0 {
        bail!(
            "there is no row of {} in what was given; check that these are dumps with data",
            TABLES.join(", ")
        );
    }
    eprintln!("{} rows read; writing", rows.count);
    let options = Options {
        profile,
        overwrite,
        without_tokens,
    };
    let mut told = 0;
    let progress = |written: usize, total: usize| {
        if written == total || written - told >= WRITTEN_PER_LINE {
            told = written;
            eprintln!("{written} of {total} rows written");
        }
    };
    let report = import::import(&database, rows, &options, clock::now_ms(), progress).await?;
    print(&report.to_string())?;
    eprintln!("done");
    Ok(())
}
