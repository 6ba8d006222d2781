//! Addresses of the net, mail addresses, paths, mentions and tags.

#![cfg_attr(target_arch = "wasm32", no_std)]

extern crate alloc;

use alloc::string::{String, ToString};

use normalizer::characters::is_japanese;
use normalizer::draft::{starts_in_any_case, Draft, Edit, Place};
use normalizer::policy::{Host, Policy};
use normalizer::settings::{Kind, Setting, Values};

pub struct Links;

#[cfg(target_arch = "wasm32")]
normalizer::component!(crate::Links);

impl Policy for Links {
    const NAME: &'static str = "ja-links";
    const SETTINGS: &'static [Setting] = &[
        Setting {
            key: "url",
            kind: Kind::Choice(&["short", "full", "skip"]),
        },
        Setting {
            key: "mail",
            kind: Kind::Choice(&["full", "short", "skip"]),
        },
        Setting {
            key: "path",
            kind: Kind::Flag(true),
        },
        Setting {
            key: "tag",
            kind: Kind::Choice(&["read", "skip"]),
        },
    ];

    fn normalize(draft: &mut Draft, settings: &Values, _: &dyn Host) {
        draft.rewrite(|place| {
            url(&place, settings.choice("url"))
                .or_else(|| mail(&place, settings.choice("mail")))
                .or_else(|| path(&place).filter(|_| settings.flag("path")))
                .or_else(|| tag(&place, settings.choice("tag")))
                .or_else(|| file(&place))
        });
    }
}

const SCHEMES: [&str; 5] = ["https://", "http://", "ftp://", "file://", "www."];

/// `https://example.com/path?q=1` → リンク.
fn url(place: &Place<'_>, how: &str) -> Option<Edit> {
    if place.before().is_some_and(|c| c.is_ascii_alphanumeric()) {
        return None;
    }
    let scheme = SCHEMES
        .iter()
        .find(|scheme| starts_in_any_case(place.rest(), scheme))?;
    let mut length = place.rest().iter().take_while(|c| is_url(**c)).count();
    let head = scheme.len();
    // A name of another script goes on to the next blank or mark.
    if length == head
        || place
            .next(length)
            .is_some_and(|c| is_japanese(c) && length == head)
    {
        length = place
            .rest()
            .iter()
            .take_while(|c| is_url(**c) || is_japanese(**c))
            .count();
    }
    while length > head
        && matches!(
            place.next(length - 1),
            Some('.' | ',' | '!' | '?' | ')' | ':' | ';' | '\'')
        )
    {
        length -= 1;
    }
    if length <= head {
        return None;
    }
    Some(Edit::new(
        length,
        match how {
            "skip" => String::new(),
            "full" => signs(&place.rest()[..length]),
            _ => "リンク".to_string(),
        },
    ))
}

fn is_url(c: char) -> bool {
    c.is_ascii_alphanumeric() || "-._~:/?#[]@!$&'()*+,;=%".contains(c)
}

/// `info@example.com` → info アットマーク example ドット com.
fn mail(place: &Place<'_>, how: &str) -> Option<Edit> {
    let local = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-' | '+');
    if place.before().is_some_and(local) {
        return None;
    }
    let name = place.rest().iter().take_while(|c| local(**c)).count();
    if name == 0 || place.next(name) != Some('@') {
        return None;
    }
    let host = &place.rest()[name + 1..];
    let mut length = host
        .iter()
        .take_while(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | '-'))
        .count();
    while length > 0 && matches!(host[length - 1], '.' | '-') {
        length -= 1;
    }
    if !host[..length].contains(&'.') {
        return None;
    }
    let length = name + 1 + length;
    Some(Edit::new(
        length,
        match how {
            "skip" => String::new(),
            "short" => "メールアドレス".to_string(),
            _ => signs(&place.rest()[..length]),
        },
    ))
}

/// `/usr/local/bin`, `C:\Users\taro`.
fn path(place: &Place<'_>) -> Option<Edit> {
    let part = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    if place
        .before()
        .is_some_and(|c| part(c) || matches!(c, '/' | '\\' | ':' | '<'))
    {
        return None;
    }
    let drive = place.next(0).is_some_and(|c| c.is_ascii_alphabetic())
        && place.next(1) == Some(':')
        && matches!(place.next(2), Some('\\' | '¥'));
    let home = place.starts("~/") || place.starts("./") || place.starts("../");
    let root = place.starts("/") && place.next(1).is_some_and(|c| c.is_ascii_alphabetic());
    if !(drive || home || root) {
        return None;
    }
    let length = place
        .rest()
        .iter()
        .take_while(|c| part(**c) || matches!(c, '/' | '\\' | '¥' | ':' | '~'))
        .count();
    let path = &place.rest()[..length];
    let slashes = path.iter().filter(|c| **c == '/').count();
    if root && slashes < 2 {
        return None;
    }
    match drive {
        true => {
            let said: String = path
                .iter()
                .filter(|c| **c != ':')
                .map(|c| if part(*c) { *c } else { ' ' })
                .collect();
            Some(Edit::new(length, said))
        }
        false => Some(Edit::new(length, signs(path))),
    }
}

