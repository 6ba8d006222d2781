//! The user's own words: checked, and found in a text where they stand.
//!
//! In memory only; whoever reads the file hands in its words.

use serde::{Deserialize, Serialize};
use std::borrow::Borrow;
use std::collections::{BTreeSet, HashMap};
use std::hash::Hash;

use crate::kana;
use crate::words::widen;

/// One word as the user gives it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Word {
    /// As it is written.
    pub surface: String,
    /// As it is said, in katakana.
    pub reading: String,
    /// The mora after which the pitch falls; 0 if it does not. None: a guess.
    pub accent: Option<usize>,
    /// It decides what the word's neighbours may be.
    pub part_of_speech: PartOfSpeech,
    /// 0 gives way to the dictionary's words, 10 to nothing.
    pub priority: u8,
    /// Whether the surface has to be written with the same capitals.
    pub case: Case,
}

/// What a word is, as far as its neighbours care.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, utoipa::ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum PartOfSpeech {
    /// A common noun.
    Noun,
    /// A proper noun of no particular kind.
    #[default]
    ProperNoun,
    /// A person's name, of which part is not known.
    Name,
    /// A family name.
    Surname,
    /// A person's own name.
    GivenName,
    /// A place, a region or a country.
    Place,
    /// A company, a band, a shop.
    Organization,
    /// It follows a noun, as `さん` does.
    Suffix,
}

/// Whether capitals and small letters are the same.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, utoipa::ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Case {
    /// The word is found however its letters are written.
    #[default]
    Any,
    /// The word is found only as it is written here.
    Exact,
}

/// Why a word is none. The user can act.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WordError {
    /// Nothing, or blanks alone, can be found in no text.
    #[error("the surface is empty")]
    NoSurface,
    /// So many characters are no word.
    #[error("the surface has {0} characters, the most is {SURFACE_MAX}")]
    LongSurface(usize),
    /// This character never reaches the frontend.
    #[error("the surface holds the control character {0:?}")]
    Control(char),
    /// A word that is silent is none.
    #[error("the reading is empty")]
    NoReading,
    /// The whole reading, and the part of it that is not katakana.
    #[error(
        "the reading `{0}` is not katakana from `{1}` on; write it as it is said, such as `シーシャープ`"
    )]
    Reading(String, String),
    /// The pitch would fall behind the word's end.
    #[error("the accent is {accent}, but `{reading}` has {moras} moras; 0 means that it is flat")]
    Accent {
        /// As it was given.
        accent: usize,
        /// As it was given.
        reading: String,
        /// How many the reading has, which is the highest accent.
        moras: usize,
    },
    /// The number is above [`PRIORITY_MAX`].
    #[error("the priority is {0}; it lies between 0 and {PRIORITY_MAX}")]
    Priority(u8),
}

impl WordError {
    /// What of the word is wrong.
    pub fn field(&self) -> &'static str {
        match self {
            Self::NoSurface | Self::LongSurface(_) | Self::Control(_) => "surface",
            Self::NoReading | Self::Reading(..) => "reading",
            Self::Accent { .. } => "accent",
            Self::Priority(_) => "priority",
        }
    }
}

/// A word of this priority gives way to nothing.
pub const PRIORITY_MAX: u8 = 10;
const SURFACE_MAX: usize = 100;

/// The words of one pipeline. A look costs the same with ten words as with a
/// hundred thousand.
#[derive(Clone, Debug, Default)]
pub struct UserWords {
    /// In the order in which they are tried: the longest surface first.
    words: Vec<Kept>,
    /// By key.
    keys: Index<String>,
    /// Those with signs, letters or digits, by what is written, in small.
    literals: Index<Vec<char>>,
}

/// Places in the list of words, in its order.
#[derive(Clone, Debug)]
struct Index<K> {
    places: HashMap<K, Vec<usize>>,
    /// Of all keys, each once, the longest first.
    lengths: Vec<usize>,
}

