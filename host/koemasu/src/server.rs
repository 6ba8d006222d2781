//! Accepts connections, serves them, drains.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::Context;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::admission::Admission;
use crate::app::App;
use crate::config::{Config, Files};
use crate::reload::{self, Asks, Cause, Reloads};
use crate::route::route;
use crate::{events, memory, platform, signal, telemetry};

/// A server that accepts. It is ready once its first generation is published.
pub struct Server {
    app: Arc<App>,
    address: SocketAddr,
    stop: CancellationToken,
    /// Everything this server has spawned; drained before it ends.
    tasks: TaskTracker,
    accepting: tokio::task::JoinHandle<GracefulShutdown>,
}

impl Server {
    /// Binds, starts to accept, and publishes the first generation. Until then
    /// `/healthz` answers and `/readyz` does not.
    pub async fn start(files: Files) -> anyhow::Result<Self> {
        let config = Config::load(&files)?;
        let listener = TcpListener::bind(config.server.listen)
            .await
            .with_context(|| format!("cannot listen on {}", config.server.listen))?;
        let address = listener.local_addr()?;
        // Before anything counts: events before the recorder are lost.
        let metrics = telemetry::metrics();
        let live = platform::live(&config)?;
        let (reloads, asks) = Reloads::new();
        let app = Arc::new(App {
            live,
            admission: Admission::new(config.server.requests_max),
            settings: config.server,
            admin_token: config.admin.token,
            plugins: config.service.plugins.clone(),
            onnxruntime: config.onnxruntime,
            reloads,
            metrics,
            stopping: AtomicBool::new(false),
        });
        let server = Self::accept(app, listener, address);
        match server.first_generation(files, config.watched, asks).await {
            Ok(()) => Ok(server),
            Err(error) => {
                server.stop().await;
                Err(error)
            }
        }
    }

    fn accept(app: Arc<App>, listener: TcpListener, address: SocketAddr) -> Self {
        let stop = CancellationToken::new();
        let tasks = TaskTracker::new();
        let loop_ = accept_loop(Arc::clone(&app), listener, stop.clone(), tasks.clone());
        let accepting = tasks.spawn(loop_);
        Self {
            app,
            address,
            stop,
            tasks,
            accepting,
        }
    }

    async fn first_generation(
        &self,
        files: Files,
        watched: Vec<std::path::PathBuf>,
        asks: Asks,
    ) -> anyhow::Result<()> {
        let app = Arc::clone(&self.app);
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
        self.tasks
            .spawn(async move { stop.run_until_cancelled(task).await });
    }

    pub fn address(&self) -> SocketAddr {
        self.address
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
        self.tasks.close();
        let drained = async {
            if let Ok(connections) = self.accepting.await {
                connections.shutdown().await;
            }
            self.tasks.wait().await;
        };
        let complete = tokio::time::timeout(limit, drained).await.is_ok();
        events::drained(complete);
    }
}

async fn accept_loop(
    app: Arc<App>,
    listener: TcpListener,
    stop: CancellationToken,
    tasks: TaskTracker,
) -> GracefulShutdown {
    let connections = GracefulShutdown::new();
    let places = Arc::new(Semaphore::new(app.settings.connections_max));
    loop {
        // The place first: beyond the limit a connection waits in the system's
        // queue and costs nothing here.
        let accepted = async {
            let place = Arc::clone(&places).acquire_owned().await.ok()?;
            Some((listener.accept().await, place))
        };
        let Some(Some((accepted, place))) = stop.run_until_cancelled(accepted).await else {
            return connections;
        };
        match accepted {
            Ok((stream, peer)) => {
                let served = serve(Arc::clone(&app), stream, peer, place, &connections);
                tasks.spawn(served);
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
    stream: TcpStream,
    peer: SocketAddr,
    place: OwnedSemaphorePermit,
    connections: &GracefulShutdown,
) -> impl Future<Output = ()> + Send + 'static {
    // Small answers should not wait for an acknowledgement.
    let _ = stream.set_nodelay(true);
    let header_timeout = app.settings.header_timeout.0;
    let service = service_fn(move |request| {
        let app = Arc::clone(&app);
        async move { Ok::<_, std::convert::Infallible>(route(&app, peer, request).await) }
    });
    let connection = http1::Builder::new()
        // Without a timer hyper's header timeout silently does nothing.
        .timer(TokioTimer::new())
        .header_read_timeout(header_timeout)
        .max_headers(64)
        .max_buf_size(64 << 10)
        .serve_connection(TokioIo::new(stream), service);
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
