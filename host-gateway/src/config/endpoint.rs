//! An endpoint of a cluster: where it is, and what plugins are told of it.

use std::borrow::Cow;
use std::fmt;

use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::de::value::MapAccessDeserializer;
use serde::de::{Error, MapAccess, Visitor};
use serde::{Deserialize, Deserializer};

use super::{EndpointAddress, Metadata};

/// `host:port`, or `{ address: host:port, metadata: … }`.
#[derive(Debug, Clone)]
pub struct Endpoint {
    pub address: EndpointAddress,
    /// What plugins read as `upstream_host_metadata`.
    pub metadata: Metadata,
}

/// An endpoint with metadata.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Described {
    /// `host:port`.
    #[schemars(with = "String")]
    address: EndpointAddress,
    /// What plugins read as `upstream_host_metadata`.
    #[serde(default)]
    metadata: Metadata,
}

/// `host:port`, or that with metadata.
#[derive(JsonSchema)]
#[schemars(untagged)]
#[expect(dead_code, reason = "only its schema is of use")]
enum Written {
    Address(String),
    Described(Described),
}

impl JsonSchema for Endpoint {
    fn schema_name() -> Cow<'static, str> {
        "Endpoint".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        Written::json_schema(generator)
    }
}

impl<'de> Deserialize<'de> for Endpoint {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Either;

        impl<'de> Visitor<'de> for Either {
            type Value = Endpoint;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("host:port, or keys with an `address`")
            }

            fn visit_str<E: Error>(self, text: &str) -> Result<Endpoint, E> {
                Ok(Endpoint {
                    address: EndpointAddress::try_from(text.to_owned()).map_err(E::custom)?,
                    metadata: Metadata::default(),
                })
            }

            fn visit_map<A: MapAccess<'de>>(self, keys: A) -> Result<Endpoint, A::Error> {
                let Described { address, metadata } = Described::deserialize(MapAccessDeserializer::new(keys))?;
                Ok(Endpoint { address, metadata })
            }
        }

        deserializer.deserialize_any(Either)
    }
}
