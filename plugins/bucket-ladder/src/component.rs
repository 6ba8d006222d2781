//! The face to the host: settings, and one answer for each axis.

use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use exports::koemasu::policy::bucketing::{Axis, Guest as Bucketing, Shape};
use exports::koemasu::policy::plugin::Guest as Plugin;
use guest::config::{self, Value};
use koemasu::policy::types::{Descriptor, Diagnostic, PolicyError, Reuse};

use crate::ladder::{Ladder, BERT, BERT_RATIO, TOKENS, TOKENS_RATIO};

wit_bindgen::generate!({
    world: "bucketing-policy",
    path: "../../wit",
    with: {
        "koemasu:policy/log@1.0.0": guest::log,
        "koemasu:policy/config@1.0.0": guest::config,
    },
});

struct BucketLadder;

export!(BucketLadder);

const LENGTH_MAX: u32 = 8_192;

impl Plugin for BucketLadder {
    fn describe() -> Descriptor {
        Descriptor {
            name: "bucket-ladder".to_string(),
            version: env!("CARGO_PKG_VERSION").to_string(),
            deterministic: true,
            reuse: Reuse::Safe,
            config_schema: None,
        }
    }

    fn configure() -> Result<(), Vec<Diagnostic>> {
        let mut wrong = Vec::new();
        for axis in ["tokens", "bert"] {
            if let Err(message) = steps(axis) {
                wrong.push(Diagnostic {
                    path: axis.to_string(),
                    message,
                });
            }
            if let Err(message) = ratio(axis) {
                let path = format!("padding_ratio_max.{axis}");
                wrong.push(Diagnostic { path, message });
            }
        }
        for (path, message) in guest::unknown_settings(&["tokens", "bert", "padding_ratio_max"]) {
            wrong.push(Diagnostic { path, message });
        }
        if wrong.is_empty() {
            Ok(())
        } else {
            Err(wrong)
        }
    }
}

impl Bucketing for BucketLadder {
    fn choose(shape: Shape) -> Result<Vec<u32>, PolicyError> {
        shape.axes.iter().map(padded).collect()
    }
}

fn padded(axis: &Axis) -> Result<u32, PolicyError> {
    let own = steps(&axis.name).map_err(PolicyError::Failed)?;
    let ladder = Ladder {
        steps: if axis.allowed.is_empty() {
            &own
        } else {
            &axis.allowed
        },
        padding_ratio_max: ratio(&axis.name).map_err(PolicyError::Failed)?,
    };
    Ok(ladder.choose(axis.len, axis.max))
}

/// The configured steps of an axis, else the usual ones.
fn steps(axis: &str) -> Result<Vec<u32>, String> {
    let wrong = || format!("a list of lengths from 1 to {LENGTH_MAX}, ascending");
    let steps: Vec<u32> = match (config::get(axis), axis) {
        (None, "bert") => return Ok(BERT.to_vec()),
        (None, _) => return Ok(TOKENS.to_vec()),
        (Some(Value::Ints(steps)), _) => steps
            .into_iter()
            .map(|step| {
                u32::try_from(step)
                    .ok()
                    .filter(|step| (1..=LENGTH_MAX).contains(step))
            })
            .collect::<Option<_>>()
            .ok_or_else(wrong)?,
        (Some(_), _) => return Err(wrong()),
    };
    let ascends = steps.windows(2).all(|pair| pair[0] < pair[1]);
    if ascends {
        Ok(steps)
    } else {
        Err(wrong())
    }
}

fn ratio(axis: &str) -> Result<f64, String> {
    let ratio = match config::get(&format!("padding_ratio_max.{axis}")) {
        None if axis == "bert" => return Ok(BERT_RATIO),
        None => return Ok(TOKENS_RATIO),
        Some(Value::Num(ratio)) => ratio,
        Some(Value::Int(ratio)) => ratio as f64,
        Some(_) => 0.0,
    };
    if ratio >= 1.0 {
        Ok(ratio)
    } else {
        Err("a number from 1 on".to_string())
    }
}
