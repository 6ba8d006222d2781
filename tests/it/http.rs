//! HTTP/1.1 as RFC 9110 and 9112 have it, byte for byte over real sockets. The
//! cases are `cases/http/*.txt`.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::stand::{Folder, cases};

/// Wide: it only bounds what would hang.
const LIMIT: Duration = Duration::from_secs(60);

#[derive(Clone, Debug, Default)]
struct Case {
    name: String,
    writes: Vec<Vec<u8>>,
    half: bool,
    answers: Vec<String>,
    fate: Option<String>,
    has: Vec<String>,
    lacks: Vec<String>,
}

#[tokio::test(flavor = "multi_thread")]
async fn every_case_of_the_suite_is_answered_as_the_rfcs_say() {
    let mut all = Vec::new();
    for entry in std::fs::read_dir(cases("http")).expect("the cases") {
        let path = entry.expect("an entry").path();
        let text = std::fs::read_to_string(&path).expect("a text");
        let file = path
            .file_stem()
            .expect("a name")
            .to_string_lossy()
            .into_owned();
        all.extend(parse(&text).into_iter().map(|case| Case {
            name: format!("{file}: {}", case.name),
            ..case
        }));
    }
    assert!(all.len() >= 150, "{} cases", all.len());
    let folder = Folder::new();
    folder.write(
        "koemasu.toml",
        "[pipelines]\nfolder = \"pipelines\"\n[server]\nwatch = false\nheader_timeout = \"3s\"\nbody_timeout = \"3s\"\n",
    );
    let server = folder.serve().await;
    let to = server.address();
    let mut wrong = Vec::new();
    for some in all.chunks(16) {
        let asked: Vec<_> = some
            .iter()
            .map(|case| tokio::task::spawn(run(to, case.clone())))
            .collect();
        for (case, asked) in some.iter().zip(asked) {
            if let Err(what) = asked.await.expect("no panic") {
                wrong.push(format!("{}: {what}", case.name));
            }
        }
    }
    server.stop().await;
    assert!(
        wrong.is_empty(),
        "{} wrong:\n{}",
        wrong.len(),
        wrong.join("\n")
    );
}

async fn run(to: SocketAddr, case: Case) -> Result<(), String> {
    tokio::time::timeout(LIMIT, ask(to, &case))
        .await
        .unwrap_or_else(|_| Err("it hangs".to_owned()))
}

async fn ask(to: SocketAddr, case: &Case) -> Result<(), String> {
    let stream = TcpStream::connect(to).await.map_err(|e| e.to_string())?;
    let (reader, mut writer) = stream.into_split();
    let mut answers = Answers {
        reader,
        bytes: Vec::new(),
    };
    // Read while written: a server that refuses early may close early.
    let write = async {
        for (place, bytes) in case.writes.iter().enumerate() {
            if place > 0 {
                tokio::time::sleep(Duration::from_millis(30)).await;
            }
            if writer.write_all(bytes).await.is_err() {
                return;
            }
        }
        if case.half {
            let _ = writer.shutdown().await;
        }
    };
    let read = async {
        let mut last = String::new();
        for wanted in &case.answers {
            let (perhaps, wanted) = match wanted.strip_prefix('~') {
                Some(wanted) => (true, wanted),
                None => (false, wanted.as_str()),
            };
            let (bodiless, wanted) = match wanted.strip_suffix('!') {
                Some(wanted) => (true, wanted),
                None => (false, wanted),
            };
            let status = |head: &str| head.split(' ').nth(1).unwrap_or_default().to_owned();
            let mut head = answers.head().await?;
            let fits = |head: &str| wanted.split('/').any(|it| it == status(head));
            if perhaps {
                if !fits(&head) {
                    answers.unread(&head);
                }
                continue;
            }
            if !fits(&head) {
                return Err(format!("{wanted} is wanted and came: {head}"));
            }
            if !bodiless {
                answers.body(&head).await?;
            }
            last = std::mem::take(&mut head);
        }
        Ok(last)
    };
    let ((), last) = tokio::join!(write, read);
    let last = last?.to_lowercase();
    for wanted in &case.has {
        if !last.contains(wanted.as_str()) {
            return Err(format!("`{wanted}` is not in {last}"));
        }
    }
    for other in &case.lacks {
        if last.contains(other.as_str()) {
            return Err(format!("`{other}` is in {last}"));
        }
    }
    match case.fate.as_deref() {
        Some("close") => match answers.rest().await {
            rest if rest.is_empty() => Ok(()),
            rest => Err(format!("more came: {}", String::from_utf8_lossy(&rest))),
        },
        Some("open") => {
            let next = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n";
            let sent = writer.write_all(next).await;
            sent.map_err(|e| format!("it is closed: {e}"))?;
            let head = answers.head().await.map_err(|e| format!("then: {e}"))?;
            match head.starts_with("HTTP/1.1 200 ") {
                true => Ok(()),
                false => Err(format!("then came: {head}")),
            }
        }
        _ => Ok(()),
    }
}

