//! Compiled code on disk, so that a start need not compile what was compiled before.
//!
//! An entry is named by the plugin's bytes and by everything the machine code depends on: wasmtime's version, its settings
//! and the processor. Whatever is wrong with the folder or an entry, the code is compiled as if there were no cache.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use ring::digest::{self, SHA256, SHA256_OUTPUT_LEN};
use wasmtime::{Engine, Module};

/// Entries that are kept; the oldest go first.
const MOST_ENTRIES: usize = 64;

/// A file that is being written is not touched for so long.
const LONGEST_WRITE: Duration = Duration::from_secs(3600);

/// A folder of compiled plugins.
#[derive(Debug)]
pub struct CodeCache {
    folder: PathBuf,
    /// The user that this process runs as: nobody else may have written what is run.
    owner: u32,
}

impl CodeCache {
    /// A cache in `folder`, which is made, for this user alone, if it is not there. `None` when the folder cannot be
    /// used or trusted; the log says why.
    pub fn open(folder: &Path) -> Option<Self> {
        match Self::try_open(folder) {
            Ok(cache) => Some(cache),
            Err(problem) => {
                tracing::warn!("compiled plugins are not kept: {}: {problem}", folder.display());
                None
            }
        }
    }

    fn try_open(folder: &Path) -> io::Result<Self> {
        DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
        let cache = Self {
            folder: folder.to_owned(),
            // Linux shows a process under its effective user.
            owner: fs::metadata("/proc/self")?.uid(),
        };
        cache.trust(&fs::metadata(folder)?)?;
        Ok(cache)
    }

    /// The module of `wasm`: from the cache if it is there, else compiled and put there.
    pub(crate) fn module(&self, engine: &Engine, wasm: &[u8]) -> wasmtime::Result<Module> {
        let file = self.folder.join(name(engine, wasm));
        match self.read(&file) {
            Ok(Some(code)) => match deserialize(engine, &code) {
                Ok(module) => return Ok(module),
                Err(error) => tracing::debug!(file = %file.display(), %error, "compiled anew"),
            },
            Ok(None) => {}
            Err(error) => tracing::warn!("compiled anew: {}: {error}", file.display()),
        }
        let module = Module::new(engine, wasm)?;
        if let Err(error) = self.write(&file, &module) {
            tracing::debug!(file = %file.display(), %error, "compiled code was not kept");
        }
        Ok(module)
    }

    /// The code of an entry; `None` when there is none. What cannot be trusted, or is not whole, is an error.
    fn read(&self, path: &Path) -> io::Result<Option<Vec<u8>>> {
        let mut file = match File::open(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            opened => opened?,
        };
        // Asked of the open file: what is at its path may be another one by now.
        let metadata = file.metadata()?;
        if !metadata.is_file() {
            return Err(io::Error::other("it is not a file"));
        }
        self.trust(&metadata)?;
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes)?;
        match bytes.split_at_checked(SHA256_OUTPUT_LEN) {
            Some((sum, code)) if *sum == digest(code) => Ok(Some(bytes.split_off(SHA256_OUTPUT_LEN))),
            _ => Err(io::Error::other("it is damaged")),
        }
    }

    /// Whole or not at all, also when several processes write the same.
    fn write(&self, path: &Path, module: &Module) -> io::Result<()> {
        let code = module.serialize().map_err(io::Error::other)?;
        let new = path.with_extension(format!("{}.new", std::process::id()));
        let written = self.write_new(&new, &code).and_then(|()| fs::rename(&new, path));
        if written.is_err() {
            let _ = fs::remove_file(&new);
        }
        written?;
        self.forget_oldest()
    }

    fn write_new(&self, path: &Path, code: &[u8]) -> io::Result<()> {
        // A process of the same number that ended in the middle may have left one.
        let _ = fs::remove_file(path);
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
        file.write_all(&digest(code))?;
        file.write_all(code)
    }

    /// Removes the oldest entries, and what writers that ended in the middle have left. Nothing else in the folder is
    /// touched: it may be shared. What cannot be looked at or removed stays.
    fn forget_oldest(&self) -> io::Result<()> {
        let mut entries = Vec::new();
        for entry in fs::read_dir(&self.folder)?.flatten() {
            let name = entry.file_name();
            let Some(kind) = name.to_str().and_then(Kind::of) else {
                continue;
            };
            // Of the entry itself, not of what a link points to.
            let Ok(metadata) = entry.metadata() else { continue };
            let Ok(modified) = metadata.modified() else { continue };
            if !metadata.is_file() {
                continue;
            }
            match kind {
                Kind::Entry => entries.push((modified, entry.path())),
                Kind::Unfinished if modified.elapsed().is_ok_and(|age| age > LONGEST_WRITE) => {
                    let _ = fs::remove_file(entry.path());
                }
                Kind::Unfinished => {}
            }
        }
        entries.sort();
        let surplus = entries.len().saturating_sub(MOST_ENTRIES);
        for (_, path) in entries.iter().take(surplus) {
            let _ = fs::remove_file(path);
        }
        Ok(())
    }

    fn trust(&self, metadata: &fs::Metadata) -> io::Result<()> {
        const OTHERS_MAY_WRITE: u32 = 0o022;
        if metadata.uid() != self.owner {
            return Err(io::Error::other("it belongs to another user"));
        }
        if metadata.mode() & OTHERS_MAY_WRITE != 0 {
            return Err(io::Error::other("other users may write to it"));
        }
        Ok(())
    }
}

