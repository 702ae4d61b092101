//! From the text of a plugin configuration to its parts, or to the line that says what is wrong and where.

use crate::config::Config;
use crate::json::Object;

/// What is wrong with a configuration, and where: `rules[3].path: …`.
#[derive(Debug, thiserror::Error)]
#[error("plugin configuration: {}{message}", if key.is_empty() { String::new() } else { format!("{key}: ") })]
pub struct ConfigError {
    /// The key's path; empty for the whole text.
    pub key: String,
    /// A sentence.
    pub message: String,
    /// The line of the text, from 1, if the reader stumbled over it.
    pub line: Option<usize>,
}

/// What to write in place of nothing.
const EMPTY: &str = "it is empty; write `{}` if every request is to be refused";

/// Reads a configuration: its shape, not yet what it says.
pub fn read(json: &[u8]) -> Result<Config, ConfigError> {
    // A template that did not fill in anything, a mount that is missing: nobody means it.
    if json.trim_ascii().is_empty() {
        return Err(at(String::new, EMPTY));
    }
    // What knows the key of an error takes longer: where that matters, `streamed` has tried before, and there is one.
    let mut deserializer = serde_json::Deserializer::from_slice(json);
    let Object(config) = serde_path_to_error::deserialize(&mut deserializer).map_err(config_error)?;
    deserializer.end().map_err(|error| at(String::new, error))?;
    Ok(config)
}

/// The host hands the configuration over in a form of its own, so the message has no line and column: they would only
/// mislead.
fn config_error(error: serde_path_to_error::Error<serde_json::Error>) -> ConfigError {
    let message = error.inner().to_string();
    let message = message
        .rfind(" at line ")
        .and_then(|end| message.get(..end))
        .unwrap_or(&message);
    ConfigError {
        line: Some(error.inner().line()).filter(|line| *line > 0),
        ..at(|| key_of(error.path()), wanted(message))
    }
}

/// `rules[3].path`; nothing where no key was read yet.
fn key_of(path: &serde_path_to_error::Path) -> String {
    match path.iter().next() {
        Some(_) => path.to_string(),
        None => String::new(),
    }
}

/// What to write, in place of what a parser expected. A value of another type is not repeated: it may be a secret in the wrong
/// place.
fn wanted(message: &str) -> String {
    let types = message.strip_prefix("invalid type: ");
    let Some((found, expected)) = types.and_then(|types| types.rsplit_once(", expected ")) else {
        return message.to_owned();
    };
    let expected = match expected {
        "a sequence" => "a list (`[ … ]`)",
        "a string" => "a text in quotes (`\"…\"`)",
        "a boolean" => "`true` or `false`",
        other => other,
    };
    let found = match found.split([' ', '`']).next() {
        Some("string" | "character") => "a text",
        Some("integer" | "floating" | "number") => "a number",
        Some("boolean") => "`true` or `false`",
        Some("map") => "an object",
        Some("sequence") => "a list",
        Some("null" | "unit" | "Option") => "`null` (leave the key out where nothing is meant)",
        _ => "something else",
    };
    format!("it must be {expected}, not {found}")
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
        line: None,
    }
}
