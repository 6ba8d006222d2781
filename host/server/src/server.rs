//! Accepts connections, serves them, drains.

use std::io::{Read, Write};
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll};
use std::time::Duration;

use anyhow::Context as _;
use bytes::Bytes;
use hyper::body::{Frame, Incoming, SizeHint};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio_util::sync::CancellationToken;

use crate::admin::memory;
use crate::app::App;
use crate::config::{Config, Files};
use crate::dialect;
use crate::events;
use crate::http::answer::{Body, Cut};
use crate::http::api::route;
use crate::http::house::{Guest, House, Serving};
use crate::http::parts::Parts;
use crate::http::shares::Owner;
use crate::http::wire::{Line, Wire};
use crate::platform;
use crate::reload;
use crate::reloads::{Asks, Cause, Reloads};
use crate::signal;
use crate::telemetry;

/// A server that accepts. It is ready once its first generation is published.
pub struct Server {
    app: Arc<App>,
    /// The shared port first.
    addresses: Vec<(SocketAddr, Parts)>,
    stop: CancellationToken,
}

/// A port that is listened to, and what it answers for.
struct Port {
    listener: TcpListener,
    address: SocketAddr,
    parts: Parts,
}

impl Port {
    fn open(address: SocketAddr, parts: Parts) -> anyhow::Result<Self> {
        let listener =
            Self::listen(address).with_context(|| format!("cannot listen on {address}"))?;
        Ok(Self {
            address: listener.local_addr()?,
            listener,
            parts,
        })
    }

    fn listen(address: SocketAddr) -> std::io::Result<TcpListener> {
        let socket = match address {
            SocketAddr::V4(_) => TcpSocket::new_v4()?,
            SocketAddr::V6(_) => TcpSocket::new_v6()?,
        };
        // A start after an end, while connections of the last one still end.
        socket.set_reuseaddr(true)?;
        socket.bind(address)?;
        socket.listen(BACKLOG)
    }
}

/// Connections that the system keeps while we come to accept them: as many as
/// Linux grants unasked.
const BACKLOG: u32 = 4_096;

/// How long a connection that we close may take to read its last answer.
const FAREWELL: Duration = Duration::from_secs(2);

