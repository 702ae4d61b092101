//! Shared data: values by key, seen by every VM with the same `vm_id` in the process.

use std::collections::HashMap;
use std::sync::Mutex;

use bytes::Bytes;

use super::failure::{Answer, Status};
use crate::vm::memory::Host;

/// `proxy_get_shared_data(key, **value, *size, *cas)`.
pub(crate) fn get_shared_data(
    host: &mut Host<'_>,
    key: u32,
    key_size: u32,
    data_out: u32,
    size_out: u32,
    cas_out: u32,
) -> Answer {
    let key = host.read(key, key_size)?;
    let state = host.state();
    let (value, cas) = state
        .process
        .shared_data
        .get(&state.identity.vm_id, key)
        .ok_or(Status::NotFound)?;
    host.check(cas_out, 4)?;
    host.return_bytes(&value, data_out, size_out)?;
    host.write_u32(cas_out, cas)
}

/// `proxy_set_shared_data(key, value, cas)`: with a cas other than zero only if nobody wrote since it was read.
pub(crate) fn set_shared_data(
    host: &mut Host<'_>,
    key: u32,
    key_size: u32,
    value: u32,
    value_size: u32,
    cas: u32,
) -> Answer {
    let key = host.read(key, key_size)?;
    let value = Bytes::copy_from_slice(host.read(value, value_size)?);
    let state = host.state();
    let written = state.process.shared_data.set(&state.identity.vm_id, key, value, cas);
    if written {
        Ok(())
    } else {
        Err(Status::CasMismatch.into())
    }
}

/// The values of all VMs of the process.
#[derive(Debug, Default)]
pub(crate) struct SharedData {
    values: Mutex<Values>,
}

/// Values with the cas of their last write.
type ByKey = HashMap<Box<[u8]>, (Bytes, u32)>;

#[derive(Debug, Default)]
struct Values {
    by_vm: HashMap<String, ByKey>,
    last_cas: u32,
}

impl SharedData {
    fn get(&self, vm_id: &str, key: &[u8]) -> Option<(Bytes, u32)> {
        self.lock().by_vm.get(vm_id)?.get(key).cloned()
    }

    /// `false`: the key exists with another cas.
    fn set(&self, vm_id: &str, key: &[u8], value: Bytes, cas: u32) -> bool {
        let mut values = self.lock();
        let next = values.last_cas.checked_add(1).unwrap_or(1);
        if !values.by_vm.contains_key(vm_id) {
            values.by_vm.insert(vm_id.to_owned(), HashMap::new());
        }
        let Some(keys) = values.by_vm.get_mut(vm_id) else {
            return false;
        };
        match keys.get_mut(key) {
            Some((_, current)) if cas != 0 && cas != *current => return false,
            Some(entry) => *entry = (value, next),
            None => {
                keys.insert(key.into(), (value, next));
            }
        }
        values.last_cas = next;
        true
    }

    /// A panic elsewhere leaves the map whole: every write is one assignment.
    fn lock(&self) -> std::sync::MutexGuard<'_, Values> {
        self.values.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cas_counts_only_for_keys_that_exist() {
        let data = SharedData::default();
        assert!(data.set("", b"key", Bytes::from_static(b"1"), 77));
        let (_, first) = data.get("", b"key").unwrap();
        assert!(!data.set("", b"key", Bytes::from_static(b"2"), first + 1));
        assert!(data.set("", b"key", Bytes::from_static(b"2"), first));
        let (value, second) = data.get("", b"key").unwrap();
        assert_eq!(value, "2");
        assert_ne!(first, second);
        assert!(data.set("", b"key", Bytes::from_static(b"3"), 0));
    }

    #[test]
    fn vm_ids_are_apart() {
        let data = SharedData::default();
        assert!(data.set("a", b"key", Bytes::from_static(b"1"), 0));
        assert!(data.get("b", b"key").is_none());
    }
}
