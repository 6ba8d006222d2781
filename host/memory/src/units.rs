//! Quantities as people write them in TOML: `"512MiB"`, `"250ms"`.
//!
//! A bare number is refused: nobody should have to guess its unit.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use serde::de::{self, Deserialize, Deserializer, Visitor};
use serde::ser::{Serialize, Serializer};

/// A number of bytes, written `"1500MB"`, `"12GiB"` or `"64KiB"`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Bytes(pub u64);

/// A span of time, written `"250ms"`, `"10s"`, `"5min"` or `"1h"`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Span(pub Duration);

const BYTE_UNITS: &[(&str, u64)] = &[
    ("KiB", 1 << 10),
    ("MiB", 1 << 20),
    ("GiB", 1 << 30),
    ("kB", 1_000),
    ("MB", 1_000_000),
    ("GB", 1_000_000_000),
    ("B", 1),
];

const TIME_UNITS: &[(&str, f64)] = &[
    ("ms", 1e-3),
    ("us", 1e-6),
    ("min", 60.0),
    ("s", 1.0),
    ("h", 3600.0),
];

impl Bytes {
    /// So many times 1,048,576 bytes.
    pub const fn mebibytes(count: u64) -> Self {
        Self(count << 20)
    }

    /// None for a text without a number and a unit, or with one that is not
    /// known; fractions such as `1.5GiB` are allowed.
    pub fn parse(text: &str) -> Option<Self> {
        let (number, unit) = split(text)?;
        let (_, scale) = BYTE_UNITS.iter().find(|(name, _)| *name == unit)?;
        let bytes = number * *scale as f64;
        (bytes.is_finite() && bytes >= 0.0 && bytes < 2f64.powi(53)).then_some(Self(bytes as u64))
    }
}

impl Span {
    /// For constants and defaults; configuration is read by
    /// [`parse`](Self::parse).
    pub const fn seconds(count: u64) -> Self {
        Self(Duration::from_secs(count))
    }

    /// For constants and defaults; configuration is read by
    /// [`parse`](Self::parse).
    pub const fn millis(count: u64) -> Self {
        Self(Duration::from_millis(count))
    }

    /// None for a text without a number and a unit, or with one that is not
    /// known; fractions such as `0.5s` are allowed.
    pub fn parse(text: &str) -> Option<Self> {
        let (number, unit) = split(text)?;
        let (_, scale) = TIME_UNITS.iter().find(|(name, _)| *name == unit)?;
        Duration::try_from_secs_f64(number * scale).ok().map(Self)
    }
}

/// A text that is no quantity. Whoever wrote it can act.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotAQuantity {
    /// The text should have been a number of bytes.
    #[error("bytes have their unit, such as 2GiB")]
    Bytes,
    /// The text should have been a time.
    #[error("a time has its unit, such as 250ms")]
    Span,
}

impl FromStr for Bytes {
    type Err = NotAQuantity;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::parse(text).ok_or(NotAQuantity::Bytes)
    }
}

impl FromStr for Span {
    type Err = NotAQuantity;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::parse(text).ok_or(NotAQuantity::Span)
    }
}

/// `"1.5 GiB"` → `(1.5, "GiB")`.
fn split(text: &str) -> Option<(f64, &str)> {
    let text = text.trim();
    let end = text.find(|c: char| !(c.is_ascii_digit() || c == '.'))?;
    let (number, unit) = text.split_at(end);
    Some((number.parse().ok()?, unit.trim_start()))
}

impl fmt::Display for Bytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (unit, scale) = match self.0 {
            n if n >= 1 << 30 => ("GiB", 1u64 << 30),
            n if n >= 1 << 20 => ("MiB", 1 << 20),
            n if n >= 1 << 10 => ("KiB", 1 << 10),
            _ => ("B", 1),
        };
        if self.0.is_multiple_of(scale) {
            write!(f, "{}{unit}", self.0 / scale)
        } else {
            write!(f, "{:.1}{unit}", self.0 as f64 / scale as f64)
        }
    }
}

