//! Letters by their names.

use alloc::string::String;

const LATIN: [&str; 26] = [
    "エー",
    "ビー",
    // シー alone is a word for the sea, which is スィー.
    "シィ",
    "ディー",
    "イー",
    "エフ",
    "ジー",
    "エイチ",
    "アイ",
    "ジェー",
    "ケー",
    "エル",
    "エム",
    "エヌ",
    "オー",
    "ピー",
    "キュー",
    "アール",
    "エス",
    "ティー",
    "ユー",
    "ブイ",
    "ダブリュー",
    "エックス",
    "ワイ",
    "ゼット",
];

/// The name of a Latin or Greek letter in katakana.
pub fn name(letter: char) -> Option<&'static str> {
    if letter.is_ascii_alphabetic() {
        let place = letter.to_ascii_lowercase() as usize - 'a' as usize;
        return LATIN.get(place).copied();
    }
    greek(letter)
}

pub fn greek(letter: char) -> Option<&'static str> {
    Some(match letter {
        'α' | 'Α' => "アルファ",
        'β' | 'Β' => "ベータ",
        'γ' | 'Γ' => "ガンマ",
        'δ' | 'Δ' => "デルタ",
        'ε' | 'Ε' => "イプシロン",
        'ζ' | 'Ζ' => "ゼータ",
        'η' | 'Η' => "イータ",
        'θ' | 'Θ' => "シータ",
        'ι' | 'Ι' => "イオタ",
        'κ' | 'Κ' => "カッパ",
        'λ' | 'Λ' => "ラムダ",
        'μ' | 'Μ' | 'µ' => "ミュー",
        'ν' | 'Ν' => "ニュー",
        'ξ' | 'Ξ' => "クサイ",
        'ο' | 'Ο' => "オミクロン",
        'π' | 'Π' => "パイ",
        'ρ' | 'Ρ' => "ロー",
        'σ' | 'ς' | 'Σ' => "シグマ",
        'τ' | 'Τ' => "タウ",
        'υ' | 'Υ' => "ユプシロン",
        'φ' | 'Φ' | 'ϕ' => "ファイ",
        'χ' | 'Χ' => "カイ",
        'ψ' | 'Ψ' => "プサイ",
        'ω' | 'Ω' => "オメガ",
        _ => return None,
    })
}

/// A word letter by letter; characters without a name are left out.
pub fn spell(word: &str) -> String {
    word.chars().filter_map(name).collect()
}
