//! Tokens of MySQL's SQL, with comments left out.

use std::borrow::Cow;

use crate::{Found, Problem};

/// Where in a dump the next token is looked for. Copied to look ahead.
#[derive(Debug, Clone, Copy)]
pub struct Lexer<'d> {
    pub dump: &'d [u8],
    pub at: usize,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Token<'d> {
    /// A name or keyword without quotes.
    Word(&'d [u8]),
    /// A name in backticks, which are doubled inside.
    Name(&'d [u8]),
    /// What is between the quotes of a string, and which quotes: not yet unescaped.
    Text(&'d [u8], u8),
    /// A decimal number without a sign.
    Number(&'d [u8]),
    /// What a binary literal (`0x41`, `x'41'`, `b'1'`) stands for.
    Binary(Vec<u8>),
    /// Any other byte.
    Sign(u8),
    /// Nothing more.
    End,
}

impl Token<'_> {
    /// Whether this is a keyword, given in lower case.
    pub fn is(&self, keyword: &str) -> bool {
        matches!(self, Self::Word(word) if word.eq_ignore_ascii_case(keyword.as_bytes()))
    }

    /// What to call it in an error.
    pub fn found(&self) -> Found {
        match self {
            Self::Word(_) | Self::Name(_) => Found::Word,
            Self::Text(..) => Found::Text,
            Self::Number(_) | Self::Binary(_) => Found::Number,
            Self::Sign(sign) => Found::Sign(char::from(*sign)),
            Self::End => Found::End,
        }
    }
}

impl<'d> Lexer<'d> {
    /// The next token. Fails where one does not end; the position is then not to be relied on.
    pub fn next(&mut self) -> Result<Token<'d>, Problem> {
        self.skip_blank()?;
        let Some(first) = self.peek_byte(0) else {
            return Ok(Token::End);
        };
        match first {
            b'`' => Ok(Token::Name(self.quoted(first, "a name")?)),
            b'\'' | b'"' => Ok(Token::Text(self.quoted(first, "a string")?, first)),
            b'0'..=b'9' => self.number_or_word(),
            b'.' if self.peek_byte(1).is_some_and(|byte| byte.is_ascii_digit()) => self.number_or_word(),
            first if is_word(first) => self.word_or_literal(),
            sign => {
                self.at += 1;
                Ok(Token::Sign(sign))
            }
        }
    }

    /// The token after the position, which stays.
    pub fn peek(&self) -> Result<Token<'d>, Problem> {
        let mut ahead = *self;
        ahead.next()
    }

    /// Goes behind white space and comments.
    pub fn skip_blank(&mut self) -> Result<(), Problem> {
        loop {
            match self.rest() {
                [b' ' | b'\t' | b'\r' | b'\n' | 0x0b | 0x0c, ..] => self.at += 1,
                [b'#', ..] => self.skip_line(),
                // Two dashes begin a comment only with a blank behind them: `5--1` is a sum.
                [b'-', b'-'] => self.at += 2,
                [b'-', b'-', after, ..] if *after <= b' ' => self.skip_line(),
                // Also those that MySQL executes, `/*!40101 … */`: no rows are in them.
                [b'/', b'*', ..] => match find(&self.dump[self.at + 2..], b"*/") {
                    Some(end) => self.at += 2 + end + 2,
                    None => return Err(Problem::Endless("a comment")),
                },
                _ => return Ok(()),
            }
        }
    }

    /// Goes to the end of the line, and takes what is left of it.
    pub fn skip_line(&mut self) {
        let length = self.rest().iter().position(|byte| *byte == b'\n');
        self.at = length.map_or(self.dump.len(), |length| self.at + length);
    }

    pub fn rest(&self) -> &'d [u8] {
        &self.dump[self.at..]
    }

    fn peek_byte(&self, ahead: usize) -> Option<u8> {
        self.dump.get(self.at + ahead).copied()
    }

    /// What is between two quotes. Inside, a quote is doubled or, except in names, behind a backslash.
    fn quoted(&mut self, quote: u8, what: &'static str) -> Result<&'d [u8], Problem> {
        let start = self.at + 1;
        let mut at = start;
        loop {
            match self.dump.get(at) {
                None => return Err(Problem::Endless(what)),
                Some(b'\\') if quote != b'`' => at += 2,
                Some(byte) if *byte == quote => {
                    if self.dump.get(at + 1) != Some(&quote) {
                        break;
                    }
                    at += 2;
                }
                Some(_) => at += 1,
            }
        }
        self.at = at + 1;
        Ok(&self.dump[start..at])
    }

    fn number_or_word(&mut self) -> Result<Token<'d>, Problem> {
        let start = self.at;
        let word = self.run(0, is_word);
        if let Some(digits) = word.strip_prefix(b"0x")
            && !digits.is_empty()
            && let Some(bytes) = hexadecimal(digits)
        {
            self.at += word.len();
            return Ok(Token::Binary(bytes));
        }
        if let Some(digits) = word.strip_prefix(b"0b")
            && !digits.is_empty()
            && let Some(bytes) = bits(digits)
        {
            self.at += word.len();
            return Ok(Token::Binary(bytes));
        }
        let mut end = self.run(0, |byte| byte.is_ascii_digit()).len();
        if self.peek_byte(end) == Some(b'.') {
            end += 1 + self.run(end + 1, |byte| byte.is_ascii_digit()).len();
        }
        if matches!(self.peek_byte(end), Some(b'e' | b'E')) {
            let sign = usize::from(matches!(self.peek_byte(end + 1), Some(b'+' | b'-')));
            let digits = self.run(end + 1 + sign, |byte| byte.is_ascii_digit()).len();
            if digits > 0 {
                end += 1 + sign + digits;
            }
        }
        if self.peek_byte(end).is_some_and(is_word) {
            // A name may begin with digits.
            self.at += word.len().max(1);
            return Ok(Token::Word(word));
        }
        self.at += end;
        Ok(Token::Number(&self.dump[start..self.at]))
    }

    fn word_or_literal(&mut self) -> Result<Token<'d>, Problem> {
        let word = self.run(0, is_word);
        self.at += word.len();
        if self.peek_byte(0) != Some(b'\'') {
            return Ok(Token::Word(word));
        }
        match word {
            b"x" | b"X" => {
                let digits = self.quoted(b'\'', "a binary literal")?;
                let pairs = digits.len() % 2 == 0;
                let bytes = hexadecimal(digits).filter(|_| pairs);
                bytes.map(Token::Binary).ok_or(Problem::BadDigits)
            }
            b"b" | b"B" => {
                let digits = self.quoted(b'\'', "a binary literal")?;
                bits(digits).map(Token::Binary).ok_or(Problem::BadDigits)
            }
            // A string of the national character set.
            b"n" | b"N" => Ok(Token::Text(self.quoted(b'\'', "a string")?, b'\'')),
            word => Ok(Token::Word(word)),
        }
    }

    /// The bytes from `ahead` on for as long as they belong to something.
    fn run(&self, ahead: usize, belongs: impl Fn(u8) -> bool) -> &'d [u8] {
        let rest = self.dump.get(self.at + ahead..).unwrap_or_default();
        let length = rest.iter().position(|byte| !belongs(*byte));
        &rest[..length.unwrap_or(rest.len())]
    }
}

