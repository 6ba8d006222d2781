//! What a soak is held to: each thing with its figure and its bound. Pure.

use std::fmt;

use serde::Serialize;

use crate::args::SoakFault;
use crate::measure::{Happened, Kept, Run, WARM, thousands};
use crate::zoo::{REFUSED_MIN, TEMPLATES_MIN, VOICES_MIN};

/// One thing that is judged.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(crate) struct Judgement {
    pub(crate) thing: Thing,
    pub(crate) figure: String,
    pub(crate) bound: String,
    pub(crate) verdict: Verdict,
    /// What was said of the first few.
    pub(crate) reasons: Vec<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Verdict {
    Held,
    Broken,
    /// It would be, if it were what is judged and not what it is compared with.
    Compared,
    /// There was not enough to judge by.
    Open,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Thing {
    Failed,
    LeftOut,
    Resident,
    Private,
    Gpu,
    OfRuns,
    Kept,
    Casts,
    Scattered,
    HighWater,
    Overdrafts,
    Generations,
    Dropped,
    Kinds,
    Happened,
    Evictions,
}

impl fmt::Display for Thing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Failed => "requests failed",
            Self::LeftOut => "voices left out",
            Self::Resident => "resident memory grows",
            Self::Private => "private memory grows",
            Self::Gpu => "GPU memory grows",
            Self::OfRuns => "held for runs at rest",
            Self::Kept => "held by no voice at rest",
            Self::Casts => "the same voices, another sum",
            Self::Scattered => "divided by what stays",
            Self::HighWater => "most in use",
            Self::Overdrafts => "outside of the budget",
            Self::Generations => "generations at rest",
            Self::Dropped => "left with every model gone",
            Self::Kinds => "templates, refused ones",
            Self::Happened => "what happened meanwhile",
            Self::Evictions => "evictions",
        })
    }
}

impl fmt::Display for Judgement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {} ({})", self.thing, self.figure, self.bound)
    }
}

/// The most growth there may be, and from how many requests on it is judged.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Bound {
    pub(crate) slope_max: f64,
    pub(crate) requests_min: usize,
}

impl Bound {
    pub(crate) fn new(given: Option<f64>) -> Self {
        match given {
            // Fewer, and the slope is chance.
            Some(slope_max) => Self {
                slope_max,
                requests_min: 200,
            },
            None => Self {
                slope_max: 1.0,
                requests_min: WARM,
            },
        }
    }
}

/// The share of the models' memory that may be in no one's reach in one piece.
pub(crate) const SCATTERED_MAX: f64 = 0.25;
/// From so many requests on, everything that was to happen has.
const LIVELY_MIN: usize = 60;

/// What finds such a fault.
pub(crate) fn finds(fault: SoakFault) -> &'static [Thing] {
    match fault {
        SoakFault::Heap => &[Thing::Private, Thing::Resident],
        SoakFault::Slab => &[Thing::OfRuns],
        SoakFault::Region | SoakFault::Eviction => &[Thing::Kept],
    }
}

/// Everything that runs are held to, by mode. Arenas are held to their requests
/// alone, and beside the slab to nothing: they are there to compare.
pub(crate) fn judge_all<'a>(runs: &'a [Run], bound: Bound) -> Vec<(&'a str, Vec<Judgement>)> {
    let beside = runs.iter().any(|run| run.end.budget > 0);
    let of_run = |run: &'a Run| {
        let mut judged = judge(run, bound);
        for told in &mut judged {
            if beside && run.end.budget == 0 && told.verdict == Verdict::Broken {
                told.verdict = Verdict::Compared;
            }
        }
        (run.mode.as_str(), judged)
    };
    runs.iter().map(of_run).collect()
}

fn judge(run: &Run, bound: Bound) -> Vec<Judgement> {
    let mut judged = vec![failed(run), left_out(run)];
    if run.end.budget > 0 {
        judged.extend(grown(run, bound));
        judged.extend([of_runs(run), kept(run), casts(run), scattered(run)]);
        judged.extend([high_water(run), overdrafts(run), generations(run)]);
        judged.push(dropped(run));
        if let Some(happened) = &run.end.happened {
            judged.extend(liveliness(run, happened));
        }
    }
    judged
}

