//! Where a long text is cut. Nothing that could be read is ever lost.

/// Ends of sentences wherever they stand.
const ENDS: [char; 6] = ['。', '．', '！', '？', '!', '?'];
/// What belongs to the sentence before it.
const CLOSING: [char; 14] = [
    '」', '』', '）', ')', '】', '］', ']', '〉', '》', '”', '’', '"', '\'', '♪',
];

/// Sentences of one line, in order, with their marks and closing quotes. A
/// sentence of more than `characters_max` is cut after a mark or a blank if
/// there is one in its second half, else where it must be. Quotes and brackets
/// keep together what is in them, as long as it fits.
pub fn split(line: &str, characters_max: usize) -> Vec<&str> {
    let mut pieces = Vec::new();
    for sentence in sentences(line, characters_max) {
        cut(sentence.trim(), characters_max.max(1), &mut pieces);
    }
    pieces
}

fn sentences(line: &str, characters_max: usize) -> Vec<&str> {
    let characters: Vec<(usize, char)> = line.char_indices().collect();
    let closes = closes(&characters, characters_max);
    let mut sentences = Vec::new();
    let mut start = 0;
    let mut index = 0;
    while index < characters.len() {
        // What is quoted stays whole; it ends a sentence if another quote
        // follows, and not before "と言った".
        if let Some(close) = closes[index] {
            let quote_ends = ends(&characters, close - 1);
            index = close + 1;
            let next = characters.get(index).map(|(_, next)| *next);
            if !(quote_ends && next.is_some_and(is_opening)) {
                continue;
            }
        } else if !ends(&characters, index) {
            index += 1;
            continue;
        }
        let follows = |c: char| ENDS.contains(&c) || CLOSING.contains(&c) || c == '.';
        while index < characters.len() && follows(characters[index].1) {
            index += 1;
        }
        let end = characters.get(index).map_or(line.len(), |(at, _)| *at);
        sentences.push(&line[start..end]);
        start = end;
    }
    sentences.push(&line[start..]);
    sentences
}

/// What belongs together.
const PAIRS: [(char, char); 9] = [
    ('「', '」'),
    ('『', '』'),
    ('（', '）'),
    ('(', ')'),
    ('【', '】'),
    ('［', '］'),
    ('〈', '〉'),
    ('《', '》'),
    ('“', '”'),
];

fn is_opening(c: char) -> bool {
    PAIRS.iter().any(|(opening, _)| *opening == c)
}

/// For each bracket that opens, the place where it closes, unless that is
/// farther than a sentence may be long.
fn closes(characters: &[(usize, char)], characters_max: usize) -> Vec<Option<usize>> {
    let mut closes = vec![None; characters.len()];
    let mut open: Vec<(usize, char)> = Vec::new();
    for (place, (_, c)) in characters.iter().enumerate() {
        if let Some((_, closing)) = PAIRS.iter().find(|(opening, _)| opening == c) {
            open.push((place, *closing));
        } else if let Some(depth) = open.iter().rposition(|(_, closing)| closing == c) {
            // Those that opened inside never close.
            open.truncate(depth + 1);
            if let Some((start, _)) = open.pop()
                && place - start < characters_max
            {
                closes[start] = Some(place);
            }
        }
    }
    closes
}

fn ends(characters: &[(usize, char)], index: usize) -> bool {
    let c = characters[index].1;
    // A point inside of a number or a name ends nothing.
    let next = characters.get(index + 1).map(|(_, next)| *next);
    ENDS.contains(&c) || (c == '.' && next.is_none_or(char::is_whitespace))
}

fn cut<'a>(mut sentence: &'a str, most: usize, pieces: &mut Vec<&'a str>) {
    loop {
        if sentence.is_empty() {
            return;
        }
        let Some((limit, _)) = sentence.char_indices().nth(most) else {
            pieces.push(sentence);
            return;
        };
        let head = &sentence[..limit];
        let half = head.char_indices().nth(most / 2).map_or(0, |(at, _)| at);
        let pauses = |c: char| matches!(c, '、' | '，' | ',' | '；' | '：') || c.is_whitespace();
        let last = |fits: &dyn Fn(char) -> bool| {
            let mut places = head.char_indices().rev();
            places.find(|(at, c)| *at >= half && fits(*c))
        };
        let comma = last(&|c| ENDS.contains(&c) || CLOSING.contains(&c)).or_else(|| last(&pauses));
        let end = comma.map_or(limit, |(at, c)| at + c.len_utf8());
        let piece = sentence[..end].trim();
        if !piece.is_empty() {
            pieces.push(piece);
        }
        sentence = sentence[end..].trim_start();
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn sentences_keep_their_marks_and_quotes() {
        assert_eq!(
            split("はい。いいえ！？たぶん", 100),
            ["はい。", "いいえ！？", "たぶん"]
        );
        assert_eq!(
            split("「行こう。」と言った。「はい。」「いいえ。」", 100),
            ["「行こう。」と言った。", "「はい。」", "「いいえ。」"]
        );
        assert_eq!(
            split("彼は（少し待て。いや、いい。）と言った。はい。", 100),
            ["彼は（少し待て。いや、いい。）と言った。", "はい。"]
        );
        assert_eq!(split("「閉じない。はい。", 100), ["「閉じない。", "はい。"]);
        assert_eq!(
            split("Hello. 円周率は3.14です", 100),
            ["Hello.", "円周率は3.14です"]
        );
        assert_eq!(split("待って……。", 100), ["待って……。"]);
        assert_eq!(split("", 100), Vec::<&str>::new());
    }

    #[test]
    fn a_long_sentence_is_cut_at_its_last_comma() {
        assert_eq!(
            split("あいう、えお、かきくけこ", 8),
            ["あいう、えお、", "かきくけこ"]
        );
        assert_eq!(split("あいうえおかき", 3), ["あいう", "えおか", "き"]);
    }

    proptest! {
        #[test]
        fn nothing_but_blanks_is_lost(line in ".{0,80}", most in 1usize..30) {
            let kept: String = split(&line, most).concat();
            let without = |text: &str| text.chars().filter(|c| !c.is_whitespace()).collect::<String>();
            prop_assert_eq!(without(&kept), without(&line));
            prop_assert!(split(&line, most).iter().all(|piece| piece.chars().count() <= most));
        }
    }
}
