//! `koemasu soak`: the proof that memory does not grow. The operators'
//! experiment — many voices drawn at random, texts of mixed lengths, hours of
//! loading and unloading — against three ways of keeping memory, each in a
//! process of its own, with a verdict.
//!
//! - `stock`, `zoo`: the voices; `sizes`: the slab; `extent`: the time.
//! - `plan`: what is asked for and what happens meanwhile.
//! - `child`: one process; `ask`, `upheaval` and `fault` are what it does.
//! - `zones`, `measure`, `judge`: what it tells, and what follows.
//! - `progress`, `report`, `chart`: what people see.

pub mod args;
mod ask;
mod chart;
mod child;
mod extent;
mod fault;
mod judge;
mod measure;
mod plan;
mod progress;
mod report;
mod sizes;
mod stock;
mod upheaval;
mod zones;
mod zoo;

use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use clap::ValueEnum;
use pipeline::spec;

pub use args::Args;
use args::{Lengths, SoakMode};
use measure::{End, Line, Run};
use plan::{Mood, Wanted};
use progress::Progress;
use report::Report;
use server::config::{Config, Files};
use server::files;
use server::line;
use stock::Stock;

/// Says whether it passed.
pub fn run(args: &Args) -> anyhow::Result<bool> {
    match args.child.child {
        Some(mode) => child::run(args, mode).map(|()| true),
        None => parent(args),
    }
}

fn parent(args: &Args) -> anyhow::Result<bool> {
    let start = Instant::now();
    let config = base(args)?;
    let stock = Stock::find(args)?;
    let mut out = line::out();
    report::introduce(&mut out, args, &config, &stock)?;
    let all = minutes(args).map(|minutes| Duration::from_secs(60 * minutes as u64));
    let modes = modes(args);
    let (mut runs, mut without) = (Vec::<Run>::new(), Vec::new());
    for (number, mode) in modes.iter().enumerate() {
        let after = modes.len() - number - 1;
        let left = all.map(|all| all.saturating_sub(start.elapsed()));
        let own = left.map(|left| extent::share(left, after, number == 0));
        if own == Some(None) {
            without.push(name(*mode));
            continue;
        }
        let process = Process {
            args,
            stock: &stock,
            mode: *mode,
            room: runs.iter().find_map(room),
            seconds: own.flatten().map(|own| own.as_secs()),
            all: all.map(|all| start + all),
        };
        match process.run()? {
            run if run.end.late => without.push(run.mode),
            run => runs.push(run),
        }
    }
    let report = Report::of(&runs, args);
    report.write(&mut out, &without)?;
    if let Some(path) = &args.png {
        let drawn = chart::draw(&runs);
        let drawn = drawn.and_then(|bytes| Ok(files::put(path, &bytes)?));
        drawn.with_context(|| format!("cannot write {}", path.display()))?;
    }
    if let Some(path) = &args.json {
        files::put(path, report.json().to_string().as_bytes())
            .with_context(|| format!("cannot write {}", path.display()))?;
    }
    report.conclude(&mut out)?;
    Ok(report.pass)
}

/// All that are wanted, the one that is judged first.
fn modes(args: &Args) -> Vec<SoakMode> {
    match args.mode {
        Some(mode) => vec![mode],
        None if args.zoo => vec![SoakMode::Slab],
        None => SoakMode::value_variants().to_vec(),
    }
}

/// How long all of it takes, if it is not the requests that say so.
fn minutes(args: &Args) -> Option<usize> {
    const USUAL: usize = 10;
    const USUAL_ZOO: usize = 40;
    let usual = if args.zoo { USUAL_ZOO } else { USUAL };
    let unbounded = args.requests.is_none() && args.rounds.is_none();
    args.minutes.or(unbounded.then_some(usual))
}

fn wanted(args: &Args) -> Wanted {
    let zoo = stock::is_zoo(args);
    let usual = if zoo { Lengths::Short } else { Lengths::Mixed };
    let of_rounds = args.rounds.map(|rounds| rounds * args.texts);
    let requests = args.requests.or(of_rounds);
    let in_round = match (requests, args.rounds) {
        (Some(requests), Some(rounds)) => requests.div_ceil(rounds),
        _ => args.texts,
    };
    Wanted {
        voices: stock::count(args),
        requests,
        in_round,
        lengths: args.lengths.unwrap_or(usual),
        characters: args.characters,
        seed: args.seed,
        mood: if zoo { Mood::Lively } else { Mood::Calm },
        lanes: args.lanes,
    }
}

/// The configuration before voices and memory are chosen.
fn base(args: &Args) -> anyhow::Result<Config> {
    let mut config = Config::load(&Files::named(args.config.as_deref(), None))?;
    if let (Some(graph), Some(tokenizer)) = (&args.bert, &args.tokenizer) {
        let bert = spec::Bert {
            graph: spec::Source::Path(graph.clone()),
            tokenizer: spec::Source::Path(tokenizer.clone()),
        };
        let name = "soak";
        config.service.berts.insert(name.to_owned(), bert);
        config.service.use_bert(name);
    }
    let default = config.service.default_pipeline.clone();
    config.service.pipelines.retain(|name, _| *name == default);
    Ok(config)
}

/// What the library of a slab had for voices.
fn room(run: &Run) -> Option<usize> {
    run.samples.last()?.slab.as_ref().map(zones::Slab::room)
}

fn name(mode: SoakMode) -> String {
    let value = mode.to_possible_value();
    value.map_or_else(String::new, |value| value.get_name().to_owned())
}

/// One mode in a process of its own, so that memory is this mode's alone.
struct Process<'a> {
    args: &'a Args,
    stock: &'a Stock,
    mode: SoakMode,
    room: Option<usize>,
    /// For how long it may ask.
    seconds: Option<u64>,
    /// When everything must have ended.
    all: Option<Instant>,
}

impl Process<'_> {
    fn run(&self) -> anyhow::Result<Run> {
        let name = name(self.mode);
        let mut process = self
            .command(&name)?
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .with_context(|| format!("the process for {name} does not start"))?;
        let lines = process.stdout.take().context("no pipe")?;
        let own = self.seconds.map(Duration::from_secs);
        let mut progress = Progress::new(&name, wanted(self.args).requests, own, self.all);
        let (mut samples, mut end) = (Vec::new(), None::<Box<End>>);
        for line in BufReader::new(lines).lines() {
            match serde_json::from_str(&line?)? {
                Line::Doing(what) => progress.doing(&what),
                Line::Sample(sample) => {
                    progress.tell(&sample);
                    samples.push(sample);
                }
                Line::End(told) => end = Some(told),
            }
        }
        let status = process.wait()?;
        match end {
            Some(end) if status.success() => Ok(Run {
                mode: name,
                samples,
                end: *end,
            }),
            _ => bail!("the process for {name} ended early, {status}; what it said is above"),
        }
    }

    fn command(&self, name: &str) -> anyhow::Result<Command> {
        let mut command = Command::new(std::env::current_exe().context("where is this program?")?);
        command
            .args(std::env::args_os().skip(1))
            .args(["--child", name]);
        if let Some(folder) = &self.stock.made {
            command.arg("--made").arg(folder.path());
        }
        if let Some(room) = self.room {
            command.arg("--room").arg(room.to_string());
        }
        if let Some(seconds) = self.seconds {
            command.arg("--seconds").arg(seconds.to_string());
        }
        Ok(command)
    }
}

fn mebibytes(bytes: u64) -> f64 {
    bytes as f64 / f64::from(1 << 20)
}
