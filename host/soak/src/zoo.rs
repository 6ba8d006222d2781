//! Voices as unlike as users have them, made by a seed from what lies in the
//! program: graphs of several exporters, sizes and families, those among them
//! that may not share sessions. Nothing here is learned, and all of it speaks.

use std::path::Path;

use anyhow::Context;
use memory::synthetic::Random;
use session::{Source, package, whole};

/// A kind of voice: most are a template of their own.
pub(crate) struct Kind {
    pub(crate) name: &'static str,
    body: Body,
    family: Family,
    speakers: usize,
    /// Whether most voices are of it: those that memory can be short of.
    pub(crate) many: bool,
}

#[derive(Clone, Copy)]
enum Body {
    /// The voice inside the program, whose weights are halves.
    Demo,
    /// A graph with its weights.
    Graph(&'static [u8]),
    /// One whose weights lie in another file, of this name.
    Beside(&'static [u8], &'static str, &'static [u8]),
    /// One that comes without its weights, so many floats.
    Bare(&'static [u8], usize),
}

#[derive(Clone, Copy)]
enum Family {
    JpExtra,
    Multilingual,
}

/// Where a bare graph looks for its weights, and how far from 0 they lie: as
/// far as keeps a layer of these widths from saying the same to everything.
const WEIGHTS: &str = "voice.weights";
const REACH: f32 = 0.03;

macro_rules! fixture {
    ($name:literal) => {
        include_bytes!(concat!("../../../tests/fixtures/", $name))
    };
}

/// In the order in which few voices are made of them.
const KINDS: [Kind; 17] = {
    use Body::{Bare, Beside, Demo, Graph};
    use Family::{JpExtra, Multilingual};
    const fn kind(name: &'static str, body: Body, family: Family, speakers: usize) -> Kind {
        Kind {
            name,
            body,
            family,
            speakers,
            many: matches!(body, Demo | Bare(..)),
        }
    }
    [
        kind("demo", Demo, JpExtra, 0),
        kind("tones", Graph(fixture!("jp-extra.onnx")), JpExtra, 2),
        // The gate refuses it: it never says the same twice.
        kind("restless", Graph(fixture!("restless.onnx")), JpExtra, 2),
        kind(
            "multilingual",
            Graph(fixture!("multilingual.onnx")),
            Multilingual,
            2,
        ),
        kind("decoded", Graph(fixture!("decoded.onnx")), JpExtra, 2),
        kind(
            "branching",
            Graph(fixture!("zoo/branching.onnx")),
            JpExtra,
            4,
        ),
        kind("looping", Graph(fixture!("zoo/looping.onnx")), JpExtra, 1),
        kind(
            "wide",
            Bare(fixture!("zoo/wide.onnx"), 16_385_600),
            JpExtra,
            2,
        ),
        // Refused as well, with 19 MiB of weights.
        kind(
            "stubborn",
            Bare(fixture!("zoo/stubborn.onnx"), 5_024_000),
            Multilingual,
            2,
        ),
        kind("solo", Graph(fixture!("zoo/solo.onnx")), JpExtra, 1),
        kind("crowd", Graph(fixture!("zoo/crowd.onnx")), JpExtra, 200),
        kind("listed", Graph(fixture!("zoo/listed.onnx")), JpExtra, 1),
        kind("halves", Graph(fixture!("zoo/halves.onnx")), JpExtra, 4),
        kind("half", Graph(fixture!("zoo/half.onnx")), JpExtra, 2),
        kind(
            "quartet",
            Graph(fixture!("zoo/quartet.onnx")),
            Multilingual,
            4,
        ),
        kind("resized", Graph(fixture!("resized.onnx")), JpExtra, 2),
        // Of the same template as the tones: only its files are others.
        kind(
            "external",
            Beside(
                fixture!("external.onnx"),
                "external.weights",
                fixture!("external.weights"),
            ),
            JpExtra,
            2,
        ),
    ]
};

/// As large as voices of users are.
const REAL: [Kind; 1] = [Kind {
    name: "real",
    body: Body::Bare(fixture!("zoo/real.onnx"), 61_407_232),
    family: Family::Multilingual,
    speakers: 2,
    many: true,
}];

/// How many of them are told apart by their template, and how many of those get
/// sessions of their own.
pub(crate) const TEMPLATES_MIN: usize = 12;
pub(crate) const REFUSED_MIN: usize = 2;
/// With so many voices each kind is there.
pub(crate) const VOICES_MIN: usize = KINDS.len();

/// Kinds that any machine has room for.
pub(crate) fn small() -> impl Iterator<Item = &'static Kind> {
    KINDS.iter()
}

/// Kinds of the sizes of real voices.
pub(crate) fn real() -> impl Iterator<Item = &'static Kind> {
    REAL.iter()
}

impl Kind {
    /// Writes a voice of this kind, with weights of its own; `raw` is for what
    /// all of the kind are made of.
    pub(crate) fn make(
        &self,
        folder: &Path,
        raw: &Path,
        name: &str,
        seed: u64,
    ) -> anyhow::Result<()> {
        let vary = |source: &Source| Ok(package::vary(source, folder, name, seed)?);
        match self.body {
            Body::Demo => vary(&server::config::embedded_voice().source),
            Body::Graph(graph) => {
                let raw = raw.join(self.name);
                self.write(&raw, graph, None)?;
                vary(&Source::Path(raw))
            }
            Body::Beside(graph, file, weights) => {
                let raw = raw.join(self.name);
                self.write(&raw, graph, Some((file, weights)))?;
                vary(&Source::Path(raw))
            }
            Body::Bare(graph, floats) => {
                let weights = weights(floats, seed);
                self.write(&folder.join(name), graph, Some((WEIGHTS, &weights)))
            }
        }
    }

