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
    Ok(state.process.shared_data.set(&state.identity.vm_id, key, value, cas)?)
}

/// The values of all VMs of the process.
#[derive(Debug, Default)]
pub(crate) struct SharedData {
    values: Mutex<Values>,
}

/// Most bytes that keys and values of one `vm_id` may take: they stay as long as the process.
const MOST_BYTES: usize = 64 << 20;
/// What an entry takes beside its key and value.
const OVERHEAD: usize = 128;

/// Values with the cas of their last write.
#[derive(Debug, Default)]
struct ByKey {
    values: HashMap<Box<[u8]>, (Bytes, u32)>,
    bytes: usize,
}

#[derive(Debug, Default)]
struct Values {
    by_vm: HashMap<String, ByKey>,
    last_cas: u32,
}

impl SharedData {
    fn get(&self, vm_id: &str, key: &[u8]) -> Option<(Bytes, u32)> {
        self.lock().by_vm.get(vm_id)?.values.get(key).cloned()
    }

    fn set(&self, vm_id: &str, key: &[u8], value: Bytes, cas: u32) -> Result<(), Status> {
        let mut values = self.lock();
        let next = values.last_cas.checked_add(1).unwrap_or(1);
        if !values.by_vm.contains_key(vm_id) {
            values.by_vm.insert(vm_id.to_owned(), ByKey::default());
        }
        let Some(keys) = values.by_vm.get_mut(vm_id) else {
            return Err(Status::InternalFailure);
        };
        let present = keys.values.get_mut(key);
        if let Some((_, current)) = &present
            && cas != 0
            && cas != *current
        {
            return Err(Status::CasMismatch);
        }
        let size = |value: &Bytes| OVERHEAD + key.len() + value.len();
        let before = present.as_ref().map_or(0, |(value, _)| size(value));
        let bytes = keys.bytes - before + size(&value);
        if bytes > MOST_BYTES {
            return Err(Status::InternalFailure);
        }
        keys.bytes = bytes;
        match present {
            Some(entry) => *entry = (value, next),
            None => {
                keys.values.insert(key.into(), (value, next));
            }
        }
        values.last_cas = next;
        Ok(())
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
        data.set("", b"key", Bytes::from_static(b"1"), 77).unwrap();
        let (_, first) = data.get("", b"key").unwrap();
        let mismatch = data.set("", b"key", Bytes::from_static(b"2"), first + 1);
        assert_eq!(mismatch, Err(Status::CasMismatch));
        data.set("", b"key", Bytes::from_static(b"2"), first).unwrap();
        let (value, second) = data.get("", b"key").unwrap();
        assert_eq!(value, "2");
        assert_ne!(first, second);
        data.set("", b"key", Bytes::from_static(b"3"), 0).unwrap();
    }

    #[test]
    fn what_is_kept_has_a_limit_and_what_is_replaced_makes_room() {
        let data = SharedData::default();
        let large = || Bytes::from(vec![0; MOST_BYTES / 2]);
        data.set("", b"a", large(), 0).unwrap();
        assert_eq!(data.set("", b"b", large(), 0), Err(Status::InternalFailure));
        data.set("b", b"b", large(), 0).unwrap();
        data.set("", b"a", Bytes::new(), 0).unwrap();
        data.set("", b"b", large(), 0).unwrap();
    }

    #[test]
    fn many_small_values_have_the_limit_too() {
        let data = SharedData::default();
        let set = |key: usize| data.set("", &key.to_le_bytes(), Bytes::new(), 0);
        let fit = MOST_BYTES / (OVERHEAD + size_of::<usize>());
        assert!((0..fit).all(|key| set(key).is_ok()));
        assert_eq!(set(fit), Err(Status::InternalFailure));
        assert_eq!(set(0), Ok(()));
    }

    #[test]
    fn vm_ids_are_apart() {
        let data = SharedData::default();
        data.set("a", b"key", Bytes::from_static(b"1"), 0).unwrap();
        assert!(data.get("b", b"key").is_none());
    }
}
