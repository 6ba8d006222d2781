//! Katakana → phonemes.
//!
//! The table of moras descends from Open JTalk (modified BSD).

/// Moras by their phonemes; what is not here is read kana by kana.
const MORAS: &[(&str, &[&str])] = &[
    ("ヴォ", &["v", "o"]),
    ("ヴェ", &["v", "e"]),
    ("ヴィ", &["v", "i"]),
    ("ヴァ", &["v", "a"]),
    ("ヴャ", &["by", "a"]),
    ("ヴュ", &["by", "u"]),
    ("ヴョ", &["by", "o"]),
    ("ヴ", &["v", "u"]),
    ("ン", &["N"]),
    ("ッ", &["q"]),
    ("ワ", &["w", "a"]),
    ("ヮ", &["w", "a"]),
    ("ヲ", &["o"]),
    ("ヱ", &["e"]),
    ("ヰ", &["i"]),
    ("ラ", &["r", "a"]),
    ("リ", &["r", "i"]),
    ("ル", &["r", "u"]),
    ("レ", &["r", "e"]),
    ("ロ", &["r", "o"]),
    ("リャ", &["ry", "a"]),
    ("リュ", &["ry", "u"]),
    ("リェ", &["ry", "e"]),
    ("リョ", &["ry", "o"]),
    ("ヤ", &["y", "a"]),
    ("ユ", &["y", "u"]),
    ("ヨ", &["y", "o"]),
    ("ャ", &["y", "a"]),
    ("ュ", &["y", "u"]),
    ("ョ", &["y", "o"]),
    ("イェ", &["y", "e"]),
    ("マ", &["m", "a"]),
    ("ミ", &["m", "i"]),
    ("ム", &["m", "u"]),
    ("メ", &["m", "e"]),
    ("モ", &["m", "o"]),
    ("ミャ", &["my", "a"]),
    ("ミュ", &["my", "u"]),
    ("ミェ", &["my", "e"]),
    ("ミョ", &["my", "o"]),
    ("パ", &["p", "a"]),
    ("ピ", &["p", "i"]),
    ("プ", &["p", "u"]),
    ("ペ", &["p", "e"]),
    ("ポ", &["p", "o"]),
    ("ピャ", &["py", "a"]),
    ("ピュ", &["py", "u"]),
    ("ピェ", &["py", "e"]),
    ("ピョ", &["py", "o"]),
    ("バ", &["b", "a"]),
    ("ビ", &["b", "i"]),
    ("ブ", &["b", "u"]),
    ("ベ", &["b", "e"]),
    ("ボ", &["b", "o"]),
    ("ビャ", &["by", "a"]),
    ("ビュ", &["by", "u"]),
    ("ビェ", &["by", "e"]),
    ("ビョ", &["by", "o"]),
    ("ハ", &["h", "a"]),
    ("ヒ", &["h", "i"]),
    ("フ", &["f", "u"]),
    ("ヘ", &["h", "e"]),
    ("ホ", &["h", "o"]),
    ("ヒャ", &["hy", "a"]),
    ("ヒュ", &["hy", "u"]),
    ("ヒェ", &["hy", "e"]),
    ("ヒョ", &["hy", "o"]),
    ("ファ", &["f", "a"]),
    ("フィ", &["f", "i"]),
    ("フェ", &["f", "e"]),
    ("フォ", &["f", "o"]),
    ("ナ", &["n", "a"]),
    ("ニ", &["n", "i"]),
    ("ヌ", &["n", "u"]),
    ("ネ", &["n", "e"]),
    ("ノ", &["n", "o"]),
    ("ニャ", &["ny", "a"]),
    ("ニュ", &["ny", "u"]),
    ("ニェ", &["ny", "e"]),
    ("ニョ", &["ny", "o"]),
    ("ダ", &["d", "a"]),
    ("ヂ", &["j", "i"]),
    ("ヅ", &["z", "u"]),
    ("デ", &["d", "e"]),
    ("ド", &["d", "o"]),
    ("ディ", &["d", "i"]),
    ("ドゥ", &["d", "u"]),
    ("デャ", &["dy", "a"]),
    ("デュ", &["dy", "u"]),
    ("デョ", &["dy", "o"]),
    ("タ", &["t", "a"]),
    ("チ", &["ch", "i"]),
    ("ツ", &["ts", "u"]),
    ("テ", &["t", "e"]),
    ("ト", &["t", "o"]),
    ("ティ", &["t", "i"]),
    ("トゥ", &["t", "u"]),
    ("テャ", &["ty", "a"]),
    ("テュ", &["ty", "u"]),
    ("テョ", &["ty", "o"]),
    ("ツァ", &["ts", "a"]),
    ("ツィ", &["ts", "i"]),
    ("ツェ", &["ts", "e"]),
    ("ツォ", &["ts", "o"]),
    ("チャ", &["ch", "a"]),
    ("チュ", &["ch", "u"]),
    ("チェ", &["ch", "e"]),
    ("チョ", &["ch", "o"]),
    ("ザ", &["z", "a"]),
    ("ジ", &["j", "i"]),
    ("ズ", &["z", "u"]),
    ("ゼ", &["z", "e"]),
    ("ゾ", &["z", "o"]),
    ("ズィ", &["z", "i"]),
    ("ジャ", &["j", "a"]),
    ("ジュ", &["j", "u"]),
    ("ジェ", &["j", "e"]),
    ("ジョ", &["j", "o"]),
    ("サ", &["s", "a"]),
    ("シ", &["sh", "i"]),
    ("ス", &["s", "u"]),
    ("セ", &["s", "e"]),
    ("ソ", &["s", "o"]),
    ("スィ", &["s", "i"]),
    ("シャ", &["sh", "a"]),
    ("シュ", &["sh", "u"]),
    ("シェ", &["sh", "e"]),
    ("ショ", &["sh", "o"]),
    ("ガ", &["g", "a"]),
    ("ギ", &["g", "i"]),
    ("グ", &["g", "u"]),
    ("ゲ", &["g", "e"]),
    ("ゴ", &["g", "o"]),
    ("ギャ", &["gy", "a"]),
    ("ギュ", &["gy", "u"]),
    ("ギェ", &["gy", "e"]),
    ("ギョ", &["gy", "o"]),
    ("カ", &["k", "a"]),
    ("キ", &["k", "i"]),
    ("ク", &["k", "u"]),
    ("ケ", &["k", "e"]),
    ("コ", &["k", "o"]),
    ("キャ", &["ky", "a"]),
    ("キュ", &["ky", "u"]),
    ("キェ", &["ky", "e"]),
    ("キョ", &["ky", "o"]),
    ("ヵ", &["k", "a"]),
    ("ヶ", &["k", "e"]),
    // No voice has a symbol for `kw` and `gw`, on which the reference fails.
    ("クヮ", &["k", "u", "w", "a"]),
    ("グヮ", &["g", "u", "w", "a"]),
    ("ア", &["a"]),
    ("イ", &["i"]),
    ("ウ", &["u"]),
    ("エ", &["e"]),
    ("オ", &["o"]),
    ("ァ", &["a"]),
    ("ィ", &["i"]),
    ("ゥ", &["u"]),
    ("ェ", &["e"]),
    ("ォ", &["o"]),
    ("ウィ", &["w", "i"]),
    ("ウェ", &["w", "e"]),
    ("ウォ", &["w", "o"]),
];

