//! The rule.

use alloc::vec::Vec;

/// How much each of these counts.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Rule {
    pub recency: f64,
    pub frequency: f64,
    pub cost: f64,
    pub size: f64,
}

impl Default for Rule {
    fn default() -> Self {
        Self {
            // Uses fade by themselves; weighed fully, time would count twice.
            recency: 0.25,
            frequency: 1.0,
            cost: 1.0,
            size: 1.0,
        }
    }
}

/// A voice that may go.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Voice {
    pub id: u64,
    pub priority: i32,
    pub bytes: u64,
    pub reload_us: u64,
    pub idle_ms: u64,
    pub hits: f32,
}

impl Rule {
    /// Who goes, so that `missing` bytes come free; all if that is not enough.
    pub fn choose(&self, missing: u64, voices: &[Voice]) -> Vec<u64> {
        let mut ranked: Vec<_> = voices.iter().map(|v| (self.worth(v), v)).collect();
        ranked.sort_by(|(a_worth, a), (b_worth, b)| {
            let by_worth = a_worth.total_cmp(b_worth).then(a.id.cmp(&b.id));
            a.priority.cmp(&b.priority).then(by_worth)
        });
        let mut freed = 0u64;
        let mut going = Vec::new();
        for (_, voice) in ranked {
            if freed >= missing {
                break;
            }
            freed = freed.saturating_add(voice.bytes);
            going.push(voice);
        }
        // The last one may have made others needless; the worthiest of them stay.
        let mut spare = freed.saturating_sub(missing);
        going.reverse();
        going.retain(|voice| {
            let needless = voice.bytes <= spare;
            spare -= if needless { voice.bytes } else { 0 };
            !needless
        });
        going.iter().rev().map(|voice| voice.id).collect()
    }

    /// The logarithm of what its place is worth: products become sums, and any
    /// weight will do.
    fn worth(&self, voice: &Voice) -> f64 {
        // Below a second, which of two was used last says nothing.
        let age = voice.idle_ms.max(1_000) as f64 / 1_000.0;
        let hits = f64::from(voice.hits.max(1e-6));
        self.frequency * log2(hits) + self.cost * log2(voice.reload_us.max(1) as f64)
            - self.size * log2(voice.bytes.max(1) as f64)
            - self.recency * log2(age)
    }
}

/// Near enough, since the library has none without `std`: exact at powers of
/// two, a straight line between them, and always ascending.
fn log2(positive: f64) -> f64 {
    let bits = positive.to_bits();
    let exponent = (bits >> 52) as i64 - 1_023;
    let fraction = (bits & ((1 << 52) - 1)) as f64 / (1u64 << 52) as f64;
    exponent as f64 + fraction
}

#[cfg(test)]
mod tests {
    use super::*;

    fn voice(id: u64) -> Voice {
        Voice {
            id,
            priority: 0,
            bytes: 100,
            reload_us: 1_000,
            idle_ms: 60_000,
            hits: 4.0,
        }
    }

    fn choose(missing: u64, voices: &[Voice]) -> Vec<u64> {
        Rule::default().choose(missing, voices)
    }

    #[test]
    fn the_one_worth_least_goes() {
        let fast = Voice {
            reload_us: 100,
            ..voice(2)
        };
        assert_eq!(choose(100, &[voice(1), fast]), [2]);
        let large = Voice {
            bytes: 400,
            ..voice(2)
        };
        assert_eq!(choose(100, &[voice(1), large]), [2]);
        let seldom = Voice {
            hits: 0.5,
            ..voice(2)
        };
        assert_eq!(choose(100, &[voice(1), seldom]), [2]);
        let idle = Voice {
            idle_ms: 600_000,
            ..voice(2)
        };
        assert_eq!(choose(100, &[voice(1), idle]), [2]);
        let low = Voice {
            priority: -1,
            hits: 99.0,
            ..voice(2)
        };
        assert_eq!(choose(100, &[voice(1), low]), [2]);
    }

    #[test]
    fn weights_make_other_policies_of_it() {
        let (seldom, idle) = (
            Voice {
                hits: 0.5,
                ..voice(1)
            },
            Voice {
                idle_ms: 90_000,
                ..voice(2)
            },
        );
        let none = Rule {
            recency: 0.0,
            frequency: 0.0,
            cost: 0.0,
            size: 0.0,
        };
        let lru = Rule {
            recency: 1.0,
            ..none
        };
        assert_eq!(lru.choose(100, &[seldom, idle]), [2]);
        let lfu = Rule {
            frequency: 1.0,
            ..none
        };
        assert_eq!(lfu.choose(100, &[seldom, idle]), [1]);
    }

    #[test]
    fn no_more_go_than_are_needed() {
        let small = Voice {
            bytes: 10,
            hits: 0.1,
            ..voice(1)
        };
        assert_eq!(
            choose(100, &[small, voice(2)]),
            [2],
            "the small one is needless"
        );
        assert_eq!(choose(110, &[small, voice(2)]), [1, 2]);
        assert_eq!(choose(0, &[small]), []);
        assert_eq!(choose(1_000, &[small, voice(2)]), [1, 2], "all there are");
        assert_eq!(choose(1, &[]), []);
    }

    #[test]
    fn the_logarithm_is_near_and_ascends() {
        let mut last = f64::NEG_INFINITY;
        for step in 1..10_000 {
            let x = f64::from(step) * 0.01;
            assert!((log2(x) - x.log2()).abs() < 0.09, "{x}");
            assert!(log2(x) > last);
            last = log2(x);
        }
    }
}
