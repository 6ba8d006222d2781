//! Accepts connections, serves them, drains.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use anyhow::Context;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_io_timeout::TimeoutStream;
use tokio_util::sync::CancellationToken;

use crate::app::App;
use crate::config::{Config, Files};
use crate::dialect::Parts;
use crate::reload::{self, Asks, Cause, Reloads};
use crate::route::route;
use crate::{events, memory, platform, signal, telemetry};

/// A server that accepts. It is ready once its first generation is published.
pub struct Server {
    app: Arc<App>,
    /// The shared port first.
    addresses: Vec<(SocketAddr, Parts)>,
    stop: CancellationToken,
    accepting: Vec<tokio::task::JoinHandle<GracefulShutdown>>,
}

/// A port that is listened to, and what it answers for.
struct Port {
    listener: TcpListener,
    address: SocketAddr,
    parts: Parts,
}

impl Port {
    async fn open(address: SocketAddr, parts: Parts) -> anyhow::Result<Self> {
        let listener = TcpListener::bind(address)
            .await
            .with_context(|| format!("cannot listen on {address}"))?;
        Ok(Self {
            address: listener.local_addr()?,
            listener,
            parts,
        })
    }
}

impl Server {
    /// Binds, starts to accept, and publishes the first generation. Until then
    /// `/healthz` answers and `/readyz` does not.
    pub async fn start(files: Files) -> anyhow::Result<Self> {
        let config = Config::load(&files)?;
        let mut ports = vec![Port::open(config.server.listen, config.dialects.shared()).await?];
        for (address, parts) in config.dialects.apart() {
            ports.push(Port::open(address, parts).await?);
        }
        // Before anything counts: events before the recorder are lost.
        let metrics = telemetry::metrics();
        let live = platform::live(&config)?;
        let (reloads, asks) = Reloads::new();
        let app = Arc::new(App::new(&config, live, reloads, metrics));
        let server = Self::accept(app, ports);
        match server.first_generation(files, config.watched, asks).await {
            Ok(()) => Ok(server),
            Err(error) => {
                server.stop().await;
                Err(error)
            }
        }
    }

    fn accept(app: Arc<App>, ports: Vec<Port>) -> Self {
        let stop = CancellationToken::new();
        let addresses = ports
            .iter()
            .map(|port| (port.address, port.parts))
            .collect();
        let places = Arc::new(Semaphore::new(app.settings.connections_max));
        let accept = |port| {
            let places = Arc::clone(&places);
            app.tasks
                .spawn(accept_loop(Arc::clone(&app), port, places, stop.clone()))
        };
        Self {
            accepting: ports.into_iter().map(accept).collect(),
            app,
            addresses,
            stop,
        }
    }

    async fn first_generation(
        &self,
        files: Files,
        watched: Vec<std::path::PathBuf>,
        asks: Asks,
    ) -> anyhow::Result<()> {
        let app = Arc::clone(&self.app);
        self.spawn(reload::run_entry(Arc::clone(&app), files.clone()));
        self.spawn(reload::run(app, files, asks));
        self.app
            .reloads
            .ask_and_wait(Cause::Start)
            .await
            .map_err(|reason| anyhow::anyhow!(reason))?;
        self.spawn(memory::tend(Arc::clone(&self.app)));
        if self.app.settings.watch {
            self.spawn(signal::watch(Arc::clone(&self.app), watched));
        }
        Ok(())
    }

    /// Runs beside the server until it stops.
    fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        let stop = self.stop.clone();
        self.app
            .tasks
            .spawn(async move { stop.run_until_cancelled(task).await });
    }

    /// Of the shared port.
    pub fn address(&self) -> SocketAddr {
        self.addresses[0].0
    }

    /// Of every port, and what it answers for.
    pub fn addresses(&self) -> &[(SocketAddr, Parts)] {
        &self.addresses
    }

    pub fn app(&self) -> &Arc<App> {
        &self.app
    }

    /// No new connections; requests taken in may finish within the drain
    /// limit.
    pub async fn stop(self) {
        let limit = self.app.settings.drain.0;
        self.app.stopping.store(true, Ordering::Relaxed);
        events::draining(limit);
        self.stop.cancel();
        self.app.tasks.close();
        let drained = async {
            for accepting in self.accepting {
                if let Ok(connections) = accepting.await {
                    connections.shutdown().await;
                }
            }
            self.app.tasks.wait().await;
        };
        let complete = tokio::time::timeout(limit, drained).await.is_ok();
        events::drained(complete);
    }
}

async fn accept_loop(
    app: Arc<App>,
    port: Port,
    places: Arc<Semaphore>,
    stop: CancellationToken,
) -> GracefulShutdown {
    let connections = GracefulShutdown::new();
    loop {
        // The place first: beyond the limit a connection waits in the system's
        // queue and costs nothing here.
        let accepted = async {
            let place = Arc::clone(&places).acquire_owned().await.ok()?;
            Some((port.listener.accept().await, place))
        };
        let Some(Some((accepted, place))) = stop.run_until_cancelled(accepted).await else {
            return connections;
        };
        match accepted {
            Ok((stream, peer)) => {
                let served = serve(
                    Arc::clone(&app),
                    port.parts,
                    stream,
                    peer,
                    place,
                    &connections,
                );
                app.tasks.spawn(served);
            }
            Err(error) => {
                // Out of file descriptors, most likely: let some go first.
                events::connection_failed(&error);
                tokio::time::sleep(std::time::Duration::from_millis(50)).await;
            }
        }
    }
}

/// One connection, watched so that a drain ends it after its last answer.
fn serve(
    app: Arc<App>,
    parts: Parts,
    stream: TcpStream,
    peer: SocketAddr,
    place: OwnedSemaphorePermit,
    connections: &GracefulShutdown,
) -> impl Future<Output = ()> + Send + 'static {
    // Small answers should not wait for an acknowledgement.
    let _ = stream.set_nodelay(true);
    let header_timeout = app.settings.header_timeout.0;
    // Who reads nothing keeps no place for ever.
    let mut stream = TimeoutStream::new(stream);
    stream.set_write_timeout(Some(app.settings.write_timeout.0));
    let service = service_fn(move |request| {
        let app = Arc::clone(&app);
        async move { Ok::<_, std::convert::Infallible>(route(&app, parts, peer, request).await) }
    });
    let connection = http1::Builder::new()
        // Without a timer hyper's header timeout silently does nothing.
        .timer(TokioTimer::new())
        .header_read_timeout(header_timeout)
        .max_headers(64)
        .max_buf_size(64 << 10)
        .serve_connection(TokioIo::new(Box::pin(stream)), service);
    let connection = connections.watch(connection);
    async move {
        events::connected();
        if let Err(error) = connection.await {
            events::connection_failed(&error);
        }
        events::disconnected();
        drop(place);
    }
}
