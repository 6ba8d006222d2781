//! `koemasu serve`: start, serve until told to stop, drain.

use std::sync::Arc;

use anyhow::Context;

use crate::args;
use crate::config::Files;
use crate::platform;
use crate::server::Server;
use crate::signal::Signals;

pub fn run(args: &args::Serve) -> anyhow::Result<()> {
    let files = Files::named(args.files.config.as_deref(), args.listen);
    platform::tokio()?.block_on(async {
        // Before anything else: a signal that nobody listens for ends the
        // process, and a SIGHUP right after the start is a reload.
        let mut signals = Signals::listen().context("cannot listen for signals")?;
        let server = tokio::select! {
            server = Server::start(files) => server?,
            () = signals.stop() => return Ok(()),
        };
        eprintln!("koemasu serves on http://{}", server.address());
        signals.until_stopped(Arc::clone(server.app())).await;
        server.stop().await;
        Ok(())
    })
}
