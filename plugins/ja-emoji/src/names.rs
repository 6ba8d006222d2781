//! Names of emoji, from Unicode CLDR; see README.md.

use alloc::string::String;

/// Sorted lines: the emoji, a tab, its name.
const NAMES: &str = include_str!("../names.tsv");

pub(crate) fn of(picture: &[char]) -> Option<String> {
    let plain: String = picture
        .iter()
        .filter(|c| !matches!(c, '\u{fe0f}' | '\u{1f3fb}'..='\u{1f3ff}'))
        .collect();
    let find = |key: &str| {
        NAMES.lines().find_map(|line| {
            let (picture, name) = line.split_once('\t')?;
            (picture == key).then(|| String::from(name))
        })
    };
    // A picture made of several is at least its first.
    find(&plain).or_else(|| find(picture.first()?.encode_utf8(&mut [0; 4])))
}