/// As it would be written, exactly: what is read back is the same.
impl Serialize for Bytes {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let units = [("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10)];
        let fits = |scale: &u64| self.0 >= *scale && self.0.is_multiple_of(*scale);
        let (unit, scale) = units
            .into_iter()
            .find(|(_, scale)| fits(scale))
            .unwrap_or(("B", 1));
        serializer.collect_str(&format_args!("{}{unit}", self.0 / scale))
    }
}

impl Serialize for Span {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let micros = self.0.as_micros();
        match micros {
            n if n.is_multiple_of(1_000_000) => {
                serializer.collect_str(&format_args!("{}s", n / 1_000_000))
            }
            n if n.is_multiple_of(1_000) => {
                serializer.collect_str(&format_args!("{}ms", n / 1_000))
            }
            n => serializer.collect_str(&format_args!("{n}us")),
        }
    }
}

pub(crate) struct Quantity<T> {
    pub(crate) expected: &'static str,
    pub(crate) parse: fn(&str) -> Option<T>,
}

impl<T> Visitor<'_> for Quantity<T> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.expected)
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<T, E> {
        (self.parse)(text).ok_or_else(|| E::invalid_value(de::Unexpected::Str(text), &self))
    }
}

impl<'de> Deserialize<'de> for Bytes {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_str(Quantity {
            expected: "bytes with their unit, such as \"512MiB\"",
            parse: Bytes::parse,
        })
    }
}

impl<'de> Deserialize<'de> for Span {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_str(Quantity {
            expected: "a time with its unit, such as \"250ms\" or \"10s\"",
            parse: Span::parse,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantities_carry_their_unit() {
        let bytes = |text| Bytes::parse(text).map(|Bytes(n)| n);
        assert_eq!(bytes("512MiB"), Some(512 << 20));
        assert_eq!(bytes("1.5 GiB"), Some(3 << 29));
        assert_eq!(bytes("10MB"), Some(10_000_000));
        assert_eq!(bytes("10"), None);
        assert_eq!(bytes("ten MiB"), None);
        assert_eq!(bytes("-1MiB"), None);

        let millis = |text| Span::parse(text).map(|Span(t)| t.as_millis());
        assert_eq!(millis("250ms"), Some(250));
        assert_eq!(millis("1.5s"), Some(1500));
        assert_eq!(millis("5min"), Some(300_000));
        assert_eq!(millis("5"), None);
    }

    #[test]
    fn a_number_without_unit_is_refused_with_an_example() {
        #[derive(serde::Deserialize, Debug)]
        #[expect(dead_code, reason = "only the error matters")]
        struct Table {
            wait: Span,
        }
        let error = toml::from_str::<Table>("wait = 5").expect_err("no unit");
        assert!(error.to_string().contains("such as \"250ms\""), "{error}");
    }

    #[test]
    fn what_is_written_back_reads_the_same() {
        for bytes in [0, 1, 1_500_000, 64 << 20, 3 << 30, (1 << 30) + 1] {
            let written = serde_json::to_string(&Bytes(bytes)).expect("a string");
            assert_eq!(
                serde_json::from_str::<Bytes>(&written).ok(),
                Some(Bytes(bytes))
            );
        }
        for micros in [0, 1, 1_500, 250_000, 3_600_000_000] {
            let span = Span(Duration::from_micros(micros));
            let written = serde_json::to_string(&span).expect("a string");
            assert_eq!(serde_json::from_str::<Span>(&written).ok(), Some(span));
        }
    }

    #[test]
    fn bytes_print_as_they_are_written() {
        assert_eq!(Bytes(64 << 20).to_string(), "64MiB");
        assert_eq!(Bytes(1_500_000).to_string(), "1.4MiB");
    }
}
