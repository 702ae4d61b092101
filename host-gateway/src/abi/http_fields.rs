//! HTTP fields: header and trailer maps of the exchange and of an HTTP call's answer.

use super::failure::{Answer, Failure, Status};
use super::fields::{Fields, FieldsMut};
use super::http_calls::CallAnswer;
use super::pairs;
use super::types::{AbiVersion, MapType};
use crate::plugin::Compat;
use crate::vm::memory::Host;

/// `proxy_get_header_map_size(map, *size)`: bytes of the serialized map.
pub(crate) fn get_header_map_size(host: &mut Host<'_>, map: u32, size_out: u32) -> Answer {
    let map = MapType::try_from(map)?;
    let size = with_fields(host, map, |_, fields| {
        fields.map_or(0, |fields| serialized_size(fields).0)
    });
    host.write_u32(size_out, size as u32)
}

/// `proxy_get_header_map_pairs(map, **data, *size)`: a map that does not exist (yet) is empty.
pub(crate) fn get_header_map_pairs(host: &mut Host<'_>, map: u32, data_out: u32, size_out: u32) -> Answer {
    let map = MapType::try_from(map)?;
    with_fields(host, map, |host, fields| {
        let Some(fields) = fields else {
            return host.return_bytes(&[], data_out, size_out);
        };
        let (size, count) = serialized_size(fields);
        host.return_filled(size, data_out, size_out, |target| write(fields, count, target))
    })
}

/// `proxy_set_header_map_pairs(map, data, size)`.
pub(crate) fn set_header_map_pairs(host: &mut Host<'_>, map: u32, data: u32, size: u32) -> Answer {
    let map = MapType::try_from(map)?;
    let pairs = pairs::read(host.read(data, size)?)?;
    with_fields_mut(host, map, |fields, _| fields.replace_all(pairs.into_iter()))
}

/// `proxy_get_header_map_value(map, name, name_size, **data, *size)`: the first value, as in Envoy.
pub(crate) fn get_header_map_value(
    host: &mut Host<'_>,
    map: u32,
    name: u32,
    name_size: u32,
    data_out: u32,
    size_out: u32,
) -> Answer {
    let map = MapType::try_from(map)?;
    with_fields(host, map, |host, fields| {
        let name = host.read(name, name_size)?;
        if let Some(status) = dispatch_status(host, map, name) {
            return host.return_bytes(status.as_bytes(), data_out, size_out);
        }
        match fields.and_then(|fields| fields.first(name)) {
            Some(value) => host.return_bytes(value, data_out, size_out),
            // Before 0.2.0 a miss could not be told from an empty value.
            None if host.state().identity.abi == AbiVersion::V0_1_0 => host.return_bytes(&[], data_out, size_out),
            None => Err(Status::NotFound.into()),
        }
    })
}

/// Kong has how a call ended beside the fields of its answer, and not among them.
fn dispatch_status(host: &Host<'_>, map: MapType, name: &[u8]) -> Option<&'static str> {
    let asked = map == MapType::HttpCallResponseHeaders && name == b":dispatch_status";
    let state = host.state();
    (asked && state.identity.compat == Compat::Nginx)
        .then(|| state.answer.as_deref().map(CallAnswer::dispatch_status))?
}

/// `proxy_add_header_map_value(map, name, name_size, value, value_size)`.
pub(crate) fn add_header_map_value(
    host: &mut Host<'_>,
    map: u32,
    name: u32,
    name_size: u32,
    value: u32,
    value_size: u32,
) -> Answer {
    let map = MapType::try_from(map)?;
    let (name, value) = (host.read(name, name_size)?, host.read(value, value_size)?);
    with_fields_mut(host, map, |fields, unmeasured| fields.add(name, value, unmeasured))
}

/// `proxy_replace_header_map_value(map, name, name_size, value, value_size)`.
pub(crate) fn replace_header_map_value(
    host: &mut Host<'_>,
    map: u32,
    name: u32,
    name_size: u32,
    value: u32,
    value_size: u32,
) -> Answer {
    let map = MapType::try_from(map)?;
    let (name, value) = (host.read(name, name_size)?, host.read(value, value_size)?);
    with_fields_mut(host, map, |fields, unmeasured| fields.replace(name, value, unmeasured))
}

/// `proxy_remove_header_map_value(map, name, name_size)`: removing what is not there is OK.
pub(crate) fn remove_header_map_value(host: &mut Host<'_>, map: u32, name: u32, name_size: u32) -> Answer {
    let map = MapType::try_from(map)?;
    let name = host.read(name, name_size)?;
    with_fields_mut(host, map, |fields, _| fields.remove(name))
}

fn write(fields: Fields<'_>, count: u32, target: &mut [u8]) {
    let mut writer = pairs::Writer::new(target, count);
    fields.each(|name, value| writer.put(name, value));
}

/// Bytes of the serialized map, and its number of pairs.
fn serialized_size(fields: Fields<'_>) -> (usize, u32) {
    let (mut size, mut count) = (4, 0);
    fields.each(|name, value| {
        size += pairs::pair_size(name, value);
        count += 1;
    });
    (size, count)
}

/// Looks at a map while guest memory can be written. `act` may re-enter the guest's allocator only, which has no way
/// to the exchange: the borrow cannot meet another.
fn with_fields<R>(host: &mut Host<'_>, map: MapType, act: impl FnOnce(&mut Host<'_>, Option<Fields<'_>>) -> R) -> R {
    if let MapType::HttpCallResponseHeaders | MapType::HttpCallResponseTrailers = map {
        let answer = host.state().answer.clone();
        return act(host, answer.as_deref().and_then(|answer| answer.fields(map)));
    }
    if let MapType::GrpcInitialMetadata | MapType::GrpcTrailingMetadata = map {
        let event = host.state().grpc_event.clone();
        return act(host, event.as_deref().and_then(|event| event.fields(map)));
    }
    let Some(stream) = host.stream() else {
        return act(host, None);
    };
    let exchange = stream.exchange.borrow();
    act(host, exchange.fields(map))
}

/// Changes a map of the exchange; one that cannot be changed (any more) is `BAD_ARGUMENT`, as in Envoy.
fn with_fields_mut(
    host: &Host<'_>,
    map: MapType,
    act: impl FnOnce(&mut FieldsMut<'_>, &mut usize) -> Result<(), Failure>,
) -> Answer {
    let stream = host.stream().ok_or(Status::BadArgument)?;
    let mut exchange = stream.exchange.borrow_mut();
    let mut unmeasured = exchange.unmeasured[map as usize];
    let done = act(
        &mut exchange.fields_mut(map).ok_or(Status::BadArgument)?,
        &mut unmeasured,
    );
    exchange.unmeasured[map as usize] = unmeasured;
    done
}
