//! The words on the command line. What they mean is in the file of each
//! command.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::{Parser, Subcommand, ValueEnum};
use memory::units::{Bytes, Span};
use server::line::Shown;
use server::telemetry;
use soak::args::ranged;

/// A voice-synthesis host for Style-Bert-VITS2 models.
#[derive(Debug, Parser)]
#[command(version, about)]
pub(crate) struct Args {
    /// How log lines look; what is logged is set by KOEMASU_LOG.
    #[arg(long, value_enum, default_value_t = LogFormat::Text, global = true)]
    pub log: LogFormat,
    #[command(subcommand)]
    pub command: Command,
}

impl Args {
    /// The words of this process, or their error as clap tells it: its own
    /// lines stay, those that a word would make do not.
    pub(crate) fn parse_plainly() -> Self {
        let words: Vec<_> = std::env::args_os().collect();
        Self::try_parse_from(&words).unwrap_or_else(|error| {
            let shown = words.iter().map(|word| Shown(word.display()).to_string());
            // Wrong in the same way.
            Self::try_parse_from(shown).err().unwrap_or(error).exit()
        })
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum LogFormat {
    Text,
    Json,
}

impl From<LogFormat> for telemetry::Format {
    fn from(format: LogFormat) -> Self {
        match format {
            LogFormat::Text => Self::Text,
            LogFormat::Json => Self::Json,
        }
    }
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Serve speech over HTTP.
    Serve(Serve),
    /// Speak one text into a file.
    Say(Say),
    /// Load everything a server would, and print what it found.
    Check(Check),
    /// Fetch a voice or the BERT: `hf:OWNER/REPO[@REVISION][/FOLDER]`, the
    /// address of an .aivm or .aivmx, or `bert`.
    Pull(Pull),
    /// The voices and BERTs that a server would have.
    List(List),
    /// One voice: architecture, speakers, styles, licence, size, tier.
    Show(Show),
    /// Remove what was pulled.
    Rm(Rm),
    /// Make a voice of others, in a folder of its own.
    Merge(Merge),
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
    Soak(Box<soak::Args>),
}

impl Command {
    /// What its log tells if nobody says.
    pub(crate) fn usual_log(&self) -> &'static str {
        match self {
            Self::Serve(_) => "info",
            Self::Say(_)
            | Self::Check(_)
            | Self::Pull(_)
            | Self::List(_)
            | Self::Show(_)
            | Self::Rm(_)
            | Self::Merge(_)
            | Self::G2p(_)
            | Self::Key(_)
            | Self::Examine
            | Self::Openapi
            | Self::Policy(_) => "warn",
            // A voice that goes is what it is about, not what goes wrong.
            Self::Soak(_) => "error",
        }
    }
}

#[derive(Debug, clap::Args)]
pub(crate) struct Files {
    /// Configuration; without it ./koemasu.toml, else the built-in one.
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Serve {
    #[command(flatten)]
    pub files: Files,
    /// Address to listen on, instead of the configured one.
    #[arg(long, value_name = "ADDR")]
    pub listen: Option<SocketAddr>,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Say {
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
pub(crate) struct Check {
    #[command(flatten)]
    pub files: Files,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Pull {
    /// `hf:OWNER/REPO[@REVISION][/FOLDER]`, an address, or `bert`.
    pub source: String,
    /// What requests call it; else as its source is called.
    #[arg(long)]
    pub name: Option<String>,
    /// Which model, where a folder has several.
    #[arg(long)]
    pub file: Option<String>,
    /// Take what the source has by now.
    #[arg(long)]
    pub update: bool,
    /// Take it in place of whatever was pulled under this name.
    #[arg(long)]
    pub replace: bool,
    /// Read what is there and compare its digests, not only its sizes.
    #[arg(long)]
    pub verify: bool,
    /// The most that one pull may fetch.
    #[arg(long, value_name = "BYTES", default_value = "8GiB")]
    pub limit: Bytes,
}

#[derive(Debug, clap::Args)]
pub(crate) struct List {
    #[command(flatten)]
    pub files: Files,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Show {
    /// As requests call it.
    pub name: String,
    #[command(flatten)]
    pub files: Files,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Rm {
    /// As it was pulled.
    pub name: String,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Merge {
    #[arg(long, value_enum, default_value_t = Way::Usual)]
    pub method: Way,
    /// Names of voices, or paths with a `/`; the first is what it is made from.
    #[arg(required = true)]
    pub voices: Vec<String>,
    /// Of every group that says nothing of its own.
    #[arg(long, value_name = "T", allow_hyphen_values = true)]
    pub weight: Option<f32>,
    /// Of the decoder: the voice itself.
    #[arg(long, value_name = "T", allow_hyphen_values = true)]
    pub voice: Option<f32>,
    /// Of the flow: how high it is.
    #[arg(long, value_name = "T", allow_hyphen_values = true)]
    pub pitch: Option<f32>,
    /// Of the text encoder and the styles: how it speaks.
    #[arg(long, value_name = "T", allow_hyphen_values = true)]
    pub style: Option<f32>,
    /// Of the duration predictors.
    #[arg(long, value_name = "T", allow_hyphen_values = true)]
    pub tempo: Option<f32>,
    /// Of a weighted sum, one for each voice, with commas between.
    #[arg(
        long,
        value_name = "W",
        value_delimiter = ',',
        allow_hyphen_values = true
    )]
    pub weights: Vec<f32>,
    /// On the great circle instead of the straight line.
    #[arg(long)]
    pub slerp: bool,
    /// A style, `NAME=STYLE,STYLE`, made of one of each voice; several times.
    #[arg(long, value_name = "NAME=STYLE,…")]
    pub style_of: Vec<String>,
    /// Folder to write; its name is the voice's.
    #[arg(short, long, value_name = "FOLDER")]
    pub output: PathBuf,
    #[command(flatten)]
    pub files: Files,
}

/// As `merge.method`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Way {
    Usual,
    AddDifference,
    AddNull,
    WeightedSum,
}

#[derive(Debug, clap::Args)]
pub(crate) struct G2p {
    #[arg(long)]
    pub pipeline: Option<String>,
    #[command(flatten)]
    pub files: Files,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Key {
    /// Who gets it; stands in logs.
    #[arg(value_parser = clap::builder::NonEmptyStringValueParser::new())]
    pub name: String,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Policy {
    /// Serve the uses of a trace once more, in simulation, under each policy.
    Replay(Replay),
    /// Write a trace of made-up uses, the same for the same arguments.
    Trace(Trace),
}

#[derive(Debug, clap::Args)]
pub(crate) struct Replay {
    /// JSON lines, as `[memory.trace]` writes them; `-` is standard input.
    pub trace: PathBuf,
    /// A table `[memory]` to compare as well; may be given several times.
    #[arg(long, value_name = "FILE")]
    pub policy: Vec<PathBuf>,
    /// An eviction plugin to compare as well; its settings come in a policy.
    #[arg(long, value_name = "NAME")]
    pub plugin: Vec<String>,
    /// Memory for voices on the device, instead of the trace's.
    #[arg(long, value_name = "BYTES")]
    pub device: Option<Bytes>,
    /// One JSON object for each policy instead of a table.
    #[arg(long)]
    pub json: bool,
    #[command(flatten)]
    pub files: Files,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Trace {
    #[arg(long, value_enum, default_value_t = Pattern::Zipf)]
    pub pattern: Pattern,
    #[arg(long, value_name = "N", value_parser = ranged(1..=1_000_000), default_value_t = 40)]
    pub voices: usize,
    #[arg(long, value_name = "N", value_parser = ranged(1..=10_000_000), default_value_t = 2_000)]
    pub requests: usize,
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub seed: u64,
    /// Mean time between two requests.
    #[arg(long, value_name = "TIME", default_value = "1s")]
    pub gap: Span,
    /// Memory for voices on the device.
    #[arg(long, value_name = "BYTES", default_value = "2GiB")]
    pub device: Bytes,
    /// File to write; `-` is standard output.
    #[arg(short, long, value_name = "FILE", default_value = "-")]
    pub output: PathBuf,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Pattern {
    /// A few voices are wanted most of the time.
    Zipf,
    /// The same, and the favourites change.
    Drift,
    /// All alike.
    Uniform,
    /// One after the other, again and again.
    Scan,
}
