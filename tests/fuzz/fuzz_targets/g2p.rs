//! Any text through the frontend, with and without words of the user's, and
//! back in as moras: no panic, and the utterance holds together.
//! KOEMASU_DICTIONARY names the folder of the compiled dictionary.
#![no_main]

use std::path::PathBuf;
use std::sync::{Arc, LazyLock};

use libfuzzer_sys::fuzz_target;
use speech::dictionary::{Blob, Dictionary, DictionaryFiles};
use speech::g2p::Frontend;
use speech::moras::{self, Given};
use speech::text::NormalizedText;
use speech::user::{UserWords, Word};

static FRONTEND: LazyLock<Frontend> = LazyLock::new(|| {
    let folder = std::env::var_os("KOEMASU_DICTIONARY").expect("KOEMASU_DICTIONARY");
    let folder = PathBuf::from(folder);
    let read = |name: &str| -> Blob {
        Arc::new(std::fs::read(folder.join(name)).expect("a dictionary file"))
    };
    let dictionary = Dictionary::new(DictionaryFiles {
        sys: read("sys.dic"),
        unk: read("unk.dic"),
        char: read("char.bin"),
        matrix: read("matrix.bin"),
    });
    Frontend::new(dictionary.expect("a dictionary"))
});

fuzz_target!(|input: (String, String, String)| {
    let (text, surface, word) = input;
    let _ = speech::english::read(&word);
    let words = UserWords::new(&[Word::new(surface, "テスト")]).unwrap_or_default();
    let _ = words.literals(&text);
    let _ = FRONTEND.unread(&text, &words);
    let pieces = speech::sentence::split(&text, 30);
    let blanks = |text: &str| text.chars().filter(|c| !c.is_whitespace()).collect::<String>();
    assert_eq!(blanks(&pieces.concat()), blanks(&text));
    let Ok(text) = NormalizedText::new(text) else {
        return;
    };
    let said = FRONTEND.pronounce_with(&text, &words);
    let phonemes = said.phonemes().len();
    assert_eq!(said.tones().len(), phonemes);
    assert_eq!(said.phonemes_per_character().iter().sum::<usize>(), phonemes);
    assert_eq!(said.phonemes_per_character().len(), said.text().chars().count() + 2);
    let given = Given::Moras(moras::of(&said));
    let _ = moras::say(&said, &given);
});