/// `#駅伝` → ハッシュタグ駅伝, `@koemasu` → アットマーク koemasu.
fn tag(place: &Place<'_>, how: &str) -> Option<Edit> {
    let joined = place
        .before()
        .is_some_and(|c| c.is_ascii_alphanumeric() || matches!(c, '#' | '@' | '&'));
    let next = place.next(1)?;
    let name = next.is_ascii_alphabetic() || is_japanese(next) || next == '_';
    if joined || !name {
        return None;
    }
    let said = match place.next(0)? {
        '#' => "ハッシュタグ",
        '@' => "アットマーク",
        _ => return None,
    };
    Some(match how {
        "skip" => {
            let rest = &place.rest()[1..];
            let name = rest
                .iter()
                .take_while(|c| c.is_ascii_alphanumeric() || is_japanese(**c) || **c == '_')
                .count();
            Edit::new(1 + name, "")
        }
        _ => Edit::new(1, said),
    })
}

/// `main.rs`, `example.com`: a point between letters is said.
fn file(place: &Place<'_>) -> Option<Edit> {
    const ENDINGS: [&str; 47] = [
        "com", "net", "org", "jp", "io", "dev", "app", "ai", "gov", "edu", "info", "me", "tv",
        "rs", "py", "js", "ts", "md", "txt", "exe", "zip", "pdf", "png", "jpg", "gif", "html",
        "css", "json", "toml", "yaml", "yml", "csv", "xml", "cpp", "go", "rb", "java", "sh", "bat",
        "dll", "wav", "mp", "doc", "xls", "ppt", "gz", "log",
    ];
    if !place.starts(".") || !place.before().is_some_and(|c| c.is_ascii_alphanumeric()) {
        return None;
    }
    // The points of U.S.A. are not said.
    let single = place.at < 2 || !place.text[place.at - 2].is_ascii_alphanumeric();
    if single {
        return None;
    }
    let rest = &place.rest()[1..];
    let length = rest.iter().take_while(|c| c.is_ascii_alphabetic()).count();
    let ending: String = rest[..length]
        .iter()
        .map(char::to_ascii_lowercase)
        .collect();
    let more = rest.get(length) == Some(&'.')
        && rest.get(length + 1).is_some_and(char::is_ascii_alphabetic);
    (ENDINGS.contains(&ending.as_str()) || (more && length > 0 && length <= 3))
        .then(|| Edit::new(1, " ドット "))
}

/// An address with its signs in words.
fn signs(text: &[char]) -> String {
    let mut said = String::new();
    for (at, c) in text.iter().enumerate() {
        let word = match c {
            '.' => " ドット ",
            '@' => " アットマーク ",
            '/' if text.get(at + 1) == Some(&'/') || (at > 0 && text[at - 1] == '/') => "",
            '/' => " スラッシュ ",
            '-' => " ハイフン ",
            '_' => " アンダーバー ",
            ':' if text.get(at + 1) == Some(&'/') => " ",
            ':' => " コロン ",
            '?' => " はてな ",
            '=' => " イコール ",
            '&' => " アンド ",
            '#' => " シャープ ",
            '%' => " パーセント ",
            '~' => " チルダ ",
            '+' => " プラス ",
            other => {
                said.push(*other);
                continue;
            }
        };
        said.push_str(word);
    }
    said
}

#[cfg(test)]
mod tests {
    use super::*;
    use normalizer::policy::{read, read_with, Nobody};
    use normalizer::settings::Given;

    #[test]
    fn addresses_are_read_shortly_unless_asked_otherwise() {
        assert_eq!(
            read::<Links>("見てhttps://example.com/?q=1です"),
            "見てリンクです"
        );
        assert_eq!(read::<Links>("（https://例え.jp/）。"), "（リンク）。");
        let full = Values::defaults(Links::SETTINGS).with("url", Given::Text("full".to_string()));
        let said = read_with::<Links>("http://a.jp/b", &full, &Nobody);
        assert_eq!(said, "http a ドット jp スラッシュ b");
    }

    #[test]
    fn mail_paths_and_tags_are_said() {
        assert_eq!(
            read::<Links>("taro@example.jpへ"),
            "taro アットマーク example ドット jpへ"
        );
        assert_eq!(read::<Links>("#駅伝"), "ハッシュタグ駅伝");
        assert_eq!(read::<Links>("A/BとC#"), "A/BとC#");
        assert_eq!(read::<Links>("main.rs"), "main ドット rs");
    }
}
