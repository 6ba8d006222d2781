//! The face to the host.

use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use exports::koemasu::policy::normalizer::{Guest as Normalizer, Output};
use exports::koemasu::policy::plugin::Guest as Plugin;
use koemasu::policy::types::{Descriptor, Diagnostic, PolicyError, Reuse};

use crate::normalize::normalize;

wit_bindgen::generate!({
    world: "text-normalizer",
    path: "../../wit",
    with: {
        "koemasu:policy/log@1.0.0": guest::log,
        "koemasu:policy/config@1.0.0": guest::config,
    },
});

struct NormalizeSbv2;

export!(NormalizeSbv2);

impl Plugin for NormalizeSbv2 {
    fn describe() -> Descriptor {
        Descriptor {
            name: "normalize-sbv2".to_string(),
            version: env!("CARGO_PKG_VERSION").to_string(),
            deterministic: true,
            reuse: Reuse::Safe,
            config_schema: None,
        }
    }

    fn configure() -> Result<(), Vec<Diagnostic>> {
        match guest::config::json().as_str() {
            "{}" => Ok(()),
            _ => Err(alloc::vec![Diagnostic {
                path: String::new(),
                message: "it has no settings: its rules are fixed".to_string(),
            }]),
        }
    }
}

impl Normalizer for NormalizeSbv2 {
    fn normalize(text: String, language: String) -> Result<Output, PolicyError> {
        let primary = language.split('-').next().unwrap_or_default();
        if !primary.eq_ignore_ascii_case("ja") {
            return Err(PolicyError::Unsupported(format!("language `{language}`")));
        }
        Ok(Output {
            text: normalize(&text),
            spans: Vec::new(),
        })
    }
}
