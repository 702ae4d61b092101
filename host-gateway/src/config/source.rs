//! The text of a configuration file, and errors that point into it.

use std::fmt;
use std::path::{Path, PathBuf};

use serde::de::DeserializeOwned;
use serde_saphyr::{Location, Options, Spanned};

/// A file that was read, with its name as the user gave it.
pub struct Source {
    path: PathBuf,
    text: String,
}

/// One line: file, line, column, key, and what is wrong.
#[derive(Debug, thiserror::Error)]
pub struct ConfigError {
    file: PathBuf,
    /// Line and column, from 1.
    position: Option<(u64, u64)>,
    key: Option<String>,
    problem: String,
}

impl Source {
    pub fn read(path: &Path) -> Result<Self, ConfigError> {
        match std::fs::read_to_string(path) {
            Ok(text) => Ok(Self {
                path: path.to_owned(),
                text,
            }),
            Err(error) => Err(ConfigError {
                file: path.to_owned(),
                position: None,
                key: None,
                problem: format!("cannot be read: {error}"),
            }),
        }
    }

    /// Relative paths in the file start here.
    pub fn folder(&self) -> &Path {
        folder_of(&self.path)
    }

    pub fn parse<T: DeserializeOwned>(&self) -> Result<T, ConfigError> {
        serde_saphyr::from_str_with_options(&self.text, options()).map_err(|error| {
            let position = error.location().map(|at| (at.line(), at.column()));
            ConfigError {
                file: self.path.clone(),
                position,
                key: position.and_then(|(line, column)| self.key_at(line, column)),
                problem: one_sentence(&error.without_snippet().to_string()),
            }
        })
    }

    /// An error about one value, below the key that is given as a path (`routes[2].cluster`).
    pub fn error<T>(&self, at: &Spanned<T>, key: impl Into<String>, problem: impl Into<String>) -> ConfigError {
        ConfigError::about(&self.path, at, key, problem)
    }

    pub(super) fn text(&self) -> &str {
        &self.text
    }

    /// The key whose value, or an item of whose list, stands at a place: `timeout` for `  timeout: 15x`. Found in the
    /// text, because the parser tells only the place.
    fn key_at(&self, line: u64, column: u64) -> Option<String> {
        let lines: Vec<&str> = self.text.lines().take(usize::try_from(line).ok()?).collect();
        let (line, above) = lines.split_last()?;
        let before: String = line
            .chars()
            .take(usize::try_from(column).ok()?.checked_sub(1)?)
            .collect();
        // In a list within brackets the key stands before the bracket.
        let before = match before.rfind(['[', ']', '{', '}']) {
            Some(last) if before[last..].starts_with('[') => &before[..last],
            _ => before.as_str(),
        };
        let before = before.trim_end_matches(|c: char| c.is_whitespace() || matches!(c, '"' | '\''));
        let head = match before.strip_suffix(':') {
            Some(head) => head,
            None if before.trim_start() == "-" => {
                above.iter().rev().find_map(|line| line.trim_end().strip_suffix(':'))?
            }
            None => return None,
        };
        let key = head
            .rsplit(|c: char| !(c.is_ascii_alphanumeric() || c == '_' || c == '-'))
            .next()?;
        (!key.is_empty()).then(|| key.to_owned())
    }
}

impl ConfigError {
    /// About one value of a file, below the key that is given as a path.
    pub(crate) fn about<T>(file: &Path, at: &Spanned<T>, key: impl Into<String>, problem: impl Into<String>) -> Self {
        Self::at(file, at.referenced, key, problem)
    }

    pub(super) fn at(file: &Path, at: Location, key: impl Into<String>, problem: impl Into<String>) -> Self {
        Self {
            file: file.to_owned(),
            position: Some((at.line(), at.column())),
            key: Some(key.into()),
            problem: problem.into(),
        }
    }
}

/// How files are read. A plugin's configuration may hold a hundred thousand rules. What could grow beyond the text itself,
/// aliases and anchors, stays bounded as the parser bounds it.
pub(super) fn options() -> Options {
    serde_saphyr::options! {
        budget: serde_saphyr::budget! { max_nodes: usize::MAX, max_events: usize::MAX },
        // In the configuration of a plugin `yes` is a text, as it is to Envoy.
        strict_booleans: true,
    }
}

/// The folder of a file; `.` for a bare file name.
pub fn folder_of(path: &Path) -> &Path {
    match path.parent() {
        Some(folder) if folder != Path::new("") => folder,
        _ => Path::new("."),
    }
}

/// The parser's message without its own position and line breaks.
fn one_sentence(message: &str) -> String {
    let message = message.split_whitespace().collect::<Vec<_>>().join(" ");
    let sentence = message
        .rfind(" at line ")
        .map_or(message.as_str(), |end| message[..end].trim_end_matches(':'));
    match sentence {
        _ if sentence.starts_with("multiple YAML documents detected") => {
            "a second document begins here: leave one, without `---`".to_owned()
        }
        "expected sequence start" => "expected a list, as in `[ a, b ]`".to_owned(),
        "expected mapping start" => "expected keys, as in `key: value`".to_owned(),
        "expected string scalar" => "expected a single value, not a list or keys".to_owned(),
        "invalid u16" => "is no whole number from 0 to 65535".to_owned(),
        "invalid u32" | "invalid u64" | "invalid usize" => "is no whole number from 0".to_owned(),
        _ => match sentence.strip_prefix("duplicate mapping key: ") {
            Some(key) => {
                let key = key.split(", set ").next().unwrap_or(key);
                format!("the key `{key}` is there twice; remove one")
            }
            None => sentence.to_owned(),
        },
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        write!(f, "{}", self.file.display())?;
        if let Some((line, column)) = self.position {
            write!(f, ":{line}:{column}")?;
        }
        if let Some(key) = &self.key {
            write!(f, ": {key}")?;
        }
        write!(f, ": {}", self.problem)
    }
}
