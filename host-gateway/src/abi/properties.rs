//! Properties: facts about the exchange by path, encoded as Envoy does (bytes as they are, numbers as 8 bytes little
//! endian, truth as one byte, maps as pairs), or, where the plugin's configuration says so, numbers and truth as text.

use http::Version;
use http::header::CONTENT_LENGTH;

use super::clocks_and_timers::nanoseconds;
use super::contexts::StreamContext;
use super::failure::{Answer, Status};
use super::fields::Fields;
use super::types::MapType;
use super::{HostState, Identity, grpc_status, metadata, pairs};
use crate::plugin::{Compat, PropertyEncoding, TrafficDirection};
use crate::stream::exchange::{Ends, Exchange, ListenerFacts, Property, Protocol};
use crate::vm::memory::Host;

/// What Envoy puts before the name of a property that a guest sets.
const WASM: &[u8] = b"wasm.";
/// What is configured, and not said by the request. Envoy shows it below `xds`; before 1.27 it did without.
const XDS: [&str; 8] = [
    "node",
    "route_name",
    "route_metadata",
    "cluster_name",
    "cluster_metadata",
    "upstream_host_metadata",
    "listener_direction",
    "listener_metadata",
];
/// Most bytes all properties of an exchange may take that plugins set.
const MOST_SET: usize = 64 << 10;

/// What a property is.
pub(super) enum Value {
    /// Text, a map in its encoding, a message.
    Bytes(Vec<u8>),
    Number(u64),
    Real(f64),
    Truth(bool),
    Map(Vec<(Value, Value)>),
    /// There are properties below it, and it is nothing by itself.
    Parts,
}

impl Value {
    fn encode(self, encoding: PropertyEncoding) -> Result<Vec<u8>, Status> {
        Ok(match (self, encoding) {
            (Self::Parts, _) => return Err(Status::SerializationFailure),
            (Self::Bytes(bytes), _) => bytes,
            (Self::Map(pairs), _) => {
                let encode = |(name, value): (Self, Self)| Ok((name.encode(encoding)?, value.encode(encoding)?));
                let pairs: Vec<_> = pairs.into_iter().map(encode).collect::<Result<_, Status>>()?;
                pairs::serialize(&pairs)
            }
            (Self::Real(number), PropertyEncoding::Binary) => number.to_le_bytes().to_vec(),
            (Self::Real(number), PropertyEncoding::Text) => number.to_string().into_bytes(),
            (Self::Number(number), PropertyEncoding::Binary) => number.to_le_bytes().to_vec(),
            (Self::Number(number), PropertyEncoding::Text) => number.to_string().into_bytes(),
            (Self::Truth(truth), PropertyEncoding::Binary) => vec![u8::from(truth)],
            (Self::Truth(truth), PropertyEncoding::Text) => truth.to_string().into_bytes(),
        })
    }
}

impl From<&[u8]> for Value {
    fn from(bytes: &[u8]) -> Self {
        Self::Bytes(bytes.to_vec())
    }
}

impl From<Vec<u8>> for Value {
    fn from(bytes: Vec<u8>) -> Self {
        Self::Bytes(bytes)
    }
}

/// `proxy_get_property(path, **value, *size)`.
pub(crate) fn get_property(host: &mut Host<'_>, path: u32, path_size: u32, data_out: u32, size_out: u32) -> Answer {
    let value = {
        let state = host.state();
        let path = host.read(path, path_size)?;
        let stream = host.stream();
        let found = find(state, stream.as_deref(), path);
        let found = found.or_else(|| of_root(state, path).filter(|_| stream.is_none()));
        found.ok_or(Status::NotFound)?
    };
    let identity = &host.state().identity;
    let value = match identity.compat {
        Compat::Nginx => as_kong_has_it(host.read(path, path_size)?, value),
        Compat::Envoy | Compat::Spec => value,
    };
    let value = value.encode(identity.properties)?;
    host.return_bytes(&value, data_out, size_out)
}

/// `proxy_set_property(path, value)`: kept with the exchange as filter state `wasm.` + path, as in Envoy; read back by the
/// same path, by any plugin.
pub(crate) fn set_property(host: &mut Host<'_>, path: u32, path_size: u32, value: u32, value_size: u32) -> Answer {
    let path = [WASM, host.read(path, path_size)?].concat();
    let value: Box<[u8]> = host.read(value, value_size)?.into();
    match host.stream() {
        Some(stream) => Ok(set(&mut stream.exchange.borrow_mut(), &path, &value)?),
        None if host.state().identity.compat == Compat::Nginx => {
            let root = host.state_mut().root_context().ok_or(Status::NotFound)?;
            Ok(keep(&mut root.properties, &path, &value)?)
        }
        None => Err(Status::NotFound.into()),
    }
}

