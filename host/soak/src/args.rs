//! The words of the soak. What they mean is in the file of each.

use std::ops::RangeInclusive;
use std::path::PathBuf;

use clap::ValueEnum;
use clap::builder::RangedU64ValueParser;
use memory::units::Bytes;

/// A number that has a bound before anything is made of it.
pub fn ranged(bound: RangeInclusive<u64>) -> RangedU64ValueParser<usize> {
    RangedU64ValueParser::new().range(bound)
}

/// `koemasu soak`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// How memory is kept; all three, one after the other, if not given. With
    /// --zoo the slab.
    #[arg(long, value_enum)]
    pub mode: Option<SoakMode>,
    /// Voices of tiny to real sizes, for longer, and with --models those
    /// beside. Takes 2 GB of disk and 5 GB of memory.
    #[arg(long)]
    pub zoo: bool,
    /// All of it takes so long: 10 if nothing says how many requests, with
    /// --zoo 40. The slab comes first and gets most of it.
    #[arg(long, value_name = "N", value_parser = ranged(1..=100_000))]
    pub minutes: Option<usize>,
    /// Uniform draws of voices in odd rounds, a few favourites in even ones.
    #[arg(long, value_name = "N", value_parser = ranged(1..=1_000_000))]
    pub rounds: Option<usize>,
    /// 25 if not given, with --zoo 40.
    #[arg(long, value_name = "N", value_parser = ranged(1..=1_000_000))]
    pub voices: Option<usize>,
    /// Texts of one round.
    #[arg(long, value_name = "N", value_parser = ranged(1..=10_000_000), default_value_t = 100)]
    pub texts: usize,
    /// Requests of all rounds together, instead of rounds times texts.
    #[arg(long, value_name = "N", value_parser = ranged(1..=10_000_000))]
    pub requests: Option<usize>,
    /// Of draws, texts and weights.
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub seed: u64,
    /// How lengths are drawn between 1 and --characters: mixed for voices that
    /// are given, else short.
    #[arg(long, value_enum)]
    pub lengths: Option<Lengths>,
    /// The longest text.
    #[arg(long, value_name = "N", value_parser = ranged(1..=1_000_000), default_value_t = 500)]
    pub characters: usize,
    /// A package or a folder of packages; of fewer than --voices, copies with
    /// other weights are made. They are asked for whole answers, and nothing is
    /// reloaded meanwhile. Without it voices of many kinds are made, and their
    /// readers are slow or vanish, words are taught, voices replaced and the
    /// lanes changed by reloads while requests run.
    #[arg(long, value_name = "PATH")]
    pub models: Option<PathBuf>,
    /// BERT's graph; without it the configured one.
    #[arg(long, value_name = "FILE", requires = "tokenizer")]
    pub bert: Option<PathBuf>,
    /// BERT's tokenizer, a tokenizer.json.
    #[arg(long, value_name = "FILE", requires = "bert")]
    pub tokenizer: Option<PathBuf>,
    /// `memory.budget`; without it, enough for a third of the voices.
    #[arg(long, value_name = "BYTES")]
    pub budget: Option<Bytes>,
    /// `memory.workspace`; 256 MiB if not given.
    #[arg(long, value_name = "BYTES")]
    pub workspace: Option<Bytes>,
    /// `memory.reserve`; 64 MiB if not given.
    #[arg(long, value_name = "BYTES")]
    pub reserve: Option<Bytes>,
    /// `memory.slots`: voices of a template that can run without a copy.
    #[arg(long, value_name = "N", value_parser = ranged(1..=1_024), default_value_t = 2)]
    pub slots: usize,
    /// Packed weights, so a session for each resident voice.
    #[arg(long)]
    pub prepack: bool,
    /// Write to every page of the slab at start, so that what grows later is
    /// growth.
    #[arg(long, action = clap::ArgAction::Set, default_value_t = true)]
    pub touch: bool,
    /// Model runs at the same time, to begin with.
    #[arg(long, value_name = "N", value_parser = ranged(1..=1_024), default_value_t = 2)]
    pub lanes: usize,
    /// Threads of one run; 0 means the cores shared by the lanes.
    #[arg(long, value_name = "N", value_parser = ranged(0..=1_024), default_value_t = 0)]
    pub threads: usize,
    /// The most growth the slab may show, in MB per 1,000 requests. Without
    /// it 1, judged from 5,000 requests on: before that a process warms up. A
    /// bound that is given is judged from 200 on.
    #[arg(long, value_name = "MB")]
    pub slope_max: Option<f64>,
    /// Do one thing wrong on purpose, to see that it is found: the exit is never
    /// 0.
    #[arg(long, value_enum)]
    pub fault: Option<SoakFault>,
    /// Leak so much heap with every request, and blocks of the slab, or with
    /// --fault what that says.
    #[arg(long, value_name = "BYTES", num_args = 0..=1,
        default_missing_value = "16KiB")]
    pub leak: Option<Bytes>,
    /// Draw memory over requests.
    #[arg(long, value_name = "FILE")]
    pub png: Option<PathBuf>,
    /// Write every sample and the verdict.
    #[arg(long, value_name = "FILE")]
    pub json: Option<PathBuf>,
    /// Configuration; without it ./koemasu.toml, else the built-in one.
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// What one process of the soak is told by its parent.
    #[command(flatten)]
    pub child: SoakChild,
}

/// For the processes that the soak starts, one for each mode.
#[derive(Debug, clap::Args)]
pub struct SoakChild {
    /// The mode of this process.
    #[arg(long, hide = true, value_enum)]
    pub child: Option<SoakMode>,
    /// Folder of the voices that were made.
    #[arg(long, hide = true)]
    pub made: Option<PathBuf>,
    /// Bytes for voices, as the slab had them.
    #[arg(long, hide = true)]
    pub room: Option<usize>,
    /// No burst begins later than this after its start.
    #[arg(long, hide = true)]
    pub seconds: Option<u64>,
}

/// What a soak does wrong on purpose.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum SoakFault {
    /// Heap that nobody gives back, with every request.
    Heap,
    /// A block of what runs hold that stays after the run.
    Slab,
    /// A region of sessions that nobody closes.
    Region,
    /// A voice that is evicted and stays where it was.
    Eviction,
}

/// How memory is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum SoakMode {
    /// koemasu's own: one allocation holds every tensor.
    Slab,
    /// One growing arena for all sessions.
    SharedArena,
    /// An arena and a session for each voice, as other servers do.
    Arena,
}

/// How long texts are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Lengths {
    /// Every order of magnitude alike: 80 characters on average.
    Mixed,
    /// Nearly all a few characters, now and then hundreds: 6 on average.
    Short,
}
