//! Lines for people and for what collects logs: whatever is said in one, only
//! we end it and only we colour it.
//!
//! Names, paths, texts and what others report of them come from outside. What
//! a terminal or a reader would obey instead of showing is written as an escape
//! that is the same in text and in JSON. Nothing else in this crate prints.

use std::fmt::{self, Display, Write as _};
use std::io::{self, IsTerminal, Write};

/// Shown so that nothing in it ends a line, moves a cursor or turns what
/// stands around it.
pub struct Shown<T>(pub T);

impl<T: Display> Display for Shown<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(Escaping(f), "{}", self.0)
    }
}

struct Escaping<'a, 'f>(&'a mut fmt::Formatter<'f>);

impl fmt::Write for Escaping<'_, '_> {
    fn write_str(&mut self, mut text: &str) -> fmt::Result {
        while let Some(place) = text.find(is_obeyed) {
            self.0.write_str(&text[..place])?;
            let mut rest = text[place..].chars();
            rest.next().map_or(Ok(()), |obeyed| self.escape(obeyed))?;
            text = rest.as_str();
        }
        self.0.write_str(text)
    }
}

impl Escaping<'_, '_> {
    fn escape(&mut self, obeyed: char) -> fmt::Result {
        match obeyed {
            '\n' => self.0.write_str("\\n"),
            '\r' => self.0.write_str("\\r"),
            '\t' => self.0.write_str("\\t"),
            // All of them have four digits at the most.
            other => write!(self.0, "\\u{:04x}", u32::from(other)),
        }
    }
}

/// Whether a character does something instead of standing there: it ends a
/// line, begins a terminal sequence, or changes the order of what is around it.
fn is_obeyed(character: char) -> bool {
    // C0, DEL and C1, with NEL among them.
    character.is_control()
        || matches!(
            character,
            // The ends of a line and of a paragraph.
            '\u{2028}' | '\u{2029}'
            // Marks, embeddings, overrides and isolates of direction.
            | '\u{061c}' | '\u{200e}' | '\u{200f}'
            | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}'
            // Their forerunners, and notes that a reader may hide.
            | '\u{206a}'..='\u{206f}' | '\u{fff9}'..='\u{fffb}'
        )
}

/// One of the process's streams, written line by line.
pub struct Lines<W>(W);

impl<W: Write> Lines<W> {
    /// Over any stream, such as a file or a buffer.
    pub fn new(to: W) -> Self {
        Self(to)
    }

    /// One line and its end; what a terminal would obey is shown in escapes.
    pub fn line(&mut self, line: impl Display) -> io::Result<()> {
        writeln!(self.0, "{}", Shown(line))
    }

    /// Each line of a text of ours.
    pub fn lines(&mut self, ours: &str) -> io::Result<()> {
        ours.lines().try_for_each(|line| self.line(line))
    }

    /// Whoever reads has all of it then.
    pub fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

/// Standard output, for what was asked for.
pub fn out() -> Lines<impl Write> {
    Lines(bytes())
}

/// Standard output for what is no line: sound.
#[expect(clippy::disallowed_methods, reason = "the one door of what is said")]
pub fn bytes() -> impl Write {
    io::stdout().lock()
}

/// One line on standard error, about how it goes. Nobody is told if nobody
/// can be.
pub fn tell(line: impl Display) {
    let line = format!("{}\n", Shown(line));
    // In one write, so that no other thread's line begins within.
    let _ = errors().write_all(line.as_bytes());
}

/// Over the line that was told so before, for somebody who looks at it.
pub fn again(line: impl Display) {
    let line = format!("\r\u{1b}[K{}", Shown(line));
    let _ = errors().write_all(line.as_bytes());
}

/// Standard error, for the log, whose lines are shown there.
#[expect(clippy::disallowed_methods, reason = "the one door of what is said")]
pub(crate) fn errors() -> io::Stderr {
    io::stderr()
}

/// Whether a person looks at it.
pub fn is_terminal() -> bool {
    errors().is_terminal()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whatever_is_obeyed_is_shown() {
        let table = [
            ("plain あ 👩\u{200d}👧 \\n", "plain あ 👩\u{200d}👧 \\n"),
            ("a\nb\r\nc\td", "a\\nb\\r\\nc\\td"),
            ("\u{1b}[31m\u{9b}0m", "\\u001b[31m\\u009b0m"),
            (
                "\0\u{7}\u{8}\u{b}\u{c}\u{7f}",
                "\\u0000\\u0007\\u0008\\u000b\\u000c\\u007f",
            ),
            ("\u{85}\u{2028}\u{2029}", "\\u0085\\u2028\\u2029"),
            (
                "\u{202e}x\u{2066}\u{2069}\u{200f}\u{61c}",
                "\\u202ex\\u2066\\u2069\\u200f\\u061c",
            ),
            ("", ""),
        ];
        for (said, shown) in table {
            assert_eq!(Shown(said).to_string(), shown);
        }
    }

    #[test]
    fn what_stands_in_json_stays_json() {
        let every: String = ('\0'..'\u{ffff}').filter(|it| is_obeyed(*it)).collect();
        let json = serde_json::json!({ "a": every }).to_string();
        let shown = Shown(&json).to_string();
        assert!(!shown.contains(is_obeyed), "{shown}");
        let read: serde_json::Value = serde_json::from_str(&shown).expect("JSON");
        assert_eq!(read["a"], serde_json::json!(every));
    }

    #[test]
    fn a_line_is_one_line() {
        let mut written = Vec::new();
        let mut lines = Lines::new(&mut written);
        lines
            .line(format_args!("voice {}", "a\nvoice b"))
            .expect("memory");
        lines.lines("c\nd\u{2028}").expect("memory");
        assert_eq!(written, b"voice a\\nvoice b\nc\nd\\u2028\n");
    }
}
