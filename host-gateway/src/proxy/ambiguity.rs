//! Paths that an upstream could read as another one. Where routes choose plugins, such a path would choose those of a route
//! it does not belong to, so it is refused on every route.
//!
//! What is refused stands in the table of `docs/filter.md`, section "Paths", which a test reads from there: the gateway
//! knows nothing of the filter, but both must agree. The two regular expressions are for the printed bootstrap of Envoy.

/// Paths, with their query, in which every character may stand and every escape is whole and part of UTF-8 (RFC 3986
/// section 3.3, RFC 3629 section 4). What this does not match is ambiguous.
pub const WELL_FORMED: &str = concat!(
    r"(?i)/(?:[a-z0-9\-._~/:@!$&'()*+,=]|%[0-7][0-9a-f]|%(?:c[2-9a-f]|d[0-9a-f])%[89ab][0-9a-f]",
    r"|%(?:e0%[ab]|e[1-9a-cef]%[89ab]|ed%[89])[0-9a-f]%[89ab][0-9a-f]",
    r"|%(?:f0%[9ab]|f[1-3]%[89ab]|f4%8)[0-9a-f]%[89ab][0-9a-f]%[89ab][0-9a-f])*(?:\?\C*)?",
);

/// Of the well-formed paths, without their query, those that are ambiguous all the same. Several expressions, because Envoy
/// takes none that compiles to more than a hundred instructions.
pub fn ambiguous() -> Vec<String> {
    let escaped = |character: &char| {
        let mut bytes = [0; 4];
        let bytes = character.encode_utf8(&mut bytes).bytes();
        bytes.map(|byte| format!("%{byte:02x}")).collect::<String>()
    };
    // Control characters; percent sign, semicolon, slashes; characters that need no escape.
    let plain = concat!(
        r"(?i).*(?:%(?:[01][0-9a-f]|2[5d-f]|3[0-9b]|[46][1-9a-f]|[57][0-9a]|5[cf]|7[ef]|c2%[89][0-9a-f])",
        r"|//|/%20|(?:\.|%20)/).*|.*(?:\.|%20)",
    );
    let begins = format!("(?i).*/(?:{SPACES}).*");
    let ends = std::iter::once(SPACES).chain(IGNORED);
    let ends = ends.map(|some| format!("(?i).*(?:{some})(?:/.*)?"));
    // Behind ASCII or a space. The character before an escape belongs to another one if there is a `%` two before it.
    let after = IGNORED.into_iter().chain([SELECTORS]).flat_map(|some| {
        let raw = format!("(?i).*(?:/[!-$&-~]?|[!-$&-~]{{3}}|%[2-7][0-9a-f])(?:{some}).*");
        let space = format!("(?i).*(?:{SPACES})(?:{some}).*");
        [raw, space]
    });
    let lookalikes: Vec<char> = LOOKALIKES.chars().collect();
    let lookalikes = lookalikes.chunks(7).map(|some| {
        let some = some.iter().map(escaped).collect::<Vec<_>>();
        format!("(?i).*(?:{}).*", some.join("|"))
    });
    std::iter::once(plain.to_owned())
        .chain(lookalikes)
        .chain([begins])
        .chain(ends)
        .chain(after)
        .collect()
}

/// Where the prefix of a route has such characters: other spellings of them.
pub const RESPELLED: &str = r".*%(?:[a-f][0-9A-Fa-f]|[0-9A-F][a-f]|2[146-9A-C]|3[AD]|40).*";

/// Whether everybody who takes a path (without its query) apart comes to the same segments.
pub fn is_unambiguous(path: &str) -> bool {
    if !path.starts_with('/') || !path.bytes().all(|byte| byte == b'%' || may_stand(byte)) {
        return false;
    }
    let mut segments = path.split('/').skip(1).peekable();
    while let Some(segment) = segments.next() {
        let last = segments.peek().is_none();
        // Dot segments too; and servers on Windows drop dots at the end of others.
        if segment.ends_with('.') || (segment.is_empty() && !last) {
            return false;
        }
    }
    !path.contains('%')
        || decoded(path).is_some_and(|path| {
            let ended = path.chars().skip(1).chain(['/']);
            !path.chars().any(is_taken_for_another)
                && !path
                    .chars()
                    .zip(ended)
                    .any(|(before, character)| is_overlooked(before, character))
        })
}

/// Whether a path writes a character otherwise than [`may_be_respelled`] has it. Such a path is good, unless a route has
/// that character in its prefix.
pub fn is_respelled(path: &str) -> bool {
    path.split('%').skip(1).any(|rest| {
        let digits = rest.get(..2).unwrap_or(rest);
        let byte = u8::from_str_radix(digits, 16);
        digits.bytes().any(|digit| digit.is_ascii_lowercase()) || byte.is_ok_and(may_stand)
    })
}

