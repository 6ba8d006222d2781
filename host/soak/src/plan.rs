//! What is asked for, and in which order: pure, the same for the same seed.

use memory::synthetic::Random;

use crate::args::Lengths;

/// Requests sent together, again and again: a server for one model was once
/// seen to leak under just this pattern of batches.
const BURSTS: [usize; 3] = [16, 7, 7];

#[derive(Clone, Debug)]
pub(crate) struct Wanted {
    pub(crate) voices: usize,
    /// None goes on for as long as somebody takes bursts.
    pub(crate) requests: Option<usize>,
    pub(crate) in_round: usize,
    pub(crate) lengths: Lengths,
    pub(crate) characters: usize,
    pub(crate) seed: u64,
    pub(crate) mood: Mood,
    /// Lanes to begin with.
    pub(crate) lanes: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mood {
    /// Whole answers, and nothing else happens.
    Calm,
    /// Readers of every kind, and changes while requests run.
    Lively,
}

/// What is sent together, and what happens meanwhile.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Burst {
    pub(crate) asked: Vec<Asked>,
    pub(crate) change: Option<Change>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Asked {
    /// Number of the voice.
    pub(crate) voice: usize,
    pub(crate) text: String,
    pub(crate) reader: Reader,
}

/// How an answer is taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reader {
    /// In one piece.
    Whole,
    /// As it is made.
    Stream,
    /// As it is made, and slower than that.
    Slow,
    /// It has gone after the first sound.
    Vanishing,
}

/// What an operator does to a server that runs. Each is a reload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Change {
    /// The words of the dictionary are others.
    Words,
    Lanes(usize),
    /// A voice's file has other weights.
    Voice,
}

/// So that even a short soak has each of them once.
const EARLY: [usize; 3] = [1, 3, 5];
/// Bursts from one change to the next, after those.
const APART: usize = 16;
pub(crate) const LANES_MAX: usize = 4;

/// The bursts, one after the other. Made as they are needed, so that the plan
/// takes no memory that would be measured.
pub(crate) struct Plan {
    wanted: Wanted,
    random: Random,
    ranking: Vec<usize>,
    /// Weights of a few favourites: the nth is wanted 1/n as often.
    weights: Vec<f64>,
    asked: usize,
    bursts: usize,
    changes: usize,
    lanes: usize,
}

impl Plan {
    pub(crate) fn new(wanted: Wanted) -> Self {
        let voices = wanted.voices.max(1);
        Self {
            random: Random(wanted.seed),
            ranking: (0..voices).collect(),
            weights: (1..=voices).map(|rank| 1.0 / rank as f64).collect(),
            asked: 0,
            bursts: 0,
            changes: 0,
            lanes: wanted.lanes,
            wanted,
        }
    }

    fn ask(&mut self) -> Asked {
        let in_round = self.wanted.in_round.max(1);
        let round = self.asked / in_round;
        if self.asked.is_multiple_of(in_round) {
            // Every round has its own favourites.
            self.random.shuffle(&mut self.ranking);
        }
        self.asked += 1;
        let voice = if round.is_multiple_of(2) {
            self.random.below(self.ranking.len())
        } else {
            let total = self.weights.iter().sum();
            self.ranking[self.random.weighted(&self.weights, total)]
        };
        let characters = length(
            &mut self.random,
            self.wanted.lengths,
            self.wanted.characters,
        );
        Asked {
            voice,
            text: text(&mut self.random, characters),
            reader: match self.wanted.mood {
                Mood::Calm => Reader::Whole,
                Mood::Lively => reader(&mut self.random),
            },
        }
    }

    /// What happens during this burst.
    fn change(&mut self) -> Option<Change> {
        let due = EARLY.contains(&self.bursts)
            || self.bursts > EARLY[2] && self.bursts.is_multiple_of(APART);
        if self.wanted.mood == Mood::Calm || !due {
            return None;
        }
        let turn = self.changes % EARLY.len();
        self.changes += 1;
        Some(match turn {
            0 => Change::Words,
            1 => {
                self.lanes = self.lanes % LANES_MAX + 1;
                Change::Lanes(self.lanes)
            }
            _ => Change::Voice,
        })
    }
}

impl Iterator for Plan {
    type Item = Burst;

    fn next(&mut self) -> Option<Burst> {
        let left = self.wanted.requests.unwrap_or(usize::MAX) - self.asked;
        let size = BURSTS[self.bursts % BURSTS.len()].min(left);
        if size == 0 {
            return None;
        }
        let change = self.change();
        self.bursts += 1;
        Some(Burst {
            asked: (0..size).map(|_| self.ask()).collect(),
            change,
        })
    }
}

/// Three in ten do not take their answer in one piece.
fn reader(random: &mut Random) -> Reader {
    match random.below(10) {
        0 => Reader::Stream,
        1 => Reader::Slow,
        2 => Reader::Vanishing,
        _ => Reader::Whole,
    }
}

/// From 1 to `most`.
fn length(random: &mut Random, lengths: Lengths, most: usize) -> usize {
    let (most, unit) = (most.max(1) as f64, random.unit());
    let drawn = match lengths {
        // As many from 1 to 10 as from 10 to 100.
        Lengths::Mixed => (most + 1.0).powf(unit),
        // Twice as long is a quarter as frequent.
        Lengths::Short => 1.0 / (1.0 - unit * (1.0 - 1.0 / (most + 1.0))),
    };
    (drawn as usize).clamp(1, most as usize)
}

