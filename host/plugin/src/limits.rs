//! What one call may cost.

use std::time::Duration;

/// The clock of deadlines: coarse, since it is only the backstop.
pub(crate) const TICK: Duration = Duration::from_millis(5);

/// Components larger than this are refused unread: compiling costs time in
/// proportion.
pub(crate) const COMPONENT_BYTES_MAX: usize = 8 << 20;

/// Stack of the guest inside the host thread's own.
pub(crate) const STACK_BYTES: usize = 512 << 10;

/// The first limit is fuel, since it gives the same verdict on every machine;
/// time is the backstop for a host that is slow itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Instructions of one call, whatever its input.
    pub fuel_base: u64,
    /// Further instructions for each byte of input.
    pub fuel_per_byte: u64,
    /// Instructions that no call may exceed, however long its input.
    pub fuel_max: u64,
    /// Linear memory of an instance.
    pub memory_bytes: usize,
    /// The longest text in; longer ones are refused before the call.
    pub input_bytes: usize,
    /// The longest text out; eight times the input and 1 KiB if that is less.
    pub output_bytes: usize,
    /// Wall time of `describe` and `configure` while loading.
    pub load_deadline: Duration,
    /// Wall time of one call to a normalizer.
    pub normalize_deadline: Duration,
    /// Wall time of one call to a bucketing policy.
    pub choose_deadline: Duration,
    /// Wall time of one call to an eviction policy; memory waits for it.
    pub propose_deadline: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            // 65 characters take some 14,000; 20 million burn in 2 ms.
            fuel_base: 20_000_000,
            fuel_per_byte: 20_000,
            fuel_max: 200_000_000,
            memory_bytes: 16 << 20,
            input_bytes: 64 << 10,
            output_bytes: 256 << 10,
            load_deadline: Duration::from_secs(5),
            // A thread that the system does not run for a while is no fault of
            // the plugin's; the fuel above burns in 20 ms.
            normalize_deadline: Duration::from_secs(1),
            choose_deadline: Duration::from_millis(500),
            propose_deadline: Duration::from_millis(10),
        }
    }
}

impl Limits {
    pub(crate) fn fuel(&self, input_bytes: usize) -> u64 {
        self.fuel_per_byte
            .saturating_mul(input_bytes as u64)
            .saturating_add(self.fuel_base)
            .min(self.fuel_max)
    }

    pub(crate) fn output(&self, input_bytes: usize) -> usize {
        input_bytes
            .saturating_mul(8)
            .saturating_add(1 << 10)
            .min(self.output_bytes)
    }
}

/// Ticks after which a call of this length is over: one more, since the first
/// may be due at once.
pub(crate) fn ticks(deadline: Duration) -> u64 {
    let ticks = deadline.as_micros().div_ceil(TICK.as_micros());
    u64::try_from(ticks)
        .unwrap_or(u64::MAX - 1)
        .saturating_add(1)
}