/// Whether a prefix has characters that a path may write in several ways: punctuation that may be escaped, and escapes, whose
/// digits may be capital letters or small.
pub fn may_be_respelled(prefix: &str) -> bool {
    !prefix
        .bytes()
        .all(|byte| byte.is_ascii_alphanumeric() || b"/-._~".contains(&byte))
}

/// `pchar` of RFC 3986 but for `;`, at which servlet containers cut.
fn may_stand(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"/-._~:@!$&'()*+,=".contains(&byte)
}

/// The path with its escapes decoded, if they are whole, UTF-8, and of characters that need them.
fn decoded(path: &str) -> Option<String> {
    let mut parts = path.split('%');
    let mut decoded = parts.next()?.as_bytes().to_vec();
    for part in parts {
        let digits = part
            .get(..2)
            .filter(|digits| digits.bytes().all(|digit| digit.is_ascii_hexdigit()))?;
        let byte = u8::from_str_radix(digits, 16).ok()?;
        if byte.is_ascii_alphanumeric() || b"-._~/\\;%".contains(&byte) {
            return None;
        }
        decoded.push(byte);
        decoded.extend_from_slice(part.get(2..)?.as_bytes());
    }
    String::from_utf8(decoded).ok()
}

/// What a normal form of Unicode (NFC, NFKC) or a code page of Windows turns into something with `/`, `\`, `.`, `;` or `%` in
/// it, in this order.
const LOOKALIKES: &str = concat!(
    "\u{ff0f}\u{2044}\u{2215}\u{29f8}\u{2100}\u{2101}\u{2105}\u{2106}",
    "\u{ff3c}\u{fe68}\u{2216}\u{29f5}\u{a5}\u{20a9}",
    "\u{ff0e}\u{fe52}\u{2024}\u{2025}\u{2026}\u{fe30}\u{fe19}",
    "\u{2488}\u{2489}\u{248a}\u{248b}\u{248c}\u{248d}\u{248e}\u{248f}\u{2490}\u{2491}",
    "\u{2492}\u{2493}\u{2494}\u{2495}\u{2496}\u{2497}\u{2498}\u{2499}\u{249a}\u{249b}",
    "\u{33c2}\u{33c7}\u{33d8}\u{1f100}",
    "\u{37e}\u{ff1b}\u{fe54}\u{fe14}",
    "\u{ff05}\u{fe6a}\u{66a}",
);

/// The same characters as [`is_space`], without that of ASCII: escaped, and for regular expressions.
const SPACES: &str = "%c2%a0|%e1%9a%80|%e2%(?:80%(?:8[0-9a]|a[89f])|81%9f|a0%80)|%e3%80%80";

/// Those of [`is_ignored`].
const IGNORED: [&str; 2] = [
    r"%c2%ad|%cd%8f|%d8%9c|%e1%(?:85%9f|85%a0|a0%8e)|%e2%8(?:0%(?:8[b-f]|a[a-e])|1%a[0-9a-f])",
    r"%e3%85%a4|%ef%b(?:b%bf|e%a0|f%b[0-9ab])|%f0%9(?:b%b2%a[0-3]|d%85%b[3-9a])",
];

/// Those of [`is_selector`].
const SELECTORS: &str = r"%e1%(?:9e%b[45]|a0%8[b-df])|%ef%b8%8[0-9a-f]|%f3%a0%[89ab][0-9a-f]%[89ab][0-9a-f]";

/// Whether two neighbours are read otherwise by who cuts spaces off at the ends of a segment, or ignores what nobody sees.
/// Behind letters of other scripts that is needed, and selectors and tags also at the end, for emoji.
fn is_overlooked(before: char, character: char) -> bool {
    if is_ignored(character) || is_selector(character) {
        return before.is_ascii() || is_space(before);
    }
    let at_start = before == '/' && is_space(character);
    let at_end = character == '/' && (is_space(before) || is_ignored(before));
    at_start || at_end
}

/// White space, and what looks like it.
fn is_space(character: char) -> bool {
    character.is_whitespace() || character == '\u{2800}'
}

/// `Default_Ignorable_Code_Point` of Unicode but for selectors, and neighbours of them that have no glyph.
fn is_ignored(character: char) -> bool {
    matches!(character,
        '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{115f}' | '\u{1160}' | '\u{180e}' | '\u{200b}'..='\u{200f}'
        | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{3164}' | '\u{feff}' | '\u{ffa0}'
        | '\u{fff0}'..='\u{fffb}' | '\u{1bca0}'..='\u{1bca3}' | '\u{1d173}'..='\u{1d17a}')
}

/// Variation selectors, and tags of flags.
fn is_selector(character: char) -> bool {
    matches!(character,
        '\u{17b4}' | '\u{17b5}' | '\u{180b}'..='\u{180d}' | '\u{180f}' | '\u{fe00}'..='\u{fe0f}'
        | '\u{e0000}'..='\u{e0fff}')
}

