//! What only a plugin itself can tell about its part of the file.

use std::path::Path;

use serde_saphyr::Location;

use super::{Config, ConfigError};
use crate::plugin::PluginError;

impl Config {
    /// Says where in `file`, from which this configuration was read, the plugin stands that cannot run.
    pub fn plugin_error(&self, file: &Path, error: &PluginError) -> ConfigError {
        let named = |index: &usize| self.plugins[*index].value.name == error.plugin();
        // Names are unique, and every plugin comes from here.
        let index = (0..self.plugins.len()).find(named).unwrap_or_default();
        let at = self
            .plugins
            .get(index)
            .map_or(Location::UNKNOWN, |plugin| plugin.referenced);
        let key = match error {
            PluginError::Unreadable { .. } | PluginError::Module { .. } => format!("plugins[{index}].wasm"),
            PluginError::Configuration { .. } => format!("plugins[{index}].configuration"),
            PluginError::Start { .. } => format!("plugins[{index}]"),
        };
        ConfigError::at(file, at, key, error.to_string())
    }
}
