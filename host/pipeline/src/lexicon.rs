//! What plugins of a pipeline are told of words.

use std::sync::Arc;

use speech::g2p::Frontend;
use speech::user::UserWords;

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
