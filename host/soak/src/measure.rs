//! What the processes of a soak tell, and the figures that follow. Pure.

use std::collections::HashMap;

use serde::{Deserialize, Serialize};

use crate::zones::Slab;

/// Memory after a burst, when no request is under way.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Sample {
    pub(crate) requests: usize,
    pub(crate) rss: u64,
    /// Without mapped files, which the system takes back when it wants.
    pub(crate) private: u64,
    /// Of both, features of texts that may come again: what `cache.features`
    /// bounds is not what grows.
    #[serde(default)]
    pub(crate) features: u64,
    pub(crate) gpu: Option<u64>,
    pub(crate) cpu_seconds: f64,
    pub(crate) evictions: u64,
    pub(crate) loads: u64,
    pub(crate) failed: usize,
    /// Sessions that wait for requests, by template: what is kept for them is
    /// the same whenever they are as many.
    pub(crate) lanes: usize,
    pub(crate) slots: Vec<usize>,
    /// Stands for the names of the voices on the device.
    pub(crate) cast: u64,
    /// Generations that had not ended in time.
    pub(crate) generations: usize,
    pub(crate) slab: Option<Slab>,
}

/// What a process says when it is through.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct End {
    pub(crate) device: String,
    /// Resident before any model was open.
    pub(crate) base: u64,
    pub(crate) prepared_seconds: f64,
    pub(crate) wall_seconds: f64,
    /// Processor seconds of the requests alone.
    pub(crate) cpu_seconds: f64,
    pub(crate) characters: usize,
    pub(crate) failed: usize,
    /// The first few reasons.
    pub(crate) reasons: Vec<String>,
    pub(crate) budget: usize,
    /// Its time was over before its voices were open.
    pub(crate) late: bool,
    /// Voices that a start or a reload left out.
    pub(crate) left_out: usize,
    pub(crate) left_out_reasons: Vec<String>,
    /// What happened beside the requests, if it was to.
    pub(crate) happened: Option<Happened>,
    pub(crate) dropped: Option<Dropped>,
    /// Blocks of the slab that were leaked on purpose.
    pub(crate) planted: usize,
}

/// What a lively soak is made of, and how often it was.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Happened {
    /// Made at the start.
    pub(crate) made: usize,
    pub(crate) templates: usize,
    /// Templates whose voices have sessions of their own.
    pub(crate) refused: usize,
    pub(crate) reloads: usize,
    /// Of them, by what they changed.
    pub(crate) words: usize,
    pub(crate) voices: usize,
    /// Numbers of lanes there were.
    pub(crate) lanes: Vec<usize>,
    pub(crate) streams: usize,
    pub(crate) slow: usize,
    pub(crate) vanished: usize,
}

/// The slab when every model has gone.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Dropped {
    pub(crate) in_use: usize,
    pub(crate) blocks: usize,
    /// Whoever still holds something.
    pub(crate) holders: Vec<String>,
    /// Zones whose free bytes are not one stretch.
    pub(crate) torn: Vec<String>,
}

/// One line of a process's output.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Line {
    /// What it does before there is anything to measure.
    Doing(String),
    Sample(Sample),
    End(Box<End>),
}

/// All that one mode has shown.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub(crate) struct Run {
    pub(crate) mode: String,
    pub(crate) samples: Vec<Sample>,
    pub(crate) end: End,
}

/// Growth in MB per 1,000 requests, over what [`Run::steady`] says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub(crate) struct Slope {
    /// The median of the slopes between all pairs: one step does not move it.
    pub(crate) robust: f64,
    pub(crate) least_squares: f64,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub(crate) struct Figures {
    pub(crate) requests: usize,
    pub(crate) start: u64,
    pub(crate) end: u64,
    pub(crate) peak: u64,
    /// Most bytes of features that were kept.
    pub(crate) features: u64,
    /// Both without features that are kept.
    pub(crate) rss: Slope,
    pub(crate) private: Slope,
    pub(crate) gpu: Option<Slope>,
    pub(crate) fragmentation: Option<f64>,
    /// The largest share of the models' memory that no block could use.
    pub(crate) scattered: Option<f64>,
    pub(crate) high_water: Option<usize>,
    pub(crate) evictions: u64,
    pub(crate) loads: u64,
}