struct Answers {
    reader: tokio::net::tcp::OwnedReadHalf,
    bytes: Vec<u8>,
}

impl Answers {
    async fn more(&mut self) -> Result<(), String> {
        let read = self.reader.read_buf(&mut self.bytes).await;
        match read.map_err(|e| e.to_string())? {
            0 => Err(format!(
                "it was closed after {:?}",
                String::from_utf8_lossy(&self.bytes)
            )),
            _ => Ok(()),
        }
    }

    async fn head(&mut self) -> Result<String, String> {
        loop {
            if let Some(end) = find(&self.bytes, b"\r\n\r\n") {
                let head: Vec<_> = self.bytes.drain(..end + 4).collect();
                return String::from_utf8(head).map_err(|e| e.to_string());
            }
            self.more().await?;
        }
    }

    fn unread(&mut self, head: &str) {
        self.bytes.splice(0..0, head.bytes());
    }

    async fn exact(&mut self, bytes: usize) -> Result<(), String> {
        while self.bytes.len() < bytes {
            self.more().await?;
        }
        self.bytes.drain(..bytes);
        Ok(())
    }

    async fn body(&mut self, head: &str) -> Result<(), String> {
        let head = head.to_lowercase();
        if head.starts_with("http/1.1 1") {
            return Ok(());
        }
        if let Some((_, rest)) = head.split_once("\r\ncontent-length: ") {
            let length = rest.split('\r').next().unwrap_or_default();
            return self.exact(length.parse().map_err(|_| head.clone())?).await;
        }
        if !head.contains("\r\ntransfer-encoding: chunked\r\n") {
            return Ok(());
        }
        loop {
            let end = loop {
                match find(&self.bytes, b"\r\n") {
                    Some(end) => break end,
                    None => self.more().await?,
                }
            };
            let size = String::from_utf8_lossy(&self.bytes[..end]).into_owned();
            let size = usize::from_str_radix(&size, 16).map_err(|e| e.to_string())?;
            self.exact(end + 2 + size + 2).await?;
            if size == 0 {
                return Ok(());
            }
        }
    }

    async fn rest(mut self) -> Vec<u8> {
        // A reset closes as well, once all is read that was wanted.
        let _ = self.reader.read_to_end(&mut self.bytes).await;
        self.bytes
    }
}

fn find(bytes: &[u8], what: &[u8]) -> Option<usize> {
    bytes.windows(what.len()).position(|it| it == what)
}

fn parse(text: &str) -> Vec<Case> {
    let mut all: Vec<Case> = Vec::new();
    let mut fresh = true;
    for line in text.lines().filter(|line| !line.starts_with('#')) {
        if line.is_empty() {
            fresh = true;
            continue;
        }
        if std::mem::take(&mut fresh) {
            all.push(Case {
                name: line.to_owned(),
                ..Case::default()
            });
            continue;
        }
        let case = all.last_mut().expect("a name comes first");
        let rest = line.get(2..).unwrap_or_default();
        match &line[..1] {
            ">" => case.writes.push(bytes(&repeated(rest))),
            "|" => case.half = true,
            "<" => case.answers = rest.split_whitespace().map(str::to_owned).collect(),
            "=" => case.fate = Some(rest.to_owned()),
            "+" => case.has.push(rest.to_lowercase()),
            "-" => case.lacks.push(rest.to_lowercase()),
            other => panic!("{}: what is `{other}`?", case.name),
        }
    }
    all
}

/// `«host»` and `«text*n»`.
fn repeated(text: &str) -> String {
    let mut out = String::new();
    for (place, piece) in text.split('«').enumerate() {
        let (inner, rest) = match piece.split_once('»') {
            Some(parts) if place > 0 => parts,
            _ => ("", piece),
        };
        match inner.rsplit_once('*') {
            _ if inner == "host" => out.push_str("Host: 127.0.0.1\\r\\n"),
            Some((text, times)) => out.push_str(&text.repeat(times.parse().expect("a number"))),
            None => assert!(inner.is_empty(), "{inner}"),
        }
        out.push_str(rest);
    }
    out
}

/// `\r \n \t \0 \\ \xNN`
fn bytes(text: &str) -> Vec<u8> {
    let mut out = Vec::new();
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        if byte != b'\\' {
            out.push(byte);
            continue;
        }
        out.push(match rest.next() {
            Some(b'r') => b'\r',
            Some(b'n') => b'\n',
            Some(b't') => b'\t',
            Some(b'0') => 0,
            Some(b'\\') => b'\\',
            Some(b'x') => {
                let hex = [rest.next(), rest.next()].map(|it| it.expect("two digits"));
                let hex = std::str::from_utf8(&hex).expect("digits").to_owned();
                u8::from_str_radix(&hex, 16).expect("hex")
            }
            other => panic!("\\{other:?}"),
        });
    }
    out
}
