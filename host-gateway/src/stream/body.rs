//! Body bytes that a plugin may look at: shared with the connection until somebody changes them.

use bytes::{Bytes, BytesMut};

/// A part of a body.
#[derive(Debug)]
pub(crate) enum BodyBuffer {
    Shared(Bytes),
    Owned(BytesMut),
}

impl BodyBuffer {
    pub(crate) fn bytes(&self) -> &[u8] {
        match self {
            Self::Shared(bytes) => bytes,
            Self::Owned(bytes) => bytes,
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.bytes().len()
    }

    pub(crate) fn into_bytes(self) -> Bytes {
        match self {
            Self::Shared(bytes) => bytes,
            Self::Owned(bytes) => bytes.freeze(),
        }
    }

    /// Adds bytes at the end.
    pub(crate) fn append(&mut self, more: &[u8]) {
        match self {
            Self::Owned(bytes) => bytes.extend_from_slice(more),
            Self::Shared(bytes) => {
                let mut longer = BytesMut::with_capacity(bytes.len() + more.len());
                longer.extend_from_slice(bytes);
                longer.extend_from_slice(more);
                *self = Self::Owned(longer);
            }
        }
    }

    /// Replaces the first `size` bytes.
    pub(crate) fn replace_front(&mut self, size: usize, with: &[u8]) {
        let rest = self.bytes().get(size..).unwrap_or_default();
        let mut changed = BytesMut::with_capacity(with.len() + rest.len());
        changed.extend_from_slice(with);
        changed.extend_from_slice(rest);
        *self = Self::Owned(changed);
    }
}

impl From<Bytes> for BodyBuffer {
    fn from(bytes: Bytes) -> Self {
        Self::Shared(bytes)
    }
}
