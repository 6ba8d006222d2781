//! Signs of sums and others that are said.

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use normalizer::characters::is_japanese;
use normalizer::draft::{starts, starts_in_any_case, Edit, Place};
use normalizer::numerals::{digits, katakana};

/// `-7`, `+3`: a sign before figures that follow nothing they could join.
pub(crate) fn minus(place: &Place<'_>) -> Option<Edit> {
    let said = match place.next(0)? {
        '-' | '−' | '－' => "マイナス",
        '+' => "プラス",
        _ => return None,
    };
    let next = place.next(1)?;
    let figures = next.is_ascii_digit()
        || (next == '.' && place.next(2).is_some_and(|c| c.is_ascii_digit()))
        || matches!(next, '¥' | '$' | '€' | '£');
    let joins = place.before().is_some_and(|before| {
        before.is_ascii_alphanumeric() || matches!(before, ')' | '-' | 'ー' | '.' | '_')
    });
    (figures && !joins).then(|| Edit::new(1, said))
}

pub(crate) fn read(place: &Place<'_>) -> Option<Edit> {
    numbered(place)
        .or_else(|| power(place))
        .or_else(|| circles(place))
        .or_else(|| between(place))
        .or_else(|| alone(place))
}

/// `No.1`, `№5`, `#3`.
fn numbered(place: &Place<'_>) -> Option<Edit> {
    if place.before().is_some_and(|c| c.is_ascii_alphanumeric()) {
        return None;
    }
    let text = place.rest();
    let length = match () {
        () if starts_in_any_case(text, "no.") => 3,
        () if starts(text, "№") => 1,
        () if starts(text, "#") => 1,
        () => return None,
    };
    let blanks = text[length..].iter().take_while(|c| **c == ' ').count();
    let figures = digits(&text[length + blanks..]);
    if figures == 0 {
        return None;
    }
    let all = length + blanks + figures;
    if text[0] != '#'
        && figures == 1
        && text[all - 1] == '1'
        && text.get(all).is_none_or(|c| *c != '.')
    {
        return Some(Edit::new(all, "ナンバーワン"));
    }
    Some(Edit::new(length + blanks, "ナンバー"))
}

/// `x²`, `2^10`.
fn power(place: &Place<'_>) -> Option<Edit> {
    let base = place
        .before()
        .is_some_and(|c| c.is_ascii_alphanumeric() || matches!(c, ')' | 'π'));
    if !base {
        return None;
    }
    if place.starts("^") {
        let rest = &place.rest()[1..];
        let negative = usize::from(rest.first() == Some(&'-'));
        let figures = digits(&rest[negative..]);
        let said: String = match figures {
            0 => {
                let letter = rest.first().filter(|c| c.is_ascii_alphabetic())?;
                return Some(Edit::new(2, format!("の{letter}ジョウ")));
            }
            figures => rest[negative..negative + figures].iter().collect(),
        };
        let sign = if negative > 0 { "マイナス" } else { "" };
        return Some(Edit::new(
            1 + negative + figures,
            format!("の{sign}{}ジョウ", katakana(&said)),
        ));
    }
    let raised = |c: char| "⁰¹²³⁴⁵⁶⁷⁸⁹".chars().position(|known| known == c);
    let exponent: Vec<usize> = place.rest().iter().map_while(|c| raised(*c)).collect();
    if exponent.is_empty() {
        return None;
    }
    let said: String = exponent.iter().map(|digit| format!("{digit}")).collect();
    Some(Edit::new(
        exponent.len(),
        format!("の{}ジョウ", katakana(&said)),
    ))
}

