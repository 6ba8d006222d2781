//! What is asked for, and in which order: pure, the same for the same seed.

use session::memory::synthetic::Random;

use crate::args::Lengths;

/// Requests sent together, again and again: a server for one model was once
/// seen to leak under just this pattern of batches.
const BURSTS: [usize; 3] = [16, 7, 7];

#[derive(Clone, Debug)]
pub(super) struct Wanted {
    pub(super) voices: usize,
    pub(super) requests: usize,
    pub(super) rounds: usize,
    pub(super) lengths: Lengths,
    pub(super) characters: usize,
    pub(super) seed: u64,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Asked {
    /// Number of the voice.
    pub(super) voice: usize,
    pub(super) text: String,
}

/// The bursts, one after the other. Made as they are needed, so that the plan
/// takes no memory that would be measured.
pub(super) struct Plan {
    wanted: Wanted,
    random: Random,
    ranking: Vec<usize>,
    /// Weights of a few favourites: the nth is wanted 1/n as often.
    weights: Vec<f64>,
    asked: usize,
    bursts: usize,
}

impl Plan {
    pub(super) fn new(wanted: Wanted) -> Self {
        let voices = wanted.voices.max(1);
        Self {
            random: Random(wanted.seed),
            ranking: (0..voices).collect(),
            weights: (1..=voices).map(|rank| 1.0 / rank as f64).collect(),
            asked: 0,
            bursts: 0,
            wanted,
        }
    }

    fn ask(&mut self) -> Asked {
        let in_round = self
            .wanted
            .requests
            .div_ceil(self.wanted.rounds.max(1))
            .max(1);
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
        }
    }
}

impl Iterator for Plan {
    type Item = Vec<Asked>;

    fn next(&mut self) -> Option<Vec<Asked>> {
        let left = self.wanted.requests.saturating_sub(self.asked);
        let size = BURSTS[self.bursts % BURSTS.len()].min(left);
        self.bursts += 1;
        (size > 0).then(|| (0..size).map(|_| self.ask()).collect())
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
            requests,
            rounds: 2,
            lengths,
            characters: 500,
            seed: 7,
        }
    }

    #[test]
    fn bursts_follow_the_pattern_and_end_with_the_requests() {
        let sizes: Vec<_> = Plan::new(wanted(50, Lengths::Mixed))
            .map(|burst| burst.len())
            .collect();
        assert_eq!(sizes, [16, 7, 7, 16, 4]);
    }

    #[test]
    fn the_same_seed_asks_the_same() {
        let all = |seed| {
            let wanted = Wanted {
                seed,
                ..wanted(100, Lengths::Mixed)
            };
            Plan::new(wanted).flatten().collect::<Vec<_>>()
        };
        assert_eq!(all(1), all(1));
        assert_ne!(all(1), all(2));
    }

    #[test]
    fn lengths_reach_from_one_character_to_the_longest() {
        for (lengths, mean) in [(Lengths::Mixed, 40.0..120.0), (Lengths::Short, 3.0..12.0)] {
            let all: Vec<_> = Plan::new(wanted(20_000, lengths))
                .flatten()
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
        let all: Vec<_> = Plan::new(wanted(4_000, Lengths::Short)).flatten().collect();
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
}
