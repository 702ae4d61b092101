//! Where a key of a plugin's configuration stands in the file, when the plugin says that something is wrong with it. What a
//! plugin says is a text; of a key that is wrong, most say its path: `rules[3].path: it is empty`.

use std::fmt;

use serde::Deserialize;
use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::Value;
use serde_saphyr::{Location, Spanned, with_deserializer_from_str_with_options};

use super::source::options;

/// From a value to one within it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Step {
    Key(String),
    Item(usize),
}

/// The key of a configuration that a plugin names, as far as it is there: the first part of the text that begins as a path.
pub(super) fn named(said: &str, configuration: &Value) -> Vec<Step> {
    let paths = said.split(": ").map(|part| steps(part, configuration));
    paths.into_iter().find(|path| !path.is_empty()).unwrap_or_default()
}

/// The steps that a text names, down to the last that is there. None of a text that is no path.
fn steps(text: &str, configuration: &Value) -> Vec<Step> {
    let (mut found, mut rest, mut value) = (Vec::new(), text, configuration);
    while !rest.is_empty() {
        let next = match value {
            Value::Object(members) => member(members, rest.strip_prefix('.').unwrap_or(rest)),
            Value::Array(items) => item(items, rest),
            _ => None,
        };
        let Some((step, inner, left)) = next else { break };
        found.push(step);
        (value, rest) = (inner, left);
    }
    // A key that is missing may follow.
    let missing = rest.strip_prefix('.').unwrap_or(rest);
    if missing.contains(|c: char| !(c.is_ascii_alphanumeric() || matches!(c, '_' | '-'))) {
        found.clear();
    }
    found
}

type Next<'v, 't> = (Step, &'v Value, &'t str);

/// The longest name that the text begins with: names may have dots.
fn member<'v, 't>(members: &'v serde_json::Map<String, Value>, text: &'t str) -> Option<Next<'v, 't>> {
    let fits = |name: &str| {
        let left = text.strip_prefix(name)?;
        (left.is_empty() || left.starts_with(['.', '['])).then_some(left)
    };
    let fitting = members
        .iter()
        .filter_map(|(name, value)| Some((name, value, fits(name)?)));
    let (name, value, left) = fitting.max_by_key(|(name, ..)| name.len())?;
    Some((Step::Key(name.clone()), value, left))
}

fn item<'v, 't>(items: &'v [Value], text: &'t str) -> Option<Next<'v, 't>> {
    let (number, left) = text.strip_prefix('[')?.split_once(']')?;
    let place = number.parse().ok()?;
    Some((Step::Item(place), items.get(place)?, left))
}

/// Where the last key of a path stands in a file, or the last above it that can be told.
pub(super) fn place(text: &str, path: &[Step]) -> Option<Location> {
    let mut found = None;
    let walk = |file: serde_saphyr::Deserializer<'_, '_>| {
        Walk {
            path,
            found: &mut found,
        }
        .deserialize(file)
    };
    // Whatever the parser says of the rest of the file: it was read before.
    let _ = with_deserializer_from_str_with_options(text, options(), walk);
    found
}

/// Goes through a value down to the end of a path.
struct Walk<'a> {
    path: &'a [Step],
    found: &'a mut Option<Location>,
}

impl<'de> DeserializeSeed<'de> for Walk<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, value: D) -> Result<(), D::Error> {
        match self.path {
            [] => IgnoredAny::deserialize(value).map(drop),
            [Step::Key(_), ..] => value.deserialize_map(self),
            [Step::Item(_), ..] => value.deserialize_seq(self),
        }
    }
}

impl<'de> Visitor<'de> for Walk<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str("what was there before")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        while let Some(key) = map.next_key::<Spanned<String>>()? {
            match self.path {
                [Step::Key(name), rest @ ..] if *name == key.value => {
                    *self.found = Some(key.referenced);
                    let found = &mut *self.found;
                    map.next_value_seed(Walk { path: rest, found })?;
                }
                _ => drop(map.next_value::<IgnoredAny>()?),
            }
        }
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<(), A::Error> {
        for place in 0.. {
            let ended = match self.path {
                [Step::Item(wanted)] if *wanted == place => {
                    let item = items.next_element::<Spanned<IgnoredAny>>()?;
                    *self.found = item.as_ref().map(|item| item.referenced);
                    item.is_none()
                }
                [Step::Item(wanted), rest @ ..] if *wanted == place => {
                    let found = &mut *self.found;
                    items.next_element_seed(Walk { path: rest, found })?.is_none()
                }
                _ => items.next_element::<IgnoredAny>()?.is_none(),
            };
            if ended {
                break;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_plugin_names_is_found_where_it_stands() {
        let text = "\
plugins:
  - name: auth
    configuration: { rules: [ { path: /a }, { path: /b, claims: { \"a.b\": \"1\" } } ] }
  - name: other
    configuration:
      rules:
        - path: /a
        # A comment.
        - path: /b
          scopes:
            - one
            - two
          claims:
            a: x
            a.b: y
      \"debug\": { secret: s }
";
        let file: Value = serde_saphyr::from_str(text).unwrap();
        let found = |plugin: usize, said: &str| {
            let mut path = vec![
                Step::Key("plugins".into()),
                Step::Item(plugin),
                Step::Key("configuration".into()),
            ];
            path.extend(named(said, &file["plugins"][plugin]["configuration"]));
            place(text, &path).map(|at| (at.line(), at.column()))
        };
        for (plugin, said, place) in [
            (0, "plugin configuration: rules[1].path: it is wrong", (3, 47)),
            (0, "rules[1].claims.a.b: no", (3, 67)),
            (0, "rules[0].pat: missing", (3, 31)),
            (1, "plugin configuration: rules[1].path: it is wrong", (9, 11)),
            (1, "rules[1].scopes[1]: it is empty", (12, 15)),
            (1, "bad: rules[1].claims.a.b: it is wrong", (15, 13)),
            (1, "rules[1].claims.a: it is wrong", (14, 13)),
            (1, "rules[1]: missing field `x`", (9, 11)),
            (1, "rules[7].path: there is none", (5, 5)),
            (1, "debug.secret: short", (16, 18)),
            (1, "debug: short", (16, 7)),
            // No key is named.
            (1, "something else", (5, 5)),
            (1, "rules are bad", (5, 5)),
            (1, "", (5, 5)),
        ] {
            assert_eq!(found(plugin, said), Some(place), "{said}");
        }
    }
}
