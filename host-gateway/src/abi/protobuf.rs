//! Protocol buffers: the few messages that guests hand over are flat or nearly so, and those that they are given small.

/// The value of a field.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Value<'a> {
    Number(u64),
    /// Bytes, a string or a message.
    Bytes(&'a [u8]),
    /// A number of fixed size, which no message here has.
    Fixed,
}

/// Shows every field with its number, in the order in which they stand. `None`: this is no such message, or `see` does
/// not want it.
pub(crate) fn each<'a>(mut message: &'a [u8], mut see: impl FnMut(u64, Value<'a>) -> Option<()>) -> Option<()> {
    while !message.is_empty() {
        let (tag, rest) = varint(message)?;
        let (value, rest) = match tag & 7 {
            0 => {
                let (number, rest) = varint(rest)?;
                (Value::Number(number), rest)
            }
            1 => (Value::Fixed, rest.get(8..)?),
            2 => {
                let (size, rest) = varint(rest)?;
                let (bytes, rest) = rest.split_at_checked(usize::try_from(size).ok()?)?;
                (Value::Bytes(bytes), rest)
            }
            5 => (Value::Fixed, rest.get(4..)?),
            _ => return None,
        };
        match tag >> 3 {
            0 => return None,
            number => see(number, value)?,
        }
        message = rest;
    }
    Some(())
}

/// The bytes of one field, of the last where it comes more than once; empty where there is none.
pub(crate) fn bytes_of(message: &[u8], field: u64) -> Option<&[u8]> {
    let mut found: &[u8] = &[];
    each(message, |number, value| {
        if let (true, Value::Bytes(bytes)) = (number == field, value) {
            found = bytes;
        }
        Some(())
    })?;
    Some(found)
}

/// The value of a field that is written.
pub(crate) enum Wire<'a> {
    Number(u64),
    Double(f64),
    /// Bytes, a string or a message.
    Bytes(&'a [u8]),
}

/// Appends a field to a message.
pub(crate) fn put(message: &mut Vec<u8>, field: u64, value: Wire<'_>) {
    let kind = match value {
        Wire::Number(_) => 0,
        Wire::Double(_) => 1,
        Wire::Bytes(_) => 2,
    };
    put_varint(message, field << 3 | kind);
    match value {
        Wire::Number(number) => put_varint(message, number),
        Wire::Double(number) => message.extend_from_slice(&number.to_le_bytes()),
        Wire::Bytes(bytes) => {
            put_varint(message, bytes.len() as u64);
            message.extend_from_slice(bytes);
        }
    }
}

fn put_varint(message: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        message.push(number as u8 | 0x80);
        number >>= 7;
    }
    message.push(number as u8);
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