/// Every part begins with something that can be said, wherever the one before
/// it was cut.
const PARTS: [&str; 48] = [
    "今日は",
    "明日の朝",
    "駅前の",
    "図書館で",
    "友だちと",
    "ゆっくり",
    "たぶん",
    "雨が降る",
    "電車に",
    "乗りました。",
    "会議は",
    "三時から",
    "始まります。",
    "コーヒーを",
    "飲みながら、",
    "新しい",
    "計画を",
    "話し合った。",
    "庭の",
    "桜が",
    "咲いて、",
    "とても",
    "きれいだった。",
    "この",
    "問題は",
    "簡単では",
    "ありません。",
    "もう一度",
    "確認して",
    "ください。",
    "荷物が",
    "届くのは",
    "来週の",
    "火曜日です。",
    "母は",
    "台所で",
    "歌を",
    "歌っている。",
    "山の",
    "向こうに",
    "海が",
    "見えますか？",
    "窓を",
    "開けると、",
    "冷たい",
    "風が",
    "入ってきた！",
    "それから",
];

/// Exactly so many characters.
fn text(random: &mut Random, characters: usize) -> String {
    let mut text = String::new();
    let mut length = 0;
    while length < characters {
        let part = PARTS[random.below(PARTS.len())];
        for character in part.chars().take(characters - length) {
            text.push(character);
            length += 1;
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wanted(requests: usize, lengths: Lengths) -> Wanted {
        Wanted {
            voices: 10,
            requests: Some(requests),
            in_round: requests / 2,
            lengths,
            characters: 500,
            seed: 7,
            mood: Mood::Calm,
            lanes: 2,
        }
    }

    fn all(wanted: Wanted) -> Vec<Asked> {
        Plan::new(wanted).flat_map(|burst| burst.asked).collect()
    }

    #[test]
    fn bursts_follow_the_pattern_and_end_with_the_requests() {
        let sizes: Vec<_> = Plan::new(wanted(50, Lengths::Mixed))
            .map(|burst| burst.asked.len())
            .collect();
        assert_eq!(sizes, [16, 7, 7, 16, 4]);
        let endless = Wanted {
            requests: None,
            ..wanted(50, Lengths::Mixed)
        };
        assert_eq!(Plan::new(endless).take(1_000).count(), 1_000);
    }

    #[test]
    fn the_same_seed_asks_the_same() {
        let all = |seed| {
            all(Wanted {
                seed,
                ..wanted(100, Lengths::Mixed)
            })
        };
        assert_eq!(all(1), all(1));
        assert_ne!(all(1), all(2));
    }

    #[test]
    fn lengths_reach_from_one_character_to_the_longest() {
        for (lengths, mean) in [(Lengths::Mixed, 40.0..120.0), (Lengths::Short, 3.0..12.0)] {
            let all: Vec<_> = all(wanted(20_000, lengths))
                .into_iter()
                .map(|asked| asked.text.chars().count())
                .collect();
            assert_eq!(all.iter().min(), Some(&1));
            assert!(all.iter().max() > Some(&400), "{:?}", all.iter().max());
            let average = all.iter().sum::<usize>() as f64 / all.len() as f64;
            assert!(mean.contains(&average), "{lengths:?}: {average}");
        }
    }

    #[test]
    fn the_first_round_draws_all_alike_and_the_second_has_favourites() {
        let all = all(wanted(4_000, Lengths::Short));
        let most = |asked: &[Asked]| {
            let mut counts = [0; 10];
            for asked in asked {
                counts[asked.voice] += 1;
            }
            counts.into_iter().max()
        };
        assert!(most(&all[..2_000]) < Some(260), "{:?}", most(&all[..2_000]));
        assert!(most(&all[2_000..]) > Some(600), "{:?}", most(&all[2_000..]));
    }

    #[test]
    fn a_lively_soak_has_every_reader_and_every_change_within_60_requests() {
        let lively = Wanted {
            mood: Mood::Lively,
            ..wanted(60, Lengths::Short)
        };
        let bursts: Vec<_> = Plan::new(lively.clone()).collect();
        let changes: Vec<_> = bursts.iter().filter_map(|burst| burst.change).collect();
        assert_eq!(changes, [Change::Words, Change::Lanes(3), Change::Voice]);
        let asked = || bursts.iter().flat_map(|burst| &burst.asked);
        for reader in [
            Reader::Whole,
            Reader::Stream,
            Reader::Slow,
            Reader::Vanishing,
        ] {
            assert!(asked().any(|asked| asked.reader == reader), "{reader:?}");
        }
        let longer = Wanted {
            requests: Some(2_000),
            ..lively
        };
        let lanes = Plan::new(longer).filter_map(|burst| match burst.change {
            Some(Change::Lanes(lanes)) => Some(lanes),
            _ => None,
        });
        assert_eq!(lanes.take(5).collect::<Vec<_>>(), [3, 4, 1, 2, 3]);
    }

    #[test]
    fn a_calm_one_has_none() {
        let bursts: Vec<_> = Plan::new(wanted(500, Lengths::Short)).collect();
        assert!(bursts.iter().all(|burst| burst.change.is_none()));
        let mut asked = bursts.iter().flat_map(|burst| &burst.asked);
        assert!(asked.all(|asked| asked.reader == Reader::Whole));
    }
}