fn judgement(
    thing: Thing,
    broken: bool,
    figure: impl Into<String>,
    bound: impl Into<String>,
) -> Judgement {
    Judgement {
        thing,
        figure: figure.into(),
        bound: bound.into(),
        verdict: match broken {
            true => Verdict::Broken,
            false => Verdict::Held,
        },
        reasons: Vec::new(),
    }
}

fn failed(run: &Run) -> Judgement {
    let (failed, all) = (run.end.failed, run.figures().requests);
    let figure = format!("{} of {}", thousands(failed), thousands(all));
    // Where nothing was asked nothing is proven.
    let broken = failed > 0 || all == 0;
    Judgement {
        reasons: run.end.reasons.clone(),
        ..judgement(Thing::Failed, broken, figure, "none of at least 1")
    }
}

fn left_out(run: &Run) -> Judgement {
    let (all, reasons) = (run.end.left_out, &run.end.left_out_reasons);
    Judgement {
        reasons: reasons.clone(),
        ..judgement(Thing::LeftOut, all > 0, thousands(all), "none")
    }
}

fn grown(run: &Run, bound: Bound) -> Vec<Judgement> {
    let figures = run.figures();
    let curves = [
        (Thing::Resident, Some(figures.rss)),
        (Thing::Private, Some(figures.private)),
        (Thing::Gpu, figures.gpu),
    ];
    let told = |(thing, slope): (Thing, Option<crate::measure::Slope>)| {
        // Heaps breathe with reloads and lanes, by megabytes: what grows does
        // so by either way of drawing a line.
        let crate::measure::Slope {
            robust,
            least_squares,
        } = slope?;
        let slope = robust.min(least_squares);
        let figure = format!("{robust:.2} MB/1,000 requests, by least squares {least_squares:.2}");
        let most = format!("{} at most", bound.slope_max);
        let mut told = judgement(thing, slope > bound.slope_max, figure, most);
        if figures.requests < bound.requests_min {
            let (requests, least) = (thousands(figures.requests), thousands(bound.requests_min));
            told.bound = format!("not judged: {requests} requests, from {least} on");
            told.verdict = Verdict::Open;
        }
        Some(told)
    };
    curves.into_iter().filter_map(told).collect()
}

fn of_runs(run: &Run) -> Judgement {
    let most = run.slabs().map(crate::zones::Slab::of_runs).max();
    let most = most.unwrap_or(0);
    let figure = format!("{} bytes", thousands(most));
    judgement(Thing::OfRuns, most > 0, figure, "0 after every burst")
}

fn kept(run: &Run) -> Judgement {
    let kept = run.kept();
    let worst = kept.iter().find(|kept| kept.least != kept.most);
    let figure = match (worst, kept.as_slice()) {
        (Some(one), _) | (None, [one]) => one.to_string(),
        (None, all) => format!(
            "the same with each of {} numbers of lanes and slots",
            all.len()
        ),
    };
    judgement(
        Thing::Kept,
        worst.is_some(),
        figure,
        "to the byte the same after every burst",
    )
}

impl fmt::Display for Kept<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let bytes = |bytes: i64| match usize::try_from(bytes) {
            Ok(bytes) => thousands(bytes),
            Err(_) => bytes.to_string(),
        };
        f.write_str(&bytes(self.least))?;
        if self.least != self.most {
            write!(f, " to {}", bytes(self.most))?;
        }
        let slots: usize = self.slots.iter().sum();
        write!(f, " bytes at {} lanes with {slots} slots", self.lanes)
    }
}

fn casts(run: &Run) -> Judgement {
    let (again, unlike) = run.casts();
    let figure = format!("{} of {} times", thousands(unlike), thousands(again));
    let mut told = judgement(Thing::Casts, unlike > 0, figure, "never");
    if again == 0 {
        told.bound = "not judged: no voices were there together twice".to_owned();
        told.verdict = Verdict::Open;
    }
    told
}

