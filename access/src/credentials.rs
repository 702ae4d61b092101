//! How a token is written where one may stand: in a header with its scheme, or bare.

use std::borrow::Cow;

/// What stands in the places where a token may stand.
///
/// Nothing here looks at every byte of a token: one that was seen before is found by its bytes (and only well-formed ones
/// are ever remembered), any other is looked at by [`well_formed`].
#[derive(Debug, PartialEq, Eq)]
pub enum Presented<'a> {
    /// None in any of the places.
    None,
    /// Something in exactly one place.
    One(&'a [u8]),
    /// The same, in a header that says `DPoP` (RFC 9449 section 7.1): a proof must be beside it.
    Dpop(&'a [u8]),
    /// More than one: a proxy behind us might take the other one.
    Several,
}

/// What a single presented value turns out to be.
#[derive(Debug, PartialEq, Eq)]
pub enum Shape<'a> {
    /// A token's characters.
    Token(&'a str),
    /// Characters that no token has.
    Malformed(Cow<'a, str>),
    /// Two headers that some host joined into one, with a comma.
    Several,
}

/// `Bearer <token>` with one space (RFC 6750 section 2.1), the scheme in any case (RFC 9110 section 11.1). A header of
/// another name may hold the bare token.
pub(crate) fn bearer(value: &[u8], scheme_needed: bool) -> Presented<'_> {
    let value = field_value(value);
    match after_scheme(value) {
        Some((_, b"")) => Presented::None,
        // For those who part words by any white space there is a token: as a whole it is malformed.
        None if after_tab(value) => Presented::One(value),
        Some((Scheme::Bearer, token)) => Presented::One(token),
        Some((Scheme::Dpop, token)) => Presented::Dpop(token),
        None if joined(value) => Presented::Several,
        None if scheme_needed => Presented::None,
        None => bare(value),
    }
}

pub(crate) fn bare(token: &[u8]) -> Presented<'_> {
    match field_value(token) {
        b"" => Presented::None,
        token => Presented::One(token),
    }
}

/// Whether a presented value has the characters of a token: `b64token` (RFC 6750 section 2.1), which is
/// `1*( ALPHA / DIGIT / "-" / "." / "_" / "~" / "+" / "/" ) *"="`.
pub fn well_formed(token: &[u8]) -> Shape<'_> {
    let good = |byte: &u8| IN_TOKEN.get(usize::from(*byte)) == Some(&true);
    // Without a way out in the middle: nearly every token is good, and some are long.
    let all_good = |bytes: &[u8]| bytes.iter().fold(true, |all, byte| all & good(byte));
    let padding = token.iter().rev().take_while(|&&byte| byte == b'=').count();
    let (unpadded, _) = token.split_at(token.len().saturating_sub(padding));
    match std::str::from_utf8(token) {
        Ok(text) if !unpadded.is_empty() && all_good(unpadded) => Shape::Token(text),
        // No token has a comma: some hosts join two headers into one with it.
        _ if token.contains(&b',') => Shape::Several,
        _ => Shape::Malformed(String::from_utf8_lossy(token)),
    }
}

/// Without the white space around it that belongs to no field value: spaces and tabs (RFC 9110 section 5.5), no other.
pub(crate) fn field_value(mut value: &[u8]) -> &[u8] {
    while let [b' ' | b'\t', rest @ ..] | [rest @ .., b' ' | b'\t'] = value {
        value = rest;
    }
    value
}

/// Which bytes a token is made of, before its padding.
static IN_TOKEN: [bool; 256] = in_token();

#[expect(
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    reason = "evaluated at compile time, 0..=255"
)]
const fn in_token() -> [bool; 256] {
    let mut table = [false; 256];
    let mut byte = 0;
    while byte < 256 {
        table[byte] =
            (byte as u8).is_ascii_alphanumeric() || matches!(byte as u8, b'-' | b'.' | b'_' | b'~' | b'+' | b'/');
        byte += 1;
    }
    table
}

/// Whether further credentials stand after a comma, as some hosts join two headers into one: a scheme, a space and then
/// something other than the `=` of a parameter.
fn joined(value: &[u8]) -> bool {
    value.split(|&byte| byte == b',').skip(1).any(|part| {
        let mut words = part.trim_ascii().splitn(2, |&byte| byte == b' ');
        let scheme = words.next().unwrap_or_default();
        let rest = words.next().map(<[u8]>::trim_ascii_start).unwrap_or_default();
        !scheme.contains(&b'=') && !rest.is_empty() && !rest.starts_with(b"=")
    })
}

/// How a header says what kind of token it has.
#[derive(Clone, Copy)]
pub(crate) enum Scheme {
    Bearer,
    Dpop,
}

pub(crate) fn after_scheme(value: &[u8]) -> Option<(Scheme, &[u8])> {
    // As nearly all clients write it.
    if let Some((usual, token)) = value.split_first_chunk::<7>()
        && usual == b"Bearer "
    {
        return Some((Scheme::Bearer, token));
    }
    let space = value.iter().take(7).position(|&byte| byte == b' ')?;
    let (name, rest) = value.split_at_checked(space)?;
    let scheme = match name {
        _ if name.eq_ignore_ascii_case(b"bearer") => Scheme::Bearer,
        _ if name.eq_ignore_ascii_case(b"dpop") => Scheme::Dpop,
        _ => return None,
    };
    Some((scheme, rest.strip_prefix(b" ")?))
}

/// Whether a scheme that we know is followed by a tab.
fn after_tab(value: &[u8]) -> bool {
    let known = |name: &[u8]| name.eq_ignore_ascii_case(b"bearer") || name.eq_ignore_ascii_case(b"dpop");
    value
        .split(|&byte| byte == b'\t')
        .next()
        .is_some_and(|name| name.len() < value.len() && known(name))
}
