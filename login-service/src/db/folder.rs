//! The folder and file of SQLite: whether the database could be opened there, without opening it.

use std::io;
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
        Ok(_) => allowed(file, Access::READ_OK | Access::WRITE_OK),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error),
    }
}

/// As the operating system sees it: permissions of the effective user, and whether the file system is read-only.
fn allowed(path: &Path, access: Access) -> io::Result<()> {
    Ok(accessat(CWD, path, access, AtFlags::EACCESS)?)
}
