//! A server of one's own for each test: a folder with its files, port 0.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use server::config::{Environment, Files};
use server::server::Server;
use tempfile::TempDir;

/// Deterministic: no noise, and no sentence pauses that hide lengths.
pub(crate) const PIPELINE: &str = r#"
language = "ja"
[normalize]
plugins = ["normalize-sbv2"]
[bert]
model = "embedded"
[bucket]
plugin = "bucket-ladder"
[synthesize]
sdp_ratio = 0.0
noise = 0.0
noise_w = 0.0
"#;

pub(crate) struct Folder {
    folder: TempDir,
}

impl Folder {
    pub(crate) fn new() -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        std::fs::create_dir(folder.path().join("pipelines")).expect("a folder");
        let folder = Self { folder };
        folder.write(
            "koemasu.toml",
            "[pipelines]\nfolder = \"pipelines\"\n[server]\nwatch = false\n",
        );
        folder.write("pipelines/ja.toml", PIPELINE);
        folder
    }

    /// Puts a voice `decoded` beside the demo voice: one whose decoder can be
    /// cut off, so that its sound leaves window by window.
    pub(crate) fn add_decoded(&self) {
        let voice = self.path().join("voices/decoded");
        std::fs::create_dir_all(&voice).expect("a folder");
        let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures");
        for (from, to) in [
            ("decoded.onnx", "model.onnx"),
            ("config.json", "config.json"),
            ("style_vectors.npy", "style_vectors.npy"),
        ] {
            std::fs::copy(fixtures.join(from), voice.join(to)).expect("a copy");
        }
    }

    pub(crate) fn path(&self) -> &Path {
        self.folder.path()
    }

    pub(crate) fn write(&self, name: &str, text: impl AsRef<[u8]>) {
        std::fs::write(self.path().join(name), text).expect("a writable folder");
    }

    pub(crate) fn files(&self) -> Files {
        Files {
            config: Some(self.path().join("koemasu.toml")),
            listen: Some(SocketAddr::from(([127, 0, 0, 1], 0))),
            environment: Environment {
                // What whoever runs the tests has fetched is not heard.
                data: self.path().join("data"),
                hub_cache: self.path().join("hub"),
                ..Environment::read()
            },
        }
    }

    pub(crate) async fn serve(&self) -> Server {
        Server::start(self.files())
            .await
            .unwrap_or_else(|e| panic!("the server does not start: {e:#}"))
    }
}

/// The folder of golden cases.
pub(crate) fn cases(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("cases")
        .join(name)
}

/// The packages of the server.
pub(crate) const SERVING: [&str; 11] = [
    "koemasu", "hub", "soak", "server", "pipeline", "speech", "sound", "plugin", "session",
    "memory", "vits",
];

/// The source of a package: each file's path and text.
pub(crate) fn sources(package: &str) -> Vec<(String, String)> {
    let src = cases("../../host").join(package).join("src");
    let files = files_of(&src).into_iter();
    let sources = files.filter(|path| path.extension().is_some_and(|it| it == "rs"));
    let read = |path: PathBuf| {
        let text = std::fs::read_to_string(&path).expect("a source");
        (path.display().to_string(), text)
    };
    sources.map(read).collect()
}

/// Files under a folder, but not what was built or fetched there.
pub(crate) fn files_of(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut open = vec![folder.to_owned()];
    while let Some(folder) = open.pop() {
        for entry in std::fs::read_dir(folder).expect("a folder") {
            let path = entry.expect("an entry").path();
            let made = ["target", "node_modules", "corpus"];
            if !path.is_dir() {
                found.push(path);
            } else if !made.iter().any(|it| path.ends_with(it)) {
                open.push(path);
            }
        }
    }
    found
}

/// A 16-bit mono WAV taken apart: sampling rate and samples.
pub(crate) fn wav(bytes: &[u8]) -> (u32, Vec<i16>) {
    assert_eq!(&bytes[..4], b"RIFF");
    assert_eq!(&bytes[8..16], b"WAVEfmt ");
    let u32_at = |at: usize| u32::from_le_bytes(bytes[at..at + 4].try_into().expect("4 bytes"));
    let u16_at = |at: usize| u16::from_le_bytes(bytes[at..at + 2].try_into().expect("2 bytes"));
    // A stream does not know its length beforehand.
    let size = |at: usize, actual: usize, what: &str| {
        let said = u32_at(at);
        assert!(
            said == u32::MAX || said as usize == actual,
            "{what} size: {said}"
        );
    };
    size(4, bytes.len() - 8, "RIFF");
    assert_eq!(
        (u16_at(20), u16_at(22), u16_at(34)),
        (1, 1, 16),
        "PCM, mono, 16 bit"
    );
    assert_eq!(&bytes[36..40], b"data");
    size(40, bytes.len() - 44, "data");
    let samples = bytes[44..]
        .chunks_exact(2)
        .map(|pair| i16::from_le_bytes([pair[0], pair[1]]))
        .collect();
    (u32_at(24), samples)
}

/// Runs a test in a process of its own, where what it counts is its own: the
/// recorder of metrics is the process's. nextest gives each test one; under
/// `cargo test` the program is started once more for it. Says whether this is
/// that process.
///
/// # Panics
/// If the test fails there.
#[expect(
    clippy::disallowed_methods,
    reason = "told by the test runner, or by itself"
)]
pub(crate) fn is_alone(module: &str, test: &str) -> bool {
    const ALONE: &str = "KOEMASU_TEST_ALONE";
    if std::env::var_os("NEXTEST").is_some() || std::env::var_os(ALONE).is_some() {
        return true;
    }
    let name = format!("{}::{test}", module.trim_start_matches("it::"));
    let program = std::env::current_exe().expect("this program");
    let mut alone = std::process::Command::new(program);
    alone
        .args(["--exact", &name, "--nocapture"])
        .env(ALONE, "1");
    let output = alone.output().expect("it starts");
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(
        output.status.success() && said.contains("1 passed"),
        "{name}: {said}{}",
        String::from_utf8_lossy(&output.stderr)
    );
    false
}