fn of_root(state: &HostState, path: &[u8]) -> Option<Value> {
    let root = state.roots.get((state.root as usize).checked_sub(1)?)?;
    let set = root.properties.iter();
    let found = set.into_iter().find(|set| set.path.strip_prefix(WASM) == Some(path))?;
    Some(Value::from(&*found.value))
}

/// Addresses without their port; times as seconds with three places.
fn as_kong_has_it(path: &[u8], value: Value) -> Value {
    match (path, value) {
        (b"source\0address" | b"destination\0address" | b"upstream\0address", Value::Bytes(address)) => {
            let end = address.iter().rposition(|byte| *byte == b':').unwrap_or(address.len());
            Value::Bytes(address[..end].to_vec())
        }
        (b"request\0time" | b"request\0duration", Value::Number(nanoseconds)) => {
            let milliseconds = nanoseconds / 1_000_000;
            Value::Bytes(format!("{}.{:03}", milliseconds / 1000, milliseconds % 1000).into_bytes())
        }
        (_, value) => value,
    }
}

/// Keeps filter state with an exchange.
pub(crate) fn set(exchange: &mut Exchange, name: &[u8], value: &[u8]) -> Result<(), Status> {
    keep(&mut exchange.properties, name, value)
}

fn keep(properties: &mut Vec<Property>, name: &[u8], value: &[u8]) -> Result<(), Status> {
    let others = properties.iter().filter(|set| *set.path != *name);
    let taken: usize = others.map(|set| set.path.len() + set.value.len()).sum();
    if taken + name.len() + value.len() > MOST_SET {
        return Err(Status::InternalFailure);
    }
    match properties.iter_mut().find(|set| *set.path == *name) {
        Some(set) => set.value = value.into(),
        None => properties.push(Property {
            path: name.into(),
            value: value.into(),
        }),
    }
    Ok(())
}

fn find(state: &HostState, stream: Option<&StreamContext>, path: &[u8]) -> Option<Value> {
    // Some guests close the path with a NUL.
    let path = path.strip_suffix(&[0]).unwrap_or(path);
    // What plugins set need not be text.
    let text = std::str::from_utf8(path).unwrap_or_default();
    let (first, rest) = match first_of(text) {
        ("xds", "") => return Some(Value::Parts),
        ("xds", rest) => match first_of(rest) {
            (first @ ("virtual_host_name" | "virtual_host_metadata" | "filter_chain_name"), rest) => {
                return of_virtual_host(&stream?.exchange.borrow(), first, rest);
            }
            (first, _) if !XDS.contains(&first) => return None,
            known => known,
        },
        formerly => formerly,
    };
    if let Some(value) = of_plugin(&state.identity, first, rest) {
        return Some(value);
    }
    let Some(stream) = stream else {
        // One VM is for all listeners.
        return of_listener(&ListenerFacts::default(), first, rest);
    };
    let exchange = stream.exchange.borrow();
    let known = match first {
        "request" | "response" | "connection" | "source" | "destination" | "filter_state" if rest.is_empty() => {
            Some(Value::Parts)
        }
        "request" => of_request(&exchange, rest),
        "response" => of_response(&exchange, rest),
        "connection" => of_connection(&exchange, rest),
        "connection_id" => Some(integer(exchange.connection.id)),
        "source" => address(exchange.connection.source, rest),
        "destination" => address(exchange.connection.destination, rest),
        "upstream" if rest.is_empty() => Some(Value::Parts),
        "upstream" => of_upstream(exchange.upstream?, rest),
        "listener_direction" | "listener_metadata" => of_listener(&exchange.connection.listener, first, rest),
        "route_name" => exchange.destination.as_ref().map(|to| to.route.as_bytes().into()),
        "cluster_name" => exchange.destination.as_ref().map(|to| to.cluster.as_bytes().into()),
        "route_metadata" => metadata::find(&exchange.destination.as_ref()?.route_metadata, rest),
        "cluster_metadata" => metadata::find(&exchange.destination.as_ref()?.cluster_metadata, rest),
        // Nobody fills it here.
        "metadata" => of_nothing(rest),
        "upstream_host_metadata" => of_endpoint(&exchange, rest),
        "filter_state" => exchange.filter_state(rest.as_bytes()).map(Value::from),
        _ => None,
    };
    known.or_else(|| exchange.filter_state(&[WASM, path].concat()).map(Value::from))
}

