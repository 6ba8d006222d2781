//! Tries a plugin when it is loaded, so that what is wrong with it is found by
//! whoever configured it and not by a caller.

use crate::bucketer::{Axis, Bucketer, Shape};
use crate::error::{CallError, LoadError};
use crate::normalizer::Normalizer;

/// Texts that break careless code: nothing, one character, a family joined by
/// zero-width joiners, half-width kana with its mark apart, a bare mark.
const TEXTS: [&str; 5] = ["", "あ", "👨\u{200d}👩\u{200d}👧", "ｶﾞ1０", "\u{3099}"];

/// No language has this tag (BCP 47 reserves `qaa` for private use).
const NO_LANGUAGE: &str = "qaa";

pub(crate) fn normalizer(plugin: &Normalizer) -> Result<(), LoadError> {
    let failed = |what: String| Err(LoadError::SelfCheck(what));
    for text in TEXTS {
        let first = plugin.normalize(text, "ja");
        if let Err(error @ (CallError::Trap(_) | CallError::Answer(_) | CallError::Failed(_))) =
            &first
        {
            return failed(format!("for {text:?}: {error}"));
        }
        if plugin.identity().deterministic && plugin.normalize(text, "ja") != first {
            return failed(format!(
                "it says `deterministic`, but {text:?} gave two answers"
            ));
        }
    }
    match plugin.normalize("あ", NO_LANGUAGE) {
        Err(CallError::Unsupported(_)) => Ok(()),
        other => failed(format!(
            "for a language nobody speaks it must answer `unsupported`, not {other:?}"
        )),
    }
}

/// A ladder, and lengths below, on and above its steps.
const ALLOWED: [u32; 3] = [8, 64, 512];
const LENGTHS: [u32; 6] = [1, 8, 9, 64, 512, 2_000];

pub(crate) fn bucketer(plugin: &Bucketer) -> Result<(), LoadError> {
    let failed = |what: String| Err(LoadError::SelfCheck(what));
    for name in ["tokens", "bert"] {
        for len in LENGTHS {
            let shape = Shape {
                batch: 1,
                axes: vec![Axis {
                    name: name.to_owned(),
                    len,
                    allowed: ALLOWED.to_vec(),
                    max: 4_096,
                }],
            };
            let first = plugin.choose(&shape);
            if let Err(error) = &first {
                return failed(format!("for {len} {name}: {error}"));
            }
            if plugin.identity().deterministic && plugin.choose(&shape) != first {
                return failed(format!(
                    "it says `deterministic`, but {len} {name} gave two answers"
                ));
            }
        }
    }
    Ok(())
}
