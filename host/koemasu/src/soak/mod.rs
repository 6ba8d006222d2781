//! `koemasu soak`: the proof that memory does not grow. The operators'
//! experiment — many voices drawn at random, texts of mixed lengths, hours of
//! loading and unloading — against three ways of keeping memory, each in a
//! process of its own, with a verdict.

mod chart;
mod child;
mod measure;
mod plan;
mod stock;

use std::io::{BufRead, BufReader, Write};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use clap::ValueEnum;
use pipeline::spec;
use pipeline::units::Bytes;

use crate::args::{self, SoakMode};
use crate::config::{Config, Files};
use crate::files;
use crate::line::{self, Lines};
use measure::{Bound, End, Line, Run, Sample, thousands};
use plan::Wanted;
use stock::Stock;

/// Says whether it passed.
pub fn run(args: &args::Soak) -> anyhow::Result<bool> {
    if args.voices == 0 || args.rounds == 0 || wanted(args).requests == 0 {
        bail!("nothing to do: --voices, --rounds and the requests are at least 1");
    }
    match args.child.child {
        Some(mode) => child::run(args, mode).map(|()| true),
        None => parent(args),
    }
}

fn parent(args: &args::Soak) -> anyhow::Result<bool> {
    let config = base(args)?;
    let stock = Stock::find(args, &config)?;
    let mut out = line::out();
    introduce(&mut out, args, &config, &stock)?;
    let modes = match args.mode {
        Some(mode) => vec![mode],
        None => SoakMode::value_variants().to_vec(),
    };
    let mut runs: Vec<Run> = Vec::new();
    for mode in modes {
        let room = runs.iter().find_map(room);
        runs.push(process(args, &stock, mode, room)?);
    }
    table(&mut out, &runs)?;
    if let Some(path) = &args.png {
        let drawn = chart::draw(&runs);
        let drawn = drawn.and_then(|bytes| Ok(files::put(path, &bytes)?));
        drawn.with_context(|| format!("cannot write {}", path.display()))?;
    }
    let verdict = Verdict::of(&runs, args);
    if let Some(path) = &args.json {
        let all = serde_json::json!({
            "runs": runs,
            "figures": runs.iter().map(Run::figures).collect::<Vec<_>>(),
            "pass": verdict.pass,
            "verdict": verdict.words,
        });
        files::put(path, all.to_string().as_bytes())
            .with_context(|| format!("cannot write {}", path.display()))?;
    }
    out.line(&verdict.words)?;
    out.flush()?;
    Ok(verdict.pass)
}

fn wanted(args: &args::Soak) -> Wanted {
    Wanted {
        voices: args.voices,
        requests: args.requests.unwrap_or(args.rounds * args.texts),
        rounds: args.rounds,
        lengths: args.lengths,
        characters: args.characters,
        seed: args.seed,
    }
}

/// The configuration before voices and memory are chosen.
fn base(args: &args::Soak) -> anyhow::Result<Config> {
    let mut config = Config::load(&Files::named(args.files.config.as_deref(), None))?;
    if let (Some(graph), Some(tokenizer)) = (&args.bert, &args.tokenizer) {
        let bert = spec::Bert {
            graph: spec::Source::Path(graph.clone()),
            tokenizer: spec::Source::Path(tokenizer.clone()),
        };
        let name = "soak";
        config.service.berts.insert(name.to_owned(), bert);
        for pipeline in config.service.pipelines.values_mut() {
            name.clone_into(&mut pipeline.bert.model);
        }
    }
    let default = config.service.default_pipeline.clone();
    config.service.pipelines.retain(|name, _| *name == default);
    Ok(config)
}

/// Bytes of the slab and its parts.
struct Sizes {
    budget: u64,
    /// What is left for voices.
    room: u64,
    workspace: u64,
    reserve: u64,
}

/// As said, or enough for a third of the voices.
fn sizes(args: &args::Soak, service: &spec::Service) -> Sizes {
    const MEBIBYTE: u64 = 1 << 20;
    let of = |bytes: Option<Bytes>, usual: u64| bytes.map_or(usual, |Bytes(bytes)| bytes);
    let workspace = of(args.workspace, 256 * MEBIBYTE);
    let reserve = of(args.reserve, 64 * MEBIBYTE);
    let voices = service.voices.iter();
    let voice = voices.map(|it| stock::bytes(&it.source)).max().unwrap_or(0);
    let model = service.pipelines.values().next().map(|it| &it.bert.model);
    let bert = model.and_then(|model| service.berts.get(model));
    let bert = bert.map_or(0, |bert| stock::graph_bytes(&bert.graph));
    // Sessions keep shapes and integers beside their weights.
    let slots = args.slots.max(args.lanes) as u64 * (voice + 4 * MEBIBYTE);
    let fixed = bert + bert / 8 + slots + workspace + reserve;
    // Voices that run do not go: one for each lane, and others beside them.
    let stay = args.voices.div_ceil(3).max(args.lanes + 2);
    // With sessions of its own a voice holds its weights twice, packed and
    // not, for each lane. So does the one inside the program.
    let each = match args.prepack || args.models.is_none() {
        true => voice * 2 * args.lanes as u64,
        false => voice + MEBIBYTE / 8,
    };
    let third = stay as u64 * each;
    let budget = of(args.budget, fixed + third);
    Sizes {
        budget,
        room: budget.saturating_sub(fixed).max(voice),
        workspace,
        reserve,
    }
}

