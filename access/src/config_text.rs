//! From the text of a plugin configuration to its parts, or to the line that says what is wrong and where.

use crate::config::Config;
use crate::json::Object;

/// What is wrong with a configuration, and where: `rules[3].path: …`.
#[derive(Debug, thiserror::Error)]
#[error("plugin configuration: {key}: {message}")]
pub struct ConfigError {
    /// The key's path.
    pub key: String,
    /// A sentence.
    pub message: String,
}

/// Reads a configuration: its shape, not yet what it says.
pub fn read(json: &[u8]) -> Result<Config, ConfigError> {
    // What knows the key of an error takes longer: where that matters, `streamed` has tried before, and there is one.
    let mut deserializer = serde_json::Deserializer::from_slice(json);
    let Object(config) = serde_path_to_error::deserialize(&mut deserializer).map_err(config_error)?;
    deserializer.end().map_err(|error| at(|| ".".into(), error))?;
    Ok(config)
}

/// The host hands the configuration over in a form of its own, so a line and column in it would only mislead.
fn config_error(error: serde_path_to_error::Error<serde_json::Error>) -> ConfigError {
    let message = error.inner().to_string();
    let message = message.split(" at line ").next().unwrap_or(&message).to_owned();
    at(|| error.path().to_string(), message)
}

pub(crate) fn at(key: impl FnOnce() -> String, error: impl ToString) -> ConfigError {
    // Whatever stands in the configuration, an error is one line.
    let one_line = |text: String| {
        if text.contains(char::is_control) {
            text.escape_debug().to_string()
        } else {
            text
        }
    };
    ConfigError {
        key: one_line(key()),
        message: one_line(error.to_string()),
    }
}
