//! Cookies and parameters by name, and what others take for one of that name.

use std::borrow::Cow;

/// The values of the cookies called `wanted` (RFC 6265 section 5.4); `None` for one that is called so by others only, who
/// trim or decode names, or for whom `,` parts cookies too.
pub(crate) fn cookies<'a, 'w>(
    header: &'a [u8],
    wanted: &'w str,
) -> impl Iterator<Item = Option<&'a [u8]>> + use<'a, 'w> {
    header.split(|&byte| byte == b';').flat_map(move |pair| {
        let pair = pair.trim_ascii();
        let value = pair
            .strip_prefix(wanted.as_bytes())
            .and_then(|rest| rest.strip_prefix(b"="));
        // Most cookies are not of this name, and shorter ways to see it are not needed: there are few.
        let text = String::from_utf8_lossy(pair);
        let own = usize::from(value.is_some());
        let hidden = text
            .split(',')
            .skip(own)
            .any(|part| part.contains('=') && is_called(name_of(part), wanted));
        value.map(Some).into_iter().chain(hidden.then_some(None))
    })
}

/// Whether a part of a query has a parameter of this name, however it is written.
pub(crate) fn names_parameter(part: &str, wanted: &str) -> bool {
    name_of(part) == wanted || hides(part, wanted)
}

/// Whether a part of a query has a parameter of this name for others than us: for those who decode names, for whom `;`
/// parts parameters too, for whom case does not matter, or for whom `name[]` is a list called `name` (and `.` a `_`).
pub(crate) fn hides(part: &str, wanted: &str) -> bool {
    part.split(';').enumerate().any(|(number, parameter)| {
        let name = name_of(parameter);
        (number > 0 || name != wanted) && is_called(name, wanted)
    })
}

/// What stands before the `=` of a pair.
pub(crate) fn name_of(pair: &str) -> &str {
    pair.split_once('=').map_or(pair, |(name, _)| name)
}

/// Whether some server takes the name of a parameter or cookie for the other: decoded, without quotes, spaces and brackets
/// around it, whatever the case, and with `.` and spaces for `_`.
pub(crate) fn is_called(name: &str, wanted: &str) -> bool {
    if name.len() < wanted.len() {
        return false;
    }
    let name = if name.contains(['%', '+']) {
        Cow::Owned(decoded(name))
    } else {
        Cow::Borrowed(name.as_bytes())
    };
    let quoting = |byte: &u8| byte.is_ascii_whitespace() || matches!(byte, 0 | b'"' | b'\'' | b'[');
    let begin = name.iter().take_while(|byte| quoting(byte)).count();
    let name = name.get(begin..).unwrap_or_default();
    let Some((name, rest)) = name.split_at_checked(wanted.len()) else {
        return false;
    };
    let same = name.iter().zip(wanted.bytes()).all(|(&byte, wanted)| {
        byte.eq_ignore_ascii_case(&wanted) || (wanted == b'_' && matches!(byte, b'.' | b' ' | b'['))
    });
    let mut rest = rest.iter().skip_while(|byte| quoting(byte) && **byte != b'[');
    same && rest.next().is_none_or(|byte| matches!(byte, b'[' | b']'))
}

/// Percent-decoded as in a form. What is no escape stands for itself.
fn decoded(text: &str) -> Vec<u8> {
    let mut bytes = text.bytes();
    let next = || match bytes.next()? {
        b'%' => {
            let mut rest = bytes.clone();
            let digits = [rest.next().unwrap_or_default(), rest.next().unwrap_or_default()];
            let digits = std::str::from_utf8(&digits).ok();
            let Some(byte) = digits.and_then(|digits| u8::from_str_radix(digits, 16).ok()) else {
                return Some(b'%');
            };
            bytes = rest;
            Some(byte)
        }
        b'+' => Some(b' '),
        byte => Some(byte),
    };
    std::iter::from_fn(next).collect()
}
