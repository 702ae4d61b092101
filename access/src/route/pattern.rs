//! Path patterns as operators write them, and what is refused in one.

use std::borrow::Cow;

/// The most segments a pattern may have: a lookup goes as deep.
pub const MAX_SEGMENTS: usize = 128;

/// A path pattern, read once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pattern {
    segments: Vec<Segment>,
}

/// A part of a pattern.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Segment {
    /// This text, in canonical form.
    Literal(Box<str>),
    /// `*`, or `{name}` with its name.
    One(Option<Box<str>>),
    /// `**`.
    Tail,
}

/// Why a pattern was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PatternError {
    /// A literal part could never match, because such a path is refused.
    #[error("pattern `{0}`: {1}")]
    Path(String, crate::path::PathError),
    /// `**` before the end.
    #[error("pattern `{0}`: `**` may only stand at the end")]
    TailNotLast(String),
    /// A star or brace inside a segment.
    #[error("pattern `{0}`: `*` and `{{name}}` must be a whole segment")]
    PartOfSegment(String),
    /// Longer than any path that is looked at, or of more segments than [`MAX_SEGMENTS`].
    #[error("the pattern is longer than {MAX_SEGMENTS} segments or {max} bytes", max = crate::path::MAX_TARGET)]
    TooLong,
    /// The same `{name}` twice.
    #[error("pattern `{0}`: `{{{1}}}` stands there twice")]
    NameTwice(String, String),
}

impl Pattern {
    /// Reads a pattern such as `/orders/{tenant}/**`. Literals are canonicalised like request paths.
    pub fn parse(text: &str) -> Result<Self, PatternError> {
        let Some(rest) = text.strip_prefix('/') else {
            return Err(PatternError::Path(text.into(), crate::path::PathError::NotAbsolute));
        };
        if text.len() > crate::path::MAX_TARGET || text.split('/').count() > MAX_SEGMENTS {
            return Err(PatternError::TooLong);
        }
        let mut segments = Vec::new();
        let mut parts = rest.split('/').peekable();
        while let Some(part) = parts.next() {
            let segment = match part {
                "**" if parts.peek().is_some() => return Err(PatternError::TailNotLast(text.into())),
                "**" => Segment::Tail,
                "*" => Segment::One(None),
                _ => match part.strip_prefix('{').and_then(|part| part.strip_suffix('}')) {
                    Some(name) if !name.is_empty() && !name.contains(['{', '}', '*']) => {
                        let segment = Segment::One(Some(name.into()));
                        if segments.contains(&segment) {
                            return Err(PatternError::NameTwice(text.into(), name.into()));
                        }
                        segment
                    }
                    _ if part.contains(['*', '{', '}']) => return Err(PatternError::PartOfSegment(text.into())),
                    _ => {
                        literal(part, parts.peek().is_none()).map_err(|error| PatternError::Path(text.into(), error))?
                    }
                },
            };
            segments.push(segment);
        }
        Ok(Self { segments })
    }

    /// Which segment is `{name}`, counted from 0; see [`segment`].
    pub fn position(&self, name: &str) -> Option<usize> {
        self.segments
            .iter()
            .position(|segment| matches!(segment, Segment::One(Some(n)) if **n == *name))
    }

    /// The segments, in order.
    pub fn segments(&self) -> &[Segment] {
        &self.segments
    }
}

/// What the segment of a canonical path at this place says, counted from 0: `auth0|7` of `auth0%7C7`. A percent sign is
/// never in it, as an encoded one is refused in a path.
pub fn segment(path: &str, position: usize) -> Option<Cow<'_, str>> {
    let segment = path.strip_prefix('/')?.split('/').nth(position)?;
    let mut escapes = segment.split('%');
    let first = escapes.next().filter(|first| first.len() < segment.len());
    let Some(first) = first else {
        return Some(Cow::Borrowed(segment));
    };
    let mut said = first.as_bytes().to_vec();
    for escape in escapes {
        let (digits, rest) = escape.split_at_checked(2)?;
        said.push(u8::from_str_radix(digits, 16).ok()?);
        said.extend_from_slice(rest.as_bytes());
    }
    String::from_utf8(said).ok().map(Cow::Owned)
}

/// An operator may write `/café` or `/%63af%C3%A9`: both mean what a canonical request path says.
fn literal(part: &str, last: bool) -> Result<Segment, crate::path::PathError> {
    if part.is_empty() {
        return if last {
            Ok(Segment::Literal("".into()))
        } else {
            Err(crate::path::PathError::EmptySegment)
        };
    }
    let mut encoded = String::from("/");
    for character in part.chars() {
        if character.is_ascii() {
            encoded.push(character);
        } else {
            let mut buffer = [0; 4];
            for byte in character.encode_utf8(&mut buffer).bytes() {
                encoded.push_str(&format!("%{byte:02X}"));
            }
        }
    }
    let target = crate::path::canonical(encoded.as_bytes())?;
    if !target.query.is_empty() {
        return Err(crate::path::PathError::Forbidden);
    }
    Ok(Segment::Literal(target.path.trim_start_matches('/').into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn captures_name_segments() {
        let pattern = Pattern::parse("/orders/{tenant}/**").unwrap();
        let position = pattern.position("tenant").unwrap();
        assert_eq!(segment("/orders/acme/7", position).as_deref(), Some("acme"));
        assert_eq!(segment("/orders/auth0%7C7/7", position).as_deref(), Some("auth0|7"));
        assert_eq!(
            segment("/orders/M%C3%BCnchen%20a", position).as_deref(),
            Some("M\u{fc}nchen a")
        );
        assert_eq!(segment("/orders", position), None);
        assert_eq!(pattern.position("other"), None);
    }

    #[test]
    fn patterns_that_could_mislead_are_refused() {
        for text in [
            "", "a", "/a/**/b", "/a*", "/x{y}", "/{}", "/a//b", "/a/../b", "/a;b", "/{x}/{x}", "/a?b", "/a b",
        ] {
            assert!(Pattern::parse(text).is_err(), "{text}");
        }
        assert_eq!(Pattern::parse(&"/a".repeat(MAX_SEGMENTS)), Err(PatternError::TooLong));
        assert!(Pattern::parse(&"/a".repeat(MAX_SEGMENTS - 1)).is_ok());
    }
}
