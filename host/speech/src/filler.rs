//! Readings of words the dictionary has none for: kana as they are written,
//! everything else as a pause.
//!
//! As Open JTalk does it, down to the small kana it cannot read.

use jpreprocess_core::pos::POS;
use jpreprocess_core::pron;
use jpreprocess_core::pronunciation::{Mora, MoraEnum, Pronunciation};
use jpreprocess_njd::NJDNode;

/// Kana that Open JTalk's table lacks: skipped within a word, a pause alone.
const UNREADABLE: [char; 10] = ['ヮ', 'ヵ', 'ヶ', 'ヷ', 'ヸ', 'ヹ', 'ヺ', 'ゎ', 'ゕ', 'ゖ'];

/// Gives every word a reading; those that have none even so are dropped.
pub(crate) fn set_readings(words: &mut Vec<NJDNode>) {
    for word in &mut *words {
        if word.get_pron().mora_size() == 0 {
            read(word);
        }
    }
    words.retain(|word| !word.get_pron().is_empty());
    join_kana(words);
    words.retain(|word| !word.get_pron().is_empty());
    for index in 1..words.len() {
        let (before, after) = words.split_at_mut(index);
        if let (Some(word), Some(next)) = (before.last_mut(), after.first_mut()) {
            adjust(word, next);
        }
    }
}

fn read(word: &mut NJDNode) {
    let mut moras: Vec<Mora> = Vec::new();
    let mut pause = None;
    for part in word.get_string().split(UNREADABLE) {
        for (_, found) in Pronunciation::parse_mora_str(part) {
            match found.first().map(|mora| &mora.mora_enum) {
                Some(MoraEnum::Touten | MoraEnum::Question) => pause = Some(found),
                _ => moras.extend(found),
            }
        }
    }
    if !moras.is_empty() {
        *word.get_pos_mut() = POS::Filler;
        set(word, together(moras));
    } else if let Some(pause) = pause {
        let pause = Pronunciation::new(pause, 0);
        if pause.is_touten() {
            word.get_pos_mut().convert_to_kigou();
        }
        set(word, pause);
    } else if word.get_string().contains(UNREADABLE) {
        word.get_pos_mut().convert_to_kigou();
        set(word, pron!([Touten], 0));
    }
}

/// What is left once something was skipped may be fewer moras: ズ, ィ.
fn together(moras: Vec<Mora>) -> Pronunciation {
    let kana: String = moras.iter().map(ToString::to_string).collect();
    match <[_; 1]>::try_from(Pronunciation::parse_mora_str(&kana)) {
        Ok([(_, moras)]) => Pronunciation::new(moras, 0),
        Err(_) => Pronunciation::new(moras, 0),
    }
}

fn set(word: &mut NJDNode, pronunciation: Pronunciation) {
    word.set_read(&pronunciation.to_pure_string());
    word.set_pron(pronunciation);
}

/// Kana in a row become one word.
fn join_kana(words: &mut [NJDNode]) {
    let mut head: Option<usize> = None;
    for index in 0..words.len() {
        let kana = matches!(words[index].get_pos(), POS::Filler)
            && !words[index].get_string().contains(UNREADABLE)
            && Pronunciation::is_mora_convertable(words[index].get_string());
        match head {
            Some(first) if kana => {
                let (before, after) = words.split_at_mut(index);
                before[first].transfer_from(&mut after[0]);
            }
            _ => head = kana.then_some(index),
        }
    }
}

fn adjust(word: &mut NJDNode, next: &mut NJDNode) {
    let verb = matches!(word.get_pos(), POS::Doushi(_) | POS::Jodoushi);
    let lengthens = next.get_pron().mora_matches(MoraEnum::U)
        && matches!(next.get_pos(), POS::Jodoushi)
        && verb
        && word.get_pron().mora_size() > 0
        // After a double consonant there is nothing to lengthen; Open JTalk
        // and the reference disagree there, and the reference fails.
        && word.get_pron().moras().last().is_some_and(|mora| mora.mora_enum != MoraEnum::Xtsu);
    if lengthens {
        next.set_pron(pron!([Long], 0));
    }
    if matches!(word.get_pos(), POS::Jodoushi) && next.get_string() == "？" {
        match word.get_string() {
            "です" => word.set_pron(pron!([De, Su], 1)),
            "ます" => word.set_pron(pron!([Ma, Su], 1)),
            _ => {}
        }
    }
}
