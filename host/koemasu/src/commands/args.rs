//! The words on the command line. What they mean is in the file of each
//! command.

use std::net::SocketAddr;
use std::num::ParseIntError;
use std::path::PathBuf;

use clap::{Parser, Subcommand, ValueEnum};
use pipeline::units::{Bytes, Span};

use crate::line::Shown;

/// A voice-synthesis host for Style-Bert-VITS2 models.
#[derive(Debug, Parser)]
#[command(version, about)]
pub struct Args {
    /// How log lines look; what is logged is set by KOEMASU_LOG.
    #[arg(long, value_enum, default_value_t = LogFormat::Text, global = true)]
    pub log: LogFormat,
    #[command(subcommand)]
    pub command: Command,
}

impl Args {
    /// The words of this process, or their error as clap tells it: its own
    /// lines stay, those that a word would make do not.
    pub fn parse_plainly() -> Self {
        let words: Vec<_> = std::env::args_os().collect();
        Self::try_parse_from(&words).unwrap_or_else(|error| {
            let shown = words.iter().map(|word| Shown(word.display()).to_string());
            // Wrong in the same way.
            Self::try_parse_from(shown).err().unwrap_or(error).exit()
        })
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    Text,
    Json,
}

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Serve speech over HTTP.
    Serve(Serve),
    /// Speak one text into a file.
    Say(Say),
    /// Load everything a server would, and print what it found.
    Check(Check),
    /// Read texts from standard input, write their phonemes as JSON lines.
    G2p(G2p),
    /// Make an API key, and the table of koemasu.toml that lets it in.
    Key(Key),
    /// Try one model, as the server that starts this says.
    #[command(hide = true)]
    Examine,
    /// Print the OpenAPI document of the HTTP, every dialect in it.
    Openapi,
    /// Compare memory policies on a trace, or make a trace.
    #[command(subcommand)]
    Policy(Policy),
    /// Prove that memory does not grow: many voices, many texts, three ways
    /// of keeping memory.
    Soak(Box<Soak>),
}

#[derive(Debug, clap::Args)]
pub struct Files {
    /// Configuration; without it ./koemasu.toml, else the built-in one.
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
}

#[derive(Debug, clap::Args)]
pub struct Serve {
    #[command(flatten)]
    pub files: Files,
    /// Address to listen on, instead of the configured one.
    #[arg(long, value_name = "ADDR")]
    pub listen: Option<SocketAddr>,
}

#[derive(Debug, clap::Args)]
pub struct Say {
    pub text: String,
    /// File to write; `-` is standard output.
    #[arg(short, long, value_name = "FILE", default_value = "out.wav")]
    pub output: PathBuf,
    /// `voice` or `voice/speaker`; the first one if not given.
    #[arg(long, default_value = "")]
    pub voice: String,
    #[arg(long)]
    pub pipeline: Option<String>,
    #[arg(long)]
    pub style: Option<String>,
    #[arg(long)]
    pub style_weight: Option<f32>,
    #[arg(long)]
    pub speed: Option<f32>,
    #[command(flatten)]
    pub files: Files,
}

#[derive(Debug, clap::Args)]
pub struct Check {
    #[command(flatten)]
    pub files: Files,
}

#[derive(Debug, clap::Args)]
pub struct G2p {
    #[arg(long)]
    pub pipeline: Option<String>,
    #[command(flatten)]
    pub files: Files,
}

#[derive(Debug, clap::Args)]
pub struct Key {
    /// Who gets it; stands in logs.
    #[arg(value_parser = clap::builder::NonEmptyStringValueParser::new())]
    pub name: String,
}

#[derive(Debug, Subcommand)]
pub enum Policy {
    /// Serve the uses of a trace once more, in simulation, under each policy.
    Replay(Replay),
    /// Write a trace of made-up uses, the same for the same arguments.
    Trace(Trace),
}

#[derive(Debug, clap::Args)]
pub struct Replay {
    /// JSON lines, as `[memory.trace]` writes them; `-` is standard input.
    pub trace: PathBuf,
    /// A table `[memory]` to compare as well; may be given several times.
    #[arg(long, value_name = "FILE")]
    pub policy: Vec<PathBuf>,
    /// An eviction plugin to compare as well; its settings come in a policy.
    #[arg(long, value_name = "NAME")]
    pub plugin: Vec<String>,
    /// Memory for voices on the device, instead of the trace's.
    #[arg(long, value_name = "BYTES", value_parser = bytes)]
    pub device: Option<Bytes>,
    /// One JSON object for each policy instead of a table.
    #[arg(long)]
    pub json: bool,
    #[command(flatten)]
    pub files: Files,
}

