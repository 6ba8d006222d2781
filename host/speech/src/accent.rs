//! Accent phrases and their tones, phoneme by phoneme.
//!
//! What Open JTalk's labels say, without making labels: a phrase's pitch rises
//! after its first mora and falls after its accent. Method of the prosody
//! symbols: Kurihara et al. 2021, as in ESPnet.

use jpreprocess_core::pronunciation::{Mora, MoraEnum};
use jpreprocess_njd::NJDNode;

/// One phoneme as the accent sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Toned {
    pub(crate) phoneme: &'static str,
    /// 0 low, 1 high.
    pub(crate) tone: u8,
}

/// Open JTalk's labels count moras up to this place; beyond it no fall is seen.
const COUNTED_MAX: usize = 49;

struct Phrase {
    accent: usize,
    moras: usize,
}

struct Placed {
    phonemes: Vec<&'static str>,
    phrase: usize,
    /// From 1.
    place: usize,
    pause_after: bool,
}

/// The phonemes of all words but marks, with their tones.
pub(crate) fn tones(words: &[NJDNode]) -> Vec<Toned> {
    let (phrases, moras) = place(words);
    let mut toned = Vec::new();
    // Tones of the stretch between two phrase ends or pauses, from 0 on.
    let mut stretch: Vec<(&'static str, i8)> = Vec::new();
    let mut tone = 0;
    for (index, mora) in moras.iter().enumerate() {
        stretch.extend(mora.phonemes.iter().map(|phoneme| (*phoneme, tone)));
        let phrase = &phrases[mora.phrase];
        let next = moras.get(index + 1).filter(|_| !mora.pause_after);
        let goes_on = next.is_some_and(|next| next.phrase == mora.phrase);
        if !goes_on {
            close(&mut stretch, &mut toned);
            tone = 0;
        } else if mora.place == phrase.accent
            && mora.place != phrase.moras
            && mora.place < COUNTED_MAX
        {
            tone -= 1;
        } else if mora.place == 1 {
            tone += 1;
        }
    }
    close(&mut stretch, &mut toned);
    toned
}

/// A phrase that begins high has fallen below 0; it begins at 1 then.
fn close(stretch: &mut Vec<(&'static str, i8)>, toned: &mut Vec<Toned>) {
    let lowest = stretch.iter().map(|(_, tone)| *tone).min().unwrap_or(0);
    toned.extend(stretch.drain(..).map(|(phoneme, tone)| Toned {
        phoneme,
        tone: (tone - lowest.min(0)).clamp(0, 1).cast_unsigned(),
    }));
}

/// Moras into phrases. A word that is chained goes on with the phrase before
/// it, even across a pause, as Open JTalk counts.
fn place(words: &[NJDNode]) -> (Vec<Phrase>, Vec<Placed>) {
    let mut phrases: Vec<Phrase> = Vec::new();
    let mut moras: Vec<Placed> = Vec::new();
    let mut after_pause = true;
    for word in words {
        let pronunciation = word.get_pron();
        if pronunciation.is_touten() || pronunciation.is_question() {
            if let Some(last) = moras.last_mut() {
                last.pause_after = true;
            }
            after_pause = true;
            continue;
        }
        if pronunciation.is_empty() {
            continue;
        }
        let chained = word.get_chain_flag() == Some(true);
        // A phrase begins with a word's first sound of its own: a long mark
        // only lengthens what is there, and without that it is no mora.
        let mut begins = !chained;
        for (index, mora) in pronunciation.moras().iter().enumerate() {
            let last = moras.last().and_then(|last| last.phonemes.last()).copied();
            // A word that begins with a long mark lengthens the one before it,
            // but not its double consonant.
            let last = last.filter(|last| !after_pause && (index > 0 || *last != "q"));
            let Some(phonemes) = phonemes(mora, last) else {
                continue;
            };
            let lengthens = mora.mora_enum == MoraEnum::Long;
            if phrases.is_empty() || (begins && !lengthens) {
                phrases.push(Phrase {
                    accent: pronunciation.accent(),
                    moras: 0,
                });
                begins = false;
            }
            let phrase = phrases.len() - 1;
            after_pause = false;
            phrases[phrase].moras += 1;
            moras.push(Placed {
                phonemes,
                phrase,
                place: phrases[phrase].moras,
                pause_after: false,
            });
        }
    }
    for phrase in &mut phrases {
        // No accent is like one on the last mora: the pitch stays.
        if phrase.accent == 0 {
            phrase.accent = phrase.moras;
        }
    }
    (phrases, moras)
}

fn phonemes(mora: &Mora, last: Option<&'static str>) -> Option<Vec<&'static str>> {
    match mora.mora_enum {
        MoraEnum::Long => last.map(|last| vec![last]),
        MoraEnum::Touten | MoraEnum::Question => None,
        _ => {
            let kana = mora.to_string();
            crate::kana::phonemes(kana.trim_end_matches('’'), None)
        }
    }
}