fn scattered(run: &Run) -> Judgement {
    let figures = run.figures();
    let (most, fragmentation) = (figures.scattered, figures.fragmentation);
    let (most, fragmentation) = (most.unwrap_or(0.0), fragmentation.unwrap_or(0.0));
    let figure = format!(
        "{:.1} % of the models' memory; of what is free {:.1} % is not in its longest piece",
        100.0 * most,
        100.0 * fragmentation
    );
    let bound = format!("{} % of the models' memory at most", 100.0 * SCATTERED_MAX);
    judgement(Thing::Scattered, most > SCATTERED_MAX, figure, bound)
}

fn high_water(run: &Run) -> Judgement {
    let most = run.figures().high_water.unwrap_or(0);
    let budget = run.end.budget;
    judgement(
        Thing::HighWater,
        most > budget,
        format!("{} bytes", thousands(most)),
        format!("the budget, {}", thousands(budget)),
    )
}

fn overdrafts(run: &Run) -> Judgement {
    let all = run.slabs().map(|slab| slab.overdrafts).max().unwrap_or(0);
    let figure = format!("{all} allocations");
    judgement(Thing::Overdrafts, all > 0, figure, "none")
}

fn generations(run: &Run) -> Judgement {
    let most = run.samples.iter().map(|it| it.generations).max();
    let most = most.unwrap_or(0);
    judgement(
        Thing::Generations,
        most > 1,
        most.to_string(),
        "1 after every burst",
    )
}

fn dropped(run: &Run) -> Judgement {
    let bound = "nothing, and each zone in one piece";
    let Some(dropped) = &run.end.dropped else {
        return judgement(Thing::Dropped, true, "nobody looked", bound);
    };
    let (bytes, blocks) = (thousands(dropped.in_use), dropped.blocks);
    let mut figure = format!("{bytes} bytes in {blocks} blocks");
    if !dropped.holders.is_empty() {
        figure += &format!(" of {}", dropped.holders.join(", "));
    }
    if !dropped.torn.is_empty() {
        figure += &format!(", {} in pieces", dropped.torn.join(", "));
    }
    let broken = dropped.blocks > 0 || !dropped.torn.is_empty();
    judgement(Thing::Dropped, broken, figure, bound)
}

/// Whether the soak was one: of voices that are unlike, with all that was to
/// happen.
fn liveliness(run: &Run, happened: &Happened) -> [Judgement; 3] {
    let figures = run.figures();
    let Happened {
        made,
        templates,
        refused,
        ..
    } = *happened;
    let kinds = judgement(
        Thing::Kinds,
        templates < TEMPLATES_MIN || refused < REFUSED_MIN,
        format!("{templates}, {refused}"),
        format!("at least {TEMPLATES_MIN}, {REFUSED_MIN}"),
    );
    let happened = judgement(
        Thing::Happened,
        !happened.everything(),
        happened.to_string(),
        "each at least once",
    );
    let evictions = judgement(
        Thing::Evictions,
        figures.evictions == 0,
        thousands(figures.evictions as usize),
        "at least 1",
    );
    let few_voices = (made < VOICES_MIN).then(|| format!("fewer than {VOICES_MIN} voices"));
    let few_requests =
        (figures.requests < LIVELY_MIN).then(|| format!("fewer than {LIVELY_MIN} requests"));
    [kinds, happened, evictions].map(|mut told| {
        let by_voices = few_voices.clone().filter(|_| told.thing != Thing::Happened);
        if let Some(why) = few_requests.clone().or(by_voices) {
            told.bound = format!("not judged: {why}");
            told.verdict = Verdict::Open;
        }
        told
    })
}

impl Happened {
    fn everything(&self) -> bool {
        let counts = [self.words, self.voices, self.streams, self.slow];
        let once = counts.iter().all(|count| *count > 0);
        once && self.vanished > 0 && self.lanes.len() > 1
    }
}

impl fmt::Display for Happened {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let lanes: Vec<_> = self.lanes.iter().map(ToString::to_string).collect();
        write!(
            f,
            "{} reloads ({} of the words, {} of a voice, lanes {}), {} streams, {} slow readers, {} vanished",
            self.reloads,
            self.words,
            self.voices,
            lanes.join(" "),
            thousands(self.streams),
            thousands(self.slow),
            thousands(self.vanished)
        )
    }
}

#[cfg(test)]
mod tests;
