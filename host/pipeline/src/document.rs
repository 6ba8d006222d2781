//! A TOML text and the name of its file: whatever is wrong with it, or found
//! wrong later with what it names, is told with file, line and column.
//!
//! The one way in for every TOML text from outside. Only an error asks where a
//! key is written, and reads the text once more for it.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::de::DeserializeOwned;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use crate::depth;

/// A text, kept as long as what was read from it. None where nothing was
/// written, such as defaults.
#[derive(Clone, Debug, Default)]
pub struct Document(Option<Arc<Text>>);

#[derive(Debug)]
struct Text {
    /// None for what came in a request.
    file: Option<String>,
    toml: String,
}

/// Two of the same values are the same pipeline, wherever they are written.
impl PartialEq for Document {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

/// Where something is written; shown before what is said of it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Place(Option<Written>);

#[derive(Clone, Debug, PartialEq, Eq)]
struct Written {
    file: Option<String>,
    /// From 1, in characters.
    line: usize,
    column: usize,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some(Written { file, line, column }) = &self.0 else {
            return Ok(());
        };
        match file {
            Some(file) => write!(f, "{file}:{line}:{column}: "),
            None => write!(f, "line {line}, column {column}: "),
        }
    }
}

/// What is wrong with a text, and where. Whoever wrote it can act.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{place}{what}")]
pub struct Wrong {
    /// Nowhere if it is about the text as a whole.
    pub place: Place,
    /// What is wrong, and what would be right.
    pub what: String,
}

/// A value that no type could refuse, by its key. [`Document::unfit`] finds
/// where that is written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unfit {
    /// Parts between dots; those of an array are numbers from 0.
    pub key: String,
    /// What is wrong, and what would be right.
    pub what: String,
}

impl Unfit {
    /// Parts of `key` have dots between them, as `models.lanes`.
    pub fn new(key: impl Into<String>, what: impl Into<String>) -> Self {
        Self {
            key: key.into(),
            what: what.into(),
        }
    }
}

/// Why there is no document. The operator can act.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The file cannot be read, or has more bytes than it may.
    #[error("{}: {cause}", path.display())]
    Read { path: PathBuf, cause: io::Error },
    /// The file is no UTF-8 from some place on.
    #[error(transparent)]
    Wrong(#[from] Wrong),
}

impl Document {
    /// Of a file that is in memory already.
    pub fn named(file: impl Into<String>, toml: impl Into<String>) -> Self {
        Self(Some(Arc::new(Text {
            file: Some(file.into()),
            toml: toml.into(),
        })))
    }

    /// Of a request.
    pub fn unnamed(toml: impl Into<String>) -> Self {
        Self(Some(Arc::new(Text {
            file: None,
            toml: toml.into(),
        })))
    }

    /// The file, of at most so many bytes.
    pub fn open(path: &Path, most: u64) -> Result<Self, OpenError> {
        let bytes = session::files::read(path, most).map_err(|cause| OpenError::Read {
            path: path.to_owned(),
            cause,
        })?;
        let file = path.display().to_string();
        match String::from_utf8(bytes) {
            Ok(toml) => Ok(Self::named(file, toml)),
            Err(error) => {
                let good = error.utf8_error().valid_up_to();
                let good = String::from_utf8_lossy(&error.as_bytes()[..good]);
                Err(Wrong {
                    place: place(Some(file), &good, good.len()),
                    what: "it is no UTF-8 from here on".to_owned(),
                }
                .into())
            }
        }
    }

    /// All of it as written; empty where nothing was read from a text.
    pub fn text(&self) -> &str {
        self.0.as_ref().map_or("", |text| &text.toml)
    }

    /// An error says where the first key is that does not belong, or the first
    /// value that is not of its type.
    pub fn read<T: DeserializeOwned>(&self) -> Result<T, Wrong> {
        let toml = self.text();
        depth::check(toml).map_err(|deep| self.wrong(deep.at, deep.what))?;
        toml::from_str(toml).map_err(|error| {
            let at = error.span().map_or(0, |span| span.start);
            self.wrong(at, error.message().to_owned())
        })
    }

    /// Where the value of a key is written, or the innermost table that would
    /// hold it.
    pub fn place(&self, key: &[&str]) -> Place {
        self.at(self.find(key).0)
    }

    /// The same, and nowhere if the key is not written.
    pub fn exactly(&self, key: &[&str]) -> Place {
        match self.find(key) {
            (at, true) => self.at(at),
            (_, false) => Place::default(),
        }
    }

    /// Of the first key that a message names in backticks and that is written;
    /// nowhere if there is none.
    pub fn named_in(&self, message: &str) -> Place {
        let quoted = message.split('`').skip(1).step_by(2);
        let keys = quoted.filter(|key| key.contains('.'));
        let mut places = keys.map(|key| self.exactly(&key.split('.').collect::<Vec<_>>()));
        places
            .find(|place| *place != Place::default())
            .unwrap_or_default()
    }

