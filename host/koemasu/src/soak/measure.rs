//! What the processes of a soak tell, and what follows from it. Pure.

use serde::{Deserialize, Serialize};

/// Memory after a burst, when no request is under way.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Sample {
    pub(super) requests: usize,
    pub(super) rss: u64,
    /// Without mapped files, which the system takes back when it wants.
    pub(super) private: u64,
    pub(super) gpu: Option<u64>,
    pub(super) cpu_seconds: f64,
    pub(super) evictions: u64,
    pub(super) loads: u64,
    pub(super) failed: usize,
    pub(super) slab: Option<Slab>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Slab {
    pub(super) in_use: usize,
    pub(super) high_water: usize,
    pub(super) overdrafts: u64,
    /// Of the library's bytes, those the resident voices account for.
    pub(super) resident: usize,
    pub(super) zones: Vec<Zone>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Zone {
    pub(super) zone: String,
    pub(super) bytes: usize,
    pub(super) in_use: usize,
    pub(super) largest_free: usize,
    pub(super) free_entries: usize,
    pub(super) fragmentation: f64,
}

impl Slab {
    fn zone(&self, name: &str) -> Option<&Zone> {
        self.zones.iter().find(|zone| zone.zone == name)
    }

    /// In use and no voice's: must be the same whenever nothing runs.
    pub(super) fn at_rest(&self) -> usize {
        self.in_use - self.library()
    }

    fn library(&self) -> usize {
        self.zone("library").map_or(0, |zone| zone.in_use)
    }

    /// Voices together with what is left of each zone.
    pub(super) fn room(&self) -> usize {
        self.zone("library").map_or(0, |zone| zone.bytes)
    }

    fn fragmentation(&self) -> f64 {
        self.zones
            .iter()
            .map(|zone| zone.fragmentation)
            .fold(0.0, f64::max)
    }
}

/// What a process says when it is through.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct End {
    pub(super) device: String,
    /// Resident before any model was open.
    pub(super) base: u64,
    pub(super) prepared_seconds: f64,
    pub(super) wall_seconds: f64,
    /// Processor seconds of the requests alone.
    pub(super) cpu_seconds: f64,
    pub(super) characters: usize,
    pub(super) failed: usize,
    /// The first few reasons.
    pub(super) reasons: Vec<String>,
    /// Whether voices share sessions, so that their bytes are all they hold.
    pub(super) shared: bool,
    pub(super) budget: usize,
    pub(super) dropped: Option<Dropped>,
    /// Blocks of the slab that were leaked on purpose.
    pub(super) planted: usize,
}

/// The slab when every model has gone.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Dropped {
    pub(super) in_use: usize,
    pub(super) blocks: usize,
    /// Whoever still holds something.
    pub(super) holders: Vec<String>,
    /// Zones whose free bytes are not one stretch.
    pub(super) torn: Vec<String>,
}

/// One line of a process's output.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Line {
    Sample(Sample),
    End(Box<End>),
}

/// All that one mode has shown.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub(super) struct Run {
    pub(super) mode: String,
    pub(super) samples: Vec<Sample>,
    pub(super) end: End,
}

/// Growth in MB per 1,000 requests over the second half.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub(super) struct Slope {
    /// The median of the slopes between all pairs: one step does not move it.
    pub(super) robust: f64,
    pub(super) least_squares: f64,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub(super) struct Figures {
    pub(super) requests: usize,
    pub(super) start: u64,
    pub(super) end: u64,
    pub(super) peak: u64,
    pub(super) rss: Slope,
    pub(super) private: Slope,
    pub(super) gpu: Option<Slope>,
    /// Smallest and largest in the second half.
    pub(super) at_rest: Option<(usize, usize)>,
    pub(super) fragmentation: Option<f64>,
    pub(super) high_water: Option<usize>,
    pub(super) evictions: u64,
    pub(super) loads: u64,
}

/// Fewer, and the slope is chance.
pub(super) const REQUESTS_MIN: usize = 200;

impl Run {
    pub(super) fn figures(&self) -> Figures {
        let (Some(first), Some(last)) = (self.samples.first(), self.samples.last()) else {
            return Figures::default();
        };
        let half = self.second_half();
        let slope = |of: fn(&Sample) -> f64| slope(half, of);
        let slabs = || self.samples.iter().filter_map(|it| it.slab.as_ref());
        let at_rest = || {
            half.iter()
                .filter_map(|it| Some(it.slab.as_ref()?.at_rest()))
        };
        let gpu = half.iter().all(|sample| sample.gpu.is_some());
        Figures {
            requests: last.requests,
            start: first.rss,
            end: last.rss,
            peak: self.samples.iter().map(|it| it.rss).max().unwrap_or(0),
            rss: slope(|it| it.rss as f64),
            private: slope(|it| it.private as f64),
            gpu: gpu.then(|| slope(|it| it.gpu.unwrap_or(0) as f64)),
            at_rest: at_rest().min().zip(at_rest().max()),
            fragmentation: slabs().map(Slab::fragmentation).reduce(f64::max),
            high_water: slabs().map(|slab| slab.high_water).max(),
            evictions: last.evictions.saturating_sub(first.evictions),
            loads: last.loads.saturating_sub(first.loads),
        }
    }