/// What the library of a slab had for voices.
fn room(run: &Run) -> Option<usize> {
    run.samples.last()?.slab.as_ref().map(measure::Slab::room)
}

/// Runs one mode in a process of its own, so that memory is this mode's alone.
fn process(
    args: &args::Soak,
    stock: &Stock,
    mode: SoakMode,
    room: Option<usize>,
) -> anyhow::Result<Run> {
    let name = name(mode);
    let mut command = Command::new(std::env::current_exe().context("where is this program?")?);
    command
        .args(std::env::args_os().skip(1))
        .args(["--child", &name]);
    if let Some(folder) = &stock.made {
        command.arg("--made").arg(folder.path());
    }
    if let Some(room) = room {
        command.arg("--room").arg(room.to_string());
    }
    let mut process = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .with_context(|| format!("the process for {name} does not start"))?;
    let lines = process.stdout.take().context("no pipe")?;
    let mut progress = Progress::new(name.clone(), wanted(args).requests);
    let (mut samples, mut end) = (Vec::new(), None::<Box<End>>);
    for line in BufReader::new(lines).lines() {
        match serde_json::from_str(&line?)? {
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

fn name(mode: SoakMode) -> String {
    let value = mode.to_possible_value();
    value.map_or_else(String::new, |value| value.get_name().to_owned())
}

/// A line on standard error now and then.
struct Progress {
    mode: String,
    requests: usize,
    start: Instant,
    told: Instant,
}

impl Progress {
    fn new(mode: String, requests: usize) -> Self {
        let now = Instant::now();
        Self {
            mode,
            requests,
            start: now,
            told: now,
        }
    }

    fn tell(&mut self, sample: &Sample) {
        const EVERY: Duration = Duration::from_secs(10);
        if self.told.elapsed() < EVERY {
            return;
        }
        self.told = Instant::now();
        line::tell(format_args!(
            "{}: {} of {} requests, {:.0} s, {:.1} MiB, {} evictions, {} failed",
            self.mode,
            thousands(sample.requests),
            thousands(self.requests),
            self.start.elapsed().as_secs_f64(),
            mebibytes(sample.rss),
            thousands(sample.evictions as usize),
            sample.failed
        ));
    }
}

fn introduce(
    out: &mut Lines<impl Write>,
    args: &args::Soak,
    config: &Config,
    stock: &Stock,
) -> anyhow::Result<()> {
    let wanted = wanted(args);
    let embedded =
        args.models.is_none() && config.service.voices.len() == 1 && stock.made.is_some();
    if embedded {
        out.line(
            "the voice inside the program is a toy: these figures prove nothing about real sizes",
        )?;
    }
    let mut service = config.service.clone();
    service.voices.clone_from(&stock.voices);
    let sizes = sizes(args, &service);
    let largest = stock.voices.iter().map(|it| stock::bytes(&it.source)).max();
    out.line(format_args!(
        "{} voices of {}, {} requests in {} rounds of texts of 1 to {} characters, in bursts of 16, 7 and 7; budget {}, seed {}",
        stock.voices.len(),
        Bytes(largest.unwrap_or(0)),
        thousands(wanted.requests),
        wanted.rounds,
        wanted.characters,
        Bytes(sizes.budget),
        args.seed
    ))?;
    Ok(())
}

/// What a row says of a run.
type Cell = fn(&Run) -> String;

fn table(out: &mut Lines<impl Write>, runs: &[Run]) -> std::io::Result<()> {
    let rows: [(&str, Cell); 17] = [
        ("device", |run| run.end.device.clone()),
        ("requests", |run| thousands(run.figures().requests)),
        ("characters", |run| thousands(run.end.characters)),
        ("failed", |run| thousands(run.end.failed)),
        ("evictions", |run| {
            thousands(run.figures().evictions as usize)
        }),
        ("before any model, MiB", |run| {
            format!("{:.1}", mebibytes(run.end.base))
        }),
        ("start, MiB", |run| {
            format!("{:.1}", mebibytes(run.figures().start))
        }),
        ("end, MiB", |run| {
            format!("{:.1}", mebibytes(run.figures().end))
        }),
        ("peak, MiB", |run| {
            format!("{:.1}", mebibytes(run.figures().peak))
        }),
        ("slope, MB/1,000 requests", |run| {
            format!("{:.3}", run.figures().rss.robust)
        }),
        ("… without mapped files", |run| {
            format!("{:.3}", run.figures().private.robust)
        }),
        ("… by least squares", |run| {
            format!("{:.3}", run.figures().rss.least_squares)
        }),
        ("… on the GPU", |run| {
            run.figures()
                .gpu
                .map_or_else(none, |it| format!("{:.3}", it.robust))
        }),
        ("slab high water, MiB", |run| {
            run.figures().high_water.map_or_else(none, |it| {
                format!(
                    "{:.1} of {:.1}",
                    mebibytes(it as u64),
                    mebibytes(run.end.budget as u64)
                )
            })
        }),
        ("in use at rest, bytes", |run| {
            run.figures()
                .at_rest
                .map_or_else(none, |(least, most)| match least == most {
                    true => thousands(least),
                    false => format!("{} to {}", thousands(least), thousands(most)),
                })
        }),
        ("fragmentation at rest, most", |run| {
            run.figures()
                .fragmentation
                .map_or_else(none, |it| format!("{it:.3}"))
        }),
        ("CPU s (wall s)", |run| {
            format!("{:.1} ({:.1})", run.end.cpu_seconds, run.end.wall_seconds)
        }),
    ];
    let row = |label: &str, cell: Cell| {
        let cells = runs.iter().map(|run| format!("{:>22}", cell(run)));
        format!("{label:<28}{}", cells.collect::<String>())
    };
    out.line("")?;
    out.line(row("", |run| run.mode.clone()))?;
    for (label, cell) in rows {
        out.line(row(label, cell))?;
    }
    if let Some(ratio) = throughput(runs) {
        out.line(format_args!(
            "requests per CPU second, slab to arena: {ratio:.2}"
        ))?;
    }
    out.line("")
}

fn none() -> String {
    "-".to_owned()
}

/// How much one mode does in the time of another.
fn throughput(runs: &[Run]) -> Option<f64> {
    let cost = |mode: &str| {
        let run = runs.iter().find(|run| run.mode == mode)?;
        Some(run.end.cpu_seconds / run.figures().requests.max(1) as f64)
    };
    let (slab, arena) = (cost("slab")?, cost("arena")?);
    (slab > 0.0).then(|| arena / slab)
}

fn mebibytes(bytes: u64) -> f64 {
    bytes as f64 / f64::from(1 << 20)
}

struct Verdict {
    pass: bool,
    words: String,
}

impl Verdict {
    fn of(runs: &[Run], args: &args::Soak) -> Self {
        let bound = Bound::new(args.slope_max);
        let mut faults = Vec::new();
        for run in runs {
            let told = run.faults(bound);
            faults.extend(
                told.into_iter()
                    .map(|fault| format!("{}: {fault}", run.mode)),
            );
        }
        if let Some(bytes) = args.leak {
            return Self::of_leak(&faults, bytes);
        }
        if !faults.is_empty() {
            return Self {
                pass: false,
                words: format!("soak: fail: {}", faults.join("; ")),
            };
        }
        let (requests, failed) = runs.iter().fold((0, 0), |(requests, failed), run| {
            (requests + run.figures().requests, failed + run.end.failed)
        });
        let requests = format!("{failed} of {} requests failed", thousands(requests));
        let words = match runs.iter().find(|run| run.end.budget > 0) {
            Some(slab) => format!("{}, {requests}", praise(slab, bound)),
            None => format!("{requests}; no verdict on memory without the slab"),
        };
        Self {
            pass: true,
            words: format!("soak: pass: {words}"),
        }
    }

    /// With a planted leak nothing passes; the words tell whether it was found.
    fn of_leak(faults: &[String], bytes: Bytes) -> Self {
        let words = match faults {
            [] => format!("soak: fail: the planted leak of {bytes} a request was NOT found"),
            found => format!(
                "soak: fail, as it must: the planted leak of {bytes} a request was found: {}",
                found.join("; ")
            ),
        };
        Self { pass: false, words }
    }
}

fn praise(run: &Run, bound: Bound) -> String {
    let figures = run.figures();
    let Bound {
        slope_max,
        requests_min,
    } = bound;
    let slope = if figures.requests < requests_min {
        let least = thousands(requests_min);
        format!("too few requests for a verdict on the slope (at least {least})")
    } else {
        let worst = figures.rss.robust.max(figures.private.robust);
        let worst = worst.max(figures.gpu.map_or(f64::MIN, |gpu| gpu.robust));
        format!("slab slope {worst:.2} MB/1,000 requests (bound {slope_max})")
    };
    let at_rest = match figures.at_rest {
        Some((bytes, _)) if run.end.shared => {
            format!(
                "in use at rest {} bytes after every sequence",
                thousands(bytes)
            )
        }
        _ => "0 bytes in use with every model gone".to_owned(),
    };
    format!(
        "{slope}, {at_rest}, peak {:.1} of {:.1} MiB budget, {} evictions",
        mebibytes(figures.high_water.unwrap_or(0) as u64),
        mebibytes(run.end.budget as u64),
        thousands(figures.evictions as usize)
    )
}
