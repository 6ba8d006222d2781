//! What an operator does to a server that runs: words, voices and lanes are
//! changed, and it reloads. Requests go on meanwhile.

use std::path::{Path, PathBuf};

use anyhow::Context;
use memory::synthetic::Random;
use pipeline::{Live, Published, spec};
use session::{Source, files, package, whole};

use crate::plan::Change;
use crate::stock::kind_of;

pub(crate) struct Upheaval {
    service: spec::Service,
    /// Where the voices are, and the words.
    made: PathBuf,
    random: Random,
}

/// The words that every pipeline is taught, within the folder of the voices.
pub(crate) fn words_file(made: &Path) -> PathBuf {
    made.join("words.toml")
}

impl Upheaval {
    pub(crate) fn new(service: spec::Service, made: &Path, seed: u64) -> Self {
        Self {
            service,
            made: made.to_owned(),
            random: Random(seed),
        }
    }

    /// Writes what is to be changed and reloads, as a server does.
    pub(crate) async fn make(&mut self, change: Change, live: &Live) -> anyhow::Result<Published> {
        match change {
            Change::Lanes(lanes) => self.service.models.lanes = lanes,
            Change::Words => self.teach()?,
            Change::Voice => self.replace().await?,
        }
        let prepared = live.prepare(self.service.clone()).await?;
        Ok(live.publish(prepared))
    }

    /// Other readings for words that the texts have.
    fn teach(&mut self) -> anyhow::Result<()> {
        const WORDS: [(&str, [&str; 2]); 3] = [
            ("駅前", ["エキマエ", "エキゼン"]),
            ("計画", ["ケイカク", "プラン"]),
            ("火曜日", ["カヨウビ", "カヨウ"]),
        ];
        let mut file = String::new();
        for (surface, readings) in WORDS {
            let reading = readings[self.random.below(readings.len())];
            file += &format!("[[word]]\nsurface = \"{surface}\"\nreading = \"{reading}\"\n\n");
        }
        let path = words_file(&self.made);
        whole::write(&path, file.as_bytes())
            .with_context(|| format!("cannot write {}", path.display()))
    }

    /// One voice has other weights from now on.
    async fn replace(&mut self) -> anyhow::Result<()> {
        let seed = (self.random.unit() * 1e9) as u64;
        let of_one_file = self.service.voices.iter().find_map(|voice| {
            let Source::Path(path) = &voice.source else {
                return None;
            };
            let one = path.is_file() && kind_of(&voice.name) == "demo";
            one.then(|| path.clone())
        });
        let path = of_one_file.context("there is no voice to replace")?;
        let scratch = self.made.join("raw");
        let replace = move || {
            std::fs::create_dir_all(&scratch)?;
            package::vary(&Source::Path(path.clone()), &scratch, "next", seed)?;
            let next = files::read(&scratch.join("next.aivmx"), files::MODEL_MAX)?;
            // Moved there in one step: whoever reads the old one goes on.
            whole::write(&path, &next)?;
            anyhow::Ok(())
        };
        tokio::task::spawn_blocking(replace).await?
    }
}