/// What a name in backticks is.
pub fn unquoted(name: &[u8]) -> Vec<u8> {
    let mut plain = Vec::with_capacity(name.len());
    let mut bytes = name.iter().copied();
    while let Some(byte) = bytes.next() {
        plain.push(byte);
        if byte == b'`' {
            bytes.next();
        }
    }
    plain
}

/// What MySQL stores for what is between the quotes of a string (Reference Manual, table 11.1).
pub fn unescaped(text: &[u8], quote: u8) -> Cow<'_, [u8]> {
    if !text.iter().any(|byte| *byte == b'\\' || *byte == quote) {
        return Cow::Borrowed(text);
    }
    let mut plain = Vec::with_capacity(text.len());
    let mut bytes = text.iter().copied();
    while let Some(byte) = bytes.next() {
        if byte == quote {
            // The other of two.
            bytes.next();
            plain.push(quote);
        } else if byte == b'\\' {
            match bytes.next() {
                Some(b'0') => plain.push(0),
                Some(b'b') => plain.push(0x08),
                Some(b'n') => plain.push(b'\n'),
                Some(b'r') => plain.push(b'\r'),
                Some(b't') => plain.push(b'\t'),
                Some(b'Z') => plain.push(0x1a),
                // Wildcards of LIKE keep their backslash outside of LIKE.
                Some(wildcard @ (b'%' | b'_')) => plain.extend([b'\\', wildcard]),
                Some(other) => plain.push(other),
                None => plain.push(b'\\'),
            }
        } else {
            plain.push(byte);
        }
    }
    Cow::Owned(plain)
}

/// What a word may be made of. All bytes of letters beyond ASCII count, of whatever encoding.
fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'$' | 0x80..)
}

