//! The frontend over the real dictionary.

#![expect(
    clippy::disallowed_methods,
    reason = "tests find what set-up left by the environment"
)]

use std::path::{Path, PathBuf};
use std::sync::{Arc, LazyLock};

use proptest::prelude::*;
use serde_json::{Value, json};
use speech::align::{self, Family};
use speech::dictionary::{Blob, Dictionary, DictionaryFiles};
use speech::g2p::Frontend;
use speech::text::NormalizedText;
use speech::utterance::{Utterance, WarningKind};

static FRONTEND: LazyLock<Frontend> = LazyLock::new(|| {
    let variable = |name| std::env::var_os(name).map(PathBuf::from);
    let home = variable("KOEMASU_HOME")
        .or_else(|| variable("XDG_CACHE_HOME").map(|cache| cache.join("koemasu")))
        .or_else(|| variable("HOME").map(|home| home.join(".cache/koemasu")))
        .expect("a home");
    let folder = home.join("dictionary/naist-jdic-1.11");
    let read = |name: &str| -> Blob {
        let bytes = std::fs::read(folder.join(name));
        Arc::new(bytes.unwrap_or_else(|e| panic!("{name}: {e}; run `cargo xtask setup`")))
    };
    let dictionary = Dictionary::new(DictionaryFiles {
        sys: read("sys.dic"),
        unk: read("unk.dic"),
        char: read("char.bin"),
        matrix: read("matrix.bin"),
    });
    Frontend::new(dictionary.expect("the dictionary"))
});

/// The sentences of the reference: a part that is ours, and all of them where
/// they are at hand.
fn corpus() -> Vec<Value> {
    let shared = std::env::var_os("KOEMASU_SHARED").map_or_else(
        || Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared"),
        PathBuf::from,
    );
    let part = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/cases/frontend/ja.jsonl");
    // The part is in the whole.
    let rows = std::fs::read_to_string(shared.join("corpora/ja.jsonl"));
    let rows = rows.or_else(|_| std::fs::read_to_string(part));
    let rows = rows.expect("a part of the corpus");
    let row = |line| serde_json::from_str(line).expect("a row");
    rows.lines().map(row).collect()
}

fn read(text: &str) -> Utterance {
    FRONTEND.pronounce(&NormalizedText::new(text.to_owned()).expect("good text"))
}

fn phones(text: &str) -> String {
    read(text).phonemes().collect::<Vec<_>>().join(" ")
}

#[test]
fn the_reference_is_met_on_every_row() {
    let corpus = corpus();
    let (mut rows, mut equal) = (0_usize, 0);
    for row in corpus {
        let Some(text) = row["norm"]
            .as_str()
            .and_then(|text| NormalizedText::new(text.to_owned()).ok())
        else {
            continue;
        };
        let said = FRONTEND.pronounce(&text);
        if row["phones"].is_array() {
            rows += 1;
            let same = json!(said.phonemes().collect::<Vec<_>>()) == row["phones"]
                && json!(said.tones()) == row["tones"]
                && json!(said.phonemes_per_character()) == row["word2ph"];
            equal += usize::from(same);
            if !same {
                println!("different: {}", text.as_str());
            }
        }
    }
    assert!(rows > 200 && equal == rows, "{equal} of {rows} rows equal");
}

#[test]
fn words_are_read_with_their_accents() {
    let said = read("雨と飴.");
    assert_eq!(
        said.phonemes().collect::<Vec<_>>().join(" "),
        "_ a m e t o a m e . _"
    );
    assert_eq!(said.tones(), [0, 1, 0, 0, 0, 0, 0, 1, 1, 0, 0]);
    assert_eq!(said.phonemes_per_character(), [1, 3, 2, 3, 1, 1]);
    assert_eq!(said.text(), "雨と飴.");
}