    fn second_half(&self) -> &[Sample] {
        let all = self.samples.last().map_or(0, |last| last.requests);
        let start = self
            .samples
            .partition_point(|sample| sample.requests < all / 2);
        &self.samples[start..]
    }

    /// What must not be, in any mode.
    pub(super) fn faults(&self, slope_max: f64) -> Vec<String> {
        let mut faults = Vec::new();
        if self.end.failed > 0 {
            faults.push(format!(
                "{} requests failed: {}",
                self.end.failed,
                self.end.reasons.join("; ")
            ));
        }
        if self.end.budget > 0 {
            self.slab_faults(slope_max, &mut faults);
        }
        faults
    }

    fn slab_faults(&self, slope_max: f64, faults: &mut Vec<String>) {
        let figures = self.figures();
        if figures.requests >= REQUESTS_MIN {
            let curves = [
                ("resident memory", Some(figures.rss)),
                ("private memory", Some(figures.private)),
                ("GPU memory", figures.gpu),
            ];
            for (what, slope) in curves {
                if let Some(Slope { robust, .. }) = slope
                    && robust > slope_max
                {
                    faults.push(format!(
                        "{what} grows by {robust:.2} MB/1,000 requests (bound {slope_max})"
                    ));
                }
            }
        }
        if let Some((least, most)) = figures.at_rest
            && self.end.shared
            && least != most
        {
            faults.push(format!(
                "in use at rest did not return: between {} and {} bytes",
                thousands(least),
                thousands(most)
            ));
        }
        let astray = |slab: &&Slab| slab.library() != slab.resident;
        let mut slabs = self.samples.iter().filter_map(|it| it.slab.as_ref());
        if self.end.shared
            && let Some(slab) = slabs.find(astray)
        {
            faults.push(format!(
                "the library holds {} bytes and its voices account for {}",
                thousands(slab.library()),
                thousands(slab.resident)
            ));
        }
        let last = self.samples.iter().rev().find_map(|it| it.slab.as_ref());
        if let Some(slab) = last {
            if slab.high_water > self.end.budget {
                faults.push(format!(
                    "{} bytes of a budget of {} were in use",
                    thousands(slab.high_water),
                    thousands(self.end.budget)
                ));
            }
            if slab.overdrafts > 0 {
                faults.push(format!(
                    "{} allocations went outside of the budget",
                    slab.overdrafts
                ));
            }
        }
        match &self.end.dropped {
            Some(dropped) if dropped.blocks > 0 || !dropped.torn.is_empty() => {
                faults.push(format!(
                    "with every model gone {} bytes in {} blocks are held by {}",
                    thousands(dropped.in_use),
                    dropped.blocks,
                    dropped.holders.join(", ")
                ));
            }
            Some(_) => {}
            None => faults.push("nobody looked at the slab with every model gone".to_owned()),
        }
    }
}

/// Growth of a curve in MB per 1,000 requests.
fn slope(samples: &[Sample], of: impl Fn(&Sample) -> f64) -> Slope {
    let points: Vec<_> = samples
        .iter()
        .map(|sample| (sample.requests as f64 / 1e3, of(sample) / 1e6))
        .collect();
    Slope {
        robust: between_pairs(&points),
        least_squares: least_squares(&points),
    }
}

/// Theil and Sen: the median of all slopes between two points.
fn between_pairs(points: &[(f64, f64)]) -> f64 {
    // Pairs grow with the square; some hundred points say the same.
    const POINTS_MAX: usize = 400;
    let step = points.len().div_ceil(POINTS_MAX).max(1);
    let points: Vec<_> = points.iter().step_by(step).collect();
    let mut slopes = Vec::new();
    for (index, (x, y)) in points.iter().enumerate() {
        for (later_x, later_y) in &points[index + 1..] {
            if later_x > x {
                slopes.push((later_y - y) / (later_x - x));
            }
        }
    }
    slopes.sort_by(f64::total_cmp);
    match slopes.len() {
        0 => 0.0,
        count => slopes[count / 2],
    }
}

