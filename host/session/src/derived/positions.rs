//! What relative positions are to one layer of a BERT: their normed table,
//! projected as keys or queries are. No text changes it, so it is made once
//! instead of in each run (arXiv 2006.03654, equation 4).

use std::io::{Error, Result};

use ndarray::{Array2, ArrayView1, Axis};

use super::Raw;

/// `LN(table) · weightᵀ + bias`, `[heads, rows of the table, head]`.
#[derive(Debug)]
pub(crate) struct Positions {
    /// `[rows, hidden]`
    pub(crate) table: Raw,
    /// Weight and bias of its norm, `[hidden]` each.
    pub(crate) norm: [Raw; 2],
    pub(crate) epsilon: f32,
    /// `[hidden, hidden]` and `[hidden]`.
    pub(crate) weight: Raw,
    pub(crate) bias: Raw,
    pub(crate) heads: usize,
}

impl Positions {
    pub(crate) fn bytes(&self) -> usize {
        4 * self.table.count()
    }

    pub(super) fn raws(&self) -> [&Raw; 5] {
        let [scale, shift] = &self.norm;
        [&self.table, scale, shift, &self.weight, &self.bias]
    }

    pub(super) fn make(&self) -> Result<Vec<u8>> {
        let matrix = |raw: &Raw| {
            let [rows, columns] = raw.shape()[..] else {
                return Err(unlike());
            };
            Array2::from_shape_vec((rows, columns), raw.all()?).map_err(|_| unlike())
        };
        let mut table = matrix(&self.table)?;
        let [scale, shift] = [self.norm[0].all()?, self.norm[1].all()?];
        let (scale, shift) = (ArrayView1::from(&scale), ArrayView1::from(&shift));
        for mut row in table.rows_mut() {
            let count = row.len() as f64;
            let mean = row.iter().map(|it| f64::from(*it)).sum::<f64>() / count;
            let squares = row.iter().map(|it| (f64::from(*it) - mean).powi(2));
            let deviation = (squares.sum::<f64>() / count + f64::from(self.epsilon)).sqrt();
            row.mapv_inplace(|it| ((f64::from(it) - mean) / deviation) as f32);
            row *= &scale;
            row += &shift;
        }
        let bias = self.bias.all()?;
        let mut projected = table.dot(&matrix(&self.weight)?.t());
        projected += &ArrayView1::from(&bias);
        // Columns of one head stand together.
        let head = projected.ncols() / self.heads;
        let mut bytes = Vec::with_capacity(self.bytes());
        for columns in projected.axis_chunks_iter(Axis(1), head) {
            for value in columns.iter() {
                bytes.extend(value.to_le_bytes());
            }
        }
        Ok(bytes)
    }
}

fn unlike() -> Error {
    Error::other("a tensor is not as long as its shape says")
}
