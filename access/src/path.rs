//! One canonicaliser for request targets: a canonical path, or a refusal.
//!
//! A filter that reads a path otherwise than the upstream does can be walked around (CVE-2019-9901, CVE-2021-29492). So
//! whatever two parsers could read differently is refused, and the path that was checked is the path that goes upstream.
//!
//! The list of what is refused stands in `docs/filter.md`, with an example of each; a test reads it from there.
//!
//! What is left is normalised, so that a path has one spelling: escapes of characters that may stand in a path as they are
//! (`%61` for `a`, `%3A` for `:`) are decoded, the hex digits of the others are upper case (RFC 3986 6.2.2).
//! Canonicalising twice changes nothing.

use std::borrow::Cow;

/// The longest request target that is looked at, in bytes.
pub const MAX_TARGET: usize = 8 * 1024;

/// A request target in canonical form.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target<'a> {
    /// The canonical path; borrowed when the request already had it so.
    pub path: Cow<'a, str>,
    /// The query with its `?`, as it came; empty when there is none.
    pub query: &'a str,
}

impl Target<'_> {
    /// The target to send upstream when it differs from the one that came.
    pub fn rewritten(&self) -> Option<String> {
        match &self.path {
            Cow::Borrowed(_) => None,
            Cow::Owned(path) => Some([path, self.query].concat()),
        }
    }
}

/// Why a request target was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PathError {
    /// Longer than [`MAX_TARGET`].
    #[error("the request target is longer than {MAX_TARGET} bytes")]
    TooLong,
    /// Absolute form, asterisk form, or empty.
    #[error("the path does not start with a slash")]
    NotAbsolute,
    /// `//`.
    #[error("the path has an empty segment")]
    EmptySegment,
    /// `.` or `..`, also percent-encoded.
    #[error("the path has a dot segment")]
    DotSegment,
    /// `admin.` is `admin` to servers on Windows.
    #[error("a segment of the path ends with a dot")]
    TrailingDot,
    /// `admin%20` is `admin` to who trims it; so is `admin` with one of the other blanks of Unicode around it.
    #[error("a segment of the path begins or ends with a space or a character that cannot be seen")]
    Blank,
    /// `;` or `%3b`.
    #[error("the path has parameters")]
    Parameters,
    /// A slash or backslash in disguise.
    #[error("the path has an encoded slash or a backslash")]
    HiddenSlash,
    /// `%25`.
    #[error("the path is encoded twice")]
    EncodedTwice,
    /// A character that some servers fold to one of `/ \ . ; %`, such as the full-width slash U+FF0F.
    #[error("the path has a character that some servers take for a slash, a dot, a semicolon or a percent sign")]
    Lookalike,
    /// A control character, raw or encoded.
    #[error("the path has a control character")]
    Control,
    /// A byte that RFC 3986 does not allow there.
    #[error("the request target has a character that must be percent-encoded")]
    Forbidden,
    /// A `%` without two hex digits.
    #[error("the path has an incomplete percent escape")]
    BadEscape,
    /// Not UTF-8 once decoded.
    #[error("the path is not UTF-8")]
    NotUtf8,
}

/// Reads a request target (`:path`: path and query) into its canonical form.
pub fn canonical(target: &[u8]) -> Result<Target<'_>, PathError> {
    if target.len() > MAX_TARGET {
        return Err(PathError::TooLong);
    }
    match plain(target) {
        Some(target) => Ok(target),
        None => canonical_or_why_not(target),
    }
}

/// Most targets, in one pass: those without escapes that are canonical as they are. `None` of any other, also of what will
/// be refused.
fn plain(target: &[u8]) -> Option<Target<'_>> {
    let mut split = target.len();
    let mut before = 0;
    for (place, &byte) in target.iter().enumerate() {
        match class(byte) {
            Class::Plain if before != b'/' || byte != b'/' => {}
            _ if byte == b'?' => {
                split = place;
                break;
            }
            _ => return None,
        }
        // A dot segment ends with a dot too.
        if byte == b'/' && before == b'.' {
            return None;
        }
        before = byte;
    }
    let (path, query) = std::str::from_utf8(target).ok()?.split_at_checked(split)?;
    let good = path.starts_with('/') && before != b'.' && !query.bytes().any(is_forbidden_in_query);
    good.then_some(Target {
        path: Cow::Borrowed(path),
        query,
    })
}

