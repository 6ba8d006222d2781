//! Which processor this is, as far as ONNX Runtime chooses its kernels by it.

use std::sync::LazyLock;

use base16ct::lower::encode_string as encode_hex;
use sha2::{Digest, Sha256};

/// Equal for processors that can do the same.
pub(crate) static FEATURES: LazyLock<String> = LazyLock::new(|| {
    let info = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let told = |line: &&str| line.starts_with("flags") || line.starts_with("Features");
    let features = info.lines().find(told).unwrap_or_default();
    encode_hex(&Sha256::digest(features.as_bytes())[..8])
});
