//! The folder and file of SQLite: whether the database could be opened there, without opening it.

use std::fs::File;
use std::io::{self, Read as _};
use std::path::Path;

use rustix::fs::{Access, AtFlags, CWD, accessat};

/// Whether the database in `file` could be opened, or created where it is missing: its folder exists and may be written
/// to (SQLite keeps files beside the database), and so may the file. Changes nothing.
pub fn check(file: &Path) -> io::Result<()> {
    // With the dot, what is no folder is refused, and no folder at all is the current one.
    let folder = file.parent().unwrap_or(Path::new("")).join(".");
    allowed(&folder, Access::WRITE_OK | Access::EXEC_OK)?;
    match std::fs::metadata(file) {
        Ok(found) if found.is_dir() => Err(io::ErrorKind::IsADirectory.into()),
        Ok(_) => {
            allowed(file, Access::READ_OK | Access::WRITE_OK)?;
            begins_as_a_database(file)
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error),
    }
}

/// A new database is an empty file; any other begins with 16 bytes that SQLite's file format names.
fn begins_as_a_database(file: &Path) -> io::Result<()> {
    let mut first = Vec::new();
    File::open(file)?.take(16).read_to_end(&mut first)?;
    if first.is_empty() || first == *b"SQLite format 3\0" {
        Ok(())
    } else {
        Err(io::Error::other("this file is no SQLite database"))
    }
}

/// As the operating system sees it: permissions of the effective user, and whether the file system is read-only.
fn allowed(path: &Path, access: Access) -> io::Result<()> {
    Ok(accessat(CWD, path, access, AtFlags::EACCESS)?)
}
