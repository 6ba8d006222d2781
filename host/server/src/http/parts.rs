//! The parts of the HTTP: our own and each dialect, which of them a port answers
//! for, and what the configuration says of each.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;

use serde::Deserialize;

/// A set of routes that can be switched off and listened to apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// Health, metrics, administration: on every port.
    Core,
    /// `/v1/audio/speech` and what belongs to it.
    OpenAi,
    /// `/voice` and what else `server_fastapi.py` of Style-Bert-VITS2 has.
    Sbv2,
    /// `/synthesize` and what else sbv2-api has.
    Sbv2Api,
    /// `/audio_query`, `/synthesis` and what else VOICEVOX's engine has.
    Voicevox,
}

/// The dialects; [`Part::Core`] is none.
pub const DIALECTS: [Part; 4] = [Part::OpenAi, Part::Sbv2, Part::Sbv2Api, Part::Voicevox];

impl Part {
    /// As the configuration and the documents name it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Core => "core",
            Self::OpenAi => "openai",
            Self::Sbv2 => "sbv2",
            Self::Sbv2Api => "sbv2-api",
            Self::Voicevox => "voicevox",
        }
    }

    /// For whom it is.
    pub(crate) fn about(self) -> &'static str {
        match self {
            Self::Core => {
                "koemasu's own: health, metrics, readings, administration. On every port."
            }
            Self::OpenAi => "OpenAI's speech API, and what its clients and proxies ask for.",
            Self::Sbv2 => "The HTTP of Style-Bert-VITS2's `server_fastapi.py`.",
            Self::Sbv2Api => "The HTTP of sbv2-api.",
            Self::Voicevox => "The HTTP of VOICEVOX's engine, as AivisSpeech speaks it.",
        }
    }
}

/// Who may use a route.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Who {
    /// Whoever reaches the server, without a key.
    Anyone,
    /// Whoever has an API key, where keys are configured.
    Key,
    /// Whoever has the admin token; without one, whoever sits at this machine.
    Admin,
}

/// Which parts a port answers for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Parts(u8);

impl Parts {
    /// What every port has.
    pub fn core() -> Self {
        Self(0).and(Part::Core)
    }

    /// The same with this part as well.
    #[must_use]
    pub fn and(self, part: Part) -> Self {
        Self(self.0 | 1 << part as u8)
    }

    /// Whether the port answers for this part.
    pub fn has(self, part: Part) -> bool {
        self.0 & 1 << part as u8 != 0
    }
}

/// `[dialects]`
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Dialects {
    /// OpenAI's speech API.
    pub openai: OpenAi,
    /// The HTTP of Style-Bert-VITS2's own server.
    pub sbv2: Sbv2,
    /// The HTTP of sbv2-api.
    #[serde(rename = "sbv2-api")]
    pub sbv2_api: Sbv2Api,
    /// The HTTP of VOICEVOX's engine.
    pub voicevox: Voicevox,
}

/// What every dialect can be told, and more for some.
macro_rules! dialect {
    ($(#[$doc:meta])* $name:ident { $($(#[$field_doc:meta])* $field:ident: $type:ty,)* }) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
        #[serde(deny_unknown_fields, default)]
        pub struct $name {
            /// Whether its routes are there at all; they are unless it says no.
            pub enabled: bool,
            /// A port of its own; without one it shares `server.listen`.
            pub listen: Option<SocketAddr>,
            /// The pipeline of its requests; without one the default.
            pub pipeline: Option<String>,
            $($(#[$field_doc])* pub $field: $type,)*
        }

        impl Default for $name {
            fn default() -> Self {
                Self {
                    enabled: true,
                    listen: None,
                    pipeline: None,
                    $($field: Default::default(),)*
                }
            }
        }
    };
}

dialect!(
    /// `[dialects.openai]`
    OpenAi {
        /// Other names for voices: `alloy = "haru/calm"`.
        voices: BTreeMap<String, String>,
    }
);
dialect!(
    /// `[dialects.sbv2]`
    Sbv2 {
        /// `/tools/get_audio` answers with WAV files of this folder, and with
        /// nothing if there is none.
        audio_folder: Option<PathBuf>,
    }
);
dialect!(
    /// `[dialects.sbv2-api]`
    Sbv2Api {}
);
dialect!(
    /// `[dialects.voicevox]`
    Voicevox {
        /// File of the presets; without one they are kept until the end.
        presets: Option<PathBuf>,
        /// Presets and words of the dictionary stay as they are.
        read_only: bool,
    }
);

impl Dialects {
    /// Whether a dialect is on, and its own port.
    pub fn listens(&self, part: Part) -> (bool, Option<SocketAddr>) {
        match part {
            Part::Core => (true, None),
            Part::OpenAi => (self.openai.enabled, self.openai.listen),
            Part::Sbv2 => (self.sbv2.enabled, self.sbv2.listen),
            Part::Sbv2Api => (self.sbv2_api.enabled, self.sbv2_api.listen),
            Part::Voicevox => (self.voicevox.enabled, self.voicevox.listen),
        }
    }

    /// What the shared port answers for.
    pub fn shared(&self) -> Parts {
        let shared = |part: &&Part| self.listens(**part) == (true, None);
        DIALECTS
            .iter()
            .filter(shared)
            .fold(Parts::core(), |parts, part| parts.and(*part))
    }

    /// The other ports; dialects that name the same one share it.
    pub fn apart(&self) -> Vec<(SocketAddr, Parts)> {
        let mut ports: Vec<(SocketAddr, Parts)> = Vec::new();
        for part in DIALECTS {
            let (true, Some(address)) = self.listens(part) else {
                continue;
            };
            match ports.iter_mut().find(|(known, _)| *known == address) {
                // Port 0 is another one each time.
                Some((_, parts)) if address.port() != 0 => *parts = parts.and(part),
                Some(_) | None => ports.push((address, Parts::core().and(part))),
            }
        }
        ports
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dialects_share_a_port_or_have_their_own() {
        let dialects: Dialects = toml::from_str(
            "[sbv2]\nenabled = false\n[voicevox]\nlisten = \"127.0.0.1:50021\"\n[sbv2-api]\nlisten = \"127.0.0.1:50021\"",
        )
        .expect("good TOML");
        let shared = dialects.shared();
        assert!(shared.has(Part::Core) && shared.has(Part::OpenAi));
        assert!(!shared.has(Part::Sbv2) && !shared.has(Part::Voicevox));
        let apart = dialects.apart();
        assert_eq!(apart.len(), 1);
        assert!(apart[0].1.has(Part::Voicevox) && apart[0].1.has(Part::Sbv2Api));
        assert!(!apart[0].1.has(Part::Sbv2));
    }
}