#[test]
fn odd_texts_that_end_other_frontends_are_read() {
    // Open JTalk cannot read this small kana; it is skipped or a pause.
    assert_eq!(phones("グヮ"), "_ g u ' _");
    assert_eq!(phones("ンヮイ"), "_ N i _");
    assert_eq!(phones("クヮルテット"), "_ k u w a r u t e q t o _");
    assert_eq!(phones("ーーあ"), "_ - - a _");
    assert_eq!(phones("うっうが"), "_ u q u g a _");
    assert_eq!(phones("!?...-'"), "_ ! ? . . . - ' _");
}

#[test]
fn what_has_no_reading_is_a_pause_and_a_warning() {
    let said = read("靑煕です");
    assert!(
        said.warnings()
            .iter()
            .any(|warning| warning.kind == WarningKind::Unreadable),
        "{said:?}"
    );
    assert!(said.phonemes().any(|phone| phone == "'"));
}

#[test]
fn blanks_stand_at_even_places_and_features_follow_their_characters() {
    let said = read("はい.");
    let tokens = align::tokens(&said, Family::JpExtra);
    assert_eq!(tokens.ids.len(), 2 * said.phonemes().len() + 1);
    assert!(tokens.ids.iter().step_by(2).all(|id| *id == 0));
    assert!(
        tokens
            .tones
            .iter()
            .skip(1)
            .step_by(2)
            .all(|tone| *tone == 6 || *tone == 7)
    );
    assert!(
        tokens
            .languages
            .iter()
            .skip(1)
            .step_by(2)
            .all(|language| *language == 1)
    );

    // Two channels that count characters up and down.
    let rows = said.phonemes_per_character().len();
    let data: Vec<f32> = (0..rows)
        .flat_map(|row| [row as f32 + 1.0, -(row as f32) - 1.0])
        .collect();
    let features = align::Features {
        data: &data,
        rows,
        width: 2,
    };
    let padded = tokens.ids.len() + 3;
    let columns = align::expand(&features, &said, padded);
    let first = &columns[..padded];
    // は: 2 phonemes, い: 1, the point: 1, ends: 1 each; all doubled, the first has one more.
    assert_eq!(
        first,
        [
            1.0, 1.0, 1.0, 2.0, 2.0, 2.0, 2.0, 3.0, 3.0, 4.0, 4.0, 5.0, 5.0, 0.0, 0.0, 0.0
        ]
    );
    assert!(
        columns[padded..]
            .iter()
            .zip(first)
            .all(|(down, up)| *down == -*up)
    );
}

#[test]
fn only_jp_extra_voices_tell_the_two_n_apart() {
    let said = read("本");
    let n = |symbol| speech::phoneme::id(symbol).expect("a symbol");
    assert!(align::tokens(&said, Family::JpExtra).ids.contains(&n("N")));
    let ids = align::tokens(&said, Family::Multilingual).ids;
    assert!(ids.contains(&n("n")) && !ids.contains(&n("N")));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    /// Any text at all: no panic, and the utterance holds together.
    #[test]
    fn every_text_is_read(text in "(?s)[ぁ-んァ-ヶー一-龠a-zA-Z0-9!?…,.'、。ー々〆\u{3099}😀-😂 -~]{1,40}|.{1,20}") {
        let Ok(text) = NormalizedText::new(text) else { return Ok(()) };
        let said = FRONTEND.pronounce(&text);
        let phonemes = said.phonemes().len();
        prop_assert_eq!(said.tones().len(), phonemes);
        prop_assert_eq!(said.phonemes_per_character().iter().sum::<usize>(), phonemes);
        prop_assert_eq!(said.phonemes_per_character().len(), said.text().chars().count() + 2);
        prop_assert!(said.phonemes().all(|phone| speech::phoneme::id(phone).is_some()));
        prop_assert!(said.tones().iter().all(|tone| *tone <= 1));
    }
}

#[test]
fn moras_are_those_of_the_reference() {
    for row in corpus() {
        let text = row["norm"].as_str().unwrap_or_default().to_owned();
        let (Ok(text), true) = (NormalizedText::new(text), row["kata_tone"].is_array()) else {
            continue;
        };
        let moras = speech::moras::of(&FRONTEND.pronounce(&text));
        let moras: Vec<_> = moras
            .iter()
            .map(|mora| json!([mora.kana, mora.tone]))
            .collect();
        assert_eq!(json!(moras), row["kata_tone"], "{}", text.as_str());
    }
}

