//! Why a plugin cannot run.

use std::path::PathBuf;

/// Why a plugin cannot run. One sentence that names the plugin and its file.
#[derive(Debug, thiserror::Error)]
pub enum PluginError {
    /// The file cannot be read.
    #[error("plugin {name:?}: cannot read {}: {cause}", .file.display())]
    Unreadable {
        /// `name:` of the plugin.
        name: String,
        /// The file that was tried.
        file: PathBuf,
        /// What the system says.
        cause: std::io::Error,
    },
    /// The file is no plugin for this host.
    #[error("plugin {name:?}: {}: {cause}", .file.display())]
    Module {
        /// `name:` of the plugin.
        name: String,
        /// The file.
        file: PathBuf,
        /// What is wrong with it.
        cause: String,
    },
    /// What the plugin may use names something that there is not.
    #[error("plugin {name:?}: {cause}")]
    Capability {
        /// `name:` of the plugin.
        name: String,
        /// What there is not.
        cause: String,
    },
    /// The plugin does not take its configuration.
    #[error("plugin {name:?} refused the configuration: {cause}")]
    Configuration {
        /// `name:` of the plugin.
        name: String,
        /// The prefix of the route that gives the configuration.
        route: Option<String>,
        /// What it said.
        cause: String,
    },
    /// The plugin starts, and cannot take part in a request.
    #[error(
        "plugin {name:?} would fail in each {stream}: {}: {cause}; write `service: true` if it only has a root context, else name the file that its build is meant to give",
        .file.display()
    )]
    Stream {
        /// `name:` of the plugin.
        name: String,
        /// The file.
        file: PathBuf,
        /// What it would see: a request, or a connection.
        stream: &'static str,
        /// What happened.
        cause: String,
    },
    /// The plugin does not start.
    #[error("plugin {name:?} does not start: {}: {cause}", .file.display())]
    Start {
        /// `name:` of the plugin.
        name: String,
        /// The file.
        file: PathBuf,
        /// What happened.
        cause: String,
    },
}

impl PluginError {
    /// `name:` of the plugin.
    pub fn plugin(&self) -> &str {
        match self {
            Self::Unreadable { name, .. }
            | Self::Module { name, .. }
            | Self::Capability { name, .. }
            | Self::Configuration { name, .. }
            | Self::Stream { name, .. }
            | Self::Start { name, .. } => name,
        }
    }
}
