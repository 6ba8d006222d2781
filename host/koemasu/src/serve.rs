//! `koemasu serve`: start, serve until told to stop, drain.

use std::sync::Arc;

use anyhow::Context;

use crate::args;
use crate::config::Files;
use crate::server::Server;
use crate::{platform, signal};

pub fn run(args: &args::Serve) -> anyhow::Result<()> {
    let files = Files::named(args.files.config.as_deref(), args.listen);
    platform::tokio()?.block_on(async {
        let server = Server::start(files).await?;
        eprintln!("koemasu serves on http://{}", server.address());
        signal::until_stopped(Arc::clone(server.app()))
            .await
            .context("cannot listen for signals")?;
        server.stop().await;
        Ok(())
    })
}
