//! Settings of a normalizer: each has a name, what it may be, and a default.

use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

/// One setting a normalizer has.
#[derive(Clone, Copy, Debug)]
pub struct Setting {
    pub key: &'static str,
    pub kind: Kind,
}

#[derive(Clone, Copy, Debug)]
pub enum Kind {
    /// On or off, with its default.
    Flag(bool),
    /// One of these words; the first is the default.
    Choice(&'static [&'static str]),
    /// A number from 1 to a thousand, with its default.
    Count(usize),
}

/// A setting's value as it was given.
#[derive(Clone, Debug, PartialEq)]
pub enum Given {
    Flag(bool),
    Text(String),
    Count(i64),
    Other,
}

/// All settings of a normalizer with their values.
#[derive(Clone, Debug)]
pub struct Values {
    settings: &'static [Setting],
    given: Vec<(&'static str, Given)>,
}

/// What is wrong with a setting.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wrong {
    pub key: String,
    pub message: String,
}

const COUNT_MAX: i64 = 1_000;

impl Values {
    pub fn defaults(settings: &'static [Setting]) -> Self {
        Self {
            settings,
            given: Vec::new(),
        }
    }

    /// Reads what is given by `get`; says what is wrong with each of it.
    pub fn read(
        settings: &'static [Setting],
        get: impl Fn(&str) -> Option<Given>,
    ) -> (Self, Vec<Wrong>) {
        let mut values = Self::defaults(settings);
        let mut wrong = Vec::new();
        for setting in settings {
            let Some(given) = get(setting.key) else {
                continue;
            };
            match setting.kind.complaint(&given) {
                Some(message) => wrong.push(Wrong {
                    key: setting.key.to_string(),
                    message,
                }),
                None => values.given.push((setting.key, given)),
            }
        }
        (values, wrong)
    }

    /// With another value, for tests.
    pub fn with(mut self, key: &'static str, given: Given) -> Self {
        self.given.push((key, given));
        self
    }

    pub fn flag(&self, key: &str) -> bool {
        match (self.given(key), self.kind(key)) {
            (Some(Given::Flag(value)), _) => *value,
            (_, Some(Kind::Flag(default))) => default,
            _ => false,
        }
    }

    pub fn choice(&self, key: &str) -> &str {
        match (self.given(key), self.kind(key)) {
            (Some(Given::Text(value)), _) => value,
            (_, Some(Kind::Choice(values))) => values.first().copied().unwrap_or_default(),
            _ => "",
        }
    }

    pub fn count(&self, key: &str) -> usize {
        match (self.given(key), self.kind(key)) {
            (Some(Given::Count(value)), _) => usize::try_from(*value).unwrap_or(1),
            (_, Some(Kind::Count(default))) => default,
            _ => 1,
        }
    }

    fn given(&self, key: &str) -> Option<&Given> {
        let given = self.given.iter().rev().find(|(known, _)| *known == key);
        given.map(|(_, value)| value)
    }

    fn kind(&self, key: &str) -> Option<Kind> {
        let setting = self.settings.iter().find(|setting| setting.key == key);
        setting.map(|setting| setting.kind)
    }
}

impl Kind {
    fn complaint(self, given: &Given) -> Option<String> {
        match (self, given) {
            (Self::Flag(_), Given::Flag(_)) => None,
            (Self::Flag(_), _) => Some("`true` or `false`".to_string()),
            (Self::Choice(values), Given::Text(text)) if values.contains(&text.as_str()) => None,
            (Self::Choice(values), _) => Some(format!("one of \"{}\"", values.join("\", \""))),
            (Self::Count(_), Given::Count(count)) if (1..=COUNT_MAX).contains(count) => None,
            (Self::Count(_), _) => Some(format!("a number from 1 to {COUNT_MAX}")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SETTINGS: &[Setting] = &[
        Setting {
            key: "on",
            kind: Kind::Flag(true),
        },
        Setting {
            key: "how",
            kind: Kind::Choice(&["name", "skip"]),
        },
        Setting {
            key: "most",
            kind: Kind::Count(3),
        },
    ];

    #[test]
    fn settings_have_defaults_and_refuse_what_they_cannot_be() {
        let (values, wrong) = Values::read(SETTINGS, |key| match key {
            "how" => Some(Given::Text("skip".to_string())),
            "most" => Some(Given::Count(0)),
            _ => None,
        });
        assert!(values.flag("on"));
        assert_eq!(values.choice("how"), "skip");
        assert_eq!(values.count("most"), 3);
        assert_eq!(wrong.len(), 1);
        assert_eq!(wrong[0].message, "a number from 1 to 1000");
    }
}