impl<K> Default for Index<K> {
    fn default() -> Self {
        Self {
            places: HashMap::new(),
            lengths: Vec::new(),
        }
    }
}

impl<K: Eq + Hash> Index<K> {
    fn new(keys: impl Iterator<Item = (usize, K)>, length: impl Fn(&K) -> usize) -> Self {
        let mut places: HashMap<K, Vec<usize>> = HashMap::new();
        let mut lengths = BTreeSet::new();
        for (place, key) in keys {
            lengths.insert(length(&key));
            places.entry(key).or_default().push(place);
        }
        Self {
            places,
            lengths: lengths.into_iter().rev().collect(),
        }
    }

    fn get<Q: Eq + Hash + ?Sized>(&self, key: &Q) -> &[usize]
    where
        K: Borrow<Q>,
    {
        self.places.get(key).map_or(&[], Vec::as_slice)
    }
}

#[derive(Clone, Debug)]
struct Kept {
    /// Wide, and in small letters if case is nothing to it.
    key: String,
    /// The same in narrow forms, for texts as they were written.
    written: Vec<char>,
    case: Case,
    reading: String,
    part_of_speech: PartOfSpeech,
    priority: u8,
    /// As the dictionary would have it.
    feature: String,
    literal: bool,
}

/// A word found where it stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Found<'a> {
    /// In bytes.
    pub(crate) length: usize,
    pub(crate) feature: &'a str,
    pub(crate) part_of_speech: PartOfSpeech,
    pub(crate) cost: i16,
}

/// A word found in a text as written, in characters, end exclusive.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Literal<'a> {
    /// The word begins at this character.
    pub start: usize,
    /// It ends before this one.
    pub end: usize,
    /// In katakana, as the user gave it.
    pub reading: &'a str,
}

impl Word {
    /// With everything but surface and reading left open.
    pub fn new(surface: impl Into<String>, reading: impl Into<String>) -> Self {
        Self {
            surface: surface.into(),
            reading: reading.into(),
            accent: None,
            part_of_speech: PartOfSpeech::default(),
            priority: 5,
            case: Case::default(),
        }
    }

    /// The first thing that is wrong, in the order of the fields.
    pub fn check(&self) -> Result<(), WordError> {
        let characters = self.surface.chars().count();
        if self.surface.trim().is_empty() {
            return Err(WordError::NoSurface);
        }
        if characters > SURFACE_MAX {
            return Err(WordError::LongSurface(characters));
        }
        if let Some(control) = self.surface.chars().find(|c| c.is_control()) {
            return Err(WordError::Control(control));
        }
        let moras = moras(&self.reading)?;
        if let Some(accent) = self.accent.filter(|accent| *accent > moras) {
            return Err(WordError::Accent {
                accent,
                reading: self.reading.clone(),
                moras,
            });
        }
        if self.priority > PRIORITY_MAX {
            return Err(WordError::Priority(self.priority));
        }
        Ok(())
    }
}

/// How many moras a reading has, if it is one.
fn moras(reading: &str) -> Result<usize, WordError> {
    if reading.is_empty() {
        return Err(WordError::NoReading);
    }
    let mut count = 0;
    let mut rest = reading;
    while !rest.is_empty() {
        let length = kana::mora(rest).filter(|_| count > 0 || !rest.starts_with('ー'));
        let Some(length) = length else {
            return Err(WordError::Reading(reading.to_owned(), rest.to_owned()));
        };
        count += 1;
        rest = &rest[length..];
    }
    Ok(count)
}

