//! How long the zones of the slab are.

use crate::error::Error;
use crate::placement::Sizes;
use crate::settings::Settings;
use crate::watch;
use memory::MemoryPolicy;
use memory::policy::Amount;
use memory::slab::round_up;

/// Zones of the slab by the policy, or by what there is.
pub(super) fn sizes(policy: &MemoryPolicy, settings: &Settings) -> Result<Sizes, Error> {
    let budget = match bytes(policy.budget) {
        Some(budget) => budget,
        None => watch::available(settings.device)?,
    };
    let found = Sizes {
        budget: round_up(budget),
        workspace: 0,
        reserve: 0,
        lanes: settings.lanes.max(1),
        most: watch::most(),
        touch: policy.touch,
    };
    Ok(found.under(policy))
}

fn bytes(amount: Amount) -> Option<usize> {
    amount
        .bytes()
        .map(|bytes| usize::try_from(bytes).unwrap_or(usize::MAX))
}

impl Sizes {
    /// As another policy would have them.
    pub(super) fn under(&self, policy: &MemoryPolicy) -> Self {
        let budget = bytes(policy.budget).map_or(self.budget, round_up);
        let workspace = bytes(policy.workspace)
            .unwrap_or_else(|| (budget / 5).clamp(WORKSPACE_MIN.min(budget / 2), budget / 2));
        let reserve =
            bytes(policy.reserve).unwrap_or_else(|| (RESERVE * self.lanes).min(budget / 16));
        Self {
            budget,
            workspace,
            reserve,
            ..*self
        }
    }
}

/// The stock voice's longest sentence takes 80 MiB, BERT's as much.
const WORKSPACE_MIN: usize = 256 << 20;
/// The largest single tensor of a stock voice is 14 MiB; a node has a few.
const RESERVE: usize = 64 << 20;

/// The largest of 2ⁿ and 3 × 2ⁿ that is no more: the same for amounts that
/// differ by little.
pub(super) fn steady(bytes: usize) -> usize {
    let power = match bytes.checked_ilog2() {
        Some(log) => 1 << log,
        None => return 0,
    };
    let more = power + power / 2;
    if more <= bytes { more } else { power }
}

/// The steady amounts next to this one.
pub(super) fn beside(steady: usize) -> [usize; 2] {
    match steady.is_power_of_two() {
        true => [steady / 4 * 3, steady.saturating_add(steady / 2)],
        false => [steady / 3 * 2, (steady / 3).saturating_mul(4)],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_that_differ_by_little_are_steady_and_no_more_than_they_are() {
        const GIB: usize = 1 << 30;
        for (bytes, expected) in [
            (0, 0),
            (1, 1),
            (GIB, GIB),
            (GIB + GIB / 3, GIB),
            (GIB + GIB / 2 + 1, GIB + GIB / 2),
            (3 * GIB - 1, 2 * GIB),
            (usize::MAX, 3 << (usize::BITS - 2)),
        ] {
            assert_eq!(steady(bytes), expected, "{bytes}");
        }
        for amount in [GIB, GIB + GIB / 2] {
            let [less, more] = beside(amount);
            assert!(less < amount && amount < more);
            assert_eq!([steady(less), steady(more)], [less, more]);
            assert_eq!(steady(amount - 1), less);
            assert_eq!(steady(more - 1), amount);
        }
        // A machine's free memory from one start to the next.
        assert_eq!(steady(2_667_660_544), steady(2_610_000_000));
    }
}
