//! `postern-gateway plugin inspect`: what a plugin file asks of a host and offers to it.

use std::fmt::{self, Write as _};
use std::path::Path;

use super::file_error;
use crate::vm::describe::{Description, ImportKind, describe};

/// Describes a file in a few lines. The error is one line for the user: the file cannot be read, or is no plugin that this
/// host can run. The description is given even then, if there is anything to describe.
pub fn inspect(file: &Path) -> (Option<String>, Result<(), String>) {
    let bytes = match std::fs::read(file) {
        Ok(bytes) => bytes,
        Err(error) => return (None, Err(file_error(file, &error))),
    };
    let description = match describe(&bytes) {
        Ok(description) => description,
        Err(error) => return (None, Err(format!("{}: {error}", file.display()))),
    };
    let mut text = String::new();
    // Writing to a string cannot fail.
    let _ = render(&mut text, file, bytes.len(), &description);
    let verdict = match &description.refusal {
        None => Ok(()),
        Some(refusal) => Err(format!("{}: {refusal}", file.display())),
    };
    (Some(text), verdict)
}

fn render(out: &mut String, file: &Path, size: usize, description: &Description) -> fmt::Result {
    let Description {
        marks,
        memory,
        allocator,
        starts_with,
        callbacks,
        other_exports,
        imports,
        ..
    } = description;
    writeln!(out, "file          {} ({size} bytes)", file.display())?;
    let versions: Vec<_> = marks
        .iter()
        .map(|mark| mark.trim_start_matches("proxy_abi_version_").replace('_', "."))
        .collect();
    writeln!(out, "ABI           {}", or_none(&versions.join(", ")))?;
    let pages = |pages: u64| format!("{} KiB", pages * 64);
    match memory {
        Some(memory) => {
            let most = memory.maximum.map_or("what limits.memory gives".to_owned(), pages);
            writeln!(
                out,
                "memory        {} at the start, at most {most}",
                pages(memory.initial)
            )?;
        }
        None => writeln!(out, "memory        none")?,
    }
    writeln!(out, "allocator     {}", allocator.unwrap_or("none"))?;
    writeln!(out, "starts with   {}", or_none(&starts_with.join(", ")))?;
    writeln!(out, "callbacks     {}", or_none(&callbacks.join("\n              ")))?;
    writeln!(out, "other exports {}", or_none(&other_exports.join(", ")))?;
    writeln!(out, "imports       {}", if imports.is_empty() { "none" } else { "" })?;
    for import in imports {
        let what = match import.kind {
            ImportKind::Known => "known",
            ImportKind::Stub => "unknown: a stub stands for it",
            ImportKind::Impossible => "is not a function: the plugin cannot run",
        };
        writeln!(out, "  {:<60} {what}", import.name)?;
    }
    Ok(())
}

fn or_none(text: &str) -> &str {
    if text.is_empty() { "none" } else { text }
}