impl UserWords {
    /// Checks each word; the first wrong one is named by its place.
    pub fn new(words: &[Word]) -> Result<Self, (usize, WordError)> {
        let mut kept = Vec::with_capacity(words.len());
        for (place, word) in words.iter().enumerate() {
            word.check().map_err(|cause| (place, cause))?;
            let moras = moras(&word.reading).map_err(|cause| (place, cause))?;
            let literal = !word.surface.chars().all(is_japanese);
            let entry = Kept::new(word, moras, literal);
            if literal {
                // Once replaced, its reading stands in the text, and keeps the
                // accent given here.
                let read = Word {
                    surface: word.reading.clone(),
                    ..word.clone()
                };
                kept.push(Kept::new(&read, moras, false));
            }
            kept.push(entry);
        }
        kept.sort_by_key(|word| std::cmp::Reverse((word.written.len(), word.priority)));
        let words = kept.iter().enumerate();
        let keys = words.clone().map(|(place, word)| (place, word.key.clone()));
        let literals = words
            .filter(|(_, word)| word.literal)
            .map(|(place, word)| (place, word.written.iter().copied().map(small).collect()));
        Ok(Self {
            keys: Index::new(keys, String::len),
            literals: Index::new(literals, Vec::len),
            words: kept,
        })
    }

    /// With no words everything is read as the dictionary has it.
    pub fn is_empty(&self) -> bool {
        self.words.is_empty()
    }

    /// Words that `text`, which is wide, begins with.
    pub(crate) fn prefixes<'a>(&'a self, text: &str) -> impl Iterator<Item = Found<'a>> {
        let mut places = Vec::new();
        let longest = self.keys.lengths.first().copied().unwrap_or(0);
        let most = (0..=longest.min(text.len())).rev();
        let head = most.into_iter().find_map(|end| text.get(..end));
        let head = head.unwrap_or_default();
        // Of the same length, so that both are cut at the same places.
        let in_small = lower(head);
        for length in &self.keys.lengths {
            let (Some(exact), Some(any)) = (head.get(..*length), in_small.get(..*length)) else {
                continue;
            };
            let with = |case: Case, key: &str| {
                let all = self.keys.get(key).iter().copied();
                all.filter(move |place| self.words[*place].case == case)
            };
            places.extend(with(Case::Exact, exact));
            places.extend(with(Case::Any, any));
        }
        places.sort_unstable();
        places.into_iter().map(|place| {
            let word = &self.words[place];
            Found {
                length: word.key.len(),
                feature: &word.feature,
                part_of_speech: word.part_of_speech,
                cost: 3_000 - i16::from(word.priority) * 1_600,
            }
        })
    }

    /// Words with signs, letters or digits in a text as written: the longest
    /// at each place, from the left, without overlap.
    pub fn literals<'a>(&'a self, text: &str) -> Vec<Literal<'a>> {
        if self.literals.lengths.is_empty() {
            return Vec::new();
        }
        let text: Vec<char> = text.chars().map(narrow).collect();
        let in_small: Vec<char> = text.iter().copied().map(small).collect();
        let mut found = Vec::new();
        let mut at = 0;
        while at < text.len() {
            let here = self.literals.lengths.iter().find_map(|length| {
                let written = in_small.get(at..at + length)?;
                let places = self.literals.get(written).iter();
                let mut words = places.map(|place| &self.words[*place]);
                words.find(|word| word.stands(&text, at))
            });
            match here {
                Some(word) => {
                    let end = at + word.written.len();
                    found.push(Literal {
                        start: at,
                        end,
                        reading: &word.reading,
                    });
                    at = end;
                }
                None => at += 1,
            }
        }
        found
    }
}

impl Kept {
    fn new(word: &Word, moras: usize, literal: bool) -> Self {
        let accent = word.accent.unwrap_or_else(|| guess(&word.surface, moras));
        let wide = widen(&word.surface);
        let written: Vec<char> = word.surface.chars().map(narrow).collect();
        let small = |text: &str| match word.case {
            Case::Any => lower(text),
            Case::Exact => text.to_owned(),
        };
        let written: String = written.into_iter().collect();
        Self {
            key: small(&wide),
            written: small(&written).chars().collect(),
            case: word.case,
            reading: word.reading.clone(),
            part_of_speech: word.part_of_speech,
            priority: word.priority,
            feature: format!(
                "{},*,*,{},{},{accent}/{moras},C1",
                word.part_of_speech.fields(),
                // A comma would begin another field.
                wide.replace(',', "，"),
                [word.reading.as_str(); 2].join(","),
            ),
            literal,
        }
    }

