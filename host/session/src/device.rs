//! CPU or CUDA: what is wanted, what is there.

use serde::Deserialize;

/// `models.device` in koemasu.toml.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Wanted {
    /// CUDA if a driver answers and the library can use it, else the CPU.
    Auto,
    /// The processor, even where a GPU is there.
    Cpu,
    /// CUDA or an error: never a slow server in silence.
    Cuda,
}

/// Where the models of this process run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Device {
    /// Whichever processor the process runs on.
    Cpu,
    /// By CUDA's own number.
    Cuda(i32),
}

impl std::fmt::Display for Device {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Cpu => f.write_str("cpu"),
            Self::Cuda(number) => write!(f, "cuda:{number}"),
        }
    }
}
