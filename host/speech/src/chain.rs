//! Accents of phrases: what a word does to the phrase it is chained to.
//!
//! Rules by the accent types of UniDic's manual (6.7), applied as Open JTalk
//! applies them, which is not everywhere what the manual says.

use jpreprocess_core::accent_rule::{AccentType, ChainRule};
use jpreprocess_core::pos::POS;
use jpreprocess_njd::NJDNode;

/// Sets the accent of each phrase on its first word.
pub(crate) fn set_accents(words: &mut [NJDNode]) {
    let mut top = 0;
    let mut moras = 0;
    for index in 0..words.len() {
        let chained = index > 0 && words[index].get_chain_flag() == Some(true);
        if chained {
            let accent = chained_accent(&words[top], &words[index - 1], &words[index], moras);
            words[top].get_pron_mut().set_accent(accent);
            if let Some(accent) = numeral_accent(words, index) {
                words[index - 1].get_pron_mut().set_accent(accent);
            }
        } else {
            top = index;
            moras = 0;
            let next_is_numeral = words
                .get(index + 1)
                .is_some_and(|next| next.get_pos().is_kazu());
            if words[index].get_string() == "十" && next_is_numeral {
                words[index].get_pron_mut().set_accent(0);
            }
        }
        moras += words[index].get_pron().mora_size();
    }
}

/// The accent of the phrase of `top` once `word` is chained to it, `moras`
/// after its beginning.
fn chained_accent(top: &NJDNode, before: &NJDNode, word: &NJDNode, moras: usize) -> usize {
    let own = word.get_pron().accent();
    let top = top.get_pron().accent();
    let Some(rule) = rule(word, before.get_pos()) else {
        return top;
    };
    let shifted = || moras.saturating_add_signed(rule.add_type);
    match rule.accent_type {
        AccentType::F2 if top == 0 => shifted(),
        AccentType::F3 if top != 0 => shifted(),
        AccentType::F4 => shifted(),
        AccentType::F5 | AccentType::C4 | AccentType::P6 => 0,
        AccentType::C1 => moras + own,
        AccentType::C2 => moras + 1,
        AccentType::C3 => moras,
        AccentType::P1 if own == 0 => 0,
        AccentType::P2 if own == 0 => moras + 1,
        AccentType::P14 if own == 0 => top,
        AccentType::P1 | AccentType::P2 | AccentType::P14 => moras + own,
        AccentType::F1 | AccentType::F2 | AccentType::F3 | AccentType::C5 | AccentType::None => top,
    }
}

/// Open JTalk looks for a rule's part of speech anywhere in the name of the
/// word's before: 感動詞 and 助動詞 are 動詞 too.
fn rule<'a>(word: &'a NJDNode, before: &POS) -> Option<&'a ChainRule> {
    let rules = word.get_chain_rule();
    match before {
        POS::Kandoushi => rules.doushi.as_ref().or(rules.default.as_ref()),
        other => rules.get_rule(other),
    }
}

/// What a numeral does to the one before it.
fn numeral_accent(words: &[NJDNode], index: usize) -> Option<usize> {
    let (before, word) = (&words[index - 1], &words[index]);
    if !(before.get_pos().is_kazu() && word.get_pos().is_kazu()) {
        return None;
    }
    let next = words.get(index + 1).map_or("", NJDNode::get_string);
    let digits = ["一", "二", "三", "四", "五", "六", "七", "八", "九"];
    let both = before.get_pron().mora_size() + word.get_pron().mora_size();
    match (before.get_string(), word.get_string()) {
        ("五" | "六" | "八", "十") if digits.contains(&next) => Some(0),
        (_, "十") => Some(1),
        ("七", "百") => Some(2),
        ("三" | "四" | "九" | "何", "百") => Some(1),
        (_, "百") => Some(both),
        (_, "千" | "万") => Some(before.get_pron().mora_size() + 1),
        ("一" | "六" | "七" | "八" | "幾", "億") => Some(2),
        ("六" | "七", "兆") => Some(2),
        (_, "億" | "兆") => Some(1),
        _ => None,
    }
}
