//! The words on the command line. What they mean is in the file of each
//! command.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::{Parser, Subcommand, ValueEnum};

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
