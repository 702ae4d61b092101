//! Metadata of routes and clusters as properties: Envoy's `core.v3.Metadata`, whole as a message, in parts as values.

use serde_json::{Map, Value as Json};

use super::properties::Value;
use super::protobuf::{self, Wire};
use crate::config::Metadata;

/// What stands at a path below the metadata, its segments separated by NUL.
pub(crate) fn find(metadata: &Metadata, path: &str) -> Option<Value> {
    if path.is_empty() {
        return Some(message(metadata).into());
    }
    let mut segments = path.split('\0');
    match (segments.next()?, segments.next()) {
        // Nothing typed can be given.
        ("typed_filter_metadata", None) => Some(Value::Map(Vec::new())),
        ("filter_metadata", None) => {
            let spaces = metadata.filter_metadata.iter();
            Some(Value::Map(
                spaces.map(|(name, fields)| (text(name), of_map(fields))).collect(),
            ))
        }
        ("filter_metadata", Some(name)) => {
            let fields = metadata.filter_metadata.get(name)?;
            match segments.next() {
                None => Some(of_map(fields)),
                Some(key) => segments
                    .try_fold(fields.get(key)?, |value, segment| match value {
                        Json::Object(fields) => fields.get(segment),
                        Json::Array(items) => items.get(segment.parse::<usize>().ok()?),
                        _ => None,
                    })
                    .map(of),
            }
        }
        _ => None,
    }
}

fn of(value: &Json) -> Value {
    match value {
        Json::Null => Value::Parts,
        Json::Bool(truth) => Value::Truth(*truth),
        Json::Number(number) => Value::Real(number.as_f64().unwrap_or_default()),
        Json::String(value) => text(value),
        // A list is a map from its items to nothing.
        Json::Array(items) => Value::Map(items.iter().map(|item| (of(item), text(""))).collect()),
        Json::Object(fields) => of_map(fields),
    }
}

fn of_map(fields: &Map<String, Json>) -> Value {
    Value::Map(fields.iter().map(|(key, value)| (text(key), of(value))).collect())
}

fn text(text: &str) -> Value {
    text.as_bytes().into()
}

/// `Metadata { 1: map from name to Struct }`; an entry of a map is `{ 1: key, 2: value }`.
fn message(metadata: &Metadata) -> Vec<u8> {
    let mut message = Vec::new();
    for (name, fields) in &metadata.filter_metadata {
        protobuf::put(&mut message, 1, Wire::Bytes(&entry(name, &message_of_struct(fields))));
    }
    message
}

fn entry(key: &str, value: &[u8]) -> Vec<u8> {
    let mut entry = Vec::new();
    protobuf::put(&mut entry, 1, Wire::Bytes(key.as_bytes()));
    protobuf::put(&mut entry, 2, Wire::Bytes(value));
    entry
}

/// `google.protobuf.Struct { 1: map from key to Value }`.
fn message_of_struct(fields: &Map<String, Json>) -> Vec<u8> {
    let mut message = Vec::new();
    for (key, value) in fields {
        protobuf::put(&mut message, 1, Wire::Bytes(&entry(key, &message_of_value(value))));
    }
    message
}

/// `google.protobuf.Value { 1: null, 2: number, 3: string, 4: bool, 5: struct, 6: list }`.
fn message_of_value(value: &Json) -> Vec<u8> {
    let mut message = Vec::new();
    match value {
        Json::Null => protobuf::put(&mut message, 1, Wire::Number(0)),
        Json::Number(number) => {
            protobuf::put(&mut message, 2, Wire::Double(number.as_f64().unwrap_or_default()));
        }
        Json::String(text) => protobuf::put(&mut message, 3, Wire::Bytes(text.as_bytes())),
        Json::Bool(truth) => protobuf::put(&mut message, 4, Wire::Number(u64::from(*truth))),
        Json::Object(fields) => protobuf::put(&mut message, 5, Wire::Bytes(&message_of_struct(fields))),
        Json::Array(items) => {
            let mut list = Vec::new();
            for item in items {
                protobuf::put(&mut list, 1, Wire::Bytes(&message_of_value(item)));
            }
            protobuf::put(&mut message, 6, Wire::Bytes(&list));
        }
    }
    message
}