fn is_taken_for_another(character: char) -> bool {
    character.is_control() || (!character.is_ascii() && LOOKALIKES.contains(character))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The examples of the table in docs/filter.md, what the filter refuses.
    fn refused_by_the_filter() -> Vec<String> {
        let file = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/filter.md");
        let text = std::fs::read_to_string(file).expect("docs/filter.md");
        let (_, section) = text.split_once("\n## Paths\n").expect("a section about paths");
        let rows = section
            .lines()
            .skip_while(|line| !line.starts_with("| refused |"))
            .skip(2);
        let examples: Vec<String> = rows
            .take_while(|line| line.starts_with('|'))
            .flat_map(|row| {
                let cell = row
                    .replace("\\|", "\0")
                    .split('|')
                    .nth(2)
                    .unwrap_or_default()
                    .replace('\0', "|");
                cell.split('`')
                    .skip(1)
                    .step_by(2)
                    .map(str::to_owned)
                    .collect::<Vec<_>>()
            })
            .collect();
        assert!(examples.len() > 30, "{examples:?}");
        examples
    }

    #[test]
    fn what_the_filter_refuses_is_refused() {
        for example in refused_by_the_filter() {
            // A query chooses no route, and a fragment does not get here.
            if !example.contains(['?', '#']) {
                assert!(!is_unambiguous(&example), "{example}");
            }
        }
        for path in [
            "/health/..%3b/x",
            "/health/..;x=1/b",
            "/health/..%00/x",
            "/health/..%09/",
            "/health/..%20/",
            "/health/%252e%252e%252fx",
            "/health/%ef%bc%8e%ef%bc%8e/x",
            "/%6frders",
            "/%4Frders",
            "/orders%2d1",
            "/%7euser",
            "/%39",
            "/%",
            "/%2",
            "/%+2",
            "/a%4",
            "",
        ] {
            assert!(!is_unambiguous(path), "{path}");
        }
    }

    /// The gateway does not know its plugins, but the filter is the one that must not be walked around.
    #[test]
    fn gateway_and_filter_agree_about_every_character() {
        let agree = |path: &str| {
            let unambiguous = is_unambiguous(path);
            match postern_access::path::canonical(path.as_bytes()) {
                Err(error) => assert!(!unambiguous, "{path}: {error}"),
                Ok(target) => assert!(unambiguous || target.rewritten().is_some(), "{path}"),
            }
            unambiguous
        };
        let escaped = |bytes: &[u8]| bytes.iter().map(|byte| format!("%{byte:02X}")).collect::<String>();
        let mut hidden = 0;
        for character in '\0'..=char::MAX {
            let mut bytes = [0; 4];
            let escaped = escaped(character.encode_utf8(&mut bytes).as_bytes());
            let [within, end] = ["/a_b", "/a_"].map(|place| agree(&place.replace('_', &escaped)));
            if within && end {
                continue;
            }
            hidden += 1;
            for place in [
                "/_a",
                "/a_/b",
                "/%C3%A9_",
                "/%C3%A9_/b",
                "/%C3%A9_%C3%A9",
                "/%C2%A0_b",
                "/a%20_b",
                "/a%C2%A0_",
                "/_%EF%B8%8F",
            ] {
                agree(&place.replace('_', &escaped));
            }
        }
        assert!(hidden > 4096);
        for pair in 0..=u16::MAX {
            agree(&format!("/a{}", escaped(&pair.to_be_bytes())));
        }
        let mut paths = vec!["/".to_owned()];
        while let Some(path) = paths.pop() {
            agree(&path);
            if path.len() < 6 {
                paths.extend("/.%2eEfF50A;\\a:{".chars().map(|next| format!("{path}{next}")));
            }
        }
    }

    #[test]
    fn what_has_one_reading_passes() {
        for path in [
            "/",
            "/a/b",
            "/a/",
            "/a.b/..c/.d",
            "/a%20b",
            "/%C3%BC",
            "/%c3%bc",
            "/%F0%9F%98%80",
            "/a%40b",
            "/a:b@c",
            "/%5B%5D",
            "/%60",
            "/%7B",
            "/%E2%9D%A4%EF%B8%8F",
            "/%E2%9D%A4%EF%B8%8F%E2%80%8D%F0%9F%94%A5/a",
        ] {
            assert!(is_unambiguous(path), "{path}");
        }
    }

    #[test]
    fn other_spellings_of_what_stands_in_a_prefix() {
        for path in ["/a%3Ab", "/a%3ab", "/a%40b", "/%c3%BC", "/%C3%bc", "/%2b"] {
            assert!(is_respelled(path), "{path}");
        }
        for path in ["/a:b", "/%C3%BC", "/%20", "/%5B"] {
            assert!(!is_respelled(path), "{path}");
        }
        assert!(may_be_respelled("/v1/things:all") && may_be_respelled("/%C3%BC"));
        assert!(!may_be_respelled("/a-b/c.d_e/~f"));
    }
}