impl Server {
    /// Binds, starts to accept, and publishes the first generation. Until then
    /// `/healthz` answers and `/readyz` does not.
    pub async fn start(files: Files) -> anyhow::Result<Self> {
        let config = Config::load(&files)?;
        let mut ports = vec![Port::open(config.server.listen, config.dialects.shared())?];
        for (address, parts) in config.dialects.apart() {
            ports.push(Port::open(address, parts)?);
        }
        // Before anything counts: events before the recorder are lost.
        let metrics = telemetry::metrics();
        let live = platform::live(&config)?;
        let (reloads, asks) = Reloads::new();
        let app = Arc::new(App::new(
            &config,
            live,
            reloads,
            metrics,
            dialect::states(&config),
        ));
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
        let wanted = app.settings.connections_max;
        let most = wanted.min(platform::connections());
        if most < wanted {
            events::few_descriptors(most, wanted);
        }
        let house = House::new(most, app.settings.connections_per_address);
        for port in ports {
            let house = Arc::clone(&house);
            app.tasks
                .spawn(accept_loop(Arc::clone(&app), port, house, stop.clone()));
        }
        Self {
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
        // So that what is pulled while it serves is seen; best effort.
        let pulled = files.environment.voices();
        if watched.contains(&pulled) {
            let _ = std::fs::create_dir_all(&pulled);
        }
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

    /// What its requests share.
    pub fn app(&self) -> &Arc<App> {
        &self.app
    }

    /// No new connections; requests taken in may finish within the drain
    /// limit. Says whether all did.
    pub async fn stop(self) -> bool {
        let limit = self.app.settings.drain.0;
        self.app.stopping.store(true, Ordering::Relaxed);
        events::draining(limit);
        self.stop.cancel();
        self.app.tasks.close();
        let drained = self.app.tasks.wait();
        let complete = tokio::time::timeout(limit, drained).await.is_ok();
        events::drained(complete);
        complete
    }
}

/// Never waits for a place: whoever comes is let in, or told that there is
/// none.
async fn accept_loop(app: Arc<App>, port: Port, house: Arc<House>, stop: CancellationToken) {
    while let Some(accepted) = stop.run_until_cancelled(port.listener.accept()).await {
        match accepted {
            Ok((stream, peer)) => {
                let owner = Owner::of(peer.ip(), &app.settings.proxies);
                match house.enter(owner) {
                    Ok(guest) => {
                        let served = serve(
                            Arc::clone(&app),
                            port.parts,
                            stream,
                            peer,
                            guest,
                            stop.clone(),
                        );
                        app.tasks.spawn(served);
                    }
                    Err(_) => turn_away(stream),
                }
            }
            Err(error) => {
                // Out of file descriptors, most likely.
                events::connection_failed(&error);
                house.make_room();
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        }
    }
}

/// Everybody in the house is being served. Said at once, without waiting for
/// what was going to be asked.
fn turn_away(stream: TcpStream) {
    events::turned_away();
    let Ok(mut stream) = stream.into_std() else {
        return;
    };
    let _ = stream.write(
        b"HTTP/1.1 503 Service Unavailable\r\nretry-after: 1\r\nconnection: close\r\ncontent-length: 0\r\n\r\n",
    );
    let _ = stream.shutdown(std::net::Shutdown::Write);
    // Bytes that nobody has read would make the system take the answer back.
    let _ = stream.read(&mut [0; 8 << 10]);
}

/// One connection; at a stop it ends after its last answer.
fn serve(
    app: Arc<App>,
    parts: Parts,
    stream: TcpStream,
    peer: SocketAddr,
    guest: Arc<Guest>,
    stop: CancellationToken,
) -> impl Future<Output = ()> + Send + 'static {
    // Small answers should not wait for an acknowledgement.
    let _ = stream.set_nodelay(true);
    let (header_timeout, write_timeout) =
        (app.settings.header_timeout.0, app.settings.write_timeout.0);
    let line = Line::new(stream, Arc::clone(&guest));
    let wire = Wire::new(Arc::clone(&line), write_timeout);
    let watched = Arc::clone(&line);
    let service = service_fn(move |request| {
        let (app, line) = (Arc::clone(&app), Arc::clone(&watched));
        async move { answer(&app, parts, peer, &line, request).await }
    });
    let mut connection = http1::Builder::new()
        // Without a timer hyper's header timeout silently does nothing.
        .timer(TokioTimer::new())
        .header_read_timeout(header_timeout)
        .max_headers(64)
        .max_buf_size(64 << 10)
        // Who has nothing more to say may still listen; `Line` finds out.
        .half_close(true)
        .serve_connection(TokioIo::new(Box::pin(wire)), service);
    async move {
        events::connected();
        let ended = tokio::select! {
            ended = &mut connection => Some(ended),
            () = guest.shown_out() => None,
            () = stop.cancelled() => match guest.is_idle() {
                true => None,
                false => {
                    Pin::new(&mut connection).graceful_shutdown();
                    tokio::select! {
                        ended = &mut connection => Some(ended),
                        () = guest.shown_out() => None,
                    }
                }
            },
        };
        if let Some(ended) = ended {
            let unread = connection.into_parts().read_buf;
            if let Err(error) = &ended {
                events::connection_failed(error);
                last_word(&line, error, &unread);
            }
            let farewell = line.linger(FAREWELL);
            tokio::select! {
                () = farewell => {}
                () = guest.shown_out() => {}
                () = stop.cancelled() => {}
            }
        }
        events::disconnected();
    }
}

/// Where hyper closes without an answer.
fn last_word(line: &Line, error: &hyper::Error, unread: &[u8]) {
    if unread.starts_with(b"PRI * HTTP/2.0\r\n") {
        line.say(
            b"HTTP/1.1 505 HTTP Version Not Supported\r\nconnection: close\r\ncontent-length: 0\r\n\r\n",
        );
    } else if error.is_timeout() && !unread.is_empty() {
        line.say(b"HTTP/1.1 408 Request Timeout\r\nconnection: close\r\ncontent-length: 0\r\n\r\n");
    }
}

/// Whoever asked has hung up.
#[derive(Debug, thiserror::Error)]
#[error("the client has gone")]
struct Gone;

async fn answer(
    app: &Arc<App>,
    parts: Parts,
    peer: SocketAddr,
    line: &Line,
    request: Request<Incoming>,
) -> Result<Response<Sent>, Gone> {
    let serving = line.guest.serve();
    let version = request.version();
    let answer = Box::pin(route(app, parts, peer, &line.guest, request));
    tokio::select! {
        biased;
        answer = answer => Ok(answer.map(|body| Sent { body, _serving: serving })),
        () = line.hung_up(version) => Err(Gone),
    }
}

/// An answer on its way.
struct Sent {
    body: Body,
    _serving: Serving,
}

impl hyper::body::Body for Sent {
    type Data = Bytes;
    type Error = Cut;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Cut>>> {
        Pin::new(&mut self.body).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
