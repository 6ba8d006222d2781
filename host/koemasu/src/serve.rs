//! `koemasu serve`: start, serve until told to stop, drain, end in time.

use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context;

use crate::args;
use server::config::Files;
use server::events;
use server::line;
use server::platform;
use server::server::Server;
use server::signal::{CUT_OFF, Signals};

/// For work that nobody waits for any more, such as a reload, to end by
/// itself.
const LEFT_OVER: Duration = Duration::from_secs(1);

pub(crate) fn run(args: &args::Serve) -> anyhow::Result<ExitCode> {
    let files = Files::named(args.files.config.as_deref(), args.listen);
    // Before anything else: a signal that nobody listens for ends the
    // process, and a SIGHUP right after the start is a reload.
    let mut signals = Signals::listen().context("cannot listen for signals")?;
    let runtime = platform::tokio()?;
    let served = runtime.block_on(async {
        let server = tokio::select! {
            server = Server::start(files) => server?,
            () = signals.stop() => return Ok(true),
        };
        signals.allow(server.app().settings.drain.0);
        line::tell(format_args!(
            "koemasu serves on http://{}",
            server.address()
        ));
        signals.until_stopped(Arc::clone(server.app())).await;
        anyhow::Ok(server.stop().await)
    });
    let code = match &served {
        Ok(true) => 0,
        Ok(false) => CUT_OFF,
        Err(_) => 1,
    };
    // A blocking thread cannot be ended; a process can.
    let start = Instant::now();
    runtime.shutdown_timeout(LEFT_OVER);
    if start.elapsed() >= LEFT_OVER {
        if let Err(error) = &served {
            line::tell(format_args!("koemasu: {error:#}"));
        }
        events::left_working();
        platform::end(code);
    }
    served.map(|_| ExitCode::from(code))
}
