//! `char.bin`: which class a character is of, and how unknown words of that
//! class are cut.

use super::lexicon::{Entries, Lexicon};
use super::{Blob, u32_at};

const NAME: usize = 32;
/// Characters of the basic plane but its last one; the others are like U+0000.
const CHARACTERS: usize = 0xffff;

pub(super) struct Characters {
    bytes: Blob,
    table: usize,
    /// Templates of unknown words, by class.
    templates: Vec<Entries>,
}

/// Class and rules of one character, packed as in the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Class(u32);

impl Class {
    /// Whether both share a class; a character may be of several.
    pub(super) fn is_kind_of(self, other: Self) -> bool {
        self.0 & other.0 & 0x3_ffff != 0
    }

    fn default_class(self) -> usize {
        ((self.0 >> 18) & 0xff) as usize
    }

    /// Unknown words up to this many characters.
    pub(super) fn length(self) -> usize {
        ((self.0 >> 26) & 0xf) as usize
    }

    /// Whether a whole run of the class is one unknown word.
    pub(super) fn groups(self) -> bool {
        self.0 >> 30 & 1 == 1
    }

    /// Whether unknown words are considered beside known ones.
    pub(super) fn always(self) -> bool {
        self.0 >> 31 & 1 == 1
    }
}

impl Characters {
    pub(super) fn new(bytes: Blob, unknown: &Lexicon) -> Result<Self, String> {
        let all = (*bytes).as_ref();
        let classes = u32_at(all, 0).ok_or("it is too short")? as usize;
        let table = classes
            .checked_mul(NAME)
            .and_then(|names| names.checked_add(4))
            .ok_or("it has too many classes")?;
        if classes == 0 || table.checked_add(CHARACTERS * 4) != Some(all.len()) {
            return Err(format!("its length does not fit {classes} classes"));
        }
        let mut templates = Vec::with_capacity(classes);
        for name in all[4..table].chunks_exact(NAME) {
            let end = name.iter().position(|byte| *byte == 0).unwrap_or(NAME);
            let name = &name[..end];
            let found = unknown
                .exact(name)
                .ok_or_else(|| format!("unk.dic has no class {}", String::from_utf8_lossy(name)))?;
            templates.push(found);
        }
        let characters = Self {
            table,
            templates,
            bytes,
        };
        let known = characters.templates.len();
        let beyond = (0..CHARACTERS).any(|code| characters.at(code).default_class() >= known);
        if beyond {
            return Err("a character is of a class that is not there".to_owned());
        }
        Ok(characters)
    }

    pub(super) fn class(&self, character: char) -> Class {
        let code = character as usize;
        self.at(if code < CHARACTERS { code } else { 0 })
    }

    /// The templates of unknown words that begin with this class.
    pub(super) fn templates(&self, class: Class) -> Option<Entries> {
        self.templates.get(class.default_class()).copied()
    }

    fn at(&self, code: usize) -> Class {
        let class = u32_at((*self.bytes).as_ref(), self.table + code * 4);
        Class(class.unwrap_or_default())
    }
}
