//! In which order the numbers of a weight lie in a voice's blob.
//!
//! Convolutions in blocks of channels want their weights in blocks too. It is
//! a fixed permutation, made once while a voice is read, so that whatever
//! comes after copies bytes as it always does.

/// Another order than the file's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// Of a convolution, `[O, I, K]` in the file, as
    /// `[O / b, I / b, K, b of I, b of O]`: what MLAS calls `OIHWBiBo`.
    Blocks(Filter),
    /// Of a transposed convolution, `[I, O, K]` in the file, whose stride `r`
    /// divides K: the weight of the convolution with K / r taps that gives all
    /// r phases of the output at once, as so many channels, phases of a block
    /// side by side; and that in blocks.
    Phases {
        /// Of the transposed convolution.
        filter: Filter,
        /// Its stride.
        rate: usize,
    },
}

/// The sizes of a one-dimensional convolution.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Filter {
    /// O, a multiple of the block.
    pub outputs: usize,
    /// I, a multiple of the block.
    pub inputs: usize,
    /// K.
    pub kernel: usize,
    /// Channels of a block, b.
    pub block: usize,
}

impl Order {
    /// Channels of a block.
    pub(super) fn block(self) -> usize {
        match self {
            Self::Blocks(filter) | Self::Phases { filter, .. } => filter.block,
        }
    }

    /// The shape of the convolution's weight that it is for, `[O, I, 1, K]`.
    pub(super) fn dims(self) -> Vec<i64> {
        let (outputs, inputs, kernel) = match self {
            Self::Blocks(filter) => (filter.outputs, filter.inputs, filter.kernel),
            Self::Phases { filter, rate } => (
                filter.outputs * rate,
                filter.inputs,
                filter.kernel / rate.max(1),
            ),
        };
        [outputs, inputs, 1, kernel].map(|it| it as i64).into()
    }

    /// The numbers of `from`, each of `width` bytes, in this order.
    pub(crate) fn arrange(self, width: usize, from: &[u8], into: &mut Vec<u8>) {
        into.clear();
        into.reserve(from.len());
        match width {
            4 => self.arrange_of::<4>(from, into),
            2 => self.arrange_of::<2>(from, into),
            _ => self.arrange_of::<1>(from, into),
        }
    }

    fn arrange_of<const WIDTH: usize>(self, from: &[u8], into: &mut Vec<u8>) {
        let (numbers, _) = from.as_chunks::<WIDTH>();
        let mut take = |place: usize| into.extend_from_slice(&numbers[place]);
        match self {
            Self::Blocks(Filter {
                outputs,
                inputs,
                kernel,
                block,
            }) => {
                each_block(outputs, inputs, kernel, block, |output, input, tap| {
                    take((output * inputs + input) * kernel + tap);
                });
            }
            Self::Phases { filter, rate } => {
                let Filter {
                    outputs,
                    inputs,
                    kernel,
                    block,
                } = filter;
                let taps = kernel / rate;
                each_block(outputs * rate, inputs, taps, block, |output, input, tap| {
                    let (group, lane) = (output / block, output % block);
                    let (channel, phase) = (group / rate * block + lane, group % rate);
                    let place = (taps - 1 - tap) * rate + phase;
                    take((input * outputs + channel) * kernel + place);
                });
            }
        }
    }
}

fn each_block(
    outputs: usize,
    inputs: usize,
    kernel: usize,
    block: usize,
    mut take: impl FnMut(usize, usize, usize),
) {
    for to in (0..outputs).step_by(block) {
        for from in (0..inputs).step_by(block) {
            for tap in 0..kernel {
                for input in from..from + block {
                    for output in to..to + block {
                        take(output, input, tap);
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ordered(order: Order, count: usize) -> Vec<f32> {
        let bytes: Vec<u8> = (0..count)
            .flat_map(|it| (it as f32).to_le_bytes())
            .collect();
        let mut into = Vec::new();
        order.arrange(4, &bytes, &mut into);
        let (numbers, _) = into.as_chunks::<4>();
        let found: Vec<_> = numbers.iter().map(|it| f32::from_le_bytes(*it)).collect();
        let mut all = found.clone();
        all.sort_by(f32::total_cmp);
        let mut places = all.iter().enumerate();
        assert!(places.all(|(place, it)| *it == place as f32), "each once");
        found
    }

    const FILTER: Filter = Filter {
        outputs: 4,
        inputs: 2,
        kernel: 4,
        block: 2,
    };

    #[test]
    fn a_block_holds_its_channels_side_by_side() {
        let found = ordered(Order::Blocks(FILTER), 32);
        // Tap 0 of inputs 0 and 1, each for outputs 0 and 1; then tap 1.
        assert_eq!(found[..6], [0.0, 8.0, 4.0, 12.0, 1.0, 9.0]);
        // The second block of outputs.
        assert_eq!(found[16..18], [16.0, 24.0]);
    }

    #[test]
    fn the_phases_of_a_block_are_side_by_side_and_taps_run_backwards() {
        let order = Order::Phases {
            filter: FILTER,
            rate: 2,
        };
        assert_eq!(order.dims(), [8, 2, 1, 2]);
        let found = ordered(order, 32);
        // Phase 0 of outputs 0 and 1 from input 0, then input 1: the later half
        // of the kernel first.
        assert_eq!(found[..4], [2.0, 6.0, 18.0, 22.0]);
        assert_eq!(found[4..6], [0.0, 4.0]);
        // Phase 1 of the same outputs.
        assert_eq!(found[8..10], [3.0, 7.0]);
    }
}