fn is_forbidden_in_query(byte: u8) -> bool {
    matches!(byte, 0..=0x20 | 0x7f | b'#')
}

fn canonical_or_why_not(target: &[u8]) -> Result<Target<'_>, PathError> {
    let split = target.iter().position(|&byte| byte == b'?').unwrap_or(target.len());
    let (path, query) = target.split_at(split);
    if query.iter().copied().any(is_forbidden_in_query) {
        return Err(PathError::Forbidden);
    }
    let query = std::str::from_utf8(query).map_err(|_| PathError::NotUtf8)?;
    Ok(Target {
        path: canonical_path(path)?,
        query,
    })
}

fn canonical_path(path: &[u8]) -> Result<Cow<'_, str>, PathError> {
    let Some((b'/', rest)) = path.split_first() else {
        return Err(PathError::NotAbsolute);
    };
    let mut escapes = false;
    for &byte in rest {
        match class(byte) {
            Class::Plain => {}
            Class::Percent => escapes = true,
            Class::Semicolon => return Err(PathError::Parameters),
            Class::Backslash => return Err(PathError::HiddenSlash),
            Class::Control => return Err(PathError::Control),
            Class::Forbidden => return Err(PathError::Forbidden),
        }
    }
    let path = if escapes { unescape(path)? } else { Cow::Borrowed(path) };
    check_segments(&path)?;
    match path {
        Cow::Borrowed(path) => std::str::from_utf8(path)
            .map(Cow::Borrowed)
            .map_err(|_| PathError::NotUtf8),
        Cow::Owned(path) => String::from_utf8(path).map(Cow::Owned).map_err(|_| PathError::NotUtf8),
    }
}

/// Empty segments (but for a last one: a trailing slash) and dot segments.
fn check_segments(path: &[u8]) -> Result<(), PathError> {
    let mut segments = path.split(|&byte| byte == b'/').skip(1).peekable();
    while let Some(segment) = segments.next() {
        match segment {
            b"" if segments.peek().is_some() => return Err(PathError::EmptySegment),
            b"." | b".." => return Err(PathError::DotSegment),
            [.., b'.'] => return Err(PathError::TrailingDot),
            _ => {}
        }
    }
    Ok(())
}

/// Decodes the escapes of characters that need none and writes the others in upper case; borrowed when nothing changed.
fn unescape(path: &[u8]) -> Result<Cow<'_, [u8]>, PathError> {
    let mut out = Vec::with_capacity(path.len());
    // The path with every escape decoded: only to see whether it is UTF-8, never to be forwarded.
    let mut decoded = Vec::with_capacity(path.len());
    let mut bytes = path.iter().copied();
    while let Some(byte) = bytes.next() {
        if byte != b'%' {
            out.push(byte);
            decoded.push(byte);
            continue;
        }
        let (high, low) = (bytes.next().and_then(hex_digit), bytes.next().and_then(hex_digit));
        let (Some(high), Some(low)) = (high, low) else {
            return Err(PathError::BadEscape);
        };
        let value = (high << 4) | low;
        match value {
            b'/' | b'\\' => return Err(PathError::HiddenSlash),
            b';' => return Err(PathError::Parameters),
            b'%' => return Err(PathError::EncodedTwice),
            0..=0x1f | 0x7f => return Err(PathError::Control),
            // Left as it is, `%3A` would be a second spelling of `:`: no rule would name it, and most upstreams decode it.
            _ if matches!(class(value), Class::Plain) => out.push(value),
            _ => out.extend_from_slice(&[b'%', upper_hex(high), upper_hex(low)]),
        }
        decoded.push(value);
    }
    let decoded = std::str::from_utf8(&decoded).map_err(|_| PathError::NotUtf8)?;
    for character in decoded.chars().filter(|character| !character.is_ascii()) {
        if character.is_control() {
            return Err(PathError::Control);
        }
        if is_lookalike(character) {
            return Err(PathError::Lookalike);
        }
    }
    // A slash in there is a slash of the path: encoded ones were refused.
    if decoded
        .split('/')
        .any(|segment| segment.starts_with(is_blank) || segment.ends_with(is_blank))
    {
        return Err(PathError::Blank);
    }
    Ok(if out == path {
        Cow::Borrowed(path)
    } else {
        Cow::Owned(out)
    })
}