fn first_of(path: &str) -> (&str, &str) {
    path.split_once('\0').unwrap_or((path, ""))
}

/// There is one, which Envoy's bootstrap calls so too.
fn of_virtual_host(exchange: &Exchange, name: &str, rest: &str) -> Option<Value> {
    exchange.destination.as_ref()?;
    match (name, rest) {
        ("virtual_host_name", "") => Some(b"all"[..].into()),
        ("filter_chain_name", "") => Some(b""[..].into()),
        ("virtual_host_metadata", rest) => of_nothing(rest),
        _ => None,
    }
}

fn of_plugin(identity: &Identity, name: &str, rest: &str) -> Option<Value> {
    match name {
        "plugin_name" => Some(identity.name.as_bytes().into()),
        "plugin_root_id" => Some(identity.root_id.clone().into_bytes().into()),
        "plugin_vm_id" => Some(identity.vm_id.clone().into_bytes().into()),
        "node" => of_node(rest),
        _ => None,
    }
}

fn of_listener(facts: &ListenerFacts, name: &str, rest: &str) -> Option<Value> {
    match (name, rest) {
        // core.v3.TrafficDirection
        ("listener_direction", "") => Some(integer(match facts.direction {
            None => 0,
            Some(TrafficDirection::Inbound) => 1,
            Some(TrafficDirection::Outbound) => 2,
        })),
        ("listener_metadata", rest) => metadata::find(&facts.metadata, rest),
        _ => None,
    }
}

/// A message without fields takes no bytes; a map in it is an empty map.
fn of_nothing(rest: &str) -> Option<Value> {
    match rest {
        "" => Some(Value::Bytes(Vec::new())),
        "filter_metadata" | "typed_filter_metadata" => Some(Value::Map(Vec::new())),
        _ => None,
    }
}

/// core.v3.Node `{ 1: id, 2: cluster, 3: metadata, … }`.
fn of_node(rest: &str) -> Option<Value> {
    const NAME: &[u8] = b"postern-gateway";
    match rest {
        "" => {
            let field = |number: u8| [&[number << 3 | 2, NAME.len() as u8], NAME].concat();
            Some([field(1), field(2)].concat().into())
        }
        "id" | "cluster" | "user_agent_name" => Some(NAME.into()),
        "metadata" => Some(Value::Map(Vec::new())),
        _ => None,
    }
}

fn of_request(exchange: &Exchange, name: &str) -> Option<Value> {
    let head = exchange.request.head();
    let field = |name: &[u8]| exchange.fields(MapType::RequestHeaders)?.first(name).map(Value::from);
    match name {
        "path" => field(b":path"),
        "url_path" => Some(head?.uri.path().as_bytes().into()),
        "query" => Some(head?.uri.query().unwrap_or_default().as_bytes().into()),
        "host" => field(b":authority"),
        "scheme" => field(b":scheme"),
        "method" => field(b":method"),
        "referer" => field(b"referer"),
        "useragent" => field(b"user-agent"),
        "id" => field(b"x-request-id"),
        "protocol" => Some(protocol(head?.version).as_bytes().into()),
        "headers" => exchange.fields(MapType::RequestHeaders).map(all_fields),
        "time" => Some(integer(nanoseconds(exchange.began_at()?))),
        // The whole time is known once the exchange is over.
        "duration" => Some(integer(nanoseconds(exchange.began?.elapsed()))).filter(|_| exchange.over),
        // As announced, where it was.
        "size" => {
            let announced = head.and_then(|head| head.headers.get(CONTENT_LENGTH)?.to_str().ok()?.parse().ok());
            Some(integer(announced.unwrap_or(exchange.request.body_bytes)))
        }
        "total_size" => {
            let fields = [MapType::RequestHeaders, MapType::RequestTrailers].map(|map| size_of(exchange.fields(map)));
            Some(integer(exchange.request.body_bytes + fields.iter().sum::<u64>()))
        }
        _ => all_values(
            exchange.fields(MapType::RequestHeaders)?,
            name.strip_prefix("headers\0")?,
        ),
    }
}

