//! Calls plugins and obeys `on_failure`. What a plugin may answer is checked
//! in [`plugin`]; what follows from a failure is decided here.

use std::sync::Arc;

use plugin::CallError;

use crate::error::Error;
use crate::events;
use crate::spec::OnFailure;
use crate::trace::Trace;

/// One normalizer of a pipeline's chain.
#[derive(Clone)]
pub(crate) struct NormalizeStep {
    pub(crate) name: String,
    pub(crate) plugin: Arc<plugin::Normalizer>,
    pub(crate) on_failure: OnFailure,
}

/// The bucketing policy of a pipeline.
#[derive(Clone)]
pub(crate) struct BucketStep {
    pub(crate) name: String,
    pub(crate) plugin: Arc<plugin::Bucketer>,
    pub(crate) on_failure: OnFailure,
}

/// A text that has been through the chain, and where it comes from.
#[derive(Debug, Default)]
pub(crate) struct Normalized {
    pub(crate) text: String,
    /// What was left out, guessed or skipped, in places of the caller's text.
    pub(crate) warnings: Vec<String>,
}

/// Runs `text`, which begins `offset` characters into the caller's, through
/// the chain. Blocks for microseconds; call it on a blocking thread, since a
/// hostile plugin may use its whole deadline.
pub(crate) fn normalize(
    chain: &[NormalizeStep],
    language: &str,
    text: &str,
    offset: usize,
    lexicon: &Arc<dyn plugin::Lexicon>,
) -> Result<Normalized, Error> {
    let mut trace = Trace::new(text, offset);
    let part = (offset + 1, offset + text.chars().count());
    for step in chain {
        let answer = step
            .plugin
            .normalize_with(&trace.text, language, Arc::clone(lexicon));
        match answer {
            Ok(normalized) => trace.follow(normalized),
            // Not this plugin's language: the chain goes on.
            Err(CallError::Unsupported(_)) => {}
            Err(CallError::InvalidInput(reason)) => {
                let (first, last) = part;
                return Err(Error::Text(format!(
                    "plugin `{}` cannot take the text from character {first} to {last}: {reason}",
                    step.name
                )));
            }
            Err(cause) => match step.on_failure {
                OnFailure::Closed if costs_too_much(step, &cause, language) => {
                    let (first, last) = part;
                    return Err(Error::Text(format!(
                        "plugin `{}` cannot take the text from character {first} to {last}: {cause}; other or shorter words would do",
                        step.name
                    )));
                }
                OnFailure::Closed => {
                    return Err(Error::Plugin {
                        plugin: step.name.clone(),
                        cause: cause.to_string(),
                    });
                }
                OnFailure::Open | OnFailure::Builtin => {
                    events::policy_fallback(&step.name, "open", &cause);
                    let warning = format!("plugin `{}` was skipped: {cause}", step.name);
                    trace.warnings.push(warning);
                }
            },
        }
    }
    Ok(trace.finish())
}

/// Whether it is the text that costs more than a call may: a plugin that does
/// the same with a single letter is broken, whatever it is given.
fn costs_too_much(step: &NormalizeStep, cause: &CallError, language: &str) -> bool {
    let costs = matches!(
        cause,
        CallError::Trap(plugin::Trap::Fuel | plugin::Trap::Memory | plugin::Trap::Stack)
            | CallError::TooLong { .. }
    );
    costs && step.plugin.normalize("あ", language).is_ok()
}

/// What is padded, and the names policies know it by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Axis {
    /// Phonemes with blanks: the synthesis graph.
    Tokens,
    /// Characters with both end marks: the BERT graph.
    Bert,
}

impl Axis {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Tokens => "tokens",
            Self::Bert => "bert",
        }
    }
}

/// The longest axis any policy may answer with. Far beyond a sentence; it
/// keeps a wrong answer from becoming a huge tensor.
const LENGTH_MAX: u32 = 8_192;

/// The padded length for `length` positions: the policy's answer, or after a
/// failure the host's own rule.
pub(crate) fn choose(
    step: Option<&BucketStep>,
    allowed: &[u32],
    axis: Axis,
    length: usize,
) -> Result<usize, Error> {
    let len = u32::try_from(length)
        .ok()
        .filter(|len| *len <= LENGTH_MAX)
        .ok_or_else(|| {
            Error::Request(format!(
                "a sentence of {length} {} is too long: the most is {LENGTH_MAX}; split the text",
                axis.name()
            ))
        })?;
    let Some(step) = step else {
        return Ok(length);
    };
    let shape = plugin::Shape {
        batch: 1,
        axes: vec![plugin::Axis {
            name: axis.name().to_owned(),
            len,
            allowed: allowed.to_vec(),
            max: LENGTH_MAX,
        }],
    };
    match step.plugin.choose(&shape) {
        Ok(answer) => Ok(answer.first().map_or(length, |padded| *padded as usize)),
        Err(cause) => match step.on_failure {
            OnFailure::Closed => Err(Error::Plugin {
                plugin: step.name.clone(),
                cause: cause.to_string(),
            }),
            OnFailure::Open => {
                events::policy_fallback(&step.name, "open", &cause);
                Ok(length)
            }
            OnFailure::Builtin => {
                events::policy_fallback(&step.name, "builtin", &cause);
                Ok(next_fit(allowed, len) as usize)
            }
        },
    }
}

/// The built-in bucketing: the smallest allowed length that holds `len`, else
/// `len` itself. `allowed` is sorted.
fn next_fit(allowed: &[u32], len: u32) -> u32 {
    let next = allowed.partition_point(|bucket| *bucket < len);
    allowed.get(next).copied().unwrap_or(len)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_builtin_takes_the_smallest_bucket_that_holds_the_length() {
        let fit = |len| next_fit(&[32, 64, 128], len);
        assert_eq!(fit(1), 32);
        assert_eq!(fit(32), 32);
        assert_eq!(fit(33), 64);
        assert_eq!(fit(129), 129, "beyond the largest nothing is padded");
        assert_eq!(next_fit(&[], 7), 7);
    }
}
