//! The face to the host, the same for every normalizer.

use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::marker::PhantomData;
use core::ops::Range;

use exports::koemasu::policy::normalizer::{Guest as Normalizer, Output, Span};
use exports::koemasu::policy::plugin::Guest as Plugin;
use guest::config;
use koemasu::policy::types::{Descriptor, Diagnostic, PolicyError, Reuse};
use koemasu::policy::{lexicon, remarks};

use crate::draft::Draft;
use crate::policy::{Entry, Host, Kana, Policy};
use crate::settings::{Given, Values, Wrong};

wit_bindgen::generate!({
    world: "text-normalizer",
    path: "../../wit",
    with: {
        "koemasu:policy/log@1.0.0": guest::log,
        "koemasu:policy/config@1.0.0": guest::config,
    },
    pub_export_macro: true,
    default_bindings_module: "normalizer::component",
});

/// Makes a component of a policy: `normalizer::component!(MyPolicy);`
#[macro_export]
macro_rules! component {
    ($policy:ty) => {
        mod component {
            type Exported = $crate::component::Component<$policy>;
            $crate::component::export!(Exported with_types_in $crate::component);
        }
    };
}

/// A policy as the host calls it.
pub struct Component<P>(PhantomData<P>);

impl<P: Policy + 'static> Plugin for Component<P> {
    fn describe() -> Descriptor {
        Descriptor {
            name: P::NAME.to_string(),
            version: env!("CARGO_PKG_VERSION").to_string(),
            deterministic: true,
            reuse: Reuse::Safe,
            config_schema: None,
        }
    }

    fn configure() -> Result<(), Vec<Diagnostic>> {
        let (_, mut wrong) = settings::<P>();
        let known: Vec<_> = P::SETTINGS.iter().map(|setting| setting.key).collect();
        for key in guest::keys(&config::json()) {
            if !known.contains(&key) {
                let message = match known.is_empty() {
                    true => "it has no settings".to_string(),
                    false => format!("unknown; known are `{}`", known.join("`, `")),
                };
                let key = key.to_string();
                wrong.push(Wrong { key, message });
            }
        }
        if wrong.is_empty() {
            return Ok(());
        }
        let diagnostic = |wrong: Wrong| Diagnostic {
            path: wrong.key,
            message: wrong.message,
        };
        Err(wrong.into_iter().map(diagnostic).collect())
    }
}

impl<P: Policy + 'static> Normalizer for Component<P> {
    fn normalize(text: String, language: String) -> Result<Output, PolicyError> {
        let primary = language.split('-').next().unwrap_or_default();
        if !primary.eq_ignore_ascii_case("ja") {
            return Err(PolicyError::Unsupported(format!("language `{language}`")));
        }
        let mut draft = Draft::new(&text);
        P::normalize(&mut draft, &settings::<P>().0, &Outside);
        let spans = draft.spans().into_iter().map(|span| Span {
            start: span.out.start as u32,
            end: span.out.end as u32,
            source_start: span.source.start as u32,
            source_end: span.source.end as u32,
        });
        Ok(Output {
            spans: spans.collect(),
            text: draft.text(),
        })
    }
}

fn settings<P: Policy>() -> (Values, Vec<Wrong>) {
    Values::read(P::SETTINGS, |key| {
        Some(match config::get(key)? {
            config::Value::Flag(flag) => Given::Flag(flag),
            config::Value::Text(text) => Given::Text(text),
            config::Value::Int(count) => Given::Count(count),
            _ => Given::Other,
        })
    })
}

struct Outside;

impl Host for Outside {
    fn words(&self, text: &str) -> Vec<Entry> {
        let entry = |entry: lexicon::Entry| Entry {
            at: range(entry.at),
            reading: entry.reading,
        };
        lexicon::words(text).into_iter().map(entry).collect()
    }

    fn english(&self, word: &str) -> Option<Kana> {
        lexicon::english(word).map(|kana| Kana {
            text: kana.text,
            guessed: kana.guessed,
        })
    }

    fn unread(&self, text: &str) -> Vec<Range<usize>> {
        lexicon::unread(text).into_iter().map(range).collect()
    }

    fn guessed(&self, at: Range<usize>, reading: &str) {
        remarks::guessed(at.start as u32, at.end as u32, reading);
    }
}

fn range(stretch: lexicon::Stretch) -> Range<usize> {
    stretch.start as usize..stretch.end as usize
}