fn of_response(exchange: &Exchange, name: &str) -> Option<Value> {
    if exchange.protocol == Protocol::Tcp {
        return None;
    }
    match name {
        "flags" => return Some(integer(exchange.flags)),
        "size" => return Some(integer(exchange.response.body_bytes)),
        "total_size" => {
            let fields = [MapType::ResponseHeaders, MapType::ResponseTrailers].map(|map| size_of(exchange.fields(map)));
            return Some(integer(exchange.response.body_bytes + fields.iter().sum::<u64>()));
        }
        "trailers" => {
            let trailers = exchange.fields(MapType::ResponseTrailers);
            return Some(trailers.map_or_else(|| Value::Map(Vec::new()), all_fields));
        }
        // There are none yet.
        "headers" if exchange.response.head().is_none() => return Some(Value::Map(Vec::new())),
        _ => {}
    }
    let head = exchange.response.head()?;
    match name {
        "code_details" => {
            let details = exchange.details.as_deref().unwrap_or("via_upstream");
            Some(details.as_bytes().into())
        }
        // What plugins make of it is told once all of them have seen the head.
        "code" => {
            let status = exchange.came_with.unwrap_or(head.status);
            Some(integer(u64::from(status.as_u16())))
        }
        "headers" => Some(all_fields(Fields::Response(head))),
        "grpc_status" => {
            let trailers = exchange.response.trailers.as_ref();
            let said = trailers
                .and_then(|map| map.get(grpc_status::FIELD))
                .or_else(|| head.headers.get(grpc_status::FIELD));
            match said {
                Some(said) => said.to_str().ok()?.parse().ok().map(integer),
                None => Some(integer(u64::from(grpc_status::of_http(head.status)))),
            }
        }
        _ => all_values(Fields::Response(head), name.strip_prefix("headers\0")?),
    }
}

/// A map of fields. Each name stands there once, with all its values, as in Envoy.
fn all_fields(fields: Fields<'_>) -> Value {
    let mut all: Vec<(Vec<u8>, Vec<u8>)> = Vec::new();
    // The values of a name come one after the other.
    fields.each(|name, value| match all.last_mut() {
        Some((known, values)) if known == name => append(values, value),
        _ => all.push((name.to_vec(), value.to_vec())),
    });
    pairs::serialize(&all).into()
}

/// All values of a field.
fn all_values(fields: Fields<'_>, name: &str) -> Option<Value> {
    let mut values = fields.first(name.as_bytes())?.to_vec();
    let mut first = true;
    fields.each(|known, value| {
        if known.eq_ignore_ascii_case(name.as_bytes()) && !std::mem::take(&mut first) {
            append(&mut values, value);
        }
    });
    Some(values.into())
}

fn append(values: &mut Vec<u8>, value: &[u8]) {
    values.push(b',');
    values.extend_from_slice(value);
}

/// Its names and values, as Envoy measures it.
fn size_of(fields: Option<Fields<'_>>) -> u64 {
    let mut size = 0;
    if let Some(fields) = fields {
        fields.each(|name, value| size += name.len() + value.len());
    }
    size as u64
}

fn of_connection(exchange: &Exchange, name: &str) -> Option<Value> {
    match name {
        "id" => Some(integer(exchange.connection.id)),
        "mtls" => Some(Value::Truth(false)),
        // No name was asked for.
        "requested_server_name" => Some(Value::Bytes(Vec::new())),
        _ => None,
    }
}

fn address(address: std::net::SocketAddr, name: &str) -> Option<Value> {
    match name {
        "address" => Some(address.to_string().into_bytes().into()),
        "port" => Some(integer(u64::from(address.port()))),
        _ => None,
    }
}

fn of_upstream(upstream: Ends, name: &str) -> Option<Value> {
    match name {
        "local_address" => Some(upstream.local.to_string().into_bytes().into()),
        // It is connected, and nobody says where it is.
        "transport_failure_reason" | "locality" => Some(b""[..].into()),
        _ => address(upstream.remote, name),
    }
}

/// Of the endpoint that the request went to; of one without metadata Envoy says in this way that there is none.
fn of_endpoint(exchange: &Exchange, rest: &str) -> Option<Value> {
    let upstream = exchange.upstream?;
    let described = exchange.destination.as_ref().map(|to| &to.endpoint_metadata);
    match described.and_then(|described| described.get(&upstream.remote)) {
        Some(metadata) => metadata::find(metadata, rest),
        None => rest.is_empty().then_some(Value::Parts),
    }
}

fn integer(value: u64) -> Value {
    Value::Number(value)
}

fn protocol(version: Version) -> &'static str {
    match version {
        Version::HTTP_10 => "HTTP/1.0",
        Version::HTTP_2 => "HTTP/2",
        Version::HTTP_3 => "HTTP/3",
        _ => "HTTP/1.1",
    }
}