    /// The folder of a voice.
    fn write(
        &self,
        folder: &Path,
        graph: &[u8],
        beside: Option<(&str, &[u8])>,
    ) -> anyhow::Result<()> {
        let config = self.config();
        let files = [
            ("config.json", config.as_bytes()),
            ("style_vectors.npy", &fixture!("style_vectors.npy")[..]),
            ("model.onnx", graph),
        ];
        for (name, bytes) in files.into_iter().chain(beside) {
            let path = folder.join(name);
            whole::write(&path, bytes)
                .with_context(|| format!("cannot write {}", path.display()))?;
        }
        Ok(())
    }

    fn config(&self) -> String {
        let speakers: serde_json::Map<_, _> = (0..self.speakers)
            .map(|number| (format!("speaker-{number}"), number.into()))
            .collect();
        let version = match self.family {
            Family::JpExtra => "2.7.0-JP-Extra",
            Family::Multilingual => "2.7.0",
        };
        serde_json::json!({
            "model_name": self.name,
            "version": version,
            "data": {
                "sampling_rate": 44_100,
                "spk2id": speakers,
                "style2id": { "Neutral": 0, "Raised": 1, "Lowered": 2 },
            },
        })
        .to_string()
    }
}

/// Floats from a seed.
fn weights(floats: usize, seed: u64) -> Vec<u8> {
    let mut random = Random(seed);
    let mut bytes = Vec::with_capacity(4 * floats);
    for _ in 0..floats {
        let float = (random.unit() as f32 * 2.0 - 1.0) * REACH;
        bytes.extend_from_slice(&float.to_le_bytes());
    }
    bytes
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_kind_is_a_voice_and_its_seed_decides_which() {
        let folder = tempfile::tempdir().expect("a folder");
        let raw = folder.path().join("raw");
        // Making millions of weights is left to soaks.
        for kind in small().filter(|kind| !matches!(kind.body, Body::Bare(..))) {
            let mut made = BTreeSet::new();
            for seed in [1, 2, 1] {
                kind.make(folder.path(), &raw, kind.name, seed)
                    .expect(kind.name);
                let path = match folder.path().join(kind.name) {
                    path if path.is_dir() => path,
                    path => path.with_extension("aivmx"),
                };
                let package = package::Package::open(&Source::Path(path.clone()));
                let package = package.expect(kind.name);
                if kind.speakers > 0 {
                    assert_eq!(package.speakers().count(), kind.speakers, "{}", kind.name);
                }
                made.insert(contents(&path));
            }
            assert_eq!(made.len(), 2, "{}", kind.name);
        }
    }

    fn contents(path: &Path) -> Vec<u8> {
        if path.is_file() {
            return std::fs::read(path).expect("a file");
        }
        let mut all = Vec::new();
        let mut entries: Vec<_> = std::fs::read_dir(path)
            .expect("a folder")
            .map(|entry| entry.expect("an entry").path())
            .collect();
        entries.sort();
        for entry in entries {
            all.extend(std::fs::read(entry).expect("a file"));
        }
        all
    }
}
