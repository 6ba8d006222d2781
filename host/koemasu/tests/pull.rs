//! A voice on its way: from a hub on this machine that breaks off, into a server
//! that is running.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

const COMMIT: &str = "0123456789012345678901234567890123456789";

/// As the hub answers: a listing, and files with ranges. After `budget` bytes
/// it says nothing more.
struct Hub {
    address: String,
    budget: Arc<AtomicUsize>,
    asked: Arc<Mutex<Vec<String>>>,
}

impl Hub {
    fn new(files: BTreeMap<String, Vec<u8>>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = format!("http://{}", listener.local_addr().expect("an address"));
        let budget = Arc::new(AtomicUsize::new(usize::MAX));
        let asked = Arc::new(Mutex::new(Vec::new()));
        let hub = Self {
            address,
            budget: Arc::clone(&budget),
            asked: Arc::clone(&asked),
        };
        std::thread::spawn(move || {
            for stream in listener.incoming().take(200) {
                let Ok(stream) = stream else { return };
                let _ = answer(&stream, &files, &budget, &asked);
            }
        });
        hub
    }
}

fn answer(
    mut stream: &TcpStream,
    files: &BTreeMap<String, Vec<u8>>,
    budget: &AtomicUsize,
    asked: &Mutex<Vec<String>>,
) -> std::io::Result<()> {
    let mut lines = BufReader::new(stream).lines();
    let first = lines.next().transpose()?.unwrap_or_default();
    let mut from = 0;
    for line in lines {
        let line = line?.to_lowercase();
        if line.is_empty() {
            break;
        }
        if let Some(range) = line.strip_prefix("range: bytes=") {
            from = range.trim_end_matches('-').parse().unwrap_or(0);
        }
    }
    let path = first.split(' ').nth(1).unwrap_or_default();
    asked
        .lock()
        .expect("nobody panics")
        .push(format!("{path} {from}"));
    if path.starts_with("/api/models/owner/voices/revision/") {
        let siblings: Vec<_> = files
            .iter()
            .map(|(name, bytes)| serde_json::json!({"rfilename": name, "size": bytes.len()}))
            .collect();
        let listing = serde_json::json!({"id": "owner/voices", "sha": COMMIT, "siblings": siblings,
            "cardData": {"license": "cc0-1.0"}});
        let body = listing.to_string();
        return write!(
            stream,
            "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}",
            body.len()
        );
    }
    let name = path.strip_prefix(&format!("/owner/voices/resolve/{COMMIT}/"));
    let Some(bytes) = name.and_then(|name| files.get(name)) else {
        return write!(
            stream,
            "HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"
        );
    };
    let rest = &bytes[from..];
    let (status, range) = match from {
        0 => ("200 OK", String::new()),
        from => (
            "206 Partial Content",
            format!(
                "content-range: bytes {from}-{}/{}\r\n",
                bytes.len() - 1,
                bytes.len()
            ),
        ),
    };
    write!(
        stream,
        "HTTP/1.1 {status}\r\n{range}etag: \"{}\"\r\ncontent-length: {}\r\nconnection: close\r\n\r\n",
        bytes.len(),
        rest.len()
    )?;
    let allowed = budget.load(Ordering::SeqCst).min(rest.len());
    if budget.load(Ordering::SeqCst) != usize::MAX {
        budget.fetch_sub(allowed, Ordering::SeqCst);
    }
    stream.write_all(&rest[..allowed])
}

fn voice() -> BTreeMap<String, Vec<u8>> {
    let fixture = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/fixtures/import");
    let files = [
        "config.json",
        "style_vectors.npy",
        "voice_e100_s2000.safetensors",
    ];
    let read = |name: &str| {
        let bytes = std::fs::read(fixture.join(name)).expect("the fixture");
        (format!("haru/{name}"), bytes)
    };
    files.map(read).into()
}

fn koemasu(folder: &Path, hub: &str) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_koemasu"));
    command
        .current_dir(folder)
        .env("KOEMASU_DATA", folder.join("data"))
        .env("HF_ENDPOINT", hub)
        .env("HF_HOME", folder.join("hf"))
        .env_remove("HF_TOKEN");
    command
}

fn said(output: &Output) -> String {
    let [out, err] = [&output.stdout, &output.stderr].map(|it| String::from_utf8_lossy(it));
    format!("{out}{err}")
}

fn run(folder: &Path, hub: &str, words: &[&str]) -> (bool, String) {
    let output = koemasu(folder, hub)
        .args(words)
        .output()
        .expect("it starts");
    (output.status.success(), said(&output))
}

