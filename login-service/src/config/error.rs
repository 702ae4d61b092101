//! Why a configuration cannot be used: one line with file, place, key and what to do.

use std::path::{Path, PathBuf};

use serde_saphyr::{MessageFormatter as _, UserMessageFormatter};

/// Why a configuration cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No file, or no permission to read it.
    #[error("cannot read {}: {cause}; name the configuration with --config FILE", file.display())]
    Unreadable {
        /// The file.
        file: PathBuf,
        /// What the operating system says.
        cause: std::io::Error,
    },
    /// Not YAML, an unknown key, a missing one or a bad value.
    #[error("{}:{place}{message}", file.display())]
    Invalid {
        /// The file.
        file: PathBuf,
        /// `LINE:COLUMN: KEY: `, as much of it as is known, or a space when the parser names no place.
        place: String,
        /// What is wrong there.
        message: String,
    },
    /// An empty list of credentials.
    #[error("{}:{line}: credentials: the list is empty, so no gateway could read the feed; add `- \"gateway:<a long random password>\"`", file.display())]
    NoCredentials {
        /// The file.
        file: PathBuf,
        /// The line of the key.
        line: u64,
    },
}

impl Error {
    /// What the parser found wrong with the `text` of a file.
    pub(super) fn invalid(file: &Path, text: &str, error: &serde_saphyr::Error) -> Self {
        let error = error.without_snippet();
        let at = error.location().map(|at| (at.line(), at.column()));
        let place = at.map_or_else(
            || " ".into(),
            |(line, column)| match key_at(text, line, column) {
                Some(key) => format!("{line}:{column}: {key}: "),
                None => format!("{line}:{column}: "),
            },
        );
        Self::Invalid {
            file: file.into(),
            place,
            message: message(error, at.and_then(|(line, _)| line_at(text, line)).unwrap_or_default()),
        }
    }
}

/// What is wrong in a `line`, for somebody who writes YAML and not Rust.
fn message(error: &serde_saphyr::Error, line: &str) -> String {
    use serde_saphyr::Error as Yaml;
    match error {
        Yaml::NullIntoString { .. } if start_of(line).starts_with(':') => {
            "there is no key before the `:`; write `key: value`".into()
        }
        Yaml::NullIntoString { .. } => "there is no value; write one".into(),
        Yaml::Unexpected { expected, .. } => match *expected {
            "string scalar" => "expected a single value, not a list or keys".into(),
            "sequence start" => "expected a list, as in `[ a, b ]`".into(),
            "mapping start" => "expected keys, as in `key: value`".into(),
            other => format!("expected {other}"),
        },
        Yaml::ExternalMessage { msg, .. } => {
            format!(
                "this is not YAML: {msg}; check indentation, quotes and brackets, and quote a value with `: ` in it"
            )
        }
        Yaml::InvalidBooleanStrict { .. } => "write true or false".into(),
        Yaml::MultipleDocuments { .. } => "a second document begins here; leave one, without `---`".into(),
        Yaml::SerdeMissingField { field, .. } => format!("the key `{field}` is missing"),
        Yaml::DuplicateMappingKey { key: Some(key), .. } => format!("the key `{key}` is there twice; remove one"),
        other => UserMessageFormatter.format_message(other).into_owned(),
    }
}

/// The key that a place belongs to, with those above it: `password_checks.queue`. `None` at the top. Line and column
/// from 1.
///
/// The parser does not name it; block style tells it by indentation. Of a list or mapping in brackets on one line it is
/// the key before the bracket.
fn key_at(text: &str, line: u64, column: u64) -> Option<String> {
    let own = line_at(text, line)?;
    let mut keys: Vec<&str> = plain_key(own)
        .filter(|key| u64::try_from(indentation(own) + key.len()).is_ok_and(|end| end < column))
        .into_iter()
        .collect();
    let mut inner = indentation(own);
    let lines_above = usize::try_from(line).ok()?.saturating_sub(1);
    let above: Vec<&str> = text.lines().take(lines_above).collect();
    for outer in above.into_iter().rev() {
        if let Some(key) = plain_key(outer).filter(|_| indentation(outer) < inner) {
            keys.push(key);
            inner = indentation(outer);
        }
    }
    keys.reverse();
    (!keys.is_empty()).then(|| keys.join("."))
}

fn line_at(text: &str, line: u64) -> Option<&str> {
    text.lines().nth(usize::try_from(line).ok()?.checked_sub(1)?)
}

/// How far in a line begins. The item of a list begins behind its dash, and so further in than the key of the list, also
/// where the dash stands right below that.
fn indentation(line: &str) -> usize {
    line.len() - start_of(line).len()
}

fn start_of(line: &str) -> &str {
    line.trim_start_matches([' ', '-'])
}

/// The key at the start of a line.
fn plain_key(line: &str) -> Option<&str> {
    let (key, value) = start_of(line).split_once(':')?;
    let plain = !key.is_empty() && key.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
    (plain && (value.is_empty() || value.starts_with(' '))).then_some(key)
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "\
listen: 127.0.0.1:0
# a: comment
credentials:
- gateway
password_checks:
  concurrent: 1

  queue: x
other: [ a,
  b ]
";

    #[test]
    fn a_place_belongs_to_the_keys_around_it() {
        for (line, column, key) in [
            (1, 9, Some("listen")),
            (1, 1, None),
            (4, 3, Some("credentials")),
            (6, 15, Some("password_checks.concurrent")),
            (6, 3, Some("password_checks")),
            (8, 10, Some("password_checks.queue")),
            (10, 3, Some("other")),
            (99, 1, None),
            (0, 0, None),
        ] {
            assert_eq!(key_at(TEXT, line, column).as_deref(), key, "{line}:{column}");
        }
    }
}