#[derive(Debug, clap::Args)]
pub struct Trace {
    #[arg(long, value_enum, default_value_t = Pattern::Zipf)]
    pub pattern: Pattern,
    #[arg(long, value_name = "N", value_parser = number::<1, 1_000_000>, default_value_t = 40)]
    pub voices: usize,
    #[arg(long, value_name = "N", value_parser = number::<1, 10_000_000>, default_value_t = 2_000)]
    pub requests: usize,
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub seed: u64,
    /// Mean time between two requests.
    #[arg(long, value_name = "TIME", value_parser = span, default_value = "1s")]
    pub gap: Span,
    /// Memory for voices on the device.
    #[arg(long, value_name = "BYTES", value_parser = bytes, default_value = "2GiB")]
    pub device: Bytes,
    /// File to write; `-` is standard output.
    #[arg(short, long, value_name = "FILE", default_value = "-")]
    pub output: PathBuf,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Pattern {
    /// A few voices are wanted most of the time.
    Zipf,
    /// The same, and the favourites change.
    Drift,
    /// All alike.
    Uniform,
    /// One after the other, again and again.
    Scan,
}

/// A number that has a bound before anything is made of it.
fn number<const LEAST: usize, const MOST: usize>(text: &str) -> Result<usize, String> {
    let number: usize = text.parse().map_err(|e: ParseIntError| e.to_string())?;
    match (LEAST..=MOST).contains(&number) {
        true => Ok(number),
        false => Err(format!("it lies between {LEAST} and {MOST}")),
    }
}

fn bytes(text: &str) -> Result<Bytes, String> {
    Bytes::parse(text).ok_or_else(|| "bytes with their unit, such as 2GiB".to_owned())
}

fn span(text: &str) -> Result<Span, String> {
    Span::parse(text).ok_or_else(|| "a time with its unit, such as 250ms".to_owned())
}

#[derive(Debug, clap::Args)]
pub struct Soak {
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
    #[arg(long, value_name = "N", value_parser = number::<1, 100_000>)]
    pub minutes: Option<usize>,
    /// Uniform draws of voices in odd rounds, a few favourites in even ones.
    #[arg(long, value_name = "N", value_parser = number::<1, 1_000_000>)]
    pub rounds: Option<usize>,
    /// 25 if not given, with --zoo 40.
    #[arg(long, value_name = "N", value_parser = number::<1, 1_000_000>)]
    pub voices: Option<usize>,
    /// Texts of one round.
    #[arg(long, value_name = "N", value_parser = number::<1, 10_000_000>, default_value_t = 100)]
    pub texts: usize,
    /// Requests of all rounds together, instead of rounds times texts.
    #[arg(long, value_name = "N", value_parser = number::<1, 10_000_000>)]
    pub requests: Option<usize>,
    /// Of draws, texts and weights.
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub seed: u64,
    /// How lengths are drawn between 1 and --characters: mixed for voices that
    /// are given, else short.
    #[arg(long, value_enum)]
    pub lengths: Option<Lengths>,
    /// The longest text.
    #[arg(long, value_name = "N", value_parser = number::<1, 1_000_000>, default_value_t = 500)]
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
    #[arg(long, value_name = "FILE", requires = "bert")]
    pub tokenizer: Option<PathBuf>,
    /// `memory.budget`; without it, enough for a third of the voices.
    #[arg(long, value_name = "BYTES", value_parser = bytes)]
    pub budget: Option<Bytes>,
    #[arg(long, value_name = "BYTES", value_parser = bytes)]
    pub workspace: Option<Bytes>,
    #[arg(long, value_name = "BYTES", value_parser = bytes)]
    pub reserve: Option<Bytes>,
    #[arg(long, value_name = "N", value_parser = number::<1, 1_024>, default_value_t = 2)]
    pub slots: usize,
    /// Packed weights, so a session for each resident voice.
    #[arg(long)]
    pub prepack: bool,
    /// Write to every page of the slab at start, so that what grows later is
    /// growth.
    #[arg(long, action = clap::ArgAction::Set, default_value_t = true)]
    pub touch: bool,
    /// Model runs at the same time, to begin with.
    #[arg(long, value_name = "N", value_parser = number::<1, 1_024>, default_value_t = 2)]
    pub lanes: usize,
    /// Threads of one run; 0 means the cores shared by the lanes.
    #[arg(long, value_name = "N", value_parser = number::<0, 1_024>, default_value_t = 0)]
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
    #[arg(long, value_name = "BYTES", value_parser = bytes, num_args = 0..=1,
        default_missing_value = "16KiB")]
    pub leak: Option<Bytes>,
    /// Draw memory over requests.
    #[arg(long, value_name = "FILE")]
    pub png: Option<PathBuf>,
    /// Write every sample and the verdict.
    #[arg(long, value_name = "FILE")]
    pub json: Option<PathBuf>,
    #[command(flatten)]
    pub files: Files,
    /// What one process of the soak is told by its parent.
    #[command(flatten)]
    pub child: SoakChild,
}

/// For the processes that the soak starts, one for each mode.
#[derive(Debug, clap::Args)]
pub struct SoakChild {
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

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum SoakMode {
    /// koemasu's own: one allocation holds every tensor.
    Slab,
    /// One growing arena for all sessions.
    SharedArena,
    /// An arena and a session for each voice, as other servers do.
    Arena,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Lengths {
    /// Every order of magnitude alike: 80 characters on average.
    Mixed,
    /// Nearly all a few characters, now and then hundreds: 6 on average.
    Short,
}
