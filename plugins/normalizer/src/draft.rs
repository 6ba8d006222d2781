//! A text under work. Every character remembers the stretch of the input it
//! stands for, so that the spans of the answer come by themselves.

use alloc::string::String;
use alloc::vec::Vec;
use core::ops::Range;

use crate::characters::fold;

/// The text as it is now.
#[derive(Clone, Debug)]
pub struct Draft {
    characters: Vec<char>,
    /// The same, wide forms of ASCII narrowed: what rules look at.
    folded: Vec<char>,
    from: Vec<Range<usize>>,
}

/// What a rule does with the characters from a place on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Edit {
    /// How many of them are replaced.
    pub length: usize,
    pub text: String,
}

impl Edit {
    pub fn new(length: usize, text: impl Into<String>) -> Self {
        Self {
            length,
            text: text.into(),
        }
    }
}

/// A stretch of the output and where it comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Span {
    pub out: Range<usize>,
    pub source: Range<usize>,
}

/// A place in a text, with what is around it.
#[derive(Clone, Copy, Debug)]
pub struct Place<'a> {
    pub text: &'a [char],
    pub at: usize,
}

impl<'a> Place<'a> {
    /// From here to the end.
    pub fn rest(&self) -> &'a [char] {
        &self.text[self.at..]
    }

    /// The character before this one.
    pub fn before(&self) -> Option<char> {
        self.at.checked_sub(1).map(|at| self.text[at])
    }

    /// The character `offset` after this one.
    pub fn next(&self, offset: usize) -> Option<char> {
        self.text.get(self.at + offset).copied()
    }

    /// The last character before this one that is no blank.
    pub fn before_blanks(&self) -> Option<char> {
        self.text[..self.at]
            .iter()
            .rev()
            .copied()
            .find(|c| !c.is_whitespace())
    }

    /// Whether the text stands here.
    pub fn starts(&self, text: &str) -> bool {
        starts(self.rest(), text)
    }

    /// Whether the text stands just before here.
    pub fn follows(&self, text: &str) -> bool {
        let length = text.chars().count();
        self.at >= length && starts(&self.text[self.at - length..], text)
    }
}

pub fn starts(text: &[char], prefix: &str) -> bool {
    let mut characters = text.iter();
    prefix.chars().all(|c| characters.next() == Some(&c))
}

/// As [`starts`], small letters and capitals alike.
pub fn starts_in_any_case(text: &[char], prefix: &str) -> bool {
    let mut characters = text.iter();
    prefix.chars().all(|c| {
        characters
            .next()
            .is_some_and(|other| other.eq_ignore_ascii_case(&c))
    })
}

/// The longest entry of a table whose key stands at the beginning.
pub fn longest<'a, T>(text: &[char], table: &'a [(&'a str, T)]) -> Option<(usize, &'a T)> {
    table
        .iter()
        .filter(|(key, _)| starts(text, key))
        .map(|(key, value)| (key.chars().count(), value))
        .max_by_key(|(length, _)| *length)
}

impl Draft {
    pub fn new(text: &str) -> Self {
        let characters: Vec<char> = text.chars().collect();
        Self {
            folded: characters.iter().copied().map(fold).collect(),
            from: (0..characters.len()).map(|at| at..at + 1).collect(),
            characters,
        }
    }

    /// Asks `rule` at every place from the left; where it answers, its text
    /// stands, and it is asked again after what it replaced.
    pub fn rewrite(&mut self, mut rule: impl FnMut(Place<'_>) -> Option<Edit>) {
        let mut next = Self {
            characters: Vec::with_capacity(self.characters.len()),
            folded: Vec::with_capacity(self.characters.len()),
            from: Vec::with_capacity(self.characters.len()),
        };
        let mut at = 0;
        while at < self.characters.len() {
            let place = Place {
                text: &self.folded,
                at,
            };
            match rule(place).filter(|edit| edit.length > 0) {
                Some(edit) => {
                    let end = (at + edit.length).min(self.characters.len());
                    let source = self.from[at].start..self.from[end - 1].end;
                    for c in edit.text.chars() {
                        next.push(c, source.clone());
                    }
                    at = end;
                }
                None => {
                    next.push(self.characters[at], self.from[at].clone());
                    at += 1;
                }
            }
        }
        *self = next;
    }

    /// Replaces these stretches, which ascend and do not overlap.
    pub fn replace(&mut self, edits: &[(Range<usize>, String)]) {
        let mut edits = edits.iter().peekable();
        self.rewrite(|place| {
            let (range, text) = edits.next_if(|(range, _)| range.start == place.at)?;
            Some(Edit::new(range.len(), text.as_str()))
        });
    }

    pub fn characters(&self) -> &[char] {
        &self.characters
    }

    pub fn folded(&self) -> &[char] {
        &self.folded
    }

    /// The stretch of the input that these characters stand for.
    pub fn source(&self, range: Range<usize>) -> Range<usize> {
        match (self.from.get(range.start), range.end.checked_sub(1)) {
            (Some(first), Some(last)) => {
                let last = self.from.get(last).unwrap_or(first);
                first.start..last.end.max(first.end)
            }
            _ => 0..0,
        }
    }

    pub fn text(&self) -> String {
        self.characters.iter().collect()
    }

    /// Runs of characters that stand for themselves, and each stretch that
    /// was rewritten.
    pub fn spans(&self) -> Vec<Span> {
        let mut spans: Vec<Span> = Vec::new();
        for (at, from) in self.from.iter().enumerate() {
            if let Some(last) = spans.last_mut() {
                let itself = last.out.len() == last.source.len();
                if last.source == *from {
                    last.out.end = at + 1;
                    continue;
                }
                if itself && from.len() == 1 && last.source.end == from.start {
                    last.out.end = at + 1;
                    last.source.end = from.end;
                    continue;
                }
            }
            spans.push(Span {
                out: at..at + 1,
                source: from.clone(),
            });
        }
        spans
    }

    fn push(&mut self, character: char, from: Range<usize>) {
        self.characters.push(character);
        self.folded.push(fold(character));
        self.from.push(from);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spans(draft: &Draft) -> Vec<(Range<usize>, Range<usize>)> {
        draft
            .spans()
            .into_iter()
            .map(|s| (s.out, s.source))
            .collect()
    }

    #[test]
    fn a_text_that_is_not_touched_is_one_span() {
        let draft = Draft::new("あいう");
        assert_eq!(spans(&draft), [(0..3, 0..3)]);
    }

    #[test]
    fn spans_stay_true_over_several_rewrites() {
        let mut draft = Draft::new("あ10い");
        draft.rewrite(|place| place.starts("10").then(|| Edit::new(2, "じゅう")));
        assert_eq!(draft.text(), "あじゅうい");
        assert_eq!(spans(&draft), [(0..1, 0..1), (1..4, 1..3), (4..5, 3..4)]);
        draft.rewrite(|place| place.starts("ゅう").then(|| Edit::new(2, "")));
        assert_eq!(draft.text(), "あじい");
        assert_eq!(spans(&draft), [(0..1, 0..1), (1..2, 1..3), (2..3, 3..4)]);
    }

    #[test]
    fn rules_see_wide_letters_as_narrow_and_leave_them_wide() {
        let mut draft = Draft::new("Ａ１ｂ");
        draft.rewrite(|place| place.starts("1").then(|| Edit::new(1, "一")));
        assert_eq!(draft.text(), "Ａ一ｂ");
    }
}
