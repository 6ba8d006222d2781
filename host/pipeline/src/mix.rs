//! What voices a request may mix, and which it does.

use serde::Deserialize;

use crate::document::Unfit;

/// `[mixes]` in koemasu.toml.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Limits {
    /// Voices of one mix; 0 switches mixes off.
    pub voices: usize,
    /// Mixes that are kept at a time, each of a voice's size.
    pub kept: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            // Each is a file to read whenever the mix is made.
            voices: 3,
            kept: 4,
        }
    }
}

/// A mix of more is a murmur, and each is a file that is held open.
const VOICES_MAX: usize = 8;
const KEPT_MAX: usize = 256;

impl Limits {
    /// What no type can say.
    pub fn check(&self) -> Result<(), Unfit> {
        let unfit = |key: &str, value: usize, most: usize| {
            Unfit::new(
                format!("mixes.{key}"),
                format!("`mixes.{key}` is {value}; it is {most} at most"),
            )
        };
        if self.voices > VOICES_MAX {
            return Err(unfit("voices", self.voices, VOICES_MAX));
        }
        if self.kept > KEPT_MAX || self.kept == 0 {
            let most = "`mixes.kept` lies between 1 and 256".to_owned();
            return Err(Unfit::new("mixes.kept", most));
        }
        Ok(())
    }
}

/// One voice of a mix.
#[derive(Clone, Debug, PartialEq)]
pub struct MixShare {
    /// Its name.
    pub voice: String,
    /// Against those of the others; all of them together count as 1.
    pub weight: f32,
}
