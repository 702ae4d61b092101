//! `true` or `false`, and no other word: `yes` is a truth to some readers of YAML and a text to others, and so is `"true"`.

use std::fmt;

use serde::Deserializer;
use serde::de::{Error, MapAccess, SeqAccess, Visitor};

/// For `#[serde(deserialize_with)]`.
pub fn read<'de, D: Deserializer<'de>>(deserializer: D) -> Result<bool, D::Error> {
    deserializer.deserialize_any(Truth)
}

struct Truth;

impl<'de> Visitor<'de> for Truth {
    type Value = bool;

    fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str("`true` or `false`")
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<bool, E> {
        Ok(value)
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<bool, E> {
        Err(E::custom(format!(
            "`{text}` is a text: write true or false, without quotes"
        )))
    }

    fn visit_u64<E: Error>(self, number: u64) -> Result<bool, E> {
        Err(E::custom(format!("`{number}` is a number: write true or false")))
    }

    fn visit_i64<E: Error>(self, number: i64) -> Result<bool, E> {
        Err(E::custom(format!("`{number}` is a number: write true or false")))
    }

    fn visit_f64<E: Error>(self, number: f64) -> Result<bool, E> {
        Err(E::custom(format!("`{number}` is a number: write true or false")))
    }

    fn visit_unit<E: Error>(self) -> Result<bool, E> {
        Err(E::custom("there is nothing: write true or false"))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, _: A) -> Result<bool, A::Error> {
        Err(A::Error::custom("there is a list: write true or false"))
    }

    fn visit_map<A: MapAccess<'de>>(self, _: A) -> Result<bool, A::Error> {
        Err(A::Error::custom("there are keys: write true or false"))
    }
}