/// The phonemes of a reading. A long mark repeats the phoneme before it;
/// `before` is the one before the reading. None if something of it is no
/// katakana.
pub(crate) fn phonemes(reading: &str, before: Option<&'static str>) -> Option<Vec<&'static str>> {
    let mut phonemes: Vec<&'static str> = Vec::new();
    let mut rest = reading;
    while let Some(first) = rest.chars().next() {
        if first == 'ー' {
            phonemes.push(match phonemes.last() {
                Some(last) => last,
                // At the beginning only a vowel can go on; else it is a dash.
                None => before.filter(|phone| can_go_on(phone)).unwrap_or("-"),
            });
            rest = &rest[first.len_utf8()..];
            continue;
        }
        let (kana, mora) = longest(rest)?;
        phonemes.extend(mora.iter().copied());
        rest = &rest[kana.len()..];
    }
    Some(phonemes)
}

/// Bytes of the mora at the beginning; a long mark is one.
pub(crate) fn mora(text: &str) -> Option<usize> {
    match text.starts_with('ー') {
        true => Some('ー'.len_utf8()),
        false => longest(text).map(|(kana, _)| kana.len()),
    }
}

/// The kana of these phonemes, if they are one mora.
pub(crate) fn of(phonemes: &[&str]) -> Option<&'static str> {
    MORAS
        .iter()
        .filter(|(kana, _)| !ONLY_READ.contains(kana))
        .find(|(_, mora)| *mora == phonemes)
        .map(|(kana, _)| *kana)
}

/// Kana that are read, and never written for what they are read as.
const ONLY_READ: [&str; 21] = [
    "ヴャ", "ヴュ", "ヴョ", "ヮ", "ヲ", "ヱ", "ヰ", "ャ", "ュ", "ョ", "ヂ", "ヅ", "ヵ", "ヶ",
    "クヮ", "グヮ", "ァ", "ィ", "ゥ", "ェ", "ォ",
];

pub(crate) fn can_go_on(phone: &str) -> bool {
    matches!(phone, "a" | "i" | "u" | "e" | "o" | "N")
}

fn longest(text: &str) -> Option<&'static (&'static str, &'static [&'static str])> {
    MORAS
        .iter()
        .filter(|(kana, _)| text.starts_with(kana))
        .max_by_key(|(kana, _)| kana.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(reading: &str, before: Option<&'static str>) -> String {
        phonemes(reading, before).map_or("none".to_owned(), |phonemes| phonemes.join(" "))
    }

    #[test]
    fn the_longest_mora_wins() {
        assert_eq!(read("キャット", None), "ky a q t o");
        assert_eq!(read("ティッシュ", None), "t i q sh u");
        assert_eq!(read("シィ", None), "sh i i");
        assert_eq!(read("グヮ", None), "g u w a");
    }

    #[test]
    fn a_long_mark_repeats_what_is_before_it() {
        assert_eq!(read("コーヒー", None), "k o o h i i");
        assert_eq!(read("ンーー", None), "N N N");
        assert_eq!(read("ー", Some("a")), "a");
        assert_eq!(read("ーー", Some("q")), "- -");
        assert_eq!(read("ーア", None), "- a");
    }

    #[test]
    fn only_katakana_has_phonemes() {
        assert_eq!(read("カa", None), "none");
        assert_eq!(read("ひ", None), "none");
        assert_eq!(read("", None), "");
    }

    #[test]
    fn every_phoneme_is_a_symbol() {
        for (kana, phonemes) in MORAS {
            for phoneme in *phonemes {
                assert!(crate::phoneme::id(phoneme).is_some(), "{kana} {phoneme}");
            }
        }
    }
}