/// The bytes behind hexadecimal digits, the first of which may stand alone.
fn hexadecimal(digits: &[u8]) -> Option<Vec<u8>> {
    let digit = |digit: u8| {
        char::from(digit)
            .to_digit(16)
            .and_then(|digit| u8::try_from(digit).ok())
    };
    let (alone, pairs) = digits.split_at(digits.len() % 2);
    let mut bytes = Vec::with_capacity(digits.len().div_ceil(2));
    for first in alone {
        bytes.push(digit(*first)?);
    }
    for pair in pairs.chunks_exact(2) {
        bytes.push(digit(pair[0])? << 4 | digit(pair[1])?);
    }
    Some(bytes)
}

/// The bytes behind binary digits, filled with zeros in front.
fn bits(digits: &[u8]) -> Option<Vec<u8>> {
    let mut bytes = Vec::with_capacity(digits.len().div_ceil(8));
    for byte in digits.rchunks(8) {
        let value = byte.iter().try_fold(0_u8, |value, digit| match digit {
            b'0' => Some(value << 1),
            b'1' => Some(value << 1 | 1),
            _ => None,
        });
        bytes.push(value?);
    }
    bytes.reverse();
    Some(bytes)
}

fn find(text: &[u8], part: &[u8]) -> Option<usize> {
    text.windows(part.len()).position(|window| window == part)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tokens(text: &str) -> Vec<Token<'_>> {
        let mut lexer = Lexer {
            dump: text.as_bytes(),
            at: 0,
        };
        let mut tokens = Vec::new();
        loop {
            match lexer.next().unwrap() {
                Token::End => return tokens,
                token => tokens.push(token),
            }
        }
    }

    #[test]
    fn literals_and_names() {
        assert_eq!(
            tokens("`a``b` x1 1a '' 'it''s' \"a\\\"b\" N'n' _utf8mb4'c'"),
            [
                Token::Name(b"a``b"),
                Token::Word(b"x1"),
                Token::Word(b"1a"),
                Token::Text(b"", b'\''),
                Token::Text(b"it''s", b'\''),
                Token::Text(b"a\\\"b", b'"'),
                Token::Text(b"n", b'\''),
                Token::Word(b"_utf8mb4"),
                Token::Text(b"c", b'\''),
            ]
        );
        assert_eq!(
            tokens("0x414a x'6B' X'' 0xF b'101' b'100000001' 0b11"),
            [&b"AJ"[..], b"k", b"", b"\x0f", b"\x05", b"\x01\x01", b"\x03"].map(|bytes| Token::Binary(bytes.to_vec()))
        );
        assert_eq!(
            tokens("1 1.5 .5 1e20 1.5E-7 2.,"),
            [
                Token::Number(b"1"),
                Token::Number(b"1.5"),
                Token::Number(b".5"),
                Token::Number(b"1e20"),
                Token::Number(b"1.5E-7"),
                Token::Number(b"2."),
                Token::Sign(b','),
            ]
        );
    }

    #[test]
    fn comments_are_blank() {
        let text = "a # 'x\nb -- 'y\n--\nc /* '; */ d /*!40101 SET x='y' */ 1--1 --";
        let words: Vec<_> = tokens(text)
            .into_iter()
            .filter(|token| matches!(token, Token::Word(_)))
            .collect();
        assert_eq!(words, [&b"a"[..], b"b", b"c", b"d"].map(Token::Word));
        assert_eq!(tokens("1--1").len(), 4);
    }

    #[test]
    fn escapes_are_those_of_mysql() {
        for (text, plain) in [
            (r"a\0b", &b"a\0b"[..]),
            (r#"\'\"\\"#, b"'\"\\"),
            (r"\n\r\t\b\Z", b"\n\r\t\x08\x1a"),
            (r"\%\_", br"\%\_"),
            (r"\x\é", "xé".as_bytes()),
            ("it''s \"q\"", b"it's \"q\""),
        ] {
            assert_eq!(unescaped(text.as_bytes(), b'\'').as_ref(), plain, "{text}");
        }
        assert_eq!(unescaped(br#"a""b'"#, b'"').as_ref(), br#"a"b'"#);
        assert_eq!(unescaped(b"\xff\xfe\x80", b'\'').as_ref(), b"\xff\xfe\x80");
        assert_eq!(unquoted(b"a``b"), b"a`b");
    }

    #[test]
    fn what_does_not_end_is_told() {
        for text in ["'abc", "'abc\\'", "'abc''", "`abc", "/* abc", "\"abc", "'\\", "x'41"] {
            let mut lexer = Lexer {
                dump: text.as_bytes(),
                at: 0,
            };
            assert!(matches!(lexer.next(), Err(Problem::Endless(_))), "{text}");
        }
    }
}
