//! What people see of a soak: what it is about, a table of all modes, each thing
//! that is judged, and the verdict.

use std::io::Write;

use pipeline::units::Bytes;

use crate::args::{self, SoakFault};
use crate::judge::{self, Bound, Judgement, Thing, Verdict};
use crate::measure::{Run, thousands};
use crate::sizes::Sizes;
use crate::stock::{self, Stock};
use crate::{fault, mebibytes, minutes, wanted};
use server::config::Config;
use server::line::Lines;

pub(crate) fn introduce(
    out: &mut Lines<impl Write>,
    args: &args::Args,
    config: &Config,
    stock: &Stock,
) -> anyhow::Result<()> {
    let wanted = wanted(args);
    let mut service = config.service.clone();
    service.voices.clone_from(&stock.voices);
    let sizes = Sizes::of(args, &service);
    let bytes = stock.voices.iter().map(|it| stock::bytes(&it.source));
    let (least, most) = (bytes.clone().min(), bytes.max());
    let mut extent = Vec::new();
    extent.extend(
        wanted
            .requests
            .map(|it| format!("{} requests", thousands(it))),
    );
    extent.extend(minutes(args).map(|it| format!("{it} minutes in all")));
    out.line(format_args!(
        "{} voices of {} to {}, {}, texts of 1 to {} characters in bursts of 16, 7 and 7; budget {}, seed {}",
        stock.voices.len(),
        Bytes(least.unwrap_or(0)),
        Bytes(most.unwrap_or(0)),
        extent.join(" and "),
        wanted.characters,
        Bytes(sizes.budget),
        args.seed
    ))?;
    out.flush()?;
    Ok(())
}

/// Everything that came of it.
pub(crate) struct Report<'a> {
    runs: &'a [Run],
    judged: Vec<(&'a str, Vec<Judgement>)>,
    pub(crate) pass: bool,
    /// The last line.
    words: String,
}

impl<'a> Report<'a> {
    pub(crate) fn of(runs: &'a [Run], args: &args::Args) -> Self {
        let bound = Bound::new(args.slope_max);
        let judged = judge::judge_all(runs, bound);
        let (pass, words) = match fault::kinds(args).as_slice() {
            [] => verdict(&judged),
            planted => (false, of_planted(&judged, planted, fault::bytes(args))),
        };
        Self {
            runs,
            judged,
            pass,
            words,
        }
    }

    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::json!({
            "runs": self.runs,
            "figures": self.runs.iter().map(Run::figures).collect::<Vec<_>>(),
            "judged": self.judged,
            "pass": self.pass,
            "verdict": self.words,
        })
    }

    /// The table, and each thing that was judged.
    pub(crate) fn write(
        &self,
        out: &mut Lines<impl Write>,
        without: &[String],
    ) -> std::io::Result<()> {
        table(out, self.runs)?;
        for (mode, judged) in &self.judged {
            for told in judged {
                let word = match told.verdict {
                    Verdict::Held => "held",
                    Verdict::Broken => "BROKEN",
                    Verdict::Compared => "worse",
                    Verdict::Open => "open",
                };
                out.line(format_args!(
                    "{mode:<13}{word:<7}{:<29}{} ({})",
                    told.thing, told.figure, told.bound
                ))?;
                for reason in &told.reasons {
                    out.line(format_args!("{:20}{reason}", ""))?;
                }
            }
        }
        for mode in without {
            out.line(format_args!("{mode:<13}open   no time was left for it"))?;
        }
        out.line("")
    }

    pub(crate) fn conclude(&self, out: &mut Lines<impl Write>) -> std::io::Result<()> {
        out.line(&self.words)?;
        out.flush()
    }
}

type Judged<'a> = [(&'a str, Vec<Judgement>)];

fn with<'a>(
    judged: &'a Judged<'_>,
    verdict: Verdict,
) -> impl Iterator<Item = (&'a str, &'a Judgement)> {
    let all = judged
        .iter()
        .flat_map(|(mode, judged)| judged.iter().map(move |told| (*mode, told)));
    all.filter(move |(_, told)| told.verdict == verdict)
}

fn verdict(judged: &Judged<'_>) -> (bool, String) {
    if judged.is_empty() {
        let words = "soak: fail: its time was over before the voices were open; --minutes";
        return (false, words.to_owned());
    }
    let broken: Vec<_> = with(judged, Verdict::Broken)
        .map(|(mode, told)| format!("{mode}: {told}"))
        .collect();
    if !broken.is_empty() {
        return (false, format!("soak: fail: {}", broken.join("; ")));
    }
    let held = with(judged, Verdict::Held).count();
    let open: Vec<_> = with(judged, Verdict::Open)
        .map(|(_, told)| told.thing.to_string())
        .collect();
    let mut words = format!("soak: pass: {held} things held");
    if !judged
        .iter()
        .flat_map(|(_, judged)| judged)
        .any(|told| told.thing == Thing::Kept)
    {
        words += ", none of memory, which is judged with the slab alone";
    }
    if !open.is_empty() {
        words += &format!("; not judged: {}", open.join(", "));
    }
    (true, words)
}

/// With a planted fault nothing passes; the words tell whether it was found, by
/// what should find it.
fn of_planted(judged: &Judged<'_>, planted: &[SoakFault], bytes: Bytes) -> String {
    let named: Vec<_> = planted
        .iter()
        .map(|fault| match fault {
            SoakFault::Heap => format!("{bytes} of heap with each request"),
            SoakFault::Slab => "a block of a run with each burst".to_owned(),
            SoakFault::Region => "a region that nobody closes with each burst".to_owned(),
            SoakFault::Eviction => "a voice that is evicted and stays".to_owned(),
        })
        .collect();
    let named = named.join(" and ");
    let found = |fault: &SoakFault| {
        let finds = judge::finds(*fault);
        let of_it = with(judged, Verdict::Broken).filter(|(_, told)| finds.contains(&told.thing));
        of_it.map(|(_, told)| told.to_string()).collect::<Vec<_>>()
    };
    let found: Vec<_> = planted.iter().map(found).collect();
    match found.iter().any(Vec::is_empty) {
        true => format!("soak: fail: what was planted, {named}, was NOT found"),
        false => format!(
            "soak: fail, as it must: what was planted, {named}, was found: {}",
            found.concat().join("; ")
        ),
    }
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
        ("features kept at most, MiB", |run| {
            format!("{:.1}", mebibytes(run.figures().features))
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
        ("opening, s", |run| {
            format!("{:.1}", run.end.prepared_seconds)
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