impl Run {
    pub(crate) fn figures(&self) -> Figures {
        let (Some(first), Some(last)) = (self.samples.first(), self.samples.last()) else {
            return Figures::default();
        };
        let steady = self.steady();
        let slope = |of: fn(&Sample) -> f64| slope(steady, of);
        let gpu = steady.iter().all(|sample| sample.gpu.is_some());
        Figures {
            requests: last.requests,
            start: first.rss,
            end: last.rss,
            peak: self.samples.iter().map(|it| it.rss).max().unwrap_or(0),
            features: self.samples.iter().map(|it| it.features).max().unwrap_or(0),
            rss: slope(|it| it.rss as f64 - it.features as f64),
            private: slope(|it| it.private as f64 - it.features as f64),
            gpu: gpu.then(|| slope(|it| it.gpu.unwrap_or(0) as f64)),
            fragmentation: self.slabs().map(Slab::fragmentation).reduce(f64::max),
            scattered: self.slabs().map(Slab::scattered).reduce(f64::max),
            high_water: self.slabs().map(|slab| slab.high_water).max(),
            evictions: last.evictions.saturating_sub(first.evictions),
            loads: last.loads.saturating_sub(first.loads),
        }
    }

    pub(crate) fn slabs(&self) -> impl Iterator<Item = &Slab> {
        self.samples.iter().filter_map(|it| it.slab.as_ref())
    }

    /// When everything has been touched for the first time: from
    /// [`WARM`] requests on if there are enough behind them, else the second
    /// half.
    pub(crate) fn steady(&self) -> &[Sample] {
        let all = self.samples.last().map_or(0, |last| last.requests);
        let warm = WARM.min(all.saturating_sub(WARM / 2));
        let from = warm.max(all / 2);
        let start = self.samples.partition_point(|it| it.requests < from);
        &self.samples[start..]
    }

    /// What was kept beside the voices, for each number of lanes and slots.
    pub(crate) fn kept(&self) -> Vec<Kept<'_>> {
        let mut kept: Vec<Kept<'_>> = Vec::new();
        for sample in &self.samples {
            let Some(bytes) = sample.slab.as_ref().map(Slab::kept) else {
                continue;
            };
            let (lanes, slots) = (sample.lanes, sample.slots.as_slice());
            let known = |kept: &&mut Kept<'_>| (kept.lanes, kept.slots) == (lanes, slots);
            match kept.iter_mut().find(known) {
                Some(kept) => {
                    kept.least = bytes.min(kept.least);
                    kept.most = bytes.max(kept.most);
                }
                None => kept.push(Kept {
                    lanes,
                    slots,
                    least: bytes,
                    most: bytes,
                }),
            }
        }
        kept
    }

    /// How often the same voices were there once more, and how many of those
    /// times they held another sum.
    pub(crate) fn casts(&self) -> (usize, usize) {
        let mut sums = HashMap::new();
        let (mut again, mut unlike) = (0, 0);
        for sample in &self.samples {
            let Some(slab) = &sample.slab else {
                continue;
            };
            let key = (sample.lanes, &sample.slots, sample.cast);
            match sums.get(&key) {
                None => drop(sums.insert(key, slab.in_use)),
                Some(sum) => {
                    again += 1;
                    unlike += usize::from(*sum != slab.in_use);
                }
            }
        }
        (again, unlike)
    }
}

/// What no voice accounted for, with so many lanes and slots of each template.
pub(crate) struct Kept<'a> {
    pub(crate) lanes: usize,
    pub(crate) slots: &'a [usize],
    pub(crate) least: i64,
    pub(crate) most: i64,
}

/// Heap, code and dictionary pages are still being touched for the first time
/// until then, by megabytes (BENCHMARKS.md, "Memory: the soak").
pub(crate) const WARM: usize = 5_000;

/// Growth of a curve in MB per 1,000 requests. Only what has as many lanes is
/// compared: each has sessions, which take memory of their own.
fn slope(samples: &[Sample], of: impl Fn(&Sample) -> f64) -> Slope {
    let points: Vec<_> = samples
        .iter()
        .map(|sample| Point {
            lanes: sample.lanes,
            x: sample.requests as f64 / 1e3,
            y: of(sample) / 1e6,
        })
        .collect();
    Slope {
        robust: between_pairs(&points),
        least_squares: least_squares(&points),
    }
}

