//! `koemasu list`, `show` and `rm`: the voices that a server would serve, and
//! what was pulled.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::time::Duration;

use anyhow::Context;
use hub::{Removed, Shelved};
use pipeline::spec;
use session::package::Package;

use crate::args;
use crate::pull::megabytes;
use server::config::{Environment, Files, Shelf};
use server::line;

pub(crate) fn list(args: &args::List) -> anyhow::Result<()> {
    let files = Files::named(args.files.config.as_deref(), None);
    let shelf = Shelf::look(&files)?;
    let mut out = line::out();
    let mut broken = 0;
    for voice in &shelf.voices {
        match open(voice) {
            Ok(package) => out.line(format_args!(
                "voice  {}: {}, {}; speakers {}; {} styles",
                voice.name,
                package.architecture(),
                megabytes(package.bytes()),
                package.speakers().collect::<Vec<_>>().join(", "),
                package.styles().count(),
            ))?,
            Err(error) => {
                broken += 1;
                out.line(format_args!("BROKEN {}: {error:#}", voice.name))?;
            }
        }
    }
    for (name, bert) in &shelf.berts {
        let mark = if *name == shelf.default_bert { "*" } else { "" };
        out.line(format_args!("bert   {name}{mark}: {}", place(&bert.graph)))?;
    }
    for remark in &shelf.remarks {
        out.line(format_args!("NOTE   {remark}"))?;
    }
    anyhow::ensure!(
        broken == 0,
        "{broken} cannot be loaded; the rest would serve"
    );
    Ok(())
}

fn place(source: &spec::Source) -> String {
    match source {
        spec::Source::Path(path) => path.display().to_string(),
        spec::Source::Embedded(_) => "inside the program".to_owned(),
        spec::Source::Merged(recipe) => format!("made of others: {recipe}"),
    }
}

fn open(voice: &spec::Voice) -> anyhow::Result<Package> {
    Ok(Package::open(&voice.source)?)
}

pub(crate) fn show(args: &args::Show) -> anyhow::Result<()> {
    let files = Files::named(args.files.config.as_deref(), None);
    let shelf = Shelf::look(&files)?;
    let name = &args.name;
    let voice = shelf.voices.iter().find(|voice| voice.name == *name);
    let voice = voice.with_context(|| {
        let names: Vec<_> = shelf.voices.iter().map(|it| it.name.as_str()).collect();
        format!("no voice is called `{name}`; there is {}", names.join(", "))
    })?;
    let package = open(voice)?;
    let mut out = line::out();
    out.line(format_args!("name          {}", package.name()))?;
    out.line(format_args!("place         {}", place(&voice.source)))?;
    out.line(format_args!("architecture  {}", package.architecture()))?;
    out.line(format_args!("size          {}", megabytes(package.bytes())))?;
    out.line(format_args!("sampling rate {} Hz", package.sampling_rate()))?;
    for (speaker, id) in package.speaker_ids() {
        out.line(format_args!("speaker       {speaker} ({id})"))?;
    }
    for (style, row) in package.style_ids() {
        out.line(format_args!("style         {style} ({row})"))?;
    }
    let record = pulled(name);
    let licence = record.as_ref().and_then(|it| it.licence.as_deref());
    let licence = package.licence().or(licence).unwrap_or("not said");
    out.line(format_args!("licence       {licence}"))?;
    if let Some(record) = &record {
        out.line(format_args!("pulled from   {}", record.source))?;
        if let Some(origin) = &record.origin {
            out.line(format_args!("commit        {}", origin.commit.as_str()))?;
        }
    }
    let tier = match tier(shelf.listen, shelf.admin_token.as_deref(), name) {
        Ok(Some(tier)) => tier,
        Ok(None) => "the server does not serve it".to_owned(),
        Err(why) => format!("file ({why})"),
    };
    out.line(format_args!("tier          {tier}"))?;
    Ok(())
}

fn pulled(name: &str) -> Option<hub::Record> {
    let found = shelved(&Environment::read().voices(), name).ok()??;
    found.record.ok()
}

/// What was pulled into a folder under this name.
fn shelved(into: &Path, name: &str) -> Result<Option<Shelved>, hub::Error> {
    let all = hub::pulled(into)?;
    Ok(all.into_iter().find(|it| it.name == name))
}

/// Where a server that runs here has the voice's weights now.
fn tier(
    address: SocketAddr,
    token: Option<&str>,
    name: &str,
) -> Result<Option<String>, &'static str> {
    const NO_SERVER: &str = "no server answers here";
    let patience = Duration::from_secs(2);
    let mut stream = TcpStream::connect_timeout(&address, patience).map_err(|_| NO_SERVER)?;
    let limits = stream
        .set_read_timeout(Some(patience))
        .and_then(|()| stream.set_write_timeout(Some(patience)));
    limits.map_err(|_| NO_SERVER)?;
    let token = token.map_or_else(String::new, |it| format!("authorization: Bearer {it}\r\n"));
    let request = format!(
        "GET /admin/voices HTTP/1.1\r\nhost: {address}\r\n{token}connection: close\r\n\r\n"
    );
    stream
        .write_all(request.as_bytes())
        .map_err(|_| NO_SERVER)?;
    let mut answer = Vec::new();
    let read = stream.take(ANSWER_MAX).read_to_end(&mut answer);
    read.map_err(|_| NO_SERVER)?;
    let answer = String::from_utf8_lossy(&answer);
    let (head, body) = answer.split_once("\r\n\r\n").ok_or(NO_SERVER)?;
    if !head.starts_with("HTTP/1.1 200") {
        return Err("a server answers here, and does not tell; see `admin.token`");
    }
    let told: serde_json::Value = serde_json::from_str(body).map_err(|_| NO_SERVER)?;
    let voices = told["voices"].as_array().ok_or(NO_SERVER)?;
    let found = voices.iter().find(|voice| voice["name"] == name);
    Ok(found.and_then(|voice| voice["tier"].as_str().map(str::to_owned)))
}

/// Of a thousand voices and what they tell.
const ANSWER_MAX: u64 = 16 << 20;

pub(crate) fn remove(args: &args::Rm) -> anyhow::Result<()> {
    let environment = Environment::read();
    let (voices, berts) = (environment.voices(), environment.berts());
    let is_bert = shelved(&voices, &args.name)?.is_none() && shelved(&berts, &args.name)?.is_some();
    // What nobody has pulled is refused by name.
    let into = if is_bert { berts } else { voices };
    match hub::remove(&into, &args.name)? {
        Removed::Voice(record) => {
            let bytes: u64 = record.files.iter().map(|file| file.bytes).sum();
            line::out().line(format_args!(
                "removed {}: {}, which came from {}",
                args.name,
                megabytes(bytes),
                record.source
            ))?;
        }
        Removed::Parts => line::out().line(format_args!(
            "removed what had gathered of {}, which was never whole",
            args.name
        ))?,
    }
    Ok(())
}