/// A file of the cache.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Entry,
    /// Left by a writer, or still being written.
    Unfinished,
}

impl Kind {
    /// By its name: `None` for files of others. As [`name`] and [`CodeCache::write`] make them.
    fn of(name: &str) -> Option<Self> {
        let (stem, extension) = name.split_once('.')?;
        let (code, settings) = stem.split_once('-')?;
        let hex = |text: &str| text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
        if code.len() != 2 * SHA256_OUTPUT_LEN || settings.len() != 16 || !hex(code) || !hex(settings) {
            return None;
        }
        let process = extension.strip_suffix(".new");
        match extension {
            "code" => Some(Self::Entry),
            _ => process
                .is_some_and(|id| !id.is_empty() && id.bytes().all(|byte| byte.is_ascii_digit()))
                .then_some(Self::Unfinished),
        }
    }
}

/// The folder that is used where the configuration names none: that of the service manager, of the desktop, of the user.
pub fn default_folder() -> Option<PathBuf> {
    let absolute = |name: &str| {
        let folder = std::env::var_os(name).map(PathBuf::from)?;
        folder.is_absolute().then_some(folder)
    };
    absolute("CACHE_DIRECTORY")
        .or_else(|| absolute("XDG_CACHE_HOME").map(|folder| folder.join("postern-gateway")))
        .or_else(|| absolute("HOME").map(|home| home.join(".cache/postern-gateway")))
}

/// The SHA-256 of some bytes.
pub(crate) fn digest(bytes: &[u8]) -> [u8; SHA256_OUTPUT_LEN] {
    let mut sum = [0; SHA256_OUTPUT_LEN];
    sum.copy_from_slice(digest::digest(&SHA256, bytes).as_ref());
    sum
}

fn name(engine: &Engine, wasm: &[u8]) -> String {
    let mut name = String::with_capacity(2 * SHA256_OUTPUT_LEN + 32);
    for byte in digest(wasm) {
        name.push_str(&format!("{byte:02x}"));
    }
    // Not a secret and no proof: wasmtime itself refuses code of another version or for another processor.
    let mut hasher = DefaultHasher::new();
    engine.precompile_compatibility_hash().hash(&mut hasher);
    name.push_str(&format!("-{:016x}.code", hasher.finish()));
    name
}

