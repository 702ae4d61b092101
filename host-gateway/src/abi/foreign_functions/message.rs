//! The protocol buffers of `verify_signature`: arguments `{ 1: name, 2: key, 3: signature, 4: text, 5: key as PEM }`, all of
//! them strings or bytes, and the result `{ 1: whether (bool), 2: why not (string) }`.

use crate::abi::protobuf::{self, Value};

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
    pub(super) fn read(message: &'a [u8]) -> Option<Self> {
        let mut arguments = Self::default();
        protobuf::each(message, |number, value| {
            let field = match number {
                1 => &mut arguments.name,
                2 => &mut arguments.key,
                3 => &mut arguments.signature,
                4 => &mut arguments.text,
                5 => &mut arguments.pem,
                _ => return Some(()),
            };
            let Value::Bytes(bytes) = value else { return None };
            *field = bytes;
            Some(())
        })?;
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
