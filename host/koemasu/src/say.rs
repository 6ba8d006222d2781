//! `koemasu say`: the work of one request, without a server.

use anyhow::Context;
use pipeline::{Request, VoiceRef, VoiceSettings, synthesize};

use crate::args;
use server::config::{Config, Files};
use server::{files, line, platform};

pub(crate) fn run(args: &args::Say) -> anyhow::Result<()> {
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
    files::put(&args.output, &audio.bytes)
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
        voice: VoiceRef::written(&args.voice),
        pipeline: args.pipeline.clone(),
        settings: VoiceSettings {
            style: args.style.clone(),
            style_weight: args.style_weight,
            speed: args.speed,
            ..VoiceSettings::default()
        },
        ..Request::default()
    }
}
