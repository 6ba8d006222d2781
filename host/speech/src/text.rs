//! Text that is ready to be read.

/// Longer texts are split before they come here.
const CHARACTERS_MAX: usize = 10_000;

/// Normalized text: bounded, not empty, without control characters. Which
/// characters it holds is the normalizer's choice; the frontend reads any.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NormalizedText(String);

/// The caller can act.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// There is nothing to read, not even a mark.
    #[error("the text is empty")]
    Empty,
    /// More characters than the frontend takes at once; so many there are.
    #[error("a sentence has {0} characters, the most is {CHARACTERS_MAX}")]
    TooLong(usize),
    /// A control character, line breaks included, stands for no sound.
    #[error("the text holds the control character {0:?}")]
    Control(char),
}

impl NormalizedText {
    /// Checks the text; nothing of it is changed.
    pub fn new(text: String) -> Result<Self, Error> {
        let characters = text.chars().count();
        if characters == 0 {
            return Err(Error::Empty);
        }
        if characters > CHARACTERS_MAX {
            return Err(Error::TooLong(characters));
        }
        match text.chars().find(|c| c.is_control()) {
            Some(control) => Err(Error::Control(control)),
            None => Ok(Self(text)),
        }
    }

    /// What was checked, as it was given.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}
