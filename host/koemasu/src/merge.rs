//! `koemasu merge`: a voice that is made of others, written as a folder.

use anyhow::Context;

use crate::args;
use server::config::{Files, Merge, Shelf, Way};
use server::line;

pub(crate) fn run(args: &args::Merge) -> anyhow::Result<()> {
    let files = Files::named(args.files.config.as_deref(), None);
    let shelf = Shelf::look(&files)?;
    let name = args.output.file_name().and_then(|name| name.to_str());
    let name = name.context("the folder to write has no name that can be written")?;
    let styles = args.style_of.iter().map(|text| {
        let (name, of) = text.split_once('=').with_context(|| {
            format!("`{text}`: it is `NAME=STYLE,STYLE`, a style of each voice")
        })?;
        let of = of.split(',').map(str::to_owned).collect();
        anyhow::Ok((name.to_owned(), of))
    });
    let merge = Merge {
        name: name.to_owned(),
        method: match args.method {
            args::Way::Usual => Way::Usual,
            args::Way::AddDifference => Way::AddDifference,
            args::Way::AddNull => Way::AddNull,
            args::Way::WeightedSum => Way::WeightedSum,
        },
        voices: args.voices.clone(),
        weight: args.weight,
        voice: args.voice,
        pitch: args.pitch,
        style: args.style,
        tempo: args.tempo,
        weights: (!args.weights.is_empty()).then(|| args.weights.clone()),
        slerp: args.slerp,
        styles: styles.collect::<anyhow::Result<_>>()?,
    };
    let recipe = shelf.recipe(merge).map_err(anyhow::Error::msg)?;
    session::package::write_merged(&recipe, &args.output)?;
    line::out().line(format_args!("{}: {recipe}", args.output.display()))?;
    Ok(())
}
