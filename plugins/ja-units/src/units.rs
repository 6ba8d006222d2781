//! Units of measure after figures.

use alloc::format;
use alloc::string::String;

use normalizer::draft::{longest, starts, Edit, Place};
use normalizer::numerals::number;

/// As written, and as said. Case counts: `m` and `M` are not the same.
const UNITS: &[(&str, &str)] = &[
    ("km", "キロメートル"),
    ("m", "メートル"),
    ("cm", "センチメートル"),
    ("mm", "ミリメートル"),
    ("μm", "マイクロメートル"),
    ("µm", "マイクロメートル"),
    ("um", "マイクロメートル"),
    ("nm", "ナノメートル"),
    ("kg", "キログラム"),
    ("g", "グラム"),
    ("mg", "ミリグラム"),
    ("μg", "マイクログラム"),
    ("µg", "マイクログラム"),
    ("t", "トン"),
    ("L", "リットル"),
    ("l", "リットル"),
    ("ℓ", "リットル"),
    ("mL", "ミリリットル"),
    ("ml", "ミリリットル"),
    ("dL", "デシリットル"),
    ("dl", "デシリットル"),
    ("kL", "キロリットル"),
    ("kl", "キロリットル"),
    ("cc", "シーシー"),
    ("ha", "ヘクタール"),
    ("a", "アール"),
    ("Hz", "ヘルツ"),
    ("kHz", "キロヘルツ"),
    ("MHz", "メガヘルツ"),
    ("GHz", "ギガヘルツ"),
    ("THz", "テラヘルツ"),
    ("W", "ワット"),
    ("kW", "キロワット"),
    ("MW", "メガワット"),
    ("GW", "ギガワット"),
    ("mW", "ミリワット"),
    ("Wh", "ワットアワー"),
    ("kWh", "キロワットアワー"),
    ("MWh", "メガワットアワー"),
    ("V", "ボルト"),
    ("kV", "キロボルト"),
    ("mV", "ミリボルト"),
    ("A", "アンペア"),
    ("mA", "ミリアンペア"),
    ("Ah", "アンペアアワー"),
    ("mAh", "ミリアンペアアワー"),
    ("Ω", "オーム"),
    ("kΩ", "キロオーム"),
    ("MΩ", "メガオーム"),
    ("F", "ファラド"),
    ("μF", "マイクロファラド"),
    ("pF", "ピコファラド"),
    ("Pa", "パスカル"),
    ("hPa", "ヘクトパスカル"),
    ("kPa", "キロパスカル"),
    ("MPa", "メガパスカル"),
    ("N", "ニュートン"),
    ("J", "ジュール"),
    ("kJ", "キロジュール"),
    ("cal", "カロリー"),
    ("kcal", "キロカロリー"),
    ("dB", "デシベル"),
    ("lx", "ルクス"),
    ("lm", "ルーメン"),
    ("mol", "モル"),
    ("rpm", "アールピーエム"),
    ("B", "バイト"),
    ("KB", "キロバイト"),
    ("kB", "キロバイト"),
    ("MB", "メガバイト"),
    ("GB", "ギガバイト"),
    ("TB", "テラバイト"),
    ("PB", "ペタバイト"),
    ("KiB", "キビバイト"),
    ("MiB", "メビバイト"),
    ("GiB", "ギビバイト"),
    ("bit", "ビット"),
    ("bps", "ビーピーエス"),
    ("kbps", "キロビーピーエス"),
    ("Kbps", "キロビーピーエス"),
    ("Mbps", "メガビーピーエス"),
    ("Gbps", "ギガビーピーエス"),
    ("bpm", "ビーピーエム"),
    ("BPM", "ビーピーエム"),
    ("fps", "エフピーエス"),
    ("FPS", "エフピーエス"),
    ("dpi", "ディーピーアイ"),
    ("ppm", "ピーピーエム"),
    ("px", "ピクセル"),
    ("pt", "ポイント"),
    ("em", "エム"),
    ("p", "ピー"),
    ("inch", "インチ"),
    ("in", "インチ"),
    ("ft", "フィート"),
    ("yd", "ヤード"),
    ("mi", "マイル"),
    ("mile", "マイル"),
    ("miles", "マイル"),
    ("mph", "マイル毎時"),
    ("oz", "オンス"),
    ("lb", "ポンド"),
    ("kt", "ノット"),
    ("%", "パーセント"),
    ("‰", "パーミル"),
    ("°C", "度"),
    ("℃", "度"),
    ("°", "度"),
    ("℉", "度"),
    ("km²", "ヘイホウキロメートル"),
    ("m²", "ヘイホウメートル"),
    ("cm²", "ヘイホウセンチメートル"),
    ("km2", "ヘイホウキロメートル"),
    ("m2", "ヘイホウメートル"),
    ("cm2", "ヘイホウセンチメートル"),
    ("m³", "リッポウメートル"),
    ("cm³", "リッポウセンチメートル"),
    ("m3", "リッポウメートル"),
    ("cm3", "リッポウセンチメートル"),
    ("km/h", "キロメートルマイジ"),
    ("m/s", "メートルマイビョウ"),
    ("km/s", "キロメートルマイビョウ"),
    ("m/s²", "メートルマイビョウマイビョウ"),
    ("g/L", "グラムパーリットル"),
    ("MB/s", "メガバイトマイビョウ"),
    ("GB/s", "ギガバイトマイビョウ"),
    ("kB/s", "キロバイトマイビョウ"),
    ("㎞", "キロメートル"),
    ("㎝", "センチメートル"),
    ("㎜", "ミリメートル"),
    ("㎏", "キログラム"),
    ("㎎", "ミリグラム"),
    ("㎡", "ヘイホウメートル"),
    ("㎥", "リッポウメートル"),
    ("㏄", "シーシー"),
    ("㎖", "ミリリットル"),
    ("㎢", "ヘイホウキロメートル"),
    ("㌔", "キロ"),
    ("㌢", "センチ"),
    ("㍍", "メートル"),
    ("㌘", "グラム"),
    ("㌧", "トン"),
    ("㌫", "パーセント"),
    ("㍑", "リットル"),
    ("㌦", "ドル"),
    ("㌣", "セント"),
    ("㌻", "ページ"),
    ("㍉", "ミリ"),
    ("㌍", "カロリー"),
    ("㌶", "ヘクタール"),
    ("㌃", "アール"),
];

