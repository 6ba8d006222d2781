//! The environment: what its variables say, and what they are when nobody has
//! set them. The one door to it.

use std::path::PathBuf;

/// The environment, read once.
#[derive(Clone, Debug, Default)]
pub struct Environment {
    /// Folder of what set-up fetched and built.
    pub home: PathBuf,
    /// Folder of what a user has made: the dictionaries of the built-in
    /// pipelines.
    pub data: PathBuf,
    /// Folder of what Hugging Face's own clients have fetched.
    pub hub_cache: PathBuf,
    /// A library of ONNX Runtime to use in place of the one that set-up
    /// fetched.
    pub onnxruntime: Option<PathBuf>,
    /// It goes before `admin.token`.
    pub admin_token: Option<String>,
}

impl Environment {
    /// Variables that are not there have defaults, and an empty one is none.
    pub fn read() -> Self {
        let home = path("KOEMASU_HOME")
            .or_else(|| path("XDG_CACHE_HOME").map(|cache| cache.join("koemasu")))
            .or_else(|| path("HOME").map(|home| home.join(".cache/koemasu")))
            .unwrap_or_else(|| PathBuf::from(".koemasu"));
        let data = path("KOEMASU_DATA")
            .or_else(|| path("XDG_DATA_HOME").map(|data| data.join("koemasu")))
            .or_else(|| path("HOME").map(|home| home.join(".local/share/koemasu")))
            .unwrap_or_else(|| PathBuf::from(".koemasu-data"));
        Self {
            home,
            data,
            hub_cache: path("HF_HUB_CACHE")
                .or_else(|| hub_home("hub"))
                .unwrap_or_default(),
            onnxruntime: path("KOEMASU_ONNXRUNTIME"),
            admin_token: text("KOEMASU_ADMIN_TOKEN"),
        }
    }
}

impl Environment {
    /// Folder of the voices that were pulled.
    pub fn voices(&self) -> PathBuf {
        self.data.join("voices")
    }

    /// Folder of the BERTs that were pulled.
    pub fn berts(&self) -> PathBuf {
        self.data.join("bert")
    }
}

/// How Hugging Face's own clients are told whom to ask, and who asks.
#[derive(Clone, Default)]
pub struct HubEnvironment {
    /// `HF_ENDPOINT`: in place of the public hub.
    pub endpoint: Option<String>,
    /// `HF_TOKEN`, or what `HF_TOKEN_PATH` or the clients' own file holds.
    pub token: Option<String>,
}

impl HubEnvironment {
    /// Variables that are not there or empty are None.
    pub fn read() -> Self {
        let file = path("HF_TOKEN_PATH").or_else(|| hub_home("token"));
        let kept = || {
            let read = session::files::read(&file?, TOKEN_BYTES_MAX).ok()?;
            let token = String::from_utf8(read).ok()?.trim().to_owned();
            Some(token).filter(|token| !token.is_empty())
        };
        Self {
            endpoint: text("HF_ENDPOINT"),
            token: text("HF_TOKEN").or_else(kept),
        }
    }
}

/// Of a file that holds one.
const TOKEN_BYTES_MAX: u64 = 4 << 10;

/// A variable that is not empty.
#[expect(clippy::disallowed_methods, reason = "this is the one door")]
fn text(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

#[expect(clippy::disallowed_methods, reason = "this is the one door")]
fn path(name: &str) -> Option<PathBuf> {
    let value = std::env::var_os(name).filter(|value| !value.is_empty());
    value.map(PathBuf::from)
}

/// What Hugging Face's own clients keep under this name.
fn hub_home(name: &str) -> Option<PathBuf> {
    let home = path("HF_HOME").or_else(|| path("HOME").map(|it| it.join(".cache/huggingface")));
    home.map(|home| home.join(name))
}
