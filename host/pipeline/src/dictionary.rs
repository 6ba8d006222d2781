//! The user dictionary of a pipeline, as its file has it.

mod edit;
mod table;

use std::path::Path;

use serde::{Deserialize, Serialize};
use speech::user::{Case, PartOfSpeech, UserWords, Word};

use crate::document::{Document, OpenError, Unfit, Wrong};

/// A word as files and callers write it.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = Word, examples(json!({"surface": "C#", "reading": "シーシャープ", "accent": 4})))]
pub struct WrittenWord {
    /// By which clients of VOICEVOX know it; without one it has one by its
    /// surface.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// As it is written.
    #[schema(min_length = 1, max_length = 100)]
    pub surface: String,
    /// In katakana, as it is said.
    #[schema(min_length = 1)]
    pub reading: String,
    /// The mora after which the pitch falls; 0 is flat.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub accent: Option<usize>,
    /// What the word is, as far as its neighbours care; a proper noun if left
    /// out.
    #[serde(default)]
    pub part_of_speech: PartOfSpeech,
    /// More wins over the dictionary's own words.
    #[serde(default = "usual_priority")]
    #[schema(minimum = 0, maximum = 10)]
    pub priority: u8,
    /// Whether capitals and small letters of the surface are the same; they are
    /// if this is left out.
    #[serde(default)]
    pub case: Case,
}

fn usual_priority() -> u8 {
    5
}

/// How a dictionary is written; its file's name says which.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DictionaryFormat {
    /// Tables `[[word]]` with the fields' names.
    Toml,
    /// A head with the fields' names, then a line for each word.
    Csv,
}

/// What is wrong with a dictionary, and where. The operator can act.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DictionaryError {
    /// One place in the text is wrong.
    #[error(transparent)]
    Wrong(#[from] Wrong),
    /// As a whole, wherever it is written.
    #[error("{0}")]
    Whole(String),
    /// There is no text.
    #[error("{0}")]
    Unread(String),
}

/// As many words as one pipeline may have: each takes some 500 bytes while it
/// is served.
pub const WORDS_MAX: usize = 100_000;
/// Of a dictionary's file; five times what so many words usually take.
pub const DICTIONARY_BYTES_MAX: usize = 64 << 20;

/// Bytes of a file whose comments are kept: some two thousand words. To edit a
/// text in place costs thirty times its bytes.
const EDITED_MAX: usize = 1 << 20;

#[derive(Debug, Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct TomlFile {
    #[serde(default)]
    word: Vec<WrittenWord>,
}

impl DictionaryFormat {
    /// By its extension: `.csv` is CSV, anything else is TOML.
    pub fn of(path: &Path) -> Self {
        let csv = path
            .extension()
            .is_some_and(|e| e.eq_ignore_ascii_case("csv"));
        if csv { Self::Csv } else { Self::Toml }
    }

    /// Reads words and checks each of them.
    pub fn read(self, text: &str) -> Result<Vec<WrittenWord>, DictionaryError> {
        if text.len() > DICTIONARY_BYTES_MAX {
            return Err(DictionaryError::Whole(format!(
                "it has {} bytes, the most is {DICTIONARY_BYTES_MAX}",
                text.len()
            )));
        }
        self.read_document(&Document::unnamed(text))
    }

    fn read_document(self, document: &Document) -> Result<Vec<WrittenWord>, DictionaryError> {
        let words = match self {
            Self::Toml => document.read::<TomlFile>()?.word,
            Self::Csv => table::read(document)?,
        };
        count(words.len())?;
        match self {
            Self::Toml => users(&words).map_err(|(place, field, what)| {
                document.unfit(Unfit::new(format!("word.{place}.{field}"), what))
            })?,
            Self::Csv => check(&words)?,
        };
        Ok(words)
    }

