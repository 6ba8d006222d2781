//! A server of HTTP on this machine: it answers as it is told, keeps what it
//! was asked, and breaks off where a test wants it to.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

/// What was asked.
#[derive(Clone, Debug)]
pub(crate) struct Request {
    /// With its query.
    pub(crate) path: String,
    headers: Vec<(String, String)>,
}

impl Request {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let mut headers = self.headers.iter();
        let found = headers.find(|(key, _)| key.eq_ignore_ascii_case(name));
        found.map(|(_, value)| value.as_str())
    }
}

/// What is answered.
#[derive(Clone, Debug)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
    pub(crate) length: Length,
    /// The connection ends behind so many bytes of the body.
    pub(crate) cut: Option<usize>,
    /// So many bytes, then such a rest.
    pub(crate) pace: Option<(usize, Duration)>,
}

/// What is said of the body's length.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Length {
    True,
    Of(u64),
    /// The end of the connection is the end of the body.
    Unsaid,
    Chunked,
}

impl Reply {
    pub(crate) fn new(status: u16, body: impl Into<Vec<u8>>) -> Self {
        Self {
            status,
            headers: Vec::new(),
            body: body.into(),
            length: Length::True,
            cut: None,
            pace: None,
        }
    }

    pub(crate) fn to(location: impl Into<String>) -> Self {
        Self::new(302, "Found. Redirecting").with("Location", location)
    }

    pub(crate) fn with(mut self, name: &str, value: impl Into<String>) -> Self {
        self.headers.push((name.to_owned(), value.into()));
        self
    }

    fn write(&self, stream: &mut dyn Write) -> std::io::Result<()> {
        let mut head = format!("HTTP/1.1 {} So\r\nConnection: close\r\n", self.status);
        for (name, value) in &self.headers {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        match self.length {
            Length::True => head.push_str(&format!("Content-Length: {}\r\n", self.body.len())),
            Length::Of(bytes) => head.push_str(&format!("Content-Length: {bytes}\r\n")),
            Length::Unsaid => {}
            Length::Chunked => head.push_str("Transfer-Encoding: chunked\r\n"),
        }
        head.push_str("\r\n");
        stream.write_all(head.as_bytes())?;
        let sent = self
            .cut
            .map_or(self.body.len(), |cut| cut.min(self.body.len()));
        let (piece, rest) = self.pace.unwrap_or((16 << 10, Duration::ZERO));
        for piece in self.body[..sent].chunks(piece) {
            if matches!(self.length, Length::Chunked) {
                write!(stream, "{:x}\r\n", piece.len())?;
            }
            stream.write_all(piece)?;
            if matches!(self.length, Length::Chunked) {
                stream.write_all(b"\r\n")?;
            }
            stream.flush()?;
            std::thread::sleep(rest);
        }
        if matches!(self.length, Length::Chunked) && self.cut.is_none() {
            stream.write_all(b"0\r\n\r\n")?;
        }
        stream.flush()
    }
}

type Handler = dyn Fn(&Request) -> Reply + Send + Sync;

/// Answers until it is dropped.
pub(crate) struct Server {
    place: SocketAddr,
    asked: Arc<Mutex<Vec<Request>>>,
    over: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

/// What a connection is spoken over.
pub(crate) trait Line: Read + Write {}
impl<T: Read + Write> Line for T {}

type Wrap = dyn Fn(TcpStream) -> Box<dyn Line> + Send + Sync;

impl Server {
    pub(crate) fn new(handler: impl Fn(&Request) -> Reply + Send + Sync + 'static) -> Self {
        Self::over(Box::new(|stream| Box::new(stream)), handler)
    }

    /// With something between the connection and the answers.
    pub(crate) fn over(
        wrap: Box<Wrap>,
        handler: impl Fn(&Request) -> Reply + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let place = listener.local_addr().expect("an address");
        let (asked, over) = (Arc::default(), Arc::new(AtomicBool::new(false)));
        let handler: Arc<Handler> = Arc::new(handler);
        let wrap: Arc<Wrap> = wrap.into();
        let thread = std::thread::spawn({
            let (asked, over) = (Arc::clone(&asked), Arc::clone(&over));
            move || {
                for stream in listener.incoming().flatten() {
                    if over.load(Ordering::SeqCst) {
                        return;
                    }
                    let (asked, handler) = (Arc::clone(&asked), Arc::clone(&handler));
                    let wrap = Arc::clone(&wrap);
                    std::thread::spawn(move || {
                        let wait = Some(Duration::from_secs(10));
                        let _ = stream.set_read_timeout(wait);
                        let _ = stream.set_write_timeout(wait);
                        // Who hangs up has what it wanted.
                        let _ = serve(&mut *wrap(stream), &asked, &*handler);
                    });
                }
            }
        });
        Self {
            place,
            asked,
            over,
            thread: Some(thread),
        }
    }

    pub(crate) fn address(&self) -> String {
        format!("http://{}", self.place)
    }

    pub(crate) fn port(&self) -> u16 {
        self.place.port()
    }

    /// What it was asked since the last time that somebody wanted to know.
    pub(crate) fn asked(&self) -> Vec<Request> {
        std::mem::take(&mut self.asked.lock().expect("no panic"))
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.over.store(true, Ordering::SeqCst);
        let _ = TcpStream::connect(self.place);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn serve(
    line: &mut dyn Line,
    asked: &Mutex<Vec<Request>>,
    handler: &Handler,
) -> std::io::Result<()> {
    let request = read(line)?;
    asked.lock().expect("no panic").push(request.clone());
    let reply = handler(&request);
    reply.write(line)
}

fn read(line: &mut dyn Line) -> std::io::Result<Request> {
    let mut lines = BufReader::new(line).lines();
    let first = lines.next().unwrap_or(Ok(String::new()))?;
    let path = first.split(' ').nth(1).unwrap_or_default().to_owned();
    let mut headers = Vec::new();
    for line in lines {
        let line = line?;
        let Some((name, value)) = line.split_once(": ") else {
            break;
        };
        headers.push((name.to_owned(), value.to_owned()));
    }
    Ok(Request { path, headers })
}

/// Such a file as servers of files give it: whole, or from somewhere on.
pub(crate) fn file(request: &Request, content: &[u8], etag: &str) -> Reply {
    let whole = || {
        Reply::new(200, content)
            .with("ETag", etag)
            .with("Accept-Ranges", "bytes")
    };
    if request.header("if-none-match") == Some(etag) {
        return Reply::new(304, "").with("ETag", etag);
    }
    let range = request.header("range").and_then(|range| {
        let first = range.strip_prefix("bytes=")?.strip_suffix('-')?;
        first.parse::<usize>().ok()
    });
    let same = request.header("if-range").is_none_or(|it| it == etag);
    match range.filter(|_| same) {
        None => whole(),
        Some(first) if first >= content.len() => {
            let range = format!("bytes */{}", content.len());
            Reply::new(416, "").with("Content-Range", range)
        }
        Some(first) => {
            let (last, all) = (content.len() - 1, content.len());
            let range = format!("bytes {first}-{last}/{all}");
            let reply = Reply::new(206, &content[first..]).with("ETag", etag);
            reply.with("Content-Range", range)
        }
    }
}