    fn stands(&self, text: &[char], at: usize) -> bool {
        let Some(here) = text.get(at..at + self.written.len()) else {
            return false;
        };
        let same = here
            .iter()
            .zip(&self.written)
            .all(|(c, own)| match self.case {
                Case::Exact => c == own,
                Case::Any => c == own || c.to_lowercase().eq([*own]),
            });
        let letter = |c: Option<&char>| c.is_some_and(char::is_ascii_alphanumeric);
        let first = letter(self.written.first());
        let last = letter(self.written.last());
        let joined_before = first && at > 0 && letter(text.get(at - 1));
        let joined_after = last && letter(text.get(at + self.written.len()));
        same && !joined_before && !joined_after
    }
}

impl PartOfSpeech {
    /// The first four fields of a word's features.
    pub(crate) fn fields(self) -> &'static str {
        match self {
            Self::Noun => "名詞,一般,*,*",
            Self::ProperNoun => "名詞,固有名詞,一般,*",
            Self::Name => "名詞,固有名詞,人名,一般",
            Self::Surname => "名詞,固有名詞,人名,姓",
            Self::GivenName => "名詞,固有名詞,人名,名",
            Self::Place => "名詞,固有名詞,地域,一般",
            Self::Organization => "名詞,固有名詞,組織,*",
            Self::Suffix => "名詞,接尾,一般,*",
        }
    }

    /// Words every dictionary has, whose neighbours this word shares.
    pub(crate) fn examples(self) -> &'static [(&'static str, &'static str)] {
        match self {
            Self::Noun => &[("猫", "名詞,一般"), ("水", "名詞,一般")],
            Self::ProperNoun => &[
                ("しまじろう", "名詞,固有名詞,一般"),
                ("じゃがりこ", "名詞,固有名詞,一般"),
            ],
            Self::Name => &[
                ("おおた", "名詞,固有名詞,人名"),
                ("佐藤", "名詞,固有名詞,人名"),
            ],
            Self::Surname => &[
                ("佐藤", "名詞,固有名詞,人名,姓"),
                ("鈴木", "名詞,固有名詞,人名,姓"),
            ],
            Self::GivenName => &[
                ("太郎", "名詞,固有名詞,人名,名"),
                ("花子", "名詞,固有名詞,人名,名"),
            ],
            Self::Place => &[
                ("東京", "名詞,固有名詞,地域"),
                ("大阪", "名詞,固有名詞,地域"),
            ],
            Self::Organization => &[
                ("ＦＢＩ", "名詞,固有名詞,組織"),
                ("Ｇｏｏｇｌｅ", "名詞,固有名詞,組織"),
            ],
            Self::Suffix => &[("シリーズ", "名詞,接尾,一般"), ("作り", "名詞,接尾,一般")],
        }
    }
}

/// Foreign words fall three moras before their end, Japanese names of four
/// moras do not fall at all; good guesses and no more.
fn guess(surface: &str, moras: usize) -> usize {
    let kanji = surface
        .chars()
        .any(|c| matches!(c, '\u{4e00}'..='\u{9fff}'));
    match (kanji, moras) {
        (true, 4..) => 0,
        (_, 0..=2) => 1,
        (_, moras) => moras - 2,
    }
}

fn is_japanese(c: char) -> bool {
    matches!(c, '\u{3041}'..='\u{3096}' | '\u{30a1}'..='\u{30fa}' | 'ー' | '々' | '\u{3400}'..='\u{4dbf}' | '\u{4e00}'..='\u{9fff}')
}

