//! Any text through each normalizer alone and through the whole chain: no
//! panic, and spans that ascend and stay within the texts.
#![no_main]

use std::ops::Range;

use libfuzzer_sys::fuzz_target;
use normalizer::draft::Draft;
use normalizer::policy::{Entry, Host, Kana, Policy};
use normalizer::settings::Values;

/// Answers as the host does, and sometimes as it never would.
struct Odd(u8);

impl Host for Odd {
    fn words(&self, text: &str) -> Vec<Entry> {
        let length = text.chars().count();
        let at = usize::from(self.0).min(length)..usize::from(self.0).saturating_add(2).min(length);
        vec![Entry {
            at,
            reading: "ア".to_owned(),
        }]
    }

    fn english(&self, word: &str) -> Option<Kana> {
        let reading = speech::english::read(word)?;
        Some(Kana {
            text: reading.kana.into_owned(),
            guessed: reading.guessed,
        })
    }

    fn unread(&self, _: &str) -> Vec<Range<usize>> {
        vec![usize::from(self.0)..usize::from(self.0) + 3]
    }

    fn guessed(&self, at: Range<usize>, _: &str) {
        assert!(at.start <= at.end);
    }
}

fn run<P: Policy>(text: &str, host: &Odd) -> String {
    let mut draft = Draft::new(text);
    P::normalize(&mut draft, &Values::defaults(P::SETTINGS), host);
    let (read, written) = (draft.text().chars().count(), text.chars().count());
    let mut end = 0;
    for span in draft.spans() {
        assert!(end <= span.out.start && span.out.start < span.out.end && span.out.end <= read);
        assert!(span.source.start <= span.source.end && span.source.end <= written);
        end = span.out.end;
    }
    draft.text()
}

fuzz_target!(|input: (u8, u8, String)| {
    let (which, odd, text) = input;
    let host = Odd(odd);
    let all: [fn(&str, &Odd) -> String; 11] = [
        run::<ja_markup::Markup>,
        run::<ja_words::Words>,
        run::<ja_links::Links>,
        run::<ja_emoji::Emoji>,
        run::<ja_dates::Dates>,
        run::<ja_units::Units>,
        run::<ja_numbers::Numbers>,
        run::<ja_english::English>,
        run::<ja_kanji::Kanji>,
        run::<ja_fallback::Fallback>,
        run::<normalize_sbv2::Sbv2>,
    ];
    if let Some(one) = all.get(usize::from(which)) {
        one(&text, &host);
        return;
    }
    all.iter().fold(text, |text, one| one(&text, &host));
});
