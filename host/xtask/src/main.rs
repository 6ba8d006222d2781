//! Chores: `cargo xtask setup | plugins | serve | test | check | gpu-kit`.
//!
//! `serve` and `test` set everything up first, so that a fresh clone needs one
//! command. Set-up is idempotent: what is there is not fetched or built again,
//! and with everything there no network is touched.

#![expect(
    clippy::print_stdout,
    clippy::disallowed_methods,
    reason = "a tool for terminals, with an environment of its own"
)]

mod check;
mod dictionary;
mod gpu_kit;
mod guests;
mod home;
mod onnxruntime;
mod process;
mod serve;
mod setup;
mod test;

use std::process::ExitCode;

const USAGE: &str = "\
cargo xtask COMMAND

  serve [ARGS]   set up, build and serve; ARGS go to `koemasu serve`
  test [ARGS]    set up, check, build and run all tests; with ARGS, which go to
                 the test runner, nothing is checked
  setup [--device auto|cpu|cuda] [--onnxruntime FILE]
                 fetch ONNX Runtime, unpack the dictionary, build the plugins
  plugins        build the first-party plugins only
  check          formatting, lints, licences
  gpu-kit [FOLDER] [--device cuda|cpu] [--architecture 90] [--models FOLDER]
          [--quick]
                 pack what `tests/gpu/on-device.sh` needs on a GPU machine
                 without network and compiler; FOLDER is `gpu-kit`";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let (command, rest) = match arguments.split_first() {
        Some((command, rest)) => (command.as_str(), rest),
        None => ("", &[][..]),
    };
    let outcome = match command {
        "serve" => serve::run(rest),
        "test" => test::run(rest),
        "setup" => setup::Wishes::parse(rest).and_then(|wishes| setup::run(&wishes)),
        "plugins" => home::Home::find().and_then(|home| guests::build(&home)),
        "check" => check::run(),
        "gpu-kit" => gpu_kit::run(rest),
        _ => Err(anyhow::anyhow!("{USAGE}")),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("xtask: {error:#}");
            ExitCode::FAILURE
        }
    }
}
