//! The text normalization of Style-Bert-VITS2 2.5 for Japanese, as a policy
//! component. Written from its behaviour; see README.md.

#![cfg_attr(target_arch = "wasm32", no_std)]

extern crate alloc;

pub mod normalize;
pub mod numerals;

use normalizer::draft::Draft;
use normalizer::policy::{Host, Policy};
use normalizer::settings::{Setting, Values};

pub struct Sbv2;

#[cfg(target_arch = "wasm32")]
normalizer::component!(crate::Sbv2);

impl Policy for Sbv2 {
    const NAME: &'static str = "normalize-sbv2";
    const SETTINGS: &'static [Setting] = &[];

    fn normalize(draft: &mut Draft, _: &Values, _: &dyn Host) {
        normalize::rewrite(draft);
    }
}