/// Whether one of Unicode's normal forms (NFC, NFKC) or a code page of Windows turns the character into something with `/`,
/// `\\`, `.`, `;` or `%` in it.
fn is_lookalike(character: char) -> bool {
    matches!(
        character,
        // Slashes, also within a sign such as U+2105, `c/o`.
        '\u{ff0f}' | '\u{2044}' | '\u{2215}' | '\u{29f8}' | '\u{2100}' | '\u{2101}' | '\u{2105}' | '\u{2106}'
        // Backslashes; the signs of yen and won stand in their place in code pages 932 and 949.
        | '\u{ff3c}' | '\u{fe68}' | '\u{2216}' | '\u{29f5}' | '\u{a5}' | '\u{20a9}'
        // Dots, two of them, three of them, and what ends with one.
        | '\u{ff0e}' | '\u{fe52}' | '\u{2024}'..='\u{2026}' | '\u{fe30}' | '\u{fe19}'
        | '\u{2488}'..='\u{249b}' | '\u{33c2}' | '\u{33c7}' | '\u{33d8}' | '\u{1f100}'
        // Semicolons. The first is canonically the same as `;`.
        | '\u{37e}' | '\u{ff1b}' | '\u{fe54}' | '\u{fe14}'
        | '\u{ff05}' | '\u{fe6a}' | '\u{66a}'
    )
}

/// What nobody sees at the end of a word, and some cut off there: the white space of Unicode, and marks without a width, such
/// as the byte order mark. Within a word some languages need them, as emoji do; variation selectors also stand at the end.
fn is_blank(character: char) -> bool {
    character.is_whitespace()
        || matches!(
            character,
            // Hyphens and joiners.
            '\u{ad}' | '\u{34f}' | '\u{180e}' | '\u{200b}'..='\u{200d}' | '\u{2060}' | '\u{feff}'
            // Which way to write.
            | '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}'
            // Operators, the rest of the directions, and what may become one.
            | '\u{2061}'..='\u{206f}'
            // Letters of Hangul that are not there.
            | '\u{115f}' | '\u{1160}' | '\u{3164}' | '\u{ffa0}'
        )
}

fn hex_digit(byte: u8) -> Option<u8> {
    char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok())
}

fn upper_hex(digit: u8) -> u8 {
    if digit < 10 {
        b'0'.wrapping_add(digit)
    } else {
        b'A'.wrapping_add(digit.wrapping_sub(10))
    }
}

#[derive(Clone, Copy)]
enum Class {
    Plain,
    Percent,
    Semicolon,
    Backslash,
    Control,
    Forbidden,
}

fn class(byte: u8) -> Class {
    CLASS.get(usize::from(byte)).copied().unwrap_or(Class::Forbidden)
}

/// What each byte of a path is: RFC 3986 `pchar` and `/` are plain.
static CLASS: [Class; 256] = classes();