#[test]
fn accent_phrases_say_the_tones_of_sentences() {
    use speech::phrases;
    let (mut sentences, mut same, mut across) = (0_usize, 0, 0);
    for row in corpus() {
        let text = row["norm"].as_str().unwrap_or_default().to_owned();
        let Ok(text) = NormalizedText::new(text) else {
            continue;
        };
        let moras = speech::moras::of(&FRONTEND.pronounce(&text));
        let phrases = phrases::of(&moras).expect("kana and marks");
        let again = phrases::moras(&phrases);
        let tones: Vec<_> = moras.iter().map(|mora| mora.tone).collect();
        let marks = |mora: &phrases::Mora| mora.is_mark();
        let crosses = |phrase: &phrases::Phrase| {
            let mut said = phrase.moras().iter().skip_while(|mora| marks(mora));
            said.any(marks) && said.any(|mora| !marks(mora))
        };
        sentences += 1;
        across += usize::from(phrases.iter().any(crosses));
        if moras == again {
            same += 1;
            continue;
        }
        // The two beginnings that no accent phrase has.
        assert!(
            tones == [0] || tones.starts_with(&[0, 0]),
            "{}: {moras:?}",
            text.as_str()
        );
        assert_eq!(moras[1..], again[1..], "{}", text.as_str());
    }
    println!("{same} of {sentences} sentences; phrases across a mark in {across}");
    assert!(same * 100 >= sentences * 95, "{same} of {sentences}");
}

#[test]
fn moras_given_back_say_the_same() {
    use speech::moras::{self, Given};
    for text in ["雨と飴.", "お疲れ様でした!", "コーヒーを、一杯."] {
        let said = read(text);
        let given = Given::Moras(moras::of(&said));
        assert_eq!(moras::say(&said, &given).as_ref(), Ok(&said), "{text}");
    }
    let said = read("雨です");
    let tones = moras::say(&said, &Given::Tones(vec![0; 3]));
    assert!(
        tones
            .expect_err("too few")
            .to_string()
            .contains("3 tones are given")
    );
    let phonemes = Given::Phonemes {
        phonemes: ["a", "m", "e", "d", "a", "kw"].map(str::to_owned).to_vec(),
        tones: vec![0; 6],
    };
    let error = moras::say(&said, &phonemes).expect_err("no symbol");
    assert!(error.to_string().contains("phoneme 6, `kw`"), "{error}");
    let moras = Given::Moras(vec![moras::Mora {
        kana: "アメ".to_owned(),
        tone: 1,
    }]);
    let error = moras::say(&said, &moras).expect_err("two moras");
    assert!(error.to_string().contains("mora 1, `アメ`"), "{error}");
}

#[test]
fn the_users_words_are_read_as_the_user_says() {
    use speech::user::{PartOfSpeech, UserWords, Word};
    let words = [
        Word {
            accent: Some(0),
            part_of_speech: PartOfSpeech::Surname,
            ..Word::new("小鳥遊", "タカナシ")
        },
        Word::new("月ノ美兎", "ツキノミト"),
        Word {
            priority: 9,
            ..Word::new("四月一日", "ワタヌキ")
        },
    ];
    let words = UserWords::new(&words).expect("good words");
    let read = |text: &str| {
        let text = NormalizedText::new(text.to_owned()).expect("good text");
        let said = FRONTEND.pronounce_with(&text, &words);
        said.phonemes().collect::<Vec<_>>().join("")
    };
    assert_eq!(read("小鳥遊さん"), "_takanashisaN_");
    assert_eq!(read("月ノ美兎です"), "_tsukinomitodesu_");
    assert_eq!(read("四月一日さん"), "_watanukisaN_");
    assert_eq!(read("四月二日"), "_shigatsufutsuka_");
}