/// A number with its unit.
pub(crate) fn read(place: &Place<'_>) -> Option<Edit> {
    if let Some(edit) = alone(place) {
        return Some(edit);
    }
    let inside = place
        .before()
        .is_some_and(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | ',' | '_'));
    if inside {
        return None;
    }
    let figures = number(place.rest())?;
    let after = &place.rest()[figures.length..];
    let blanks = usize::from(after.first() == Some(&' '));
    let fahrenheit = starts(after, "°F") || starts(after, "℉");
    let (length, unit) = match longest(&after[blanks..], UNITS) {
        Some((length, unit)) => (blanks + length, *unit),
        None => return None,
    };
    if fahrenheit {
        let length = if starts(after, "℉") { 1 } else { 2 };
        return Some(Edit::new(
            figures.length + length,
            format!("華氏{}度", figures.kanji()),
        ));
    }
    let written = &after[blanks..length];
    let letters = written.last().is_some_and(|c| c.is_alphabetic());
    if letters
        && after
            .get(length)
            .is_some_and(|c| c.is_ascii_alphanumeric() || *c == '/')
    {
        return None;
    }
    // After a blank, a single letter is a word more often than a unit.
    if blanks == 1
        && written.len() == 1
        && written[0].is_ascii_alphabetic()
        && !matches!(written[0], 'm' | 'g' | 'L')
    {
        return None;
    }
    let count = match figures.kanji() {
        // 一 would shorten before some units.
        one if one == "一" && !written.contains(&'%') => String::from("イチ"),
        count => count,
    };
    Some(Edit::new(figures.length + length, format!("{count}{unit}")))
}

/// Units in one character, and a percent sign, also without figures.
fn alone(place: &Place<'_>) -> Option<Edit> {
    let sign = place.next(0)?;
    let squared = matches!(sign, '\u{3300}'..='\u{33ff}' | '%' | '‰' | '℃');
    if !squared {
        return None;
    }
    let written = String::from(sign);
    let (_, unit) = UNITS.iter().find(|(name, _)| *name == written)?;
    Some(Edit::new(1, *unit))
}