    /// The same with the place where its key is written.
    pub fn unfit(&self, unfit: Unfit) -> Wrong {
        let key: Vec<_> = unfit.key.split('.').collect();
        Wrong {
            place: self.place(&key),
            what: unfit.what,
        }
    }

    fn wrong(&self, at: usize, what: String) -> Wrong {
        Wrong {
            place: self.at(at),
            what,
        }
    }

    fn at(&self, at: usize) -> Place {
        match &self.0 {
            Some(text) => place(text.file.clone(), &text.toml, at),
            None => Place::default(),
        }
    }

    /// The first byte, and whether it is that of the key itself.
    fn find(&self, key: &[&str]) -> (usize, bool) {
        let toml = self.text();
        if depth::check(toml).is_err() {
            return (0, false);
        }
        let Ok(root) = DeTable::parse(toml) else {
            return (0, false);
        };
        let Some((first, rest)) = key.split_first() else {
            return (0, true);
        };
        let Some(mut here) = root.get_ref().get(*first) else {
            return (0, false);
        };
        for part in rest {
            match within(here.get_ref(), part) {
                Some(inner) => here = inner,
                None => return (here.span().start, false),
            }
        }
        (here.span().start, true)
    }
}

fn within<'a, 'i>(value: &'a DeValue<'i>, part: &str) -> Option<&'a Spanned<DeValue<'i>>> {
    match value {
        DeValue::Table(table) => table.get(part),
        DeValue::Array(array) => array.get(part.parse::<usize>().ok()?),
        _ => None,
    }
}

/// Of a byte, which may lie within a character.
fn place(file: Option<String>, text: &str, at: usize) -> Place {
    let before = text.get(..text.floor_char_boundary(at)).unwrap_or(text);
    let line = before.rsplit('\n').next().unwrap_or(before);
    Place(Some(Written {
        file,
        line: before.matches('\n').count() + 1,
        column: line.chars().count() + 1,
    }))
}

impl Place {
    /// The beginning of a line of a text that is no TOML.
    pub(crate) fn line(document: &Document, line: usize) -> Self {
        Self(document.0.as_ref().map(|text| Written {
            file: text.file.clone(),
            line,
            column: 1,
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TOML: &str = "\"雨\" = \"a\"\n[b]\nc = [1, { d = 2 }]\n[[e]]\nf.g = 3\n[[e]]\nf.g = 4\n";

    #[test]
    fn a_key_is_found_where_its_value_is_written() {
        let document = Document::named("x.toml", TOML);
        for (key, at) in [
            ("雨", "x.toml:1:7: "),
            ("b", "x.toml:2:1: "),
            ("b.c.1.d", "x.toml:3:15: "),
            ("e.1.f.g", "x.toml:7:7: "),
            // The innermost that is there.
            ("b.x", "x.toml:2:1: "),
            ("b.c.7", "x.toml:3:5: "),
            ("x.y", "x.toml:1:1: "),
        ] {
            let key: Vec<_> = key.split('.').collect();
            assert_eq!(document.place(&key).to_string(), at, "{key:?}");
        }
        assert_eq!(document.exactly(&["b", "x"]), Place::default());
        assert_eq!(Document::default().place(&["b"]).to_string(), "");
        let told = "`x` is long, more than `b.none`; raise `b.c` or `e.0.f`";
        assert_eq!(document.named_in(told), document.place(&["b", "c"]));
        assert_eq!(document.named_in("a `b.d` or a `"), Place::default());
        let asked = Document::unnamed(TOML).unfit(Unfit::new("b.c", "it is too long"));
        assert_eq!(asked.to_string(), "line 3, column 5: it is too long");
    }

    #[test]
    fn every_way_of_being_no_toml_has_a_place() {
        let deep = format!("a = 1\n  b = {}", "[".repeat(1_000));
        for (toml, at) in [
            ("a = 1\nb = \"", "x:2:"),
            ("a = 1\na = 2", "x:2:1: "),
            ("", "x:1:1: "),
            ("a = 1\n[b]\nc = 0x", "x:3:"),
            (deep.as_str(), "x:2:71: "),
        ] {
            #[derive(Debug, serde::Deserialize)]
            struct Wanted {
                #[expect(dead_code, reason = "it is never there")]
                wanted: String,
            }
            let wrong = Document::named("x", toml)
                .read::<Wanted>()
                .expect_err("no such TOML");
            assert!(wrong.to_string().starts_with(at), "{wrong}");
        }
    }

    #[test]
    fn what_is_no_utf_8_is_told_once() {
        let folder = std::env::temp_dir();
        let path = folder.join(format!("koemasu-no-utf-8-{}.toml", std::process::id()));
        std::fs::write(&path, b"a = 1\nb = \"\xe3\x81\x82\xff\"").expect("a file");
        let told = Document::open(&path, 100).expect_err("refused").to_string();
        std::fs::remove_file(&path).expect("the file");
        let at = format!("{}:2:7: it is no UTF-8 from here on", path.display());
        assert_eq!(told, at);
    }
}
