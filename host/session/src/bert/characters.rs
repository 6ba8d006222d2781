//! Ids of characters: one each, as the BERT was trained.

use std::collections::HashMap;
use std::ffi::OsStr;
use std::panic::{AssertUnwindSafe, catch_unwind};

use tokenizers::Tokenizer;

use crate::error::Error;
use crate::source::Source;

/// One id for each character is a megabyte; reading takes many times the file.
const BYTES_MAX: u64 = 16 << 20;

/// Which id a character has, and those with a meaning of their own.
pub(super) struct Characters {
    of: Of,
    padding: i64,
    start: i64,
    end: i64,
    unknown: i64,
}

enum Of {
    /// A `tokenizer.json`.
    Tokenizer(Box<Tokenizer>),
    /// The lines of a `vocab.txt` that are one character.
    Lines(HashMap<char, i64>),
}

impl Characters {
    /// Reads a `tokenizer.json`, or a `vocab.txt` with a token in each line.
    pub(super) fn open(source: &Source) -> Result<Self, Error> {
        let bytes = source.read(BYTES_MAX)?;
        match source {
            Source::Path(path) if path.extension() == Some(OsStr::new("txt")) => {
                Self::of_lines(&bytes)
            }
            _ => {
                let tokenizer = Box::new(parse_tokenizer(&bytes)?);
                let id = |token: &str| tokenizer.token_to_id(token).map(i64::from);
                Self::with(id).map(|marks| Self {
                    of: Of::Tokenizer(tokenizer.clone()),
                    ..marks
                })
            }
        }
    }

    /// The number of a token's line is its id.
    fn of_lines(bytes: &[u8]) -> Result<Self, Error> {
        let text = std::str::from_utf8(bytes);
        let text = text.map_err(|_| Error::Tokenizer("it is no text in UTF-8".to_owned()))?;
        let (mut characters, mut marks) = (HashMap::new(), HashMap::new());
        // Not by `lines`: a line may be a character that looks like its end.
        for (id, line) in text.split('\n').enumerate() {
            let token = line.strip_suffix('\r').unwrap_or(line);
            let mut letters = token.chars();
            match (letters.next(), letters.next()) {
                (Some(only), None) => drop(characters.insert(only, id as i64)),
                (Some('['), Some(_)) => drop(marks.insert(token, id as i64)),
                _ => {}
            }
        }
        Self::with(|token| marks.get(token).copied()).map(|marks| Self {
            of: Of::Lines(characters),
            ..marks
        })
    }

    fn with(id: impl Fn(&str) -> Option<i64>) -> Result<Self, Error> {
        let id =
            |token: &str| id(token).ok_or_else(|| Error::Tokenizer(format!("it has no `{token}`")));
        Ok(Self {
            of: Of::Lines(HashMap::new()),
            padding: id("[PAD]")?,
            start: id("[CLS]")?,
            end: id("[SEP]")?,
            unknown: id("[UNK]")?,
        })
    }

    pub(super) fn padding(&self) -> i64 {
        self.padding
    }

    /// One for each character, between start and end marks.
    pub(super) fn encode(&self, text: &str) -> Result<Vec<i64>, Error> {
        let mut ids = vec![self.start];
        for character in text.chars() {
            ids.push(self.id(character)?);
        }
        ids.push(self.end);
        Ok(ids)
    }

    fn id(&self, character: char) -> Result<i64, Error> {
        let tokenizer = match &self.of {
            Of::Lines(lines) => return Ok(*lines.get(&character).unwrap_or(&self.unknown)),
            Of::Tokenizer(tokenizer) => tokenizer,
        };
        // One at a time, since users' tokenizer files turn a whole run of
        // characters into one unknown.
        let mut buffer = [0; 4];
        let encoded = tokenizer.encode(&*character.encode_utf8(&mut buffer), false);
        let encoded = encoded.map_err(|e| Error::Tokenizer(e.to_string()))?;
        Ok(match encoded.get_ids() {
            [id] => i64::from(*id),
            _ => self.unknown,
        })
    }
}

/// A vocab.txt, for those who try what breaks it.
pub(crate) fn parse_vocabulary(bytes: &[u8]) -> bool {
    Characters::of_lines(bytes).is_ok_and(|it| it.encode("あ").is_ok())
}

/// A tokenizer.json. Its reader is another's and states by panicking what it
/// expects of a file; no file may end a reload.
pub(crate) fn parse_tokenizer(json: &[u8]) -> Result<Tokenizer, Error> {
    let read = catch_unwind(AssertUnwindSafe(|| Tokenizer::from_bytes(json)));
    match read {
        Ok(read) => read.map_err(|e| Error::Tokenizer(e.to_string())),
        Err(_) => Err(Error::Tokenizer(
            "its reader cannot take a part of the file".to_owned(),
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_a_token_and_its_number_the_id() {
        let lines = "[PAD]\n[CLS]\n[SEP]\n[UNK]\n[MASK]\n\u{3000}\nあ\r\n##い\n\u{85}\n";
        let characters = Characters::of_lines(lines.as_bytes()).expect("a vocabulary");
        let ids = characters.encode("あ\u{3000}い\u{85}").expect("ids");
        assert_eq!(ids, [1, 6, 5, 3, 8, 2]);
        let lacking = Characters::of_lines("[PAD]\nあ\n".as_bytes());
        let lacking = lacking.err().expect("refused").to_string();
        assert!(lacking.contains("`[CLS]`"), "{lacking}");
    }
}
