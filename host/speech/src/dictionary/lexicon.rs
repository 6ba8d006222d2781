//! `sys.dic` and `unk.dic`: a double-array trie of surfaces, the tokens they
//! lead to, and the tokens' features as text.

use super::matrix::Matrix;
use super::{Blob, u16_at, u32_at};

/// The magic number is this, xored with the file's length.
const MAGIC: u32 = 0xef71_8f77;
const HEADER: usize = 10 * 4 + 32;
const TOKEN: usize = 16;
const UNIT: usize = 8;

/// No word is longer; in a damaged trie one may go round in circles.
const SURFACE_BYTES_MAX: usize = 1_024;

pub(super) struct Lexicon {
    bytes: Blob,
    trie: Part,
    tokens: Part,
    features: Part,
}

/// A stretch of the file.
#[derive(Clone, Copy)]
struct Part {
    start: usize,
    length: usize,
}

/// One entry: contexts, cost, and where its features stand.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Token {
    pub(super) left: u16,
    pub(super) right: u16,
    pub(super) cost: i16,
    feature: u32,
}

/// The tokens of one surface.
#[derive(Clone, Copy, Debug)]
pub(super) struct Entries {
    first: usize,
    count: usize,
}

impl Lexicon {
    pub(super) fn new(bytes: Blob, matrix: &Matrix) -> Result<Self, String> {
        let all = (*bytes).as_ref();
        let number = |index: usize| {
            u32_at(all, index * 4)
                .map(|n| n as usize)
                .ok_or_else(|| "it is too short".to_owned())
        };
        let length = u32::try_from(all.len()).map_err(|_| "it is too long".to_owned())?;
        if number(0)? as u32 ^ MAGIC != length {
            return Err("its magic number does not fit its length".to_owned());
        }
        let charset = all.get(40..HEADER).unwrap_or_default();
        let charset: Vec<u8> = charset.iter().copied().take_while(|b| *b != 0).collect();
        if !charset.eq_ignore_ascii_case(b"utf-8") && !charset.eq_ignore_ascii_case(b"utf8") {
            return Err(format!(
                "its charset is {}, not UTF-8",
                String::from_utf8_lossy(&charset)
            ));
        }
        let (left, right) = (number(4)?, number(5)?);
        if left > matrix.after || right > matrix.before {
            return Err(format!(
                "it has {left} × {right} contexts, the matrix {} × {}",
                matrix.after, matrix.before
            ));
        }
        let (trie, tokens, features) = (number(6)?, number(7)?, number(8)?);
        let expected = HEADER
            .checked_add(trie)
            .and_then(|n| n.checked_add(tokens))
            .and_then(|n| n.checked_add(features));
        if expected != Some(all.len()) || trie % UNIT != 0 || tokens % TOKEN != 0 {
            return Err("its parts do not add up to its length".to_owned());
        }
        let part = |start, length| Part { start, length };
        Ok(Self {
            trie: part(HEADER, trie),
            tokens: part(HEADER + trie, tokens),
            features: part(HEADER + trie + tokens, features),
            bytes,
        })
    }

    /// Calls `found` for every surface that `text` begins with, shortest
    /// first, with its length in bytes.
    pub(super) fn prefixes(&self, text: &[u8], mut found: impl FnMut(usize, Entries)) {
        let trie = self.part(self.trie);
        let unit = |place: u32| {
            let at = (place as usize).checked_mul(UNIT)?;
            Some((u32_at(trie, at)?.cast_signed(), u32_at(trie, at + 4)?))
        };
        let Some((base, _)) = unit(0) else { return };
        let mut base = base.cast_unsigned();
        for length in 0..=text.len().min(SURFACE_BYTES_MAX) {
            // A leaf hangs at the node's own base and holds a negative value.
            match unit(base) {
                Some((value, check)) if check == base && value < 0 => {
                    let value = value.wrapping_neg().cast_unsigned().wrapping_sub(1);
                    let entries = Entries {
                        first: (value >> 8) as usize,
                        count: (value & 0xff) as usize,
                    };
                    found(length, entries);
                }
                _ => {}
            }
            let Some(byte) = text.get(length) else { return };
            let next = base.wrapping_add(u32::from(*byte)).wrapping_add(1);
            match unit(next) {
                Some((child, check)) if check == base => base = child.cast_unsigned(),
                _ => return,
            }
        }
    }

    /// The tokens of exactly this surface.
    pub(super) fn exact(&self, surface: &[u8]) -> Option<Entries> {
        let mut entries = None;
        self.prefixes(surface, |length, found| {
            if length == surface.len() {
                entries = Some(found);
            }
        });
        entries
    }

    pub(super) fn tokens(&self, entries: Entries) -> impl Iterator<Item = Token> + '_ {
        let tokens = self.part(self.tokens);
        (0..entries.count).map_while(move |index| {
            let at = entries.first.checked_add(index)?.checked_mul(TOKEN)?;
            Some(Token {
                left: u16_at(tokens, at)?,
                right: u16_at(tokens, at + 2)?,
                cost: u16_at(tokens, at + 6)?.cast_signed(),
                feature: u32_at(tokens, at + 8)?,
            })
        })
    }

    /// The features of a token: fields separated by commas. Empty if the
    /// token points outside of the file.
    pub(super) fn feature(&self, token: Token) -> &str {
        let features = self.part(self.features);
        let rest = features.get(token.feature as usize..).unwrap_or_default();
        let end = rest.iter().position(|byte| *byte == 0).unwrap_or(0);
        std::str::from_utf8(&rest[..end]).unwrap_or_default()
    }

    fn part(&self, part: Part) -> &[u8] {
        let all = (*self.bytes).as_ref();
        // Checked when it opened; a blob that has shrunk since is empty.
        all.get(part.start..part.start + part.length)
            .unwrap_or_default()
    }
}
