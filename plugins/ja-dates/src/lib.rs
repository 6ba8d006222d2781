//! Dates, eras, times, durations, ranges, fractions, versions, telephone and
//! postal numbers, addresses, scores and ratios: figures whose signs say what
//! they are.
//!
//! It must come before whatever reads numbers alone.

#![cfg_attr(target_arch = "wasm32", no_std)]

extern crate alloc;

mod amounts;
mod calendar;
mod clock;
mod codes;
mod figures;

use normalizer::draft::{Draft, Edit, Place};
use normalizer::policy::{Host, Policy};
use normalizer::settings::{Kind, Setting, Values};

pub struct Dates;

#[cfg(target_arch = "wasm32")]
normalizer::component!(crate::Dates);

/// A rule: what it does at a place, if it is for it.
type Rule = fn(&Place<'_>) -> Option<Edit>;

/// In this order: the first that fits reads the figures.
const RULES: &[(&str, Rule)] = &[
    ("telephone", codes::telephone),
    ("postcode", codes::postcode),
    ("dates", calendar::date),
    ("eras", calendar::era),
    ("dates", calendar::weekday),
    ("times", clock::time),
    ("durations", clock::duration),
    ("versions", codes::version),
    ("addresses", codes::address),
    ("scores", amounts::score),
    ("fractions", amounts::fraction),
    ("ranges", amounts::range),
];

impl Policy for Dates {
    const NAME: &'static str = "ja-dates";
    const SETTINGS: &'static [Setting] = &[
        Setting {
            key: "telephone",
            kind: Kind::Flag(true),
        },
        Setting {
            key: "postcode",
            kind: Kind::Flag(true),
        },
        Setting {
            key: "dates",
            kind: Kind::Flag(true),
        },
        Setting {
            key: "eras",
            kind: Kind::Flag(true),
        },
        Setting {
            key: "times",
            kind: Kind::Flag(true),
        },
        Setting {
            key: "durations",
            kind: Kind::Flag(true),
        },
        Setting {
            key: "versions",
            kind: Kind::Flag(true),
        },
        Setting {
            key: "addresses",
            kind: Kind::Flag(true),
        },
        Setting {
            key: "scores",
            kind: Kind::Flag(true),
        },
        Setting {
            key: "fractions",
            kind: Kind::Flag(true),
        },
        Setting {
            key: "ranges",
            kind: Kind::Flag(true),
        },
    ];

    fn normalize(draft: &mut Draft, settings: &Values, _: &dyn Host) {
        draft.rewrite(|place| {
            RULES
                .iter()
                .filter(|(key, _)| settings.flag(key))
                .find_map(|(_, rule)| rule(&place))
        });
    }
}

#[cfg(test)]
mod tests;
