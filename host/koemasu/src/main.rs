//! The life of the program: read the words on the command line, do the one
//! thing they ask for, say what went wrong.

#![warn(clippy::print_stderr)]

mod args;
mod check;
mod g2p;
mod key;
mod merge;
mod policy;
mod pull;
mod say;
mod serve;
mod voices;

use std::process::ExitCode;

use args::{Args, Command};
use server::http::openapi;
use server::{line, platform, signal, telemetry};

/// The main thread has the stack that `ulimit -s` grants, which may be little.
const STACK: usize = 8 << 20;

fn main() -> ExitCode {
    session::native::process::bound_cublas();
    let run = std::thread::Builder::new().stack_size(STACK).spawn(run);
    match run.map(std::thread::JoinHandle::join) {
        Ok(Ok(code)) => code,
        // It has said why.
        Ok(Err(_)) => ExitCode::from(101),
        // No thread can be had; what there is may be enough.
        Err(_) => self::run(),
    }
}

fn run() -> ExitCode {
    let args = Args::parse_plainly();
    signal::outlive_full_files();
    telemetry::log(args.log.into(), args.command.usual_log());
    // What comes from outside is tried by this program's own word for it.
    platform::answers_examine();
    let outcome = match args.command {
        Command::Serve(serve) => match serve::run(&serve) {
            Ok(code) => return code,
            Err(error) => Err(error),
        },
        Command::Say(say) => say::run(&say),
        Command::Check(check) => check::run(&check),
        Command::Pull(pull) => pull::run(&pull),
        Command::List(list) => voices::list(&list),
        Command::Show(show) => voices::show(&show),
        Command::Rm(rm) => voices::remove(&rm),
        Command::Merge(merge) => merge::run(&merge),
        Command::G2p(g2p) => g2p::run(&g2p),
        Command::Key(key) => key::run(&key),
        Command::Examine => {
            session::examine::answer(std::io::stdin(), line::bytes()).map_err(Into::into)
        }
        Command::Openapi => openapi::print(),
        Command::Policy(policy) => policy::run(&policy),
        Command::Soak(soak) => match soak::run(&soak) {
            // Its last line has said why.
            Ok(false) => return ExitCode::FAILURE,
            outcome => outcome.map(drop),
        },
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            line::tell(format_args!("koemasu: {error:#}"));
            ExitCode::FAILURE
        }
    }
}