    /// The text of a dictionary, in the place of another one: comments and the
    /// order of a TOML file's keys stay, unless it is larger than a person
    /// writes (1 MiB).
    ///
    /// # Errors
    /// What cannot be written as this format.
    pub fn write_over(self, old: &str, words: &[WrittenWord]) -> Result<String, DictionaryError> {
        let edited = match self {
            Self::Toml if old.len() <= EDITED_MAX => edit::over(old, words),
            Self::Toml | Self::Csv => None,
        };
        match edited {
            // What was edited has to say what was meant.
            Some(text) if self.read(&text).as_deref() == Ok(words) => Ok(text),
            _ => self.write(words),
        }
    }

    /// A whole new text, without anybody's comments. An error says what the
    /// format cannot write.
    pub fn write(self, words: &[WrittenWord]) -> Result<String, DictionaryError> {
        match self {
            Self::Toml => {
                let file = TomlFile {
                    word: words.to_vec(),
                };
                toml::to_string(&file).map_err(|e| DictionaryError::Whole(e.to_string()))
            }
            Self::Csv => table::write(words),
        }
    }
}

/// Names the first word that cannot be one.
pub fn check(words: &[WrittenWord]) -> Result<UserWords, DictionaryError> {
    count(words.len())?;
    users(words).map_err(|(_, _, what)| DictionaryError::Whole(what))
}

/// Or the place of the first that cannot be one, its field and what is wrong.
fn users(words: &[WrittenWord]) -> Result<UserWords, (usize, &'static str, String)> {
    let plain: Vec<Word> = words.iter().map(Word::from).collect();
    UserWords::new(&plain).map_err(|(place, cause)| {
        let what = format!("word {}, `{}`: {cause}", place + 1, words[place].surface);
        (place, cause.field(), what)
    })
}

fn count(words: usize) -> Result<(), DictionaryError> {
    match words > WORDS_MAX {
        true => Err(DictionaryError::Whole(format!(
            "it has {words} words, the most is {WORDS_MAX}"
        ))),
        false => Ok(()),
    }
}

/// The words of a file; none if there is no file yet.
pub fn open(path: &Path) -> Result<Vec<WrittenWord>, DictionaryError> {
    let read = match Document::open(path, DICTIONARY_BYTES_MAX as u64) {
        Ok(document) => DictionaryFormat::of(path).read_document(&document),
        Err(OpenError::Wrong(wrong)) => Err(wrong.into()),
        Err(OpenError::Read { cause, .. }) if cause.kind() == std::io::ErrorKind::NotFound => {
            Ok(Vec::new())
        }
        Err(error) => Err(DictionaryError::Unread(error.to_string())),
    };
    read.map_err(|error| match error {
        DictionaryError::Whole(what) => {
            DictionaryError::Whole(format!("{}:1:1: {what}", path.display()))
        }
        error => error,
    })
}

