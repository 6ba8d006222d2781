//! The negative controls: what a soak does wrong on purpose, so that one sees
//! that it would be found.

use memory::slab;
use pipeline::Live;
use pipeline::units::Bytes;

use crate::args::{self, SoakFault};
use crate::zones::{self, Among};

pub(crate) struct Faults {
    kinds: Vec<SoakFault>,
    bytes: usize,
    bursts: usize,
    spilt: usize,
    /// Blocks of the slab so far.
    pub(crate) planted: usize,
}

/// Bursts before the first block: what is kept without it is known by then.
const BEFORE: usize = 3;
/// Of heap, with each request.
const USUAL: Bytes = Bytes(16 << 10);

/// What is asked for on the command line.
pub(crate) fn kinds(args: &args::Args) -> Vec<SoakFault> {
    match (args.fault, args.leak) {
        (Some(fault), _) => vec![fault],
        (None, Some(_)) => vec![SoakFault::Heap, SoakFault::Slab],
        (None, None) => Vec::new(),
    }
}

pub(crate) fn bytes(args: &args::Args) -> Bytes {
    args.leak.unwrap_or(USUAL)
}

impl Faults {
    pub(crate) fn new(args: &args::Args) -> Self {
        Self {
            kinds: kinds(args),
            bytes: usize::try_from(bytes(args).0).unwrap_or(usize::MAX).max(1),
            bursts: 0,
            spilt: 0,
            planted: 0,
        }
    }

    /// After a burst; `asked` requests there were so far.
    pub(crate) fn spill(&mut self, live: &Live, asked: usize) {
        let requests = asked - std::mem::replace(&mut self.spilt, asked);
        self.bursts += 1;
        for kind in self.kinds.clone() {
            match kind {
                SoakFault::Heap => {
                    // Not zeros: those the system would lend without a page
                    // behind them.
                    Vec::leak(vec![1_u8; requests * self.bytes]);
                }
                SoakFault::Slab => self.plant(live, Among::Runs, "leak", slab::ALIGNMENT),
                SoakFault::Region if self.bursts > BEFORE => {
                    self.plant(live, Among::Sessions, "leak", slab::ALIGNMENT);
                }
                SoakFault::Eviction if self.bursts > BEFORE && self.planted == 0 => {
                    if let Some((voice, bytes)) = evicted(live) {
                        self.plant(live, Among::Models, &voice, bytes);
                    }
                }
                SoakFault::Region | SoakFault::Eviction => {}
            }
        }
    }

    fn plant(&mut self, live: &Live, among: Among, owner: &str, bytes: usize) {
        let placement = live.residency().placement();
        if let Some(tensors) = placement.as_ref().and_then(|it| it.tensors()) {
            self.planted += usize::from(zones::plant(tensors, among, owner, bytes));
        }
    }
}

/// A voice that is recorded as gone, and what it had held.
fn evicted(live: &Live) -> Option<(String, usize)> {
    let report = live.residency().report()?;
    let mut voices = report.library.voices.iter();
    let gone = voices.find(|voice| voice.tier == "file" && voice.hits > 0.0)?;
    Some((format!("voice {}", gone.name), gone.bytes))
}