/// Letters alone change their case, so lengths stay.
fn lower(text: &str) -> String {
    let small = |c: char| match c {
        'Ａ'..='Ｚ' => char::from_u32(c as u32 + 0x20).unwrap_or(c),
        other => other.to_ascii_lowercase(),
    };
    text.chars().map(small).collect()
}

/// A character alone, if it is one in small as well.
fn small(c: char) -> char {
    let mut all = c.to_lowercase();
    match (all.next(), all.next()) {
        (Some(small), None) => small,
        _ => c,
    }
}

fn narrow(c: char) -> char {
    match c {
        '！'..='～' => char::from_u32(c as u32 - 0xfee0).unwrap_or(c),
        '\u{3000}' => ' ',
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wrong(word: Word) -> String {
        word.check()
            .map_or_else(|e| e.to_string(), |()| String::new())
    }

    #[test]
    fn a_word_says_what_is_wrong_with_it() {
        assert_eq!(wrong(Word::new("C#", "シーシャープ")), "");
        assert!(wrong(Word::new("C#", "しーしゃーぷ")).contains("not katakana from `し"));
        assert!(wrong(Word::new("C#", "シーC")).contains("from `C`"));
        assert_eq!(wrong(Word::new(" ", "ア")), "the surface is empty");
        let steep = Word {
            accent: Some(9),
            ..Word::new("雨", "アメ")
        };
        assert!(wrong(steep).contains("`アメ` has 2 moras"));
    }

    #[test]
    fn the_longest_stands_and_letters_do_not_begin_in_a_word() {
        let words = [
            Word::new("C", "シー"),
            Word::new("C#", "シーシャープ"),
            Word::new("小鳥遊", "タカナシ"),
        ];
        let words = UserWords::new(&words).expect("good words");
        let found = |text: &str| {
            let found = words.literals(text);
            found
                .iter()
                .map(|found| format!("{}-{} {}", found.start, found.end, found.reading))
                .collect::<Vec<_>>()
        };
        assert_eq!(found("Ｃ＃とc"), ["0-2 シーシャープ", "3-4 シー"]);
        assert_eq!(found("CSSと小鳥遊"), Vec::<String>::new());
    }

    /// Every word at every place, as the words were once looked for.
    fn one_by_one(words: &UserWords, text: &str) -> Vec<(usize, String)> {
        let standing = words.words.iter().filter(|word| {
            let Some(head) = text.get(..word.key.len()) else {
                return false;
            };
            match word.case {
                Case::Exact => head == word.key,
                Case::Any => head == word.key || lower(head) == word.key,
            }
        });
        standing
            .map(|word| (word.key.len(), word.feature.clone()))
            .collect()
    }

    #[test]
    fn the_index_finds_what_looking_at_each_word_does() {
        let surfaces = [
            "C", "c", "C#", "ＡＢ", "ab", "語", "語語", "İ", "語C", "雨", "ß", "あめ",
        ];
        let mut words = Vec::new();
        for (number, surface) in surfaces.iter().enumerate() {
            for case in [Case::Any, Case::Exact] {
                let priority = (number * 7 % 11) as u8;
                words.push(Word {
                    case,
                    priority,
                    ..Word::new(*surface, "アメ")
                });
            }
        }
        let words = UserWords::new(&words).expect("good words");
        for text in [
            "Ｃ＃語語Ｃ",
            "ａｂＡＢ",
            "語Ｃ雨",
            "ｃ",
            "İ",
            "ßあめ",
            "",
            "なし",
        ] {
            for (at, _) in text.char_indices() {
                let rest = &text[at..];
                let found = words.prefixes(rest);
                let found: Vec<_> = found
                    .map(|found| (found.length, found.feature.to_owned()))
                    .collect();
                assert_eq!(found, one_by_one(&words, rest), "{rest}");
            }
        }
    }
}
