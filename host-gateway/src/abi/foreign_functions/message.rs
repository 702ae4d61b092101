//! The protocol buffers of `verify_signature`: arguments `{ 1: name, 2: key, 3: signature, 4: text, 5: key as PEM }`, all of
//! them strings or bytes, and the result `{ 1: whether (bool), 2: why not (string) }`.

/// The arguments; what is missing is empty.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Arguments<'a> {
    pub(super) name: &'a [u8],
    pub(super) key: &'a [u8],
    pub(super) signature: &'a [u8],
    pub(super) text: &'a [u8],
    pub(super) pem: &'a [u8],
}

impl<'a> Arguments<'a> {
    /// `None`: not such a message. Fields of other numbers are passed over, and of a field that comes twice the last counts,
    /// as protocol buffers have it.
    pub(super) fn read(mut message: &'a [u8]) -> Option<Self> {
        let mut arguments = Self::default();
        while !message.is_empty() {
            let (tag, rest) = varint(message)?;
            let field = match tag >> 3 {
                1 => Some(&mut arguments.name),
                2 => Some(&mut arguments.key),
                3 => Some(&mut arguments.signature),
                4 => Some(&mut arguments.text),
                5 => Some(&mut arguments.pem),
                0 => return None,
                _ => None,
            };
            message = match (tag & 7, field) {
                (2, field) => {
                    let (size, rest) = varint(rest)?;
                    let (bytes, rest) = rest.split_at_checked(usize::try_from(size).ok()?)?;
                    if let Some(field) = field {
                        *field = bytes;
                    }
                    rest
                }
                (0, None) => varint(rest)?.1,
                (1, None) => rest.get(8..)?,
                (5, None) => rest.get(4..)?,
                _ => return None,
            };
        }
        Some(arguments)
    }
}

/// The result; `Err` says why the signature is not right.
pub(super) fn result(verified: Result<(), &str>) -> Vec<u8> {
    match verified {
        Ok(()) => vec![1 << 3, 1],
        Err(why) => {
            let why = why.as_bytes().get(..127).unwrap_or(why.as_bytes());
            [&[2 << 3 | 2, why.len() as u8], why].concat()
        }
    }
}

fn varint(bytes: &[u8]) -> Option<(u64, &[u8])> {
    let mut number = 0;
    for (index, &byte) in bytes.iter().enumerate().take(10) {
        number |= u64::from(byte & 0x7f) << (7 * index);
        if byte < 0x80 {
            return Some((number, &bytes[index + 1..]));
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_in_any_order_and_unknown_ones_passed_over() {
        let read =
            Arguments::read(b"\x22\x04text\x0a\x06sha256\x30\x01\x39\0\0\0\0\0\0\0\0\x3d\0\0\0\0\x12\x00\x0a\x03abc");
        let expected = Arguments {
            name: b"abc",
            text: b"text",
            ..Arguments::default()
        };
        assert_eq!(read, Some(expected));
        assert_eq!(Arguments::read(b""), Some(Arguments::default()));
        let broken: [&[u8]; 7] = [
            b"\x0a",
            b"\x0a\x02a",
            b"\x0a\xff\xff\xff\xff\x0f",
            b"\x08\x01",
            b"\x02\x00",
            b"\x33",
            b"\xff",
        ];
        for message in broken {
            assert_eq!(Arguments::read(message), None, "{message:x?}");
        }
    }
}