fn least_squares(points: &[(f64, f64)]) -> f64 {
    let count = points.len() as f64;
    let mean = |of: fn(&(f64, f64)) -> f64| points.iter().map(of).sum::<f64>() / count;
    let (mean_x, mean_y) = (mean(|it| it.0), mean(|it| it.1));
    let (mut above, mut below) = (0.0, 0.0);
    for (x, y) in points {
        above += (x - mean_x) * (y - mean_y);
        below += (x - mean_x).powi(2);
    }
    if below > 0.0 { above / below } else { 0.0 }
}

/// 1234567 → "1,234,567".
pub(super) fn thousands(number: usize) -> String {
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

    const BUDGET: usize = 100_000_000;

    /// A sound run: 100 samples, 10 requests each, flat but for `grow`.
    fn run(grow: impl Fn(usize, &mut Sample)) -> Run {
        let sample = |number: usize| {
            let library = Zone {
                zone: "library".to_owned(),
                bytes: 50_000,
                in_use: 3_000,
                ..Zone::default()
            };
            let mut sample = Sample {
                requests: number * 10,
                rss: 200_000_000 + (number as u64 % 3) * 4_096,
                private: 150_000_000,
                slab: Some(Slab {
                    in_use: 10_000,
                    high_water: 20_000,
                    overdrafts: 0,
                    resident: 3_000,
                    zones: vec![library],
                }),
                ..Sample::default()
            };
            grow(number, &mut sample);
            sample
        };
        Run {
            mode: "slab".to_owned(),
            samples: (0..100).map(sample).collect(),
            end: End {
                shared: true,
                budget: BUDGET,
                dropped: Some(Dropped::default()),
                ..End::default()
            },
        }
    }

    fn slab(sample: &mut Sample) -> &mut Slab {
        sample.slab.as_mut().expect("a slab")
    }

    type Grow = fn(usize, &mut Sample);

    #[test]
    fn each_fault_is_found_and_named() {
        let cases: [(&str, Grow, Option<&str>); 9] = [
            ("nothing wrong", |_, _| {}, None),
            (
                "growth below the bound",
                |number, it| it.private += number as u64 * 9_000,
                None,
            ),
            (
                "growth above the bound",
                |number, it| it.private += number as u64 * 11_000,
                Some("private memory grows by 1.10 MB/1,000 requests (bound 1)"),
            ),
            (
                "one step is no slope",
                |number, it| it.rss += if number > 80 { 50_000_000 } else { 0 },
                None,
            ),
            (
                "growth that ends in the first half",
                |number, it| it.rss += number.min(50) as u64 * 1_000_000,
                None,
            ),
            (
                "a GPU that fills",
                |number, it| it.gpu = Some(number as u64 * 20_000),
                Some("GPU memory grows by 2.00 MB/1,000 requests (bound 1)"),
            ),
            (
                "a block that stays",
                |number, it| slab(it).in_use += if number == 99 { 256 } else { 0 },
                Some("in use at rest did not return: between 7,000 and 7,256 bytes"),
            ),
            (
                "bytes of nobody in the library",
                |_, it| slab(it).resident = 2_000,
                Some("the library holds 3,000 bytes and its voices account for 2,000"),
            ),
            (
                "over the budget",
                |_, it| slab(it).high_water = BUDGET + 1,
                Some("100,000,001 bytes of a budget of 100,000,000 were in use"),
            ),
        ];
        for (name, grow, fault) in cases {
            let faults = run(grow).faults(1.0);
            assert_eq!(
                faults,
                fault.map(str::to_owned).into_iter().collect::<Vec<_>>(),
                "{name}"
            );
        }
    }

    #[test]
    fn what_is_left_at_the_end_and_what_failed_is_told() {
        let mut run = run(|_, _| {});
        run.end.failed = 2;
        run.end.reasons = vec!["no room".to_owned()];
        run.end.dropped = Some(Dropped {
            in_use: 512,
            blocks: 2,
            holders: vec!["leak (512 bytes)".to_owned()],
            torn: vec![],
        });
        assert_eq!(
            run.faults(1.0),
            [
                "2 requests failed: no room",
                "with every model gone 512 bytes in 2 blocks are held by leak (512 bytes)",
            ]
        );
    }

    #[test]
    fn few_requests_have_no_slope() {
        let mut run = run(|number, it| it.rss += number as u64 * 1_000_000);
        run.samples.truncate(REQUESTS_MIN / 10);
        assert_eq!(run.faults(1.0), Vec::<String>::new());
    }

    #[test]
    fn arenas_are_only_held_to_their_requests() {
        let mut run = run(|number, it| {
            it.slab = None;
            it.rss += number as u64 * 1_000_000;
        });
        run.end.budget = 0;
        run.end.dropped = None;
        assert_eq!(run.faults(1.0), Vec::<String>::new());
        assert!(run.figures().rss.robust > 90.0);
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