#[expect(
    unsafe_code,
    reason = "machine code is run as it stands. It was written by this program, run by this user: the folder and the file \
              belong to that user and nobody else may write to them, and the file's sum says that it is whole"
)]
fn deserialize(engine: &Engine, code: &[u8]) -> wasmtime::Result<Module> {
    // SAFETY: as above; `CodeCache::read` checked it on the open file.
    unsafe { Module::deserialize(engine, code) }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;
    use crate::vm::engine::engine;

    fn folder(name: &str) -> PathBuf {
        let folder = std::env::temp_dir().join(format!("postern-cache-{}-{name}", std::process::id()));
        let _ = fs::remove_dir_all(&folder);
        folder
    }

    fn entries(folder: &Path) -> Vec<PathBuf> {
        fs::read_dir(folder)
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .collect()
    }

    fn allow(path: &Path, mode: u32) {
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    }

    const WASM: &[u8] = b"\0asm\x01\0\0\0";

    #[test]
    fn what_was_compiled_is_there_the_next_time_and_private() {
        let folder = folder("again");
        let cache = CodeCache::open(&folder.join("deep/down")).unwrap();
        let engine = engine().unwrap();
        cache.module(engine, WASM).unwrap();
        let [entry] = &entries(&cache.folder)[..] else {
            panic!("one entry")
        };
        assert_eq!(fs::metadata(&cache.folder).unwrap().mode() & 0o777, 0o700);
        assert_eq!(fs::metadata(entry).unwrap().mode() & 0o777, 0o600);
        let code = cache.read(entry).unwrap().unwrap();
        deserialize(engine, &code).unwrap();
        cache.module(engine, WASM).unwrap();
        assert_eq!(entries(&cache.folder).len(), 1);
        let _ = fs::remove_dir_all(folder);
    }

    #[test]
    fn what_is_damaged_or_others_may_write_is_not_run_but_replaced() {
        let folder = folder("damaged");
        let cache = CodeCache::open(&folder).unwrap();
        let engine = engine().unwrap();
        cache.module(engine, WASM).unwrap();
        let entry = entries(&folder).remove(0);
        let whole = fs::read(&entry).unwrap();
        for damage in [&whole[..whole.len() / 2], &[0; 100][..], &[][..]] {
            fs::write(&entry, damage).unwrap();
            assert!(cache.read(&entry).is_err());
            cache.module(engine, WASM).unwrap();
            assert!(cache.read(&entry).unwrap().is_some());
        }
        allow(&entry, 0o666);
        assert!(cache.read(&entry).is_err());
        allow(&folder, 0o777);
        assert!(CodeCache::open(&folder).is_none());
        let _ = fs::remove_dir_all(folder);
    }

    #[test]
    fn without_a_folder_to_write_to_plugins_are_compiled() {
        let folder = folder("missing");
        let cache = CodeCache::open(&folder).unwrap();
        fs::remove_dir_all(&folder).unwrap();
        cache.module(engine().unwrap(), WASM).unwrap();
        fs::write(&folder, "a file").unwrap();
        assert!(CodeCache::open(&folder).is_none());
        fs::remove_file(folder).unwrap();
    }

    #[test]
    fn the_oldest_entries_are_forgotten() {
        let folder = folder("full");
        let cache = CodeCache::open(&folder).unwrap();
        for number in 0..MOST_ENTRIES + 3 {
            fs::write(folder.join(format!("{number:064x}-{number:016x}.code")), "old").unwrap();
        }
        cache.module(engine().unwrap(), WASM).unwrap();
        assert_eq!(entries(&folder).len(), MOST_ENTRIES);
        let _ = fs::remove_dir_all(folder);
    }

    #[test]
    fn files_of_others_are_not_forgotten() {
        let folder = folder("shared");
        let cache = CodeCache::open(&folder).unwrap();
        let others = ["notes.txt", "a.code", "b.new", "0.1.new"].map(|name| folder.join(name));
        for file in &others {
            fs::write(file, "mine").unwrap();
        }
        // A folder and a link whose names are those of entries.
        let named = |number: usize| folder.join(format!("{number:064x}-{number:016x}.code"));
        fs::create_dir(named(1)).unwrap();
        std::os::unix::fs::symlink(&others[0], named(2)).unwrap();
        for number in 0..MOST_ENTRIES + 3 {
            fs::write(named(number + 3), "old").unwrap();
        }
        let left = folder.join(format!("{:064x}-{:016x}.17.new", 1, 1));
        let unfinished = folder.join(format!("{:064x}-{:016x}.18.new", 1, 1));
        for (file, age) in [(&left, 2 * LONGEST_WRITE), (&unfinished, Duration::ZERO)] {
            let file = File::create(file).unwrap();
            let now = file.metadata().unwrap().modified().unwrap();
            file.set_modified(now - age).unwrap();
        }
        cache.module(engine().unwrap(), WASM).unwrap();
        assert!(others.iter().all(|file| fs::read(file).unwrap() == b"mine"));
        assert!(named(1).is_dir() && named(2).is_symlink());
        assert!(!left.exists() && unfinished.exists());
        assert_eq!(entries(&folder).len(), others.len() + 3 + MOST_ENTRIES);
        let _ = fs::remove_dir_all(folder);
    }
}
