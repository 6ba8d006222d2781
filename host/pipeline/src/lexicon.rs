//! The user dictionary of a pipeline: its file, and what plugins are told of
//! words.

use std::path::Path;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::document::{Document, OpenError, Place, Unfit, Wrong};
use speech::g2p::Frontend;
use speech::user::{Case, PartOfSpeech, UserWords, Word};

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
    #[serde(default)]
    pub part_of_speech: WrittenPartOfSpeech,
    /// More wins over the dictionary's own words.
    #[serde(default = "usual_priority")]
    #[schema(minimum = 0, maximum = 10)]
    pub priority: u8,
    #[serde(default)]
    pub case: WrittenCase,
}

fn usual_priority() -> u8 {
    5
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, utoipa::ToSchema)]
#[serde(rename_all = "kebab-case")]
#[schema(as = PartOfSpeech)]
pub enum WrittenPartOfSpeech {
    Noun,
    #[default]
    ProperNoun,
    Name,
    Surname,
    GivenName,
    Place,
    Organization,
    Suffix,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, utoipa::ToSchema)]
#[serde(rename_all = "lowercase")]
#[schema(as = Case)]
pub enum WrittenCase {
    #[default]
    Any,
    Exact,
}

/// How a dictionary is written; its file's name says which.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DictionaryFormat {
    Toml,
    Csv,
}

/// What is wrong with a dictionary, and where. The operator can act.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DictionaryError {
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

#[derive(Debug, Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct TomlFile {
    #[serde(default)]
    word: Vec<WrittenWord>,
}

impl DictionaryFormat {
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
            Self::Csv => read_csv(document)?,
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

    pub fn write(self, words: &[WrittenWord]) -> Result<String, DictionaryError> {
        match self {
            Self::Toml => {
                let file = TomlFile {
                    word: words.to_vec(),
                };
                toml::to_string(&file).map_err(|e| DictionaryError::Whole(e.to_string()))
            }
            Self::Csv => Ok(write_csv(words)),
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
            part_of_speech: match word.part_of_speech {
                WrittenPartOfSpeech::Noun => PartOfSpeech::Noun,
                WrittenPartOfSpeech::ProperNoun => PartOfSpeech::ProperNoun,
                WrittenPartOfSpeech::Name => PartOfSpeech::Name,
                WrittenPartOfSpeech::Surname => PartOfSpeech::Surname,
                WrittenPartOfSpeech::GivenName => PartOfSpeech::GivenName,
                WrittenPartOfSpeech::Place => PartOfSpeech::Place,
                WrittenPartOfSpeech::Organization => PartOfSpeech::Organization,
                WrittenPartOfSpeech::Suffix => PartOfSpeech::Suffix,
            },
            priority: word.priority,
            case: match word.case {
                WrittenCase::Any => Case::Any,
                WrittenCase::Exact => Case::Exact,
            },
        }
    }
}

const COLUMNS: [&str; 7] = [
    "surface",
    "reading",
    "accent",
    "part_of_speech",
    "priority",
    "case",
    "id",
];

/// A head line names the columns; `surface` and `reading` must be there.
fn read_csv(document: &Document) -> Result<Vec<WrittenWord>, DictionaryError> {
    let wrong_at = |line, what: String| Wrong {
        place: Place::line(document, line),
        what,
    };
    let mut lines = document
        .text()
        .lines()
        .enumerate()
        .filter(|(_, line)| !line.trim().is_empty() && !line.starts_with('#'));
    let Some((head_line, head)) = lines.next() else {
        return Ok(Vec::new());
    };
    let head_line = head_line + 1;
    let head = fields(head.trim_start_matches('\u{feff}'));
    let known = format!("known are {}", COLUMNS.join(", "));
    for name in &head {
        if !COLUMNS.contains(&name.trim()) {
            let what = format!("`{name}` is no column; {known}");
            return Err(wrong_at(head_line, what).into());
        }
    }
    let column = |name: &str| head.iter().position(|column| column.trim() == name);
    let (Some(surface), Some(reading)) = (column("surface"), column("reading")) else {
        let what = format!("no column is `surface` or none is `reading`; {known}");
        return Err(wrong_at(head_line, what).into());
    };
    let mut words = Vec::new();
    for (number, line) in lines {
        count(words.len())?;
        let fields = fields(line);
        let wrong = |what: String| wrong_at(number + 1, what);
        if fields.len() > head.len() {
            let (had, heads) = (fields.len(), head.len());
            let what = format!("it has {had} fields, the head line {heads}");
            return Err(wrong(what).into());
        }
        let at = |place: usize| fields.get(place).map_or("", |field| field.trim());
        let optional = |name: &str| column(name).map(at).filter(|field| !field.is_empty());
        let number_in = |name: &str| {
            optional(name)
                .map(|field| {
                    field
                        .parse::<usize>()
                        .map_err(|_| wrong(format!("`{name}` is `{field}`, not a number")))
                })
                .transpose()
        };
        let priority = number_in("priority")?.unwrap_or(5);
        words.push(WrittenWord {
            id: optional("id").map(str::to_owned),
            surface: at(surface).to_owned(),
            reading: at(reading).to_owned(),
            accent: number_in("accent")?,
            part_of_speech: one_of(optional("part_of_speech")).map_err(wrong)?,
            priority: u8::try_from(priority).unwrap_or(u8::MAX),
            case: one_of(optional("case")).map_err(wrong)?,
        });
    }
    Ok(words)
}

