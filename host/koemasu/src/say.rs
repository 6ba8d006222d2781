//! `koemasu say`: the work of one request, without a server.

use std::io::Write;
use std::path::Path;

use anyhow::Context;
use pipeline::{Delivery, Request, synthesize};

use crate::args;
use crate::config::{Config, Files};
use crate::line;
use crate::platform;

pub fn run(args: &args::Say) -> anyhow::Result<()> {
    let files = Files::named(args.files.config.as_deref(), None);
    let config = Config::load(&files)?;
    let live = platform::live(&config)?;
    let audio = platform::tokio()?.block_on(async {
        let next = live.prepare(config.service).await?;
        synthesize(next.generation(), request(args))
            .await
            .map_err(anyhow::Error::from)
    })?;
    for warning in &audio.head.warnings {
        line::tell(format_args!("warning: {warning}"));
    }
    write(&args.output, &audio.bytes)
        .with_context(|| format!("cannot write {}", args.output.display()))?;
    line::tell(format_args!(
        "{}: {:.2} s of sound",
        args.output.display(),
        audio.samples as f64 / f64::from(audio.head.sampling_rate)
    ));
    Ok(())
}

fn request(args: &args::Say) -> Request {
    Request {
        text: args.text.clone(),
        voice: args.voice.clone(),
        pipeline: args.pipeline.clone(),
        delivery: Delivery {
            style: args.style.clone(),
            style_weight: args.style_weight,
            speed: args.speed,
            ..Delivery::default()
        },
        ..Request::default()
    }
}

/// The whole file or none; what is no file, such as a pipe, is written to.
fn write(path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    if path == Path::new("-") {
        return line::bytes().write_all(bytes);
    }
    match path.metadata() {
        Ok(meta) if !meta.is_file() => std::fs::OpenOptions::new()
            .write(true)
            .open(path)?
            .write_all(bytes),
        _ => {
            // A folder that is not there is more often a slip than a wish.
            let folder = path.parent().filter(|folder| *folder != Path::new(""));
            folder.map_or(Ok(()), |folder| folder.metadata().map(drop))?;
            session::whole::write(path, bytes)
        }
    }
}
