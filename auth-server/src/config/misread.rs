//! What the parser found wrong with a file, told to somebody who writes YAML and not Rust: the key, and what to do.

use serde_saphyr::{Error, MessageFormatter as _, UserMessageFormatter};

/// `KEY: what is wrong`, in one line. A value of another type than the one that is wanted is not repeated: it may be a
/// secret in the wrong place.
pub fn told(text: &str, error: &Error) -> String {
    let error = error.without_snippet();
    let key = error.location().and_then(|at| key_of(text, at.line(), at.column()));
    let message = message(error).split_whitespace().collect::<Vec<_>>().join(" ");
    match key {
        Some(key) => format!("{key}: {message}"),
        None => message,
    }
}

fn message(error: &Error) -> String {
    match error {
        // What our own types say.
        Error::Message { msg, .. } => msg.clone(),
        Error::Unexpected { expected, .. } => match *expected {
            "string scalar" => "write a single value, not a list or keys".into(),
            "sequence start" => "write a list, as in `[ a, b ]`".into(),
            "mapping start" => "write keys below it, as in `key: value`".into(),
            other => format!("expected {other}"),
        },
        Error::Eof { .. } => "there is nothing in it, or it ends too early; write `key: value` lines".into(),
        Error::ExternalMessage { msg, .. } => {
            format!("not YAML: {msg}; check indentation, quotes and brackets, and quote a value with `: ` in it")
        }
        Error::NullIntoString { .. } => "there is no value; write one".into(),
        Error::InvalidBooleanStrict { .. } => "write true or false".into(),
        Error::InvalidScalar { ty, .. } => match *ty {
            "u16" | "u32" | "u64" | "usize" => "write a whole number".into(),
            other => format!("write a value of type {other}"),
        },
        Error::SerdeInvalidType { expected, .. } | Error::SerdeInvalidValue { expected, .. } => {
            format!("write {expected}")
        }
        Error::SerdeUnknownVariant { variant, expected, .. } => {
            format!("`{variant}` is none of {}; write one of them", expected.join(", "))
        }
        Error::SerdeUnknownField { field, expected, .. } => {
            format!("there is no key `{field}`; possible are {}", expected.join(", "))
        }
        Error::SerdeMissingField { field, .. } => format!("the key `{field}` is missing; add it"),
        Error::DuplicateMappingKey { key: Some(key), .. } => format!("the key `{key}` is there twice; remove one"),
        Error::MultipleDocuments { .. } => "there are several documents in it; leave one, without `---`".into(),
        Error::UnknownAnchor { .. } => {
            "it refers to an anchor that is not there; quote a value that begins with `*`".into()
        }
        other => UserMessageFormatter.format_message(other).into_owned(),
    }
}

/// The key whose value, or part of whose value, begins at a place. The parser says where a wrong value stands; people
/// look for its name. Lines and columns count from 1. `None`: at the top, or written in a way that needs a parser.
fn key_of(text: &str, line: u64, column: u64) -> Option<&str> {
    let line = usize::try_from(line).ok()?.checked_sub(1)?;
    let start: usize = text.split_inclusive('\n').take(line).map(str::len).sum();
    let (value, first) = text
        .get(start..)?
        .char_indices()
        .nth(usize::try_from(column).ok()?.checked_sub(1)?)?;
    // Where there is no value, the place is that of the colon.
    let colon = usize::from(first == ':');
    let mut before = text[..start + value + colon].trim_end_matches([' ', '"', '\'']);
    if before.ends_with(['\n', '-']) {
        return key_of_block(text, start);
    }
    while before.ends_with(['[', '{', ',']) {
        before = before[..enclosing_bracket(before)?].trim_end();
    }
    last_word(before.strip_suffix(':')?)
}

/// The key under which the line that begins at a place is indented.
fn key_of_block(text: &str, start: usize) -> Option<&str> {
    let indent_of = |line: &str| line.find(|c| c != ' ');
    let indent = indent_of(&text[start..])?;
    // Items of a list may stand as far left as its key.
    let widest = indent + usize::from(text[start + indent..].starts_with('-'));
    let above = text[..start].lines().rev();
    let mut keys = above.filter(|line| !line.trim_start().starts_with(['-', '#']));
    let parent = keys.find(|line| line.trim_end().ends_with(':') && indent_of(line).is_some_and(|own| own < widest))?;
    last_word(parent.trim_end().strip_suffix(':')?)
}

/// Where the bracket stands that is open at the end of a text.
fn enclosing_bracket(text: &str) -> Option<usize> {
    let mut closed = 0;
    for (index, c) in text.char_indices().rev() {
        match c {
            ']' | '}' => closed += 1,
            '[' | '{' if closed == 0 => return Some(index),
            '[' | '{' => closed -= 1,
            _ => {}
        }
    }
    None
}

fn last_word(text: &str) -> Option<&str> {
    text.rsplit([' ', '{', '[', ',', '\n'])
        .next()
        .filter(|key| !key.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_key_of_a_value_is_the_word_before_it() {
        let text = "listen: here\nfeed: { credentials: [ \"gateway\", \"b\" ], wait: 5 }";
        assert_eq!(key_of(text, 1, 9), Some("listen"));
        assert_eq!(key_of(text, 2, 24), Some("credentials"));
        assert_eq!(key_of(text, 2, 35), Some("credentials"));
        assert_eq!(key_of(text, 2, 48), Some("wait"));
        assert_eq!(key_of(text, 1, 1), None);
        assert_eq!(key_of(text, 9, 1), None);
    }

    #[test]
    fn the_key_of_an_item_is_that_of_its_list() {
        let text = "feed:\n  credentials:\n    - \"a:b\"\n    - \"bad\"\n  wai: 5\nmounts:\n- profile: x\n  path: y\n";
        assert_eq!(key_of(text, 4, 7), Some("credentials"));
        assert_eq!(key_of(text, 5, 3), Some("feed"));
        assert_eq!(key_of(text, 7, 3), Some("mounts"));
        assert_eq!(key_of(text, 7, 12), Some("profile"));
        let text = "mounts: [ { profile: x, path: y }, { profile: x, pat: y } ]";
        assert_eq!(key_of(text, 1, 50), Some("mounts"));
        assert_eq!(key_of(text, 1, 36), Some("mounts"));
    }
}
