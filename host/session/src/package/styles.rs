//! Style vectors and their names.

use std::collections::BTreeMap;

use super::bounds::{STYLES_MAX, sized};
use super::defect::{Defect, of_part};
use super::npy;
use crate::family::STYLE_WIDTH;

/// Rows of 256 numbers; row 0 is the mean of the voice.
#[derive(Clone, Debug)]
pub(super) struct Vectors {
    rows: Vec<Vec<f32>>,
}

impl Vectors {
    /// `data` is `rows × 256`, row by row.
    pub(super) fn new(rows: usize, width: usize, data: &[f32]) -> Result<Self, Defect> {
        if width != STYLE_WIDTH || rows == 0 || rows.checked_mul(width) != Some(data.len()) {
            return Err(Defect::VectorShape {
                rows,
                width,
                expected: STYLE_WIDTH,
            });
        }
        if rows > STYLES_MAX {
            return Err(Defect::VectorRows {
                rows,
                most: STYLES_MAX,
            });
        }
        if data.iter().any(|value| !value.is_finite()) {
            return Err(Defect::VectorValues);
        }
        let rows = data.chunks_exact(width).map(<[f32]>::to_vec).collect();
        Ok(Self { rows })
    }

    pub(super) fn count(&self) -> usize {
        self.rows.len()
    }

    /// As NumPy writes them, version 1.0.
    pub(super) fn to_npy(&self) -> Vec<u8> {
        let shape = format!("({}, {STYLE_WIDTH})", self.rows.len());
        let mut header =
            format!("{{'descr': '<f4', 'fortran_order': False, 'shape': {shape}, }}").into_bytes();
        // Numbers begin at a multiple of 64.
        header.resize((header.len() + 11).next_multiple_of(64) - 11, b' ');
        header.push(b'\n');
        let mut npy = b"\x93NUMPY\x01\x00".to_vec();
        npy.extend((header.len() as u16).to_le_bytes());
        npy.extend(header);
        npy.extend(self.rows.iter().flatten().flat_map(|it| it.to_le_bytes()));
        npy
    }

    /// One row of those there are; there is always the first.
    pub(super) fn row(&self, number: usize) -> &[f32] {
        self.rows.get(number).map_or(&[], Vec::as_slice)
    }

    /// The .npy format of numpy.
    pub(super) fn from_npy(npy: &[u8]) -> Result<Self, Defect> {
        let read = sized(npy, npy::BYTES_MAX).and_then(|npy| Ok(npy::read(npy)?));
        let matrix = read.map_err(of_part("its style vectors"))?;
        Self::new(matrix.rows, matrix.width, &matrix.data)
    }
}

/// Style names and the vectors they stand for.
#[derive(Clone, Debug)]
pub struct Styles {
    /// By row. Ids may have gaps: editors remove styles and keep the others'.
    names: Vec<(String, usize)>,
    vectors: Vectors,
}

impl Styles {
    pub(super) fn named(ids: &BTreeMap<String, usize>, vectors: Vectors) -> Result<Self, Defect> {
        let mut names: Vec<_> = ids.clone().into_iter().collect();
        names.sort_by_key(|(_, row)| *row);
        let rows = vectors.rows.len();
        match names.last() {
            None => Err(Defect::NamesNo("style")),
            Some((name, row)) if *row >= rows => Err(Defect::StyleRow {
                name: name.clone(),
                row: *row,
                rows,
            }),
            Some(_) => Ok(Self { names, vectors }),
        }
    }

    /// Where a package has no names, a style's number is its name.
    pub(super) fn numbered(vectors: Vectors) -> Self {
        let names = (0..vectors.rows.len()).map(|row| (row.to_string(), row));
        Self {
            names: names.collect(),
            vectors,
        }
    }

    pub(super) fn names(&self) -> impl Iterator<Item = &str> {
        self.names.iter().map(|(name, _)| name.as_str())
    }

    /// Names with the numbers of their rows.
    pub(super) fn rows(&self) -> impl Iterator<Item = (&str, u32)> {
        let names = self.names.iter();
        names.filter_map(|(name, row)| Some((name.as_str(), u32::try_from(*row).ok()?)))
    }

    pub(super) fn vector(&self, name: Option<&str>, weight: f32) -> Option<Vec<f32>> {
        let row = match name {
            None => self.names.first()?.1,
            Some(name) => self.names.iter().find(|(known, _)| known == name)?.1,
        };
        let (mean, style) = (self.vectors.rows.first()?, self.vectors.rows.get(row)?);
        let blend = |(mean, style): (&f32, &f32)| mean + (style - mean) * weight;
        Some(mean.iter().zip(style).map(blend).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn three() -> Vectors {
        let data: Vec<f32> = (0..3)
            .flat_map(|row| std::iter::repeat_n(row as f32, STYLE_WIDTH))
            .collect();
        Vectors::new(3, STYLE_WIDTH, &data).expect("good vectors")
    }

    fn ids(pairs: &[(&str, usize)]) -> BTreeMap<String, usize> {
        pairs
            .iter()
            .map(|(name, row)| ((*name).to_owned(), *row))
            .collect()
    }

    #[test]
    fn a_style_is_the_mean_plus_its_weighted_difference() {
        let styles = Styles::named(&ids(&[("Neutral", 0), ("Happy", 2)]), three()).expect("styles");
        let first = |name, weight| styles.vector(name, weight).map(|vector| vector[0]);
        assert_eq!(first(None, 5.0), Some(0.0), "the mean has no direction");
        assert_eq!(first(Some("Happy"), 1.0), Some(2.0));
        assert_eq!(first(Some("Happy"), 0.5), Some(1.0));
        assert_eq!(first(Some("Happy"), -1.0), Some(-2.0));
        assert_eq!(first(Some("Sad"), 1.0), None);
    }

    #[test]
    fn gaps_are_fine_and_rows_that_are_not_there_are_not() {
        assert!(Styles::named(&ids(&[("Neutral", 0), ("Happy", 2)]), three()).is_ok());
        let error = Styles::named(&ids(&[("Happy", 3)]), three()).expect_err("no such row");
        assert_eq!(
            error.to_string(),
            "its style `Happy` is row 3, but there are 3 style vectors"
        );
    }

    #[test]
    fn a_shape_that_overflows_is_an_error() {
        let error = Vectors::new(1 << 56, STYLE_WIDTH, &[]).expect_err("no data");
        assert_eq!(
            error.to_string(),
            "its style vectors are 72057594037927936 × 256, expected any number × 256"
        );
    }
}
