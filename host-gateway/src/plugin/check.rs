//! What an entry of `plugins:` says that makes no sense, whatever the plugin is.

use std::path::Path;

use super::{FailurePolicy, PluginConfig, ReloadBackoff};

/// WebAssembly's page, the least that a VM's memory can have.
const PAGE: u64 = 64 << 10;
/// All that a guest of 32 bits can address.
const MOST_MEMORY: u64 = 4 << 30;

impl PluginConfig {
    /// The key that makes no sense, and why, in a few words.
    pub(crate) fn nonsense(&self) -> Result<(), (&'static str, String)> {
        let limits = &self.limits;
        let memory = limits.memory.0;
        if self.name.is_empty() || self.name.contains(char::is_control) {
            let problem = "must be a name of one line: it stands in logs and metrics";
            return Err(("name", problem.to_owned()));
        }
        if memory < PAGE {
            let problem =
                format!("is {memory} bytes, and no plugin starts in less than 64KiB: write for example 64MiB");
            return Err(("limits.memory", problem));
        }
        if memory > MOST_MEMORY {
            let problem = format!("`{}` is more than 4GiB, all that a plugin can address", limits.memory);
            return Err(("limits.memory", problem));
        }
        if let Some(recycle) = limits.recycle.filter(|recycle| recycle.0 > memory) {
            let problem = format!(
                "`{recycle}` is more than limits.memory (`{}`): it is never reached",
                limits.memory
            );
            return Err(("limits.recycle", problem));
        }
        if limits.contexts == 0 {
            let problem = "is 0: no request could pass the plugin; leave it out for 100000";
            return Err(("limits.contexts", problem.to_owned()));
        }
        if self.failure != FailurePolicy::Reload && self.reload_backoff != ReloadBackoff::default() {
            let problem = "is only for `failure: reload`: add that, or leave it out";
            return Err(("reload_backoff", problem.to_owned()));
        }
        for (name, value) in &self.environment {
            if name.is_empty() || name.contains(['=', '\0']) || value.contains('\0') {
                let problem = format!("`{name}` cannot be the name of a variable, or its value cannot be one");
                return Err(("environment", problem));
            }
        }
        Ok(())
    }
}

/// Why a path cannot be a plugin's file, in a few words.
pub(crate) fn unusable_file(file: &Path) -> Option<String> {
    let shown = file.display();
    match std::fs::metadata(file) {
        Ok(found) if found.is_dir() => Some(format!("{shown} is a folder: name the `.wasm` file in it")),
        Ok(found) if !found.is_file() => Some(format!("{shown} is no regular file")),
        Ok(found) if found.len() == 0 => Some(format!("{shown} is empty")),
        Ok(_) => None,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Some(format!("there is no file {shown}")),
        Err(error) => Some(format!("cannot read {shown}: {error}")),
    }
}