struct Point {
    lanes: usize,
    x: f64,
    y: f64,
}

/// Theil and Sen: the median of all slopes between two points.
fn between_pairs(points: &[Point]) -> f64 {
    // Pairs grow with the square; some hundred points say the same.
    const POINTS_MAX: usize = 400;
    let step = points.len().div_ceil(POINTS_MAX).max(1);
    let points: Vec<_> = points.iter().step_by(step).collect();
    let mut slopes = Vec::new();
    for (index, point) in points.iter().enumerate() {
        for later in &points[index + 1..] {
            if later.x > point.x && later.lanes == point.lanes {
                slopes.push((later.y - point.y) / (later.x - point.x));
            }
        }
    }
    slopes.sort_by(f64::total_cmp);
    match slopes.len() {
        0 => 0.0,
        count => slopes[count / 2],
    }
}

fn least_squares(points: &[Point]) -> f64 {
    let count = points.len() as f64;
    let mean = |of: fn(&Point) -> f64| points.iter().map(of).sum::<f64>() / count;
    let (mean_x, mean_y) = (mean(|it| it.x), mean(|it| it.y));
    let (mut above, mut below) = (0.0, 0.0);
    for Point { x, y, .. } in points {
        above += (x - mean_x) * (y - mean_y);
        below += (x - mean_x).powi(2);
    }
    if below > 0.0 { above / below } else { 0.0 }
}

/// 1234567 → "1,234,567".
pub(crate) fn thousands(number: usize) -> String {
    let digits = number.to_string();
    let mut written = String::new();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            written.push(',');
        }
        written.push(digit);
    }
    written
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(requests: impl Iterator<Item = usize>, rss: impl Fn(usize) -> (usize, u64)) -> Run {
        let sample = |requests| {
            let (lanes, rss) = rss(requests);
            Sample {
                requests,
                rss,
                lanes,
                ..Sample::default()
            }
        };
        Run {
            samples: requests.map(sample).collect(),
            ..Run::default()
        }
    }

    #[test]
    fn features_that_are_kept_are_no_growth_and_what_is_beside_them_is() {
        let sample = |requests: usize, leaked: u64| {
            let features = 3_000 * requests as u64;
            Sample {
                requests,
                features,
                rss: 1_000_000 + features + leaked * requests as u64,
                private: 900_000 + features + leaked * requests as u64,
                ..Sample::default()
            }
        };
        for (leaked, grows) in [(0, 0.0), (2_000, 2.0)] {
            let samples = (0..800).map(|it| sample(it * 10, leaked));
            let run = Run {
                samples: samples.collect(),
                ..Run::default()
            };
            let figures = run.figures();
            for slope in [figures.rss, figures.private] {
                assert!((slope.robust - grows).abs() < 1e-6, "{slope:?}");
            }
        }
    }

    #[test]
    fn what_is_steady_begins_when_all_is_warm_or_with_the_second_half() {
        for (all, from) in [
            (100, 50),
            (5_000, 2_500),
            (6_000, 3_500),
            (7_500, 5_000),
            (9_000, 5_000),
            (20_000, 10_000),
        ] {
            let run = run((0..=all).step_by(10), |_| (1, 0));
            let steady = run.steady();
            assert_eq!(steady.first().map(|it| it.requests), Some(from), "{all}");
        }
    }

    #[test]
    fn more_lanes_are_no_growth_and_growth_is_none_of_lanes() {
        // From one lane to four, each with sessions of 20 MB.
        let lanes = |requests: usize| 1 + requests / 300 % 4;
        let flat = |requests| (lanes(requests), lanes(requests) as u64 * 20_000_000);
        let robust = |run: Run| run.figures().rss.robust;
        assert_eq!(robust(run((0..=1_500).step_by(10), flat)), 0.0);
        let growing = |requests| {
            let (lanes, rss) = flat(requests);
            (lanes, rss + requests as u64 * 3_000)
        };
        let slope = robust(run((0..=1_500).step_by(10), growing));
        assert!((slope - 3.0).abs() < 1e-6, "{slope}");
    }

    #[test]
    fn numbers_are_written_in_groups() {
        for (number, written) in [
            (0, "0"),
            (999, "999"),
            (1_000, "1,000"),
            (12_345_678, "12,345,678"),
        ] {
            assert_eq!(thousands(number), written);
        }
    }
}