/// Circles and crosses that stand for something unsaid.
fn circles(place: &Place<'_>) -> Option<Edit> {
    let text = place.rest();
    let circle = |c: Option<char>| matches!(c, Some('〇' | '○' | '◯'));
    let cross = |c: Option<char>| matches!(c, Some('×' | '✕' | '✖' | '╳'));
    let run = text.iter().take_while(|c| circle(Some(**c))).count();
    if run >= 2 {
        return Some(Edit::new(run, "マル".repeat(run.min(4))));
    }
    let crosses = text.iter().take_while(|c| cross(Some(**c))).count();
    if crosses >= 2 || (crosses == 1 && circle(place.before())) {
        return Some(Edit::new(crosses, "バツ".repeat(crosses.min(4))));
    }
    let triangles = text.iter().take_while(|c| matches!(c, '△' | '▲')).count();
    if triangles >= 2 {
        return Some(Edit::new(triangles, "サンカク".repeat(triangles.min(4))));
    }
    if run == 1 {
        // Between kanji numerals it is a nought.
        let numeral = |c: Option<char>| c.is_some_and(|c| "一二三四五六七八九".contains(c));
        if numeral(place.before()) || numeral(place.next(1)) {
            return None;
        }
        return Some(Edit::new(1, "マル"));
    }
    None
}

/// Signs that join two sides.
fn between(place: &Place<'_>) -> Option<Edit> {
    let side = |c: char| {
        c.is_alphanumeric() && !is_japanese(c)
            || matches!(c, '(' | ')' | '√' | '∞' | 'π' | '²' | '³' | '.')
            || c == '〇'
    };
    let after = place.rest()[1..]
        .iter()
        .copied()
        .find(|c| !c.is_whitespace());
    let before = place.before_blanks();
    let joined = before.is_some_and(side)
        && after.is_some_and(|c| side(c) || matches!(c, '-' | '+' | '$' | '¥'));
    let japanese =
        before.is_some_and(is_japanese) && after.is_some_and(|c| is_japanese(c) || side(c));
    let spaced = place.before() == Some(' ') && place.next(1) == Some(' ');
    let sums = place.text.contains(&'=') || spaced;
    let said = match place.next(0)? {
        '+' if joined || japanese => "プラス",
        '=' if joined || japanese => "イコール",
        '≠' => "ノットイコール",
        '≒' | '≈' => "ニアリーイコール",
        '≦' | '≤' => "ショウナリイコール",
        '≧' | '≥' => "ダイナリイコール",
        '<' if joined => "ショウナリ",
        '>' if joined => "ダイナリ",
        '×' | '✕' if joined || japanese => "カケル",
        '*' if joined && sums => "カケル",
        '÷' => "ワル",
        '-' | '−' if joined && sums && (spaced || before.is_some_and(|c| c.is_ascii_digit())) => {
            "マイナス"
        }
        '±' => "プラスマイナス",
        '&' => "アンド",
        _ => return None,
    };
    let blanks = place.rest()[1..].iter().take_while(|c| **c == ' ').count();
    Some(Edit::new(1 + blanks, said))
}

fn alone(place: &Place<'_>) -> Option<Edit> {
    let before_word = place.before().is_some_and(|c| c.is_ascii_alphabetic());
    let said = match place.next(0)? {
        '√' => "ルート",
        '∞' => "ムゲンダイ",
        '∴' => "ユエニ",
        '∵' => "ナゼナラバ",
        '∑' => "シグマ",
        '∫' => "インテグラル",
        '∂' => "ラウンド",
        '※' => "コメ",
        '§' => "セクション",
        // Between words it is a pause; at the beginning it is nothing.
        '→' | '⇒' | '←' | '↑' | '↓' | '⇔' | '↔' => match place.before_blanks() {
            Some(_) => "、",
            None => "",
        },
        '×' => "バツ",
        '＊' | '*' if before_word => return None,
        '♯' | '#' if before_word => "シャープ",
        '♭' if before_word => "フラット",
        '©' | '®' | '™' => "",
        '〒' => "郵便番号",
        '㊤' => "ジョウ",
        '㊥' => "チュウ",
        '㊦' => "ゲ",
        '㊙' => "マルヒ",
        '+' if before_word => "プラス",
        _ => return None,
    };
    Some(Edit::new(1, said))
}
