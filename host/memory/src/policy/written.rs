//! Amounts and tables as TOML and JSON have them.

use std::collections::BTreeMap;
use std::fmt;

use serde::de::{self, Deserializer, MapAccess, Visitor};
use serde::{Deserialize, Serialize, Serializer};

use super::{Amount, NoPlugin};
use crate::units::{Bytes, Quantity};

impl Amount {
    /// None is `"auto"`: the caller has to measure.
    pub const fn bytes(self) -> Option<u64> {
        match self {
            Self::Auto => None,
            Self::Of(Bytes(bytes)) => Some(bytes),
        }
    }

    fn parse(text: &str) -> Option<Self> {
        if text == "auto" {
            return Some(Self::Auto);
        }
        Bytes::parse(text).map(Self::Of)
    }
}

impl fmt::Display for Amount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Auto => f.write_str("auto"),
            Self::Of(bytes) => bytes.fmt(f),
        }
    }
}

impl<'de> Deserialize<'de> for Amount {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_str(Quantity {
            expected: "\"auto\", or bytes with their unit, such as \"6GiB\"",
            parse: Self::parse,
        })
    }
}

impl Serialize for Amount {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Auto => serializer.serialize_str("auto"),
            Self::Of(bytes) => bytes.serialize(serializer),
        }
    }
}

/// TOML's keys are text; ours are numbers of tokens.
pub(super) fn by_tokens<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<BTreeMap<u32, Bytes>, D::Error> {
    struct ByTokens;

    impl<'de> Visitor<'de> for ByTokens {
        type Value = BTreeMap<u32, Bytes>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("a table from tokens to bytes, such as { 256 = \"80MiB\" }")
        }

        fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
            let mut table = BTreeMap::new();
            while let Some((key, bytes)) = map.next_entry::<String, Bytes>()? {
                let tokens = key.parse().map_err(|_| {
                    de::Error::custom(format!(
                        "`{key}` is no number of tokens; right is {{ 256 = \"80MiB\" }}"
                    ))
                })?;
                table.insert(tokens, bytes);
            }
            Ok(table)
        }
    }

    deserializer.deserialize_map(ByTokens)
}

impl<'de> Deserialize<'de> for NoPlugin {
    fn deserialize<D: Deserializer<'de>>(_: D) -> Result<Self, D::Error> {
        Err(de::Error::custom("no plugin can be named here"))
    }
}

impl Serialize for NoPlugin {
    fn serialize<S: Serializer>(&self, _: S) -> Result<S::Ok, S::Error> {
        match *self {}
    }
}
