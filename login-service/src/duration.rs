//! Lengths of time as they stand in the configuration.

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::Deserialize;

/// A whole number and `s`, `m`, `h` or `d`: `30d`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct Duration {
    /// The length in seconds.
    pub seconds: i64,
}

impl Duration {
    /// So many days.
    pub const fn days(days: i64) -> Self {
        Self { seconds: days * 86_400 }
    }
}

impl TryFrom<String> for Duration {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let split = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
        let (number, unit) = text.split_at(split);
        let scale = match unit {
            "s" => Some(1),
            "m" => Some(60),
            "h" => Some(3_600),
            "d" => Some(86_400),
            _ => None,
        };
        number
            .parse::<i64>()
            .ok()
            .zip(scale)
            .and_then(|(number, scale)| number.checked_mul(scale))
            .map(|seconds| Self { seconds })
            .ok_or_else(|| {
                format!("`{text}` is not a length of time; write a whole number and s, m, h or d, as in `30d`")
            })
    }
}

impl JsonSchema for Duration {
    fn schema_name() -> Cow<'static, str> {
        "Duration".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "pattern": "^[0-9]+[smhd]$", "examples": ["30d"] })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_each_unit() {
        for (text, seconds) in [("45s", 45), ("2m", 120), ("1h", 3_600), ("30d", 2_592_000)] {
            assert_eq!(Duration::try_from(text.to_owned()), Ok(Duration { seconds }), "{text}");
        }
    }

    #[test]
    fn refuses_what_it_would_have_to_guess() {
        for text in ["", "30", "d", "1.5h", "-1d", "1w", "9223372036854775807d"] {
            assert!(Duration::try_from(text.to_owned()).is_err(), "{text}");
        }
    }
}
