//! `koemasu check`: the same door as start and reload, and then a report
//! instead of serving.

use crate::args;
use server::config::{Config, Files};
use server::{dangers, line, platform};

pub(crate) fn run(args: &args::Check) -> anyhow::Result<()> {
    let files = Files::named(args.files.config.as_deref(), None);
    let config = Config::load(&files)?;
    let dangers = dangers::of(&config);
    let live = platform::live(&config)?;
    let remarks = config.service.remarks.clone();
    let device = live.residency().device(config.service.models.device)?;
    let next = platform::tokio()?.block_on(live.prove(config.service))?;
    let generation = next.generation();
    let mut out = line::out();
    out.line(format_args!("listen     {}", config.server.listen))?;
    out.line(format_args!("runtime    {}", config.onnxruntime.display()))?;
    out.line(format_args!("device     {device}"))?;
    for name in generation.pipelines() {
        out.line(format_args!(
            "pipeline   {name}: {}",
            generation.plan(Some(name))?.describe()
        ))?;
    }
    for (name, voice) in generation.voices() {
        let package = voice.package();
        let speakers: Vec<_> = package.speakers().collect();
        let styles: Vec<_> = package.styles().collect();
        out.line(format_args!(
            "voice      {name}: speakers {}; styles {}",
            speakers.join(", "),
            styles.join(", ")
        ))?;
    }
    for danger in dangers {
        out.line(format_args!("DANGER     {danger}"))?;
    }
    for remark in remarks {
        out.line(format_args!("NOTE       {remark}"))?;
    }
    for lacking in live.without() {
        out.line(format_args!("without    {lacking}"))?;
    }
    out.line(format_args!(
        "prepared in {:.2} s; nothing was published",
        next.took().as_secs_f64()
    ))?;
    let left_out = generation.left_out();
    for left in left_out {
        out.line(format_args!(
            "LEFT OUT   {} {}: {}",
            left.kind.name(),
            left.name,
            left.cause
        ))?;
    }
    anyhow::ensure!(
        left_out.is_empty(),
        "{} could not be prepared; the rest would serve",
        left_out.len()
    );
    Ok(())
}
