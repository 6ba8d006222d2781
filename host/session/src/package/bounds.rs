//! How much a package may say of itself. Each bound lies far beyond what any
//! editor writes, and is there so that a small file stays small in memory.

use std::collections::BTreeMap;
use std::fmt;
use std::marker::PhantomData;

use serde::Deserialize;
use serde::de::{Deserializer, Error, MapAccess, SeqAccess, Visitor};

use super::defect::{Fault, LongName};

/// Rows of style vectors, and names of styles.
pub(super) const STYLES_MAX: usize = 1_024;
pub(super) const SPEAKERS_MAX: usize = 4_096;
/// Every speaker has every style, each with its names.
pub(super) const PAIRS_MAX: usize = 1 << 16;
/// In bytes, of a name that is shown.
pub(super) const NAME_MAX: usize = 1_024;
/// `config.json`; Style-Bert-VITS2 writes 3 KB.
pub(super) const CONFIG_BYTES_MAX: usize = 1 << 20;
/// A manifest with its pictures and samples of speech.
pub(super) const MANIFEST_BYTES_MAX: usize = 256 << 20;
/// Of anything else that a manifest lists.
pub(super) const LIST_MAX: usize = 1_024;

/// A list of `MAX` items at most, or none.
pub(super) fn list<'de, D, T, const MAX: usize>(deserializer: D) -> Result<Option<Vec<T>>, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de>,
{
    let list: Option<List<T, MAX>> = Option::deserialize(deserializer)?;
    Ok(list.map(|list| list.0))
}

struct List<T, const MAX: usize>(Vec<T>);

impl<'de, T: Deserialize<'de>, const MAX: usize> Deserialize<'de> for List<T, MAX> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_seq(ListOf::<T, MAX>(PhantomData))
    }
}

struct ListOf<T, const MAX: usize>(PhantomData<T>);

impl<'de, T: Deserialize<'de>, const MAX: usize> Visitor<'de> for ListOf<T, MAX> {
    type Value = List<T, MAX>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a list of at most {MAX}")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Self::Value, A::Error> {
        let mut list = Vec::new();
        while let Some(item) = items.next_element()? {
            if list.len() == MAX {
                return Err(A::Error::custom(format!("a list of more than {MAX}")));
            }
            list.push(item);
        }
        Ok(List(list))
    }
}

/// Values by name, `MAX` at most; of a name that comes twice the last.
pub(super) fn names<'de, D, T, const MAX: usize>(
    deserializer: D,
) -> Result<BTreeMap<String, T>, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de>,
{
    deserializer.deserialize_map(NamesOf::<T, MAX>(PhantomData))
}

struct NamesOf<T, const MAX: usize>(PhantomData<T>);

impl<'de, T: Deserialize<'de>, const MAX: usize> Visitor<'de> for NamesOf<T, MAX> {
    type Value = BTreeMap<String, T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "at most {MAX} names")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut pairs: A) -> Result<Self::Value, A::Error> {
        let mut names = BTreeMap::new();
        while let Some((name, value)) = pairs.next_entry::<String, T>()? {
            short(&name).map_err(A::Error::custom)?;
            names.insert(name, value);
            if names.len() > MAX {
                return Err(A::Error::custom(format!("more than {MAX} names")));
            }
        }
        Ok(names)
    }
}

/// Rows of numbers, laid one after the other: each `width` long, `MAX` at most.
pub(super) struct Rows<const WIDTH: usize, const MAX: usize>(pub(super) Vec<f32>);

impl<'de, const WIDTH: usize, const MAX: usize> Deserialize<'de> for Rows<WIDTH, MAX> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_seq(RowsOf::<WIDTH, MAX>)
    }
}

struct RowsOf<const WIDTH: usize, const MAX: usize>;

impl<'de, const WIDTH: usize, const MAX: usize> Visitor<'de> for RowsOf<WIDTH, MAX> {
    type Value = Rows<WIDTH, MAX>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "at most {MAX} rows of {WIDTH} numbers")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut rows: A) -> Result<Self::Value, A::Error> {
        let mut data = Vec::new();
        while let Some(row) = rows.next_element::<List<f32, WIDTH>>()? {
            if row.0.len() != WIDTH {
                let said = format!("a row of {} numbers, expected {WIDTH}", row.0.len());
                return Err(A::Error::custom(said));
            }
            if data.len() == MAX * WIDTH {
                return Err(A::Error::custom(format!("more than {MAX} rows")));
            }
            data.extend(row.0);
        }
        Ok(Rows(data))
    }
}

/// Whether a name is one that can be shown.
pub(super) fn short(name: &str) -> Result<(), LongName> {
    match name.len() <= NAME_MAX {
        true => Ok(()),
        false => Err(LongName {
            bytes: name.len(),
            most: NAME_MAX,
        }),
    }
}

/// Bytes of a part that are not too many.
pub(super) fn sized(bytes: &[u8], most: usize) -> Result<&[u8], Fault> {
    match bytes.len() <= most {
        true => Ok(bytes),
        false => Err(Fault::Large {
            bytes: bytes.len(),
            most,
        }),
    }
}
