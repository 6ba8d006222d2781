//! Where each character of a text comes from, over a whole chain of plugins,
//! and so what was lost and what was guessed on the way.

use std::ops::Range;

use crate::policy::Normalized;

/// A text between two plugins.
pub(crate) struct Trace {
    pub(crate) text: String,
    /// The stretch of the source behind each character.
    from: Vec<Range<usize>>,
    source: Vec<char>,
    /// Characters of the caller's text before the source.
    offset: usize,
    pub(crate) warnings: Vec<String>,
}

impl Trace {
    pub(crate) fn new(text: &str, offset: usize) -> Self {
        let source: Vec<char> = text.chars().collect();
        Self {
            text: text.to_owned(),
            from: (0..source.len()).map(|at| at..at + 1).collect(),
            source,
            offset,
            warnings: Vec::new(),
        }
    }

    /// Goes on to a plugin's answer. One without spans says nothing of what
    /// became of what: unchanged texts keep their places, others stand for all
    /// of what was before.
    pub(crate) fn follow(&mut self, answer: plugin::Normalized) {
        for guess in &answer.guesses {
            let at = self.behind(guess.start as usize..guess.end as usize);
            let written: String = self.source[at.clone()].iter().collect();
            self.warnings.push(format!(
                "`{written}` at character {} is guessed as `{}`",
                self.offset + at.start + 1,
                guess.reading
            ));
        }
        if answer.spans.is_empty() {
            if answer.text != self.text {
                let all = self.behind(0..self.from.len());
                self.from = answer.text.chars().map(|_| all.clone()).collect();
            }
        } else {
            let count = answer.text.chars().count();
            let mut from = vec![0..0; count];
            for span in &answer.spans {
                let (start, end) = (span.start as usize, span.end as usize);
                let (first, last) = (span.source_start as usize, span.source_end as usize);
                let end = end.min(count);
                let whole = self.behind(first..last);
                // Stretches of one length go character by character.
                let each = span.end - span.start == span.source_end - span.source_start;
                let places = from.get_mut(start..end).unwrap_or_default();
                for (at, place) in places.iter_mut().enumerate() {
                    *place = match each {
                        true => self.behind(first + at..first + at + 1),
                        false => whole.clone(),
                    };
                }
            }
            self.from = from;
        }
        self.text = answer.text;
    }

    /// The stretch of the source behind these characters.
    fn behind(&self, range: Range<usize>) -> Range<usize> {
        let parts = self.from.get(range).unwrap_or_default();
        let start = parts.iter().map(|part| part.start).min();
        let end = parts.iter().map(|part| part.end).max();
        start.unwrap_or_default()..end.unwrap_or_default()
    }

    /// The text, and a warning for each stretch of which nothing is left.
    /// Blanks and marks without width are no loss.
    pub(crate) fn finish(mut self) -> Normalized {
        let mut kept = vec![false; self.source.len()];
        for part in &self.from {
            kept[part.clone()].fill(true);
        }
        let lost = |at: usize| !kept[at] && !is_nothing(self.source[at]);
        let mut at = 0;
        while at < kept.len() {
            if !lost(at) {
                at += 1;
                continue;
            }
            let start = at;
            while at < kept.len() && !kept[at] {
                at += 1;
            }
            let written: String = self.source[start..at].iter().collect();
            self.warnings.push(format!(
                "`{}` at character {} is not read",
                written.trim(),
                self.offset + start + 1
            ));
        }
        Normalized {
            text: self.text,
            warnings: self.warnings,
        }
    }
}

fn is_nothing(c: char) -> bool {
    c.is_whitespace()
        || c.is_control()
        || matches!(c, '\u{200b}'..='\u{200f}' | '\u{fe00}'..='\u{fe0f}' | '\u{feff}' | '\u{e0100}'..='\u{e01ef}')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(text: &str, spans: &[(u32, u32, u32, u32)]) -> plugin::Normalized {
        let span = |&(start, end, source_start, source_end): &(u32, u32, u32, u32)| plugin::Span {
            start,
            end,
            source_start,
            source_end,
        };
        plugin::Normalized {
            text: text.to_owned(),
            spans: spans.iter().map(span).collect(),
            guesses: Vec::new(),
        }
    }

    #[test]
    fn what_is_lost_is_told_with_its_place_in_the_callers_text() {
        let mut trace = Trace::new("あ😀い。", 10);
        trace.follow(answer("あい。", &[(0, 1, 0, 1), (1, 3, 2, 4)]));
        trace.follow(answer("アイ.", &[(0, 3, 0, 3)]));
        let done = trace.finish();
        assert_eq!(done.text, "アイ.");
        assert_eq!(done.warnings, ["`😀` at character 12 is not read"]);
    }

    #[test]
    fn guesses_are_told_as_they_were_written() {
        let mut trace = Trace::new("あfoo", 0);
        trace.follow(answer("あ foo", &[(0, 1, 0, 1), (2, 5, 1, 4)]));
        let mut guessed = answer("あフー", &[(0, 1, 0, 1), (1, 3, 2, 5)]);
        guessed.guesses.push(plugin::Guess {
            start: 2,
            end: 5,
            reading: "フー".to_owned(),
        });
        trace.follow(guessed);
        let warnings = trace.finish().warnings;
        assert_eq!(warnings, ["`foo` at character 2 is guessed as `フー`"]);
    }
}
