//! The two shapes of graph that Style-Bert-VITS2 exports, and the widths that
//! both have.

/// Which of the two shapes of graph a voice has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Family {
    /// Japanese only: 11 inputs, one feature.
    JpExtra,
    /// Chinese, Japanese, English: 13 inputs, three features.
    Multilingual,
}

/// Of a BERT feature: one row for each character.
pub const FEATURE_WIDTH: usize = 1024;
/// Of a style vector.
pub const STYLE_WIDTH: usize = 256;
