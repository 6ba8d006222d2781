//! What a plugin may answer. First-party or foreign, every answer comes
//! through here.

use crate::bucketer::Shape;
use crate::error::CallError;
use crate::evictor::{Proposal, Snapshot};
use crate::normalizer::Normalized;

pub(crate) fn check_normalized(
    source: &str,
    answer: &Normalized,
    bytes_max: usize,
) -> Result<(), CallError> {
    let wrong = |what: String| Err(CallError::Answer(what));
    if answer.text.len() > bytes_max {
        return Err(CallError::TooLong {
            bytes: answer.text.len(),
            input: source.len(),
            most: bytes_max,
        });
    }
    // Those of the caller's text may pass: a later plugin drops them, or the
    // caller is told.
    let own = |c: &char| c.is_control() && *c != '\n' && !source.contains(*c);
    if let Some(control) = answer.text.chars().find(own) {
        return wrong(format!("it holds the control character {control:?}"));
    }
    let (written, read) = (
        source.chars().count() as u64,
        answer.text.chars().count() as u64,
    );
    let mut end = 0;
    for span in &answer.spans {
        let ascends = end <= span.start && span.start <= span.end;
        let within = u64::from(span.end) <= read
            && span.source_start <= span.source_end
            && u64::from(span.source_end) <= written;
        if !(ascends && within) {
            return wrong(format!(
                "the span {span:?} does not ascend or leaves the text"
            ));
        }
        end = span.end;
    }
    Ok(())
}

pub(crate) fn check_lengths(shape: &Shape, answer: &[u32]) -> Result<(), CallError> {
    let wrong = |what: String| Err(CallError::Answer(what));
    if answer.len() != shape.axes.len() {
        return wrong(format!(
            "{} lengths for {} axes",
            answer.len(),
            shape.axes.len()
        ));
    }
    for (axis, length) in shape.axes.iter().zip(answer) {
        if *length < axis.len || *length > axis.max {
            return wrong(format!(
                "`{}` is {length}, which is not between its length {} and {}",
                axis.name, axis.len, axis.max
            ));
        }
        if *length != axis.len && !axis.allowed.is_empty() && !axis.allowed.contains(length) {
            return wrong(format!(
                "`{}` is {length}, which is not one of {:?}",
                axis.name, axis.allowed
            ));
        }
    }
    Ok(())
}

/// Proposals are cheap to make and not to check: more than there are voices
/// means nothing.
const ACTIONS_MAX: usize = 256;

/// What can be told without knowing memory: whether this answers the question.
pub(crate) fn check_proposal(snapshot: &Snapshot, answer: &Proposal) -> Result<(), CallError> {
    let wrong = |what: String| Err(CallError::Answer(what));
    if answer.actions.len() > ACTIONS_MAX {
        return wrong(format!(
            "{} actions; the most is {ACTIONS_MAX}",
            answer.actions.len()
        ));
    }
    if answer.revision != snapshot.revision {
        return wrong(format!(
            "it answers revision {}, asked was {}",
            answer.revision, snapshot.revision
        ));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bucketer::Axis;
    use crate::normalizer::Span;

    fn lengths(len: u32, allowed: &[u32], answer: &[u32]) -> bool {
        let axis = Axis {
            name: "tokens".to_owned(),
            len,
            allowed: allowed.to_vec(),
            max: 100,
        };
        let shape = Shape {
            batch: 1,
            axes: vec![axis],
        };
        check_lengths(&shape, answer).is_ok()
    }

    #[test]
    fn a_length_holds_the_text_and_is_allowed() {
        assert!(lengths(5, &[], &[9]));
        assert!(lengths(5, &[8, 16], &[8]));
        assert!(lengths(5, &[8, 16], &[5]), "no padding is always fine");
        assert!(!lengths(5, &[8, 16], &[9]), "not allowed");
        assert!(!lengths(5, &[], &[4]), "too short");
        assert!(!lengths(5, &[], &[101]), "too long");
        assert!(!lengths(5, &[], &[]), "an axis without an answer");
    }

    fn spans(pairs: &[(u32, u32, u32, u32)]) -> bool {
        let spans = pairs
            .iter()
            .map(|&(start, end, source_start, source_end)| Span {
                start,
                end,
                source_start,
                source_end,
            });
        let answer = Normalized {
            text: "あいう".to_owned(),
            spans: spans.collect(),
            guesses: Vec::new(),
        };
        check_normalized("ab", &answer, 100).is_ok()
    }

    #[test]
    fn spans_ascend_and_stay_within_the_texts() {
        assert!(spans(&[]));
        assert!(spans(&[(0, 1, 0, 1), (1, 3, 0, 2)]));
        assert!(!spans(&[(0, 2, 0, 1), (1, 3, 1, 2)]), "overlap");
        assert!(!spans(&[(0, 4, 0, 1)]), "past the output");
        assert!(!spans(&[(0, 1, 0, 3)]), "past the source");
        assert!(!spans(&[(1, 0, 0, 1)]), "backwards");
    }
}
