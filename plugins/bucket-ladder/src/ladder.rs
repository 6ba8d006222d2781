//! The rule.

/// Steps, ascending, and how much longer than the text a step may be.
#[derive(Clone, Copy, Debug)]
pub struct Ladder<'a> {
    pub steps: &'a [u32],
    pub padding_ratio_max: f64,
}

/// Style-Bert-VITS2's own buckets for phonemes with blanks.
pub const TOKENS: [u32; 10] = [8, 16, 32, 64, 128, 256, 512, 1024, 1536, 2048];
/// And for BERT's characters, where padding costs more.
pub const BERT: [u32; 8] = [32, 64, 96, 128, 192, 256, 384, 512];
pub const TOKENS_RATIO: f64 = 1.5;
pub const BERT_RATIO: f64 = 1.3;

impl Ladder<'_> {
    /// The smallest step that holds `len`, if it is near enough and at most
    /// `max`; else `len` itself, which pads nothing.
    pub fn choose(&self, len: u32, max: u32) -> u32 {
        let step = self.steps.iter().copied().find(|step| *step >= len);
        match step {
            Some(step)
                if step <= max && f64::from(step) <= f64::from(len) * self.padding_ratio_max =>
            {
                step
            }
            _ => len,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_near_step_is_taken_and_a_far_one_is_not() {
        let ladder = Ladder {
            steps: &TOKENS,
            padding_ratio_max: TOKENS_RATIO,
        };
        let choose = |len| ladder.choose(len, 8_192);
        assert_eq!(choose(1), 1, "8 would be eight times as long");
        assert_eq!(choose(6), 8);
        assert_eq!(choose(8), 8);
        assert_eq!(choose(9), 9);
        assert_eq!(choose(1_100), 1_536);
        assert_eq!(choose(3_000), 3_000);
        assert_eq!(ladder.choose(100, 110), 100, "the host's bound holds");
    }
}
