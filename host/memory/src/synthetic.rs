//! Uses from a pattern and a seed: the same on every machine.

use super::trace::Use;

/// How requests are spread over the voices.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pattern {
    /// A few voices are wanted most of the time: the nth in rank 1/n as often
    /// as the first.
    Zipf,
    /// The same, and four times in the course of the trace other voices become
    /// the favourites.
    Drift,
    /// All alike.
    Uniform,
    /// One after the other, again and again.
    Scan,
}

/// What trace is wanted; the same values give the same trace.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Synthesis {
    /// Which voice is wanted next is drawn from this.
    pub pattern: Pattern,
    /// How many different voices there are; 0 is taken as 1.
    pub voices: usize,
    /// How many uses the trace has.
    pub requests: usize,
    /// Any number; another one draws other sizes, favourites and gaps.
    pub seed: u64,
    /// Mean time from one request to the next.
    pub gap_us: u64,
}

/// Voices are of a quarter, half and full precision; loading takes 1 to 3
/// seconds per GiB, as their packages differ.
pub fn uses(wanted: &Synthesis) -> Vec<Use> {
    let mut random = Random(wanted.seed);
    let count = wanted.voices.max(1);
    let voices: Vec<_> = (0..count)
        .map(|number| voice(number, &mut random))
        .collect();
    let mut ranking: Vec<_> = (0..count).collect();
    random.shuffle(&mut ranking);
    let weights: Vec<_> = (1..=count).map(|rank| 1.0 / rank as f64).collect();
    let total: f64 = weights.iter().sum();
    let era = wanted.requests.div_ceil(5).max(1);

    let mut at_us = 0;
    let mut uses = Vec::with_capacity(wanted.requests);
    for number in 0..wanted.requests {
        if wanted.pattern == Pattern::Drift && number > 0 && number.is_multiple_of(era) {
            random.shuffle(&mut ranking);
        }
        let chosen = match wanted.pattern {
            Pattern::Zipf | Pattern::Drift => ranking[random.weighted(&weights, total)],
            Pattern::Uniform => random.below(count),
            Pattern::Scan => number % count,
        };
        uses.push(Use {
            at_us,
            ..voices[chosen].clone()
        });
        // Uniform around the mean: no logarithm, whose last bit may differ
        // between machines.
        at_us += (random.unit() * 2.0 * wanted.gap_us as f64) as u64;
    }
    uses
}

fn voice(number: usize, random: &mut Random) -> Use {
    const MEBIBYTE: u64 = 1 << 20;
    let bytes = [61, 123, 245][random.below(3)] * MEBIBYTE;
    let seconds_per_gibibyte = 1.0 + 2.0 * random.unit();
    Use {
        at_us: 0,
        voice: format!("voice-{number:03}"),
        bytes,
        reload_us: (bytes as f64 / 1024.0 / MEBIBYTE as f64 * seconds_per_gibibyte * 1e6) as u64,
    }
}

/// SplitMix64 (Steele, Lea and Flood 2014).
#[derive(Clone, Debug)]
pub struct Random(pub u64);

impl Random {
    fn step(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// From 0 to below 1.
    pub fn unit(&mut self) -> f64 {
        (self.step() >> 11) as f64 / (1u64 << 53) as f64
    }

    /// Below `count`, which is at least 1.
    pub fn below(&mut self, count: usize) -> usize {
        ((self.unit() * count as f64) as usize).min(count.saturating_sub(1))
    }

    /// A place, as often as its weight is part of the total.
    pub fn weighted(&mut self, weights: &[f64], total: f64) -> usize {
        let mut left = self.unit() * total;
        for (index, weight) in weights.iter().enumerate() {
            if left < *weight {
                return index;
            }
            left -= weight;
        }
        weights.len() - 1
    }

    /// Every order is about equally likely (Fisher and Yates).
    pub fn shuffle(&mut self, items: &mut [usize]) {
        for last in (1..items.len()).rev() {
            items.swap(last, self.below(last + 1));
        }
    }
}
