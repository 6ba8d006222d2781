//! The life of the program: read the words on the command line, do the one
//! thing they ask for, say what went wrong.

#![warn(clippy::print_stderr)]

use std::process::ExitCode;

use koemasu::args::{Args, Command};
use koemasu::{check, g2p, key, line, openapi, policy, say, serve, soak, telemetry};

fn main() -> ExitCode {
    let args = Args::parse_plainly();
    telemetry::log(args.log, &args.command);
    let outcome = match args.command {
        Command::Serve(serve) => match serve::run(&serve) {
            Ok(code) => return code,
            Err(error) => Err(error),
        },
        Command::Say(say) => say::run(&say),
        Command::Check(check) => check::run(&check),
        Command::G2p(g2p) => g2p::run(&g2p),
        Command::Key(key) => key::run(&key),
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
