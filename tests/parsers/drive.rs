//! Runs a parser on mutations of its seeds until the time is over or it fails.

use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::{Duration, Instant};

use crate::mutate::Mutator;

const MIB: u64 = 1 << 20;

/// Of one input. The time is an oracle for what never ends: this machine may
/// be busy.
pub(crate) struct Bounds {
    pub(crate) millis: u64,
    pub(crate) bytes: u64,
    pub(crate) times_input: u64,
}

impl Default for Bounds {
    fn default() -> Self {
        Self {
            millis: 10_000,
            bytes: 64 * MIB,
            times_input: 64,
        }
    }
}

#[derive(Debug, Default)]
pub(crate) struct Done {
    pub(crate) inputs: u64,
    /// Those that the parser did not refuse.
    pub(crate) taken: u64,
    slowest: Duration,
    grown: u64,
}

impl fmt::Display for Done {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} inputs, {} taken, slowest {} ms, most memory {} MiB",
            self.inputs,
            self.taken,
            self.slowest.as_millis(),
            self.grown / MIB
        )
    }
}

pub(crate) fn seconds() -> f64 {
    let given = std::env::var("KOEMASU_FUZZ_SECONDS");
    given.map_or(10.0, |text| text.parse().expect("seconds"))
}

pub(crate) fn drive(
    run: fn(&[u8]) -> bool,
    seeds: &[Vec<u8>],
    seconds: f64,
    bounds: &Bounds,
) -> Result<Done, String> {
    let mut mutator = Mutator::new(0x6b6f_656d_6173_7521);
    let until = Instant::now() + Duration::from_secs_f64(seconds);
    let mut done = Done::default();
    while Instant::now() < until {
        let input = mutator.next(seeds);
        let before = Memory::forget_peak();
        let start = Instant::now();
        let ran = catch_unwind(AssertUnwindSafe(|| run(&input)));
        let took = start.elapsed();
        let grown = Memory::peak().saturating_sub(before);
        let wrong = match ran {
            Err(_) => Some("a panic".to_owned()),
            Ok(_) if took > Duration::from_millis(bounds.millis) => {
                Some(format!("it took {} ms", took.as_millis()))
            }
            Ok(_) if grown > bounds.bytes + bounds.times_input * input.len() as u64 => {
                Some(format!("it took {} MiB", grown / MIB))
            }
            Ok(taken) => {
                done.taken += u64::from(taken);
                None
            }
        };
        if let Some(wrong) = wrong {
            return Err(format!("{wrong}, by {}", keep(&input)));
        }
        done.inputs += 1;
        done.slowest = done.slowest.max(took);
        done.grown = done.grown.max(grown);
    }
    Ok(done)
}

/// The input, to become a seed.
fn keep(input: &[u8]) -> String {
    let mut path = std::env::temp_dir();
    path.push(format!("koemasu-fuzz-{}", std::process::id()));
    match std::fs::write(&path, input) {
        Ok(()) => format!("{} bytes, kept in {}", input.len(), path.display()),
        Err(e) => format!("{} bytes, not kept: {e}", input.len()),
    }
}

/// What the system counts as this process's, of every allocator in it.
struct Memory;

impl Memory {
    fn forget_peak() -> u64 {
        // Best effort: without it the peak is that of all inputs so far.
        let _ = std::fs::write("/proc/self/clear_refs", "5");
        Self::status("VmRSS:")
    }

    fn peak() -> u64 {
        Self::status("VmHWM:")
    }

    fn status(line: &str) -> u64 {
        let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
        let found = status.lines().find_map(|it| it.strip_prefix(line));
        let kib = found.and_then(|rest| rest.split_whitespace().next()?.parse::<u64>().ok());
        kib.unwrap_or_default() << 10
    }
}