fn one_of<T: Default + serde::de::DeserializeOwned>(field: Option<&str>) -> Result<T, String> {
    use serde::de::IntoDeserializer;
    let Some(field) = field else {
        return Ok(T::default());
    };
    let field: serde::de::value::StrDeserializer<'_, serde::de::value::Error> =
        field.into_deserializer();
    T::deserialize(field).map_err(|e| e.to_string())
}

/// Fields between commas; quotes hold commas, and double quotes a quote.
fn fields(line: &str) -> Vec<String> {
    let mut fields = vec![String::new()];
    let mut quoted = false;
    let mut characters = line.chars().peekable();
    while let Some(c) = characters.next() {
        let field = fields.last_mut().expect("there is always one");
        match c {
            '"' if quoted && characters.peek() == Some(&'"') => {
                field.push('"');
                characters.next();
            }
            '"' => quoted = !quoted,
            ',' if !quoted => fields.push(String::new()),
            c => field.push(c),
        }
    }
    fields
}

fn write_csv(words: &[WrittenWord]) -> String {
    let quote = |field: &str| match field.contains([',', '"', '#']) {
        true => format!("\"{}\"", field.replace('"', "\"\"")),
        false => field.to_owned(),
    };
    let name = |value: serde_json::Value| value.as_str().unwrap_or_default().to_owned();
    let mut text = COLUMNS.join(",");
    text.push('\n');
    for word in words {
        let line = [
            quote(&word.surface),
            quote(&word.reading),
            word.accent
                .map(|accent| accent.to_string())
                .unwrap_or_default(),
            name(serde_json::json!(word.part_of_speech)),
            word.priority.to_string(),
            name(serde_json::json!(word.case)),
            quote(word.id.as_deref().unwrap_or_default()),
        ];
        text.push_str(&line.join(","));
        text.push('\n');
    }
    text
}

/// What plugins of one pipeline may ask.
pub(crate) struct Words {
    pub(crate) frontend: Arc<Frontend>,
    pub(crate) user: UserWords,
}

impl Words {
    pub(crate) fn new(frontend: &Arc<Frontend>, user: UserWords) -> Self {
        // Read now, not within the deadline of a plugin's first call: no list
        // knows this word, so that both list and model are.
        let _ = speech::english::read("koemasugo");
        Self {
            frontend: Arc::clone(frontend),
            user,
        }
    }
}

impl plugin::Lexicon for Words {
    fn words(&self, text: &str) -> Vec<plugin::Entry> {
        let found = self.user.literals(text).into_iter();
        found
            .map(|found| plugin::Entry {
                start: short(found.start),
                end: short(found.end),
                reading: found.reading.to_owned(),
            })
            .collect()
    }

    fn english(&self, word: &str) -> Option<plugin::Kana> {
        let reading = speech::english::read(word)?;
        Some(plugin::Kana {
            text: reading.kana.into_owned(),
            guessed: reading.guessed,
        })
    }

    fn unread(&self, text: &str) -> Vec<(u32, u32)> {
        let unread = self.frontend.unread(text, &self.user).into_iter();
        unread
            .map(|(start, end)| (short(start), short(end)))
            .collect()
    }
}

/// Texts of plugins are far shorter than this.
fn short(place: usize) -> u32 {
    u32::try_from(place).unwrap_or(u32::MAX)
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
        assert_eq!(words[0].case, WrittenCase::Exact);
        assert_eq!(words[1].surface, "a,b");
        for format in [DictionaryFormat::Toml, DictionaryFormat::Csv] {
            let text = format.write(&words).expect("written");
            assert_eq!(format.read(&text).as_ref(), Ok(&words), "{text}");
        }
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