struct Server(Child);

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn get(address: &str, path: &str) -> String {
    let Ok(mut stream) = TcpStream::connect(address) else {
        return String::new();
    };
    let request = format!("GET {path} HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n\r\n");
    let _ = stream.write_all(request.as_bytes());
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer);
    String::from_utf8_lossy(&answer).into_owned()
}

#[test]
fn a_pull_that_broke_off_goes_on_and_a_running_server_takes_what_came() {
    let folder = tempfile::tempdir().expect("a folder");
    let folder = folder.path();
    let hub = Hub::new(voice());

    let mut child = koemasu(folder, &hub.address)
        .args(["serve", "--listen", "127.0.0.1:0"])
        .stderr(Stdio::piped())
        .spawn()
        .expect("it starts");
    let lines = BufReader::new(child.stderr.take().expect("piped")).lines();
    let _server = Server(child);
    let mut lines = lines.map_while(Result::ok);
    let serves = lines.find_map(|line| {
        let address = line.split("koemasu serves on http://").nth(1)?;
        Some(address.to_owned())
    });
    let address = serves.expect("it serves");
    std::thread::spawn(move || lines.for_each(drop));
    assert!(get(&address, "/v1/audio/voices").contains("\"demo\""));

    // It says nothing more after a megabyte, whoever asks.
    hub.budget.store(1 << 20, Ordering::SeqCst);
    let source = "hf:owner/voices/haru";
    let (ended, told) = run(folder, &hub.address, &["pull", source]);
    assert!(!ended, "{told}");
    let shelf = folder.join("data/voices");
    assert!(!shelf.join("haru").exists(), "nothing half-written");
    assert!(get(&address, "/v1/audio/voices").contains("\"demo\""));

    hub.budget.store(usize::MAX, Ordering::SeqCst);
    hub.asked.lock().expect("nobody panics").clear();
    let (ended, told) = run(folder, &hub.address, &["pull", source]);
    assert!(ended, "{told}");
    assert!(told.contains("licence: cc0-1.0"), "{told}");
    let asked = hub.asked.lock().expect("nobody panics").join("\n");
    assert!(
        !asked.contains("voice_e100_s2000.safetensors 0"),
        "it goes on where it was: {asked}"
    );
    let (_, expected) = voice().pop_last().expect("a model");
    let model = shelf.join("haru/voice_e100_s2000.safetensors");
    assert_eq!(std::fs::read(model).expect("the model"), expected);

    let limit = Instant::now() + Duration::from_secs(120);
    while !get(&address, "/v1/audio/voices").contains("\"haru\"") {
        assert!(Instant::now() < limit, "the server has not looked");
        std::thread::sleep(Duration::from_millis(200));
    }

    let (ended, told) = run(folder, &hub.address, &["list"]);
    assert!(ended && told.contains("voice  haru: JP-Extra"), "{told}");
    let (ended, told) = run(folder, &hub.address, &["show", "haru"]);
    assert!(ended && told.contains("licence       cc0-1.0"), "{told}");
    assert!(
        told.contains("pulled from   hf:owner/voices/haru"),
        "{told}"
    );
    let (ended, told) = run(folder, &hub.address, &["pull", source, "--verify"]);
    assert!(ended && told.contains("was there already"), "{told}");
    let (ended, told) = run(folder, &hub.address, &["show", "nobody"]);
    assert!(!ended && told.contains("there is haru"), "{told}");
    let (ended, told) = run(folder, &hub.address, &["rm", "haru"]);
    assert!(ended && told.contains("removed haru"), "{told}");
    assert!(!shelf.join("haru").exists());
    let (ended, told) = run(folder, &hub.address, &["rm", "haru"]);
    assert!(!ended, "{told}");
}

#[test]
fn what_cannot_be_pulled_is_told_with_its_cure() {
    let folder = tempfile::tempdir().expect("a folder");
    let folder = folder.path();
    let hub = Hub::new(voice());
    for (source, said) in [
        ("hf:owner", "hf:OWNER/REPO"),
        ("hf:owner/nothing", "HF_TOKEN"),
        ("hf:owner/voices/natsu", "natsu"),
        ("ftp://example.org/x.aivm", "ftp"),
        ("https://example.org/x.zip", "zip"),
    ] {
        let (ended, told) = run(folder, &hub.address, &["pull", source]);
        assert!(!ended && told.contains(said), "{source}: {told}");
    }
    let words = ["pull", "hf:owner/voices", "--limit", "1kB"];
    let (ended, told) = run(folder, &hub.address, &words);
    assert!(!ended, "{told}");
    assert!(!folder.join("data/voices/haru").exists());
}
