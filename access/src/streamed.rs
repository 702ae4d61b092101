//! A configuration whose rules are compiled while they are read: of a hundred thousand, the text and what is made of them
//! fit into the memory of a VM, a third form between them does not.

use serde::Deserialize;
use serde::de::{DeserializeSeed, Deserializer, Error, IntoDeserializer, MapAccess, SeqAccess, Visitor};

use crate::config::{Config, Rule};
use crate::json::Object;
use crate::table::Table;

/// Reads a configuration; its `rules` end up in the table. `None`: something is wrong with it, and to say what is the
/// business of who reads it without haste.
pub(crate) fn read(json: &[u8]) -> Option<(Config, Table)> {
    let mut table = Table::default();
    let mut json = serde_json::Deserializer::from_slice(json);
    let config = Config::deserialize(RulesApart {
        inner: &mut json,
        table: &mut table,
        seen: false,
    });
    let config = config.ok()?;
    json.end().ok()?;
    Some((config, table))
}

/// A deserializer, a visitor and a map of the configuration, from which `rules` go their own way.
struct RulesApart<'t, T> {
    inner: T,
    table: &'t mut Table,
    /// `rules` was there.
    seen: bool,
}

impl<'de, D: Deserializer<'de>> Deserializer<'de> for RulesApart<'_, D> {
    type Error = D::Error;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, D::Error> {
        self.inner.deserialize_map(RulesApart {
            inner: visitor,
            table: self.table,
            seen: self.seen,
        })
    }

    serde::forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf option unit unit_struct
        newtype_struct seq tuple tuple_struct map struct enum identifier ignored_any
    }
}

impl<'de, V: Visitor<'de>> Visitor<'de> for RulesApart<'_, V> {
    type Value = V::Value;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.inner.expecting(f)
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<V::Value, A::Error> {
        self.inner.visit_map(RulesApart {
            inner: map,
            table: self.table,
            seen: self.seen,
        })
    }
}

impl<'de, A: MapAccess<'de>> MapAccess<'de> for RulesApart<'_, A> {
    type Error = A::Error;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, A::Error> {
        while let Some(key) = self.inner.next_key::<String>()? {
            if key != "rules" {
                return seed.deserialize(key.into_deserializer()).map(Some);
            }
            // A derived reader would refuse it too.
            if std::mem::replace(&mut self.seen, true) {
                return Err(A::Error::duplicate_field("rules"));
            }
            self.inner.next_value_seed(Rules(self.table))?;
        }
        Ok(None)
    }

    fn next_value_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<S::Value, A::Error> {
        self.inner.next_value_seed(seed)
    }
}

/// The list of rules, on its way into the table.
struct Rules<'t>(&'t mut Table);

impl<'de> DeserializeSeed<'de> for Rules<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_seq(self)
    }
}

impl<'de> Visitor<'de> for Rules<'_> {
    type Value = ();

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("a list of rules")
    }

    fn visit_seq<S: SeqAccess<'de>>(self, mut rules: S) -> Result<(), S::Error> {
        while let Some(Object(rule)) = rules.next_element::<Object<Rule>>()? {
            self.0.add_rule(rule).map_err(S::Error::custom)?;
        }
        Ok(())
    }
}
