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
    /// `admin%20` is `admin` to who trims it, and `adm` with a soft hyphen and `in` to who ignores what is not seen.
    #[error("the path has a space or a character that cannot be seen where some servers cut it off or ignore it")]
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
    // Encoded slashes were refused, so one in there is a slash of the path; so is the end.
    let mut before = '/';
    for character in decoded.chars().skip(1).chain(['/']) {
        if !character.is_ascii() && character.is_control() {
            return Err(PathError::Control);
        }
        if !character.is_ascii() && is_lookalike(character) {
            return Err(PathError::Lookalike);
        }
        if is_overlooked(before, character) {
            return Err(PathError::Blank);
        }
        before = character;
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

/// How much of a character there is to be seen.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Sight {
    Seen,
    /// White space of Unicode, and the Braille pattern without dots: who trims cuts it off at the ends of a segment.
    Space,
    /// What Unicode says may be ignored (`Default_Ignorable_Code_Point`), and its neighbours without a glyph: hyphens,
    /// joiners, directions, fillers. Some scripts need them within a word, and emoji do.
    Ignored,
    /// What chooses a form of the character before it and stands at the end of a word, too: variation selectors, and the
    /// tags of flags. Ignored as well.
    Selector,
}

fn sight(character: char) -> Sight {
    match character {
        '\u{2800}' => Sight::Space,
        _ if character.is_whitespace() => Sight::Space,
        _ if character.is_ascii() => Sight::Seen,
        '\u{17b4}' | '\u{17b5}' | '\u{180b}'..='\u{180d}' | '\u{180f}' | '\u{fe00}'..='\u{fe0f}' => Sight::Selector,
        '\u{e0000}'..='\u{e0fff}' => Sight::Selector,
        '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{115f}' | '\u{1160}' | '\u{180e}' | '\u{200b}'..='\u{200f}' => {
            Sight::Ignored
        }
        '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{3164}' | '\u{feff}' | '\u{ffa0}' => Sight::Ignored,
        '\u{fff0}'..='\u{fffb}' | '\u{1bca0}'..='\u{1bca3}' | '\u{1d173}'..='\u{1d17a}' => Sight::Ignored,
        _ => Sight::Seen,
    }
}

/// Whether somebody who trims, or ignores what cannot be seen, reads two neighbours otherwise than they stand there. What is
/// ignored may stand behind a letter of another script only: behind ASCII it has nothing to do but to make a second `..`,
/// or a second `admin`.
fn is_overlooked(before: char, character: char) -> bool {
    match sight(character) {
        Sight::Space => before == '/',
        Sight::Ignored | Sight::Selector => before.is_ascii() || sight(before) == Sight::Space,
        Sight::Seen => character == '/' && matches!(sight(before), Sight::Space | Sight::Ignored),
    }
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
            ("/..%EF%B8%8F", Blank),
            ("/a/..%ef%b8%8f/b", Blank),
            ("/%EF%B8%8F..", Blank),
            ("/.%EF%B8%8F./b", Blank),
            ("/..%F3%A0%84%80/b", Blank),
            ("/..%C2%A0%E2%80%8B%EF%B8%8F/b", Blank),
            ("/adm%C2%ADin", Blank),
            ("/%C3%A9%E2%80%8C", Blank),
            ("/.%E2%80%8B./a", Blank),
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

    fn escaped(text: &str) -> String {
        text.bytes().map(|byte| format!("%{byte:02X}")).collect()
    }

    /// White space on either side of a segment and alone in one; within a word it is a character as others are.
    #[test]
    fn no_white_space_stands_at_the_edge_of_a_segment() {
        let spaces = " \u{a0}\u{1680}\u{2028}\u{2029}\u{202f}\u{205f}\u{2800}\u{3000}";
        for space in spaces.chars().chain('\u{2000}'..='\u{200a}') {
            let space = escaped(&space.to_string());
            for place in [
                "/a_", "/_a", "/_", "/a_/b", "/a/_b/c", "/a/_/c", "/.._/a", "/%C3%A9_", "/_%C3%A9",
            ] {
                let raw = place.replace('_', &space);
                assert_eq!(path(&raw), Err(PathError::Blank), "{raw}");
            }
            for place in ["/a_b", "/%C3%A9_%C3%A9"] {
                let within = place.replace('_', &space);
                assert_eq!(path(&within).as_deref(), Ok(within.as_str()));
            }
        }
    }

    /// All of Unicode's `Default_Ignorable_Code_Point`, and where they may stand.
    #[test]
    fn what_some_ignore_stands_behind_letters_of_other_scripts_only() {
        let ignored = "\u{ad}\u{34f}\u{61c}\u{115f}\u{1160}\u{180e}\u{3164}\u{feff}\u{ffa0}";
        let ignored = ignored
            .chars()
            .chain('\u{200b}'..='\u{200f}')
            .chain('\u{202a}'..='\u{202e}');
        let ignored = ignored.chain('\u{2060}'..='\u{206f}').chain('\u{fff0}'..='\u{fffb}');
        let ignored = ignored
            .chain('\u{1bca0}'..='\u{1bca3}')
            .chain('\u{1d173}'..='\u{1d17a}');
        let selectors = "\u{17b4}\u{17b5}\u{180b}\u{180c}\u{180d}\u{180f}".chars();
        let selectors = selectors
            .chain('\u{fe00}'..='\u{fe0f}')
            .chain('\u{e0000}'..='\u{e0fff}');
        let both = ignored.map(|one| (one, false)).chain(selectors.map(|one| (one, true)));
        let mut seen = 0;
        for (character, selector) in both {
            let character = escaped(&character.to_string());
            for place in [
                "/a_",
                "/_a",
                "/_",
                "/a_/b",
                "/a/_b/c",
                "/a/_/c",
                "/.._/a",
                "/.._",
                "/a_b",
                "/1_%E2%83%A3",
                "/%5B_%C3%A9",
                "/%C3%A9a_%C3%A9",
                "/_%C3%A9",
                "/%C3%A9%20_",
                "/..%C2%A0_",
                "/..%C2%A0_%EF%B8%8F",
            ] {
                let raw = place.replace('_', &character);
                assert_eq!(path(&raw), Err(PathError::Blank), "{raw}");
            }
            for place in ["/%C3%A9_%C3%A9", "/%C3%A9_a", "/%C3%A9_%C3%A9/a"] {
                let within = place.replace('_', &character);
                assert_eq!(path(&within).as_deref(), Ok(within.as_str()));
            }
            for place in ["/%C3%A9_", "/%C3%A9_/a"] {
                let end = place.replace('_', &character);
                let expected = if selector {
                    Ok(end.clone())
                } else {
                    Err(PathError::Blank)
                };
                assert_eq!(path(&end), expected, "{end}");
            }
            seen += 1;
        }
        assert!(seen > 4096);
    }

    #[test]
    fn emoji_are_taken_whole() {
        for emoji in ["❤️", "👩‍💻", "🏳️‍🌈", "❤️‍🔥", "🏴󠁧󠁢󠁥󠁮󠁧󠁿", "👍🏽", "葛󠄀"]
        {
            let raw = format!("/a/{}/b", escaped(emoji));
            assert_eq!(path(&raw).as_deref(), Ok(raw.as_str()), "{emoji}");
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