impl From<&WrittenWord> for Word {
    fn from(word: &WrittenWord) -> Self {
        Self {
            surface: word.surface.clone(),
            reading: word.reading.clone(),
            accent: word.accent,
            part_of_speech: word.part_of_speech,
            priority: word.priority,
            case: word.case,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(format: DictionaryFormat, text: &str) -> String {
        format.read(text).expect_err("refused").to_string()
    }

    #[test]
    fn both_formats_say_the_same() {
        let csv = "surface,reading,accent,priority,case\n\"C#\",シーシャープ,4,,exact\n\"a,b\",エービー\n";
        let words = DictionaryFormat::Csv.read(csv).expect("good words");
        assert_eq!(words.len(), 2);
        assert_eq!(words[0].accent, Some(4));
        assert_eq!(words[0].case, Case::Exact);
        assert_eq!(words[1].surface, "a,b");
        for format in [DictionaryFormat::Toml, DictionaryFormat::Csv] {
            let text = format.write(&words).expect("written");
            assert_eq!(format.read(&text).as_ref(), Ok(&words), "{text}");
        }
    }

    #[test]
    fn an_edit_keeps_what_a_person_wrote_beside() {
        let old = "# ours\n\n[[word]] # rain\nreading = \"アメ\" # low\nsurface = \"雨\"\n\n# snow\n[[word]]\nsurface = \"雪\"\nreading = \"ユキ\"\naccent = 2\n";
        let toml = DictionaryFormat::Toml;
        let mut words = toml.read(old).expect("good words");
        assert_eq!(toml.write_over(old, &words).as_deref(), Ok(old));
        words[0].reading = "アマ".to_owned();
        words[1].accent = None;
        words.push(
            toml.read("[[word]]\nsurface = \"風\"\nreading = \"カゼ\"\n")
                .expect("one")[0]
                .clone(),
        );
        let new = toml.write_over(old, &words).expect("written");
        assert_eq!(toml.read(&new).as_ref(), Ok(&words), "{new}");
        for kept in [
            "# ours",
            "[[word]] # rain",
            "reading = \"アマ\" # low\nsurface",
            "# snow",
        ] {
            assert!(new.contains(kept), "{kept} is gone: {new}");
        }
        assert!(!new.contains("accent"), "{new}");
        words.remove(1);
        let fewer = toml.write_over(&new, &words).expect("written");
        assert_eq!(toml.read(&fewer).as_ref(), Ok(&words), "{fewer}");
        assert!(fewer.contains("# ours") && !fewer.contains("雪"), "{fewer}");
        // Whatever else there is, the words are what is meant.
        for old in [
            "",
            "word = [{ surface = \"雨\", reading = \"アメ\" }]\n",
            "no TOML",
        ] {
            let new = toml.write_over(old, &words).expect("written");
            assert_eq!(toml.read(&new).as_ref(), Ok(&words), "{new}");
        }
    }

    #[test]
    fn a_field_may_have_commas_quotes_and_lines() {
        let csv = "# ours\nsurface,reading,accent\r\n\"a\"\"b\",エービー,\n\n\"#x\",エックス,0\n";
        let words = DictionaryFormat::Csv.read(csv).expect("good words");
        let surfaces: Vec<_> = words.iter().map(|word| word.surface.as_str()).collect();
        assert_eq!(surfaces, ["a\"b", "#x"]);
        let text = DictionaryFormat::Csv.write(&words).expect("written");
        assert_eq!(
            DictionaryFormat::Csv.read(&text).as_ref(),
            Ok(&words),
            "{text}"
        );
        // A quote may hold the end of a line, which no surface may.
        let told = refused(
            DictionaryFormat::Csv,
            "surface,reading\n雨,アメ\n\"a\nb\",エービー\n",
        );
        assert!(told.contains("control character"), "{told}");
        let told = refused(DictionaryFormat::Csv, "surface,reading\n\n雨,アメ,1\n");
        assert!(
            told.starts_with("line 3, column 1: it has 3 fields"),
            "{told}"
        );
    }

    #[test]
    fn an_unreadable_entry_is_named() {
        let toml = "[[word]]\nsurface = \"雨\"\nreading = \"アメ\"\naccent = 7\n";
        let told = refused(DictionaryFormat::Toml, toml);
        assert!(
            told.starts_with("line 4, column 10: word 1, `雨`: the accent is 7"),
            "{told}"
        );
        let told = refused(
            DictionaryFormat::Toml,
            "[[word]]\nsurface = \"雨\"\nraeding = \"ア\"\n",
        );
        assert!(
            told.contains("raeding") && told.starts_with("line 3, column 1: "),
            "{told}"
        );
        let told = refused(DictionaryFormat::Csv, "surface,reading,accent\n雨,アメ,x\n");
        assert_eq!(told, "line 2, column 1: `accent` is `x`, not a number");
        let told = refused(DictionaryFormat::Csv, "surface,yomi\n");
        assert!(told.contains("`yomi` is no column"), "{told}");
        let told = refused(
            DictionaryFormat::Csv,
            "surface,reading,case\n雨,アメ,never\n",
        );
        assert!(told.contains("line 2") && told.contains("never"), "{told}");
    }
}
