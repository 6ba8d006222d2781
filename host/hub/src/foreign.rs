//! Words of others, made safe to print.

use std::fmt;

/// Characters of somebody else's words that are shown.
const SHOWN_MAX: usize = 200;

/// Words of a server's, of a file or of a command line, as they may be shown:
/// on one line, without characters that steer a terminal or turn the direction
/// of the text, and not too many.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Foreign(String);

impl Foreign {
    /// Takes the words as they are and keeps what can be shown of them.
    pub fn new(text: &str) -> Self {
        let mut shown: String = text.chars().take(SHOWN_MAX).map(tame).collect();
        if text.chars().nth(SHOWN_MAX).is_some() {
            shown.push('…');
        }
        Self(shown)
    }

    /// The words, safe to print.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Foreign {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Whether a character steers instead of being seen.
pub(crate) fn steers(character: char) -> bool {
    character.is_control()
        || matches!(
            character,
            '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}'
        )
}

fn tame(character: char) -> char {
    match steers(character) {
        true => char::REPLACEMENT_CHARACTER,
        false => character,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_steers_the_terminal_and_nothing_floods_it() {
        let cases = [
            ("春", "春"),
            ("a\x1b[31mb\r\n", "a\u{fffd}[31mb\u{fffd}\u{fffd}"),
            ("a\u{202e}gpj", "a\u{fffd}gpj"),
        ];
        for (text, shown) in cases {
            assert_eq!(Foreign::new(text).as_str(), shown);
        }
        let long = Foreign::new(&"x".repeat(5_000));
        assert_eq!(long.as_str().chars().count(), SHOWN_MAX + 1);
    }
}
