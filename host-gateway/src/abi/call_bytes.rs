//! What the calls of one VM that are under way may hold together: what they send, and what has come of their answers.
//! Without that a guest could fill the host's memory with calls that nobody answers.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;

use super::failure::Status;

/// The bytes that are left, of `limits.call_bytes`.
#[derive(Debug, Clone)]
pub(crate) struct CallBytes(Arc<AtomicUsize>);

impl CallBytes {
    pub(crate) fn new(most: u64) -> Self {
        Self(Arc::new(AtomicUsize::new(usize::try_from(most).unwrap_or(usize::MAX))))
    }

    /// Takes bytes, until what is returned is dropped. `None`: so many are not left.
    pub(crate) fn take(&self, bytes: usize) -> Option<Charge> {
        let mut charge = Charge {
            of: self.clone(),
            bytes: 0,
        };
        charge.set(bytes).then_some(charge)
    }

    /// Bytes that are counted for as long as somebody holds them.
    pub(crate) fn keep(&self, bytes: Vec<u8>) -> Result<Bytes, Status> {
        let charge = self.take(bytes.len()).ok_or(Status::InternalFailure)?;
        Ok(Bytes::from_owner(Kept { bytes, _charge: charge }))
    }
}

/// Bytes that were taken, given back when it is dropped.
#[derive(Debug)]
pub(crate) struct Charge {
    of: CallBytes,
    bytes: usize,
}

impl Charge {
    /// Takes so many more; `false`: they are not left.
    pub(crate) fn grow(&mut self, more: usize) -> bool {
        self.set(self.bytes.saturating_add(more))
    }

    /// Takes or gives back until it is so many; `false`: they are not left, and nothing has changed.
    pub(crate) fn set(&mut self, bytes: usize) -> bool {
        let left = &self.of.0;
        let granted = match bytes.checked_sub(self.bytes) {
            // Only the VM's own thread takes; who gives back meanwhile does no harm.
            Some(more) => left
                .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(more))
                .is_ok(),
            None => {
                left.fetch_add(self.bytes - bytes, Ordering::Relaxed);
                true
            }
        };
        if granted {
            self.bytes = bytes;
        }
        granted
    }
}

impl Drop for Charge {
    fn drop(&mut self) {
        self.of.0.fetch_add(self.bytes, Ordering::Relaxed);
    }
}

struct Kept {
    bytes: Vec<u8>,
    _charge: Charge,
}

impl AsRef<[u8]> for Kept {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_dropped_is_given_back() {
        let bytes = CallBytes::new(10);
        let kept = bytes.keep(vec![1; 6]).unwrap();
        let part = kept.slice(..1);
        let mut charge = bytes.take(4).unwrap();
        assert!(bytes.keep(vec![1]).is_err() && !charge.grow(1));
        drop(kept);
        assert!(!charge.grow(1), "a part is still held");
        drop(part);
        assert!(charge.grow(6) && charge.set(3));
        assert!(bytes.take(7).is_some() && bytes.take(8).is_none());
    }
}
