//! `true` or `false`, and no other word: `yes` is a truth to some readers of YAML and a text to others, and so is `"true"`.

use std::fmt;

use serde::Deserializer;
use serde::de::{Error, Visitor};

/// For `#[serde(deserialize_with)]`.
pub fn read<'de, D: Deserializer<'de>>(deserializer: D) -> Result<bool, D::Error> {
    deserializer.deserialize_any(Truth)
}

struct Truth;

impl Visitor<'_> for Truth {
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
}
