//! `koemasu g2p`: texts in, moras and phonemes out, one JSON object a line. It is how
//! the frontend is compared with others.

use std::io::{BufRead, BufWriter};

use pipeline::pronounce;
use serde::Deserialize;
use serde_json::json;

use crate::args;
use server::config::{Config, Files};
use server::line::{self, Lines};
use server::platform;
use server::read::Row;

pub(crate) fn run(args: &args::G2p) -> anyhow::Result<()> {
    let files = Files::named(args.files.config.as_deref(), None);
    let config = Config::load(&files)?.without_models();
    let live = platform::live(&config)?;
    let runtime = platform::tokio()?;
    let next = runtime.block_on(live.prepare(config.service))?;

    let mut out = Lines::new(BufWriter::new(line::bytes()));
    for line in std::io::stdin().lock().lines() {
        let line = line?;
        if line.is_empty() {
            continue;
        }
        let text = text_of(&line);
        let said = pronounce(next.generation(), args.pipeline.as_deref(), &text);
        let answer = match runtime.block_on(said) {
            Ok(pronounced) => serde_json::to_value(Row::from(&pronounced))?,
            Err(error) => json!({ "error": error.to_string() }),
        };
        out.line(answer)?;
    }
    out.flush()?;
    Ok(())
}

/// `{"text": …}`, or the line itself.
fn text_of(line: &str) -> String {
    #[derive(Deserialize)]
    struct Row {
        text: String,
    }
    serde_json::from_str(line).map_or_else(|_| line.to_owned(), |Row { text }| text)
}
