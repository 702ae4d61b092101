//! The wire format of pairs: `u32 count`, then all lengths, then all keys and values, each closed by a NUL.

use super::failure::{Failure, Status};

/// Most pairs a guest may send in one list.
const MOST_PAIRS: usize = 1024;
/// Most bytes a guest may send in one list.
const MOST_BYTES: usize = 1 << 20;

/// A name and a value.
pub(crate) type Pair<'a> = (&'a [u8], &'a [u8]);

/// Bytes that one pair takes, without the count.
pub(crate) const fn pair_size(name: &[u8], value: &[u8]) -> usize {
    8 + name.len() + 1 + value.len() + 1
}

/// Writes pairs into a buffer of exactly the size they take.
pub(crate) struct Writer<'a> {
    lengths: &'a mut [u8],
    data: &'a mut [u8],
}

impl<'a> Writer<'a> {
    /// `target` holds 4 bytes and [`pair_size`] for each of `count` pairs.
    pub(crate) fn new(target: &'a mut [u8], count: u32) -> Self {
        let (header, rest) = target.split_at_mut(4);
        header.copy_from_slice(&count.to_le_bytes());
        let (lengths, data) = rest.split_at_mut(count as usize * 8);
        Self { lengths, data }
    }

    pub(crate) fn put(&mut self, name: &[u8], value: &[u8]) {
        let (pair, rest) = std::mem::take(&mut self.lengths).split_at_mut(8);
        pair[..4].copy_from_slice(&(name.len() as u32).to_le_bytes());
        pair[4..].copy_from_slice(&(value.len() as u32).to_le_bytes());
        self.lengths = rest;
        self.put_terminated(name);
        self.put_terminated(value);
    }

    fn put_terminated(&mut self, bytes: &[u8]) {
        let (target, rest) = std::mem::take(&mut self.data).split_at_mut(bytes.len() + 1);
        target[..bytes.len()].copy_from_slice(bytes);
        target[bytes.len()] = 0;
        self.data = rest;
    }
}

/// Pairs that stand nowhere else.
pub(crate) fn serialize(pairs: &[(Vec<u8>, Vec<u8>)]) -> Vec<u8> {
    let size: usize = pairs.iter().map(|(name, value)| pair_size(name, value)).sum();
    let mut target = vec![0; 4 + size];
    let mut writer = Writer::new(&mut target, pairs.len() as u32);
    for (name, value) in pairs {
        writer.put(name, value);
    }
    target
}

/// The pairs a guest sent. Nothing, or a single zero byte, is the empty list; so is a count of zero.
pub(crate) fn read(bytes: &[u8]) -> Result<Vec<Pair<'_>>, Failure> {
    if bytes.is_empty() || bytes == [0] {
        return Ok(Vec::new());
    }
    if bytes.len() > MOST_BYTES {
        return Err(Status::BadArgument.into());
    }
    parse(bytes).ok_or_else(|| Status::BadArgument.into())
}

fn parse(bytes: &[u8]) -> Option<Vec<Pair<'_>>> {
    let (count, rest) = split_u32(bytes)?;
    let count = usize::try_from(count).ok().filter(|count| *count <= MOST_PAIRS)?;
    let (mut lengths, mut data) = rest.split_at_checked(count * 8)?;
    let mut pairs = Vec::with_capacity(count);
    for _ in 0..count {
        let (name_size, rest) = split_u32(lengths)?;
        let (value_size, rest) = split_u32(rest)?;
        lengths = rest;
        let (name, rest) = split_terminated(data, name_size)?;
        let (value, rest) = split_terminated(rest, value_size)?;
        data = rest;
        pairs.push((name, value));
    }
    data.is_empty().then_some(pairs)
}

fn split_u32(bytes: &[u8]) -> Option<(u32, &[u8])> {
    let (number, rest) = bytes.split_first_chunk::<4>()?;
    Some((u32::from_le_bytes(*number), rest))
}

fn split_terminated(bytes: &[u8], size: u32) -> Option<(&[u8], &[u8])> {
    let (text, rest) = bytes.split_at_checked(usize::try_from(size).ok()?)?;
    rest.strip_prefix(&[0]).map(|rest| (text, rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(pairs: &[(&[u8], &[u8])]) -> Vec<u8> {
        let size = 4 + pairs.iter().map(|(name, value)| pair_size(name, value)).sum::<usize>();
        let mut bytes = vec![0xff; size];
        let mut writer = Writer::new(&mut bytes, pairs.len() as u32);
        for (name, value) in pairs {
            writer.put(name, value);
        }
        bytes
    }

    #[test]
    fn lengths_come_first_then_the_data() {
        let bytes = written(&[(b"a", b"1"), (b"bb", b"")]);
        assert_eq!(bytes, b"\x02\0\0\0\x01\0\0\0\x01\0\0\0\x02\0\0\0\0\0\0\0a\x001\0bb\0\0");
        assert_eq!(read(&bytes).unwrap(), [(&b"a"[..], &b"1"[..]), (b"bb", b"")]);
    }

    #[test]
    fn every_form_of_the_empty_list_is_read() {
        for bytes in [&b""[..], b"\0", b"\0\0\0\0"] {
            assert_eq!(read(bytes).unwrap().len(), 0);
        }
    }

    #[test]
    fn a_list_that_is_cut_or_too_long_is_refused() {
        let bytes = written(&[(b"name", b"value")]);
        for end in 1..bytes.len() {
            assert!(read(&bytes[..end]).is_err(), "cut at {end}");
        }
        let longer = [&bytes[..], b"x"].concat();
        assert!(read(&longer).is_err());
        assert!(read(&u32::MAX.to_le_bytes()).is_err());
    }
}