#[expect(
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    reason = "evaluated at compile time, 0..=255"
)]
const fn classes() -> [Class; 256] {
    let mut table = [Class::Forbidden; 256];
    let mut byte = 0;
    while byte < 256 {
        table[byte] = match byte as u8 {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' => Class::Plain,
            b'-' | b'.' | b'_' | b'~' | b'/' | b':' | b'@' => Class::Plain,
            b'!' | b'$' | b'&' | b'\'' | b'(' | b')' | b'*' | b'+' | b',' | b'=' => Class::Plain,
            b'%' => Class::Percent,
            b';' => Class::Semicolon,
            b'\\' => Class::Backslash,
            0..=0x1f | 0x7f => Class::Control,
            _ => Class::Forbidden,
        };
        byte += 1;
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path(raw: &str) -> Result<String, PathError> {
        canonical(raw.as_bytes()).map(|target| target.path.into_owned())
    }

    #[test]
    fn the_short_way_decides_as_the_long_one() {
        let parts = [
            "/", "a", ".", "?", "%41", "%2f", "%20", ";", "#", " ", "é", "\\", "-", "~",
        ];
        let mut targets = vec![String::new()];
        for _ in 0..5 {
            let longer = targets
                .iter()
                .flat_map(|target| parts.map(|part| format!("{target}{part}")));
            targets = longer.collect();
            let mut short = 0;
            for target in &targets {
                if let Some(plain) = plain(target.as_bytes()) {
                    assert_eq!(Ok(plain), canonical_or_why_not(target.as_bytes()), "{target}");
                    short += 1;
                }
            }
            assert!(short > 0);
            targets.retain(|target| target.starts_with('/'));
        }
        assert_eq!(plain(b"/a?\xff"), None);
    }

    #[test]
    fn what_is_canonical_passes_unchanged_and_unowned() {
        for raw in [
            "/",
            "/demo/test",
            "/demo/test/",
            "/a/b.c/~u/x:y@z",
            "/%E5%BC%A0",
            "/a%20b",
            "/a%E3%80%80b/%D9%85%DB%8C%E2%80%8C%D8%AE",
            "/%E2%9D%A4%EF%B8%8F",
            "/.well-known/a..b/.c",
            "/a?x=//;%2e#",
        ] {
            if raw.ends_with('#') {
                assert_eq!(path(raw), Err(PathError::Forbidden));
                continue;
            }
            let target = canonical(raw.as_bytes()).unwrap();
            assert!(matches!(target.path, Cow::Borrowed(_)), "{raw}");
            assert_eq!(target.rewritten(), None);
        }
        assert_eq!(canonical(b"/a?x=//;%2e").unwrap().query, "?x=//;%2e");
    }

    #[test]
    fn a_path_has_one_spelling() {
        assert_eq!(path("/things%3Adelete").unwrap(), "/things:delete");
        assert_eq!(path("/%21%24%26%27%28%29%2a%2b%2c%3d%40").unwrap(), "/!$&'()*+,=@");
        assert_eq!(path("/a%3fb%23c%22").unwrap(), "/a%3Fb%23c%22");
        assert_eq!(path("/%64emo/%74est").unwrap(), "/demo/test");
        assert_eq!(path("/a%2dB%7e").unwrap(), "/a-B~");
        assert_eq!(path("/%e5%bc%a0").unwrap(), "/%E5%BC%A0");
        assert_eq!(canonical(b"/%64?q=1").unwrap().rewritten().unwrap(), "/d?q=1");
    }

    #[test]
    fn what_two_parsers_could_read_differently_is_refused() {
        use PathError::*;
        for (raw, error) in [
            ("", NotAbsolute),
            ("*", NotAbsolute),
            ("http://x/y", NotAbsolute),
            ("//", EmptySegment),
            ("/a//b", EmptySegment),
            ("/a/b//", EmptySegment),
            ("/.", DotSegment),
            ("/a/../b", DotSegment),
            ("/a/%2e%2E/b", DotSegment),
            ("/a/.%2e", DotSegment),
            ("/...", TrailingDot),
            ("/a./b", TrailingDot),
            ("/a%2e", TrailingDot),
            ("/a/..%20/b", Blank),
            ("/a%20", Blank),
            ("/%20a", Blank),
            ("/%20", Blank),
            ("/a/%20/b", Blank),
            ("/a/..%C2%A0/b", Blank),
            ("/a%E3%80%80/b", Blank),
            ("/%e2%80%8ba", Blank),
            ("/a/..%EF%BB%BF", Blank),
            ("/a%C2%AD", Blank),
            ("/.%E2%80%8B./a", TrailingDot),
            ("/%d9%aa2f", Lookalike),
            ("/a%ef%bc%8fb", Lookalike),
            ("/%E2%80%A4/a", Lookalike),
            ("/a%cd%beb", Lookalike),
            ("/a/%ef%b8%b0/b", Lookalike),
            ("/a/%EF%B8%99", Lookalike),
            ("/%E2%84%85", Lookalike),
            ("/a%ef%b8%94b", Lookalike),
            ("/a%c2%a5b", Lookalike),
            ("/%e2%92%88", Lookalike),
            ("/a%c2%85", Control),
            ("/a;x=1/b", Parameters),
            ("/a%3bx", Parameters),
            ("/a\\b", HiddenSlash),
            ("/a%5cb", HiddenSlash),
            ("/a%2fb", HiddenSlash),
            ("/a%2Fb", HiddenSlash),
            ("/a%252fb", EncodedTwice),
            ("/a%00", Control),
            ("/a%0a", Control),
            ("/a\tb", Control),
            ("/a b", Forbidden),
            ("/a#b", Forbidden),
            ("/a{b}", Forbidden),
            ("/张", Forbidden),
            ("/a%", BadEscape),
            ("/a%4", BadEscape),
            ("/a%zz", BadEscape),
            ("/%c0%ae%c0%ae/", NotUtf8),
            ("/%ff", NotUtf8),
        ] {
            assert_eq!(path(raw), Err(error), "{raw}");
        }
        assert_eq!(path(&"/a".repeat(MAX_TARGET)), Err(TooLong));
    }

    /// The white space of Unicode and its marks without a width, on either side of a segment and alone in one.
    #[test]
    fn nothing_that_cannot_be_seen_stands_at_the_edge_of_a_segment() {
        let blanks = "\u{a0}\u{ad}\u{34f}\u{61c}\u{115f}\u{1160}\u{1680}\u{180e}\u{2028}\u{2029}\u{202a}\u{202e}\u{202f}\
                      \u{205f}\u{2060}\u{2064}\u{2066}\u{2069}\u{206f}\u{3000}\u{3164}\u{feff}\u{ffa0}";
        for blank in blanks.chars().chain('\u{2000}'..='\u{200f}') {
            let mut bytes = [0; 4];
            let bytes = blank.encode_utf8(&mut bytes).bytes();
            let blank: String = bytes.map(|byte| format!("%{byte:02X}")).collect();
            for place in ["/a_", "/_a", "/_", "/a_/b", "/a/_b/c", "/a/_/c", "/.._/a"] {
                let raw = place.replace('_', &blank);
                assert_eq!(path(&raw), Err(PathError::Blank), "{raw}");
            }
            let within = format!("/a{blank}b");
            assert_eq!(path(&within).as_deref(), Ok(within.as_str()));
        }
    }

    #[test]
    fn twice_is_once_for_every_short_string() {
        let alphabet = b"/.%2eEfF5cA;\\a?#\x00\xc3";
        let mut stack: Vec<Vec<u8>> = vec![b"/".to_vec()];
        while let Some(raw) = stack.pop() {
            if let Ok(once) = canonical(&raw) {
                let again = [once.path.as_ref(), once.query].concat();
                let twice = canonical(again.as_bytes()).expect("a canonical target is accepted");
                assert_eq!((&twice.path, twice.query), (&once.path, once.query));
                assert_eq!(twice.rewritten(), None);
            }
            if raw.len() < 5 {
                stack.extend(alphabet.iter().map(|&byte| [raw.as_slice(), &[byte]].concat()));
            }
        }
    }
}
