//! ONNX Runtime's shared library, out of the wheel that pip fetches, and CUDA's
//! libraries for the GPU build.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};
use serde::Serialize;

use crate::home::{Home, repository};
use crate::process;
use crate::setup::{found, step};

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Flavour {
    Cpu,
    Cuda,
    /// The user's own library; what it can is not known.
    Own,
}

/// As written into setup.toml.
#[derive(Serialize)]
pub(crate) struct Library {
    pub(crate) library: PathBuf,
    flavour: Flavour,
    pub(crate) version: String,
}

/// The CPU build may be newer than the last GPU build.
const CPU_VERSION: &str = "1.32.0";
const CUDA_VERSION: &str = "1.31.1";

const CORE: &str = "libonnxruntime.so";

/// A library the user has.
pub(crate) fn own(library: &Path) -> Result<Library> {
    let library = library
        .canonicalize()
        .with_context(|| format!("the ONNX Runtime library {}", library.display()))?;
    found(&format!("ONNX Runtime of your own, {}", library.display()));
    Ok(Library {
        library,
        flavour: Flavour::Own,
        version: "unknown".to_owned(),
    })
}

/// The library of this flavour, or of the one that fits this machine.
pub(crate) fn ensure(home: &Home, wanted: Option<Flavour>) -> Result<Library> {
    let flavour = match wanted {
        Some(flavour) => flavour,
        None if has_nvidia_driver(Path::new("/"))
            && cfg!(all(target_os = "linux", target_arch = "x86_64")) =>
        {
            Flavour::Cuda
        }
        None => Flavour::Cpu,
    };
    let (version, requirements, title) = match flavour {
        Flavour::Cuda => (
            CUDA_VERSION,
            "onnxruntime-cuda.txt",
            "cuda, some 1.5 GB with CUDA's libraries",
        ),
        Flavour::Cpu | Flavour::Own => (CPU_VERSION, "onnxruntime-cpu.txt", "cpu, 28 MB"),
    };
    let name = if flavour == Flavour::Cuda {
        "cuda"
    } else {
        "cpu"
    };
    let folder = folder(home, name, version);
    let what = format!("ONNX Runtime {version} ({title})");
    fill(home, &folder, &what, |_| {
        Ok(requirements_file(requirements))
    })?;
    Ok(in_folder(&folder, flavour, version))
}

/// The GPU build without CUDA's libraries, for a machine that has them.
pub(crate) fn gpu_build(home: &Home) -> Result<Library> {
    let mut place = folder(home, "cuda", CUDA_VERSION);
    if !place.join(CORE).is_file() {
        place = folder(home, "gpu", CUDA_VERSION);
        let what = format!("ONNX Runtime {CUDA_VERSION} (GPU build alone, 256 MB)");
        fill(home, &place, &what, |part| {
            let all = std::fs::read_to_string(requirements_file("onnxruntime-cuda.txt"))?;
            let mut wanted = all.lines().filter(|it| it.starts_with("onnxruntime-gpu"));
            let line = wanted.next().context("no onnxruntime-gpu is pinned")?;
            let requirements = part.join("requirements.txt");
            std::fs::write(&requirements, line)?;
            Ok(requirements)
        })?;
    }
    Ok(in_folder(&place, Flavour::Cuda, CUDA_VERSION))
}

fn folder(home: &Home, name: &str, version: &str) -> PathBuf {
    let place = home.root.join("onnxruntime");
    place.join(format!("{name}-{version}"))
}

/// Fetches what the requirements name, unless it is there.
fn fill(
    home: &Home,
    folder: &Path,
    what: &str,
    requirements: impl FnOnce(&Path) -> Result<PathBuf>,
) -> Result<()> {
    if folder.join(CORE).is_file() {
        found(what);
        return Ok(());
    }
    step(what, || {
        home.fill(folder, |part| fetch(part, &requirements(part)?))
    })
}

fn in_folder(folder: &Path, flavour: Flavour, version: &str) -> Library {
    Library {
        library: folder.join(CORE),
        flavour,
        version: version.to_owned(),
    }
}

fn requirements_file(name: &str) -> PathBuf {
    repository().join("host/xtask/requirements").join(name)
}

/// Whether an NVIDIA driver is installed below `root`.
fn has_nvidia_driver(root: &Path) -> bool {
    [
        "proc/driver/nvidia/version",
        "dev/nvidiactl",
        // WSL brings its driver here.
        "usr/lib/wsl/lib/libcuda.so.1",
    ]
    .iter()
    .any(|mark| root.join(mark).exists())
}

/// Platform tags of the pinned wheels, widest first.
fn platforms() -> Result<&'static [&'static str]> {
    if cfg!(all(target_os = "linux", target_arch = "x86_64")) {
        Ok(&[
            "manylinux_2_28_x86_64",
            "manylinux_2_27_x86_64",
            "manylinux_2_17_x86_64",
            "manylinux_2_12_x86_64",
            "manylinux_2_5_x86_64",
        ])
    } else if cfg!(all(target_os = "linux", target_arch = "aarch64")) {
        Ok(&["manylinux_2_28_aarch64"])
    } else if cfg!(all(target_os = "macos", target_arch = "aarch64")) {
        Ok(&["macosx_14_0_arm64"])
    } else {
        bail!("no ONNX Runtime is pinned for this platform; name your own by `--onnxruntime FILE`")
    }
}

/// Fetches the wheels, checked against their hashes by pip, and keeps their
/// shared libraries and licences.
fn fetch(folder: &Path, requirements: &Path) -> Result<()> {
    let wheels = folder.join("wheels");
    let mut pip = Command::new("python3");
    pip.args([
        "-m",
        "pip",
        "download",
        "--quiet",
        "--disable-pip-version-check",
    ])
    .args(["--no-deps", "--require-hashes", "--only-binary=:all:"])
    // The same wheel whatever the local Python is.
    .args([
        "--python-version",
        "3.12",
        "--implementation",
        "cp",
        "--abi",
        "cp312",
        "--abi",
        "none",
    ])
    .arg("--requirement")
    .arg(requirements)
    .arg("--dest")
    .arg(&wheels);
    for platform in platforms()? {
        pip.args(["--platform", platform]);
    }
    process::run(&mut pip)
        .context("pip could not fetch ONNX Runtime; Python 3 with pip is needed once")?;

    let unpacked = folder.join("unpacked");
    for wheel in std::fs::read_dir(&wheels)? {
        let mut unpack = Command::new("python3");
        unpack
            .args(["-m", "zipfile", "-e"])
            .arg(wheel?.path())
            .arg(&unpacked);
        process::run(&mut unpack)?;
    }
    keep(&unpacked, folder)?;
    std::fs::remove_dir_all(&wheels)?;
    std::fs::remove_dir_all(&unpacked)?;
    if !folder.join(CORE).is_file() {
        bail!("the wheel holds no {CORE}");
    }
    Ok(())
}

fn keep(from: &Path, to: &Path) -> Result<()> {
    for entry in std::fs::read_dir(from)? {
        let path = entry?.path();
        if path.is_dir() {
            keep(&path, to)?;
            continue;
        }
        let name = path
            .file_name()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned();
        let kept = if name.starts_with("libonnxruntime.") {
            CORE.to_owned()
        } else if name.contains(".so") && !name.contains("pybind11") {
            name
        } else if name == "LICENSE" || name == "ThirdPartyNotices.txt" || name == "License.txt" {
            // Several packages have one of that name.
            let package = path.parent().and_then(Path::file_name).unwrap_or_default();
            format!("{}-{name}", package.to_string_lossy())
        } else {
            continue;
        };
        std::fs::rename(&path, to.join(kept))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_driver_is_found_by_its_marks() {
        let root = tempfile::tempdir().expect("a folder");
        assert!(!has_nvidia_driver(root.path()));
        std::fs::create_dir_all(root.path().join("dev")).expect("a folder");
        std::fs::write(root.path().join("dev/nvidiactl"), b"").expect("a file");
        assert!(has_nvidia_driver(root.path()));
    }

    #[test]
    fn only_libraries_and_licences_are_kept() {
        let from = tempfile::tempdir().expect("a folder");
        let to = tempfile::tempdir().expect("a folder");
        let capi = from.path().join("onnxruntime/capi");
        std::fs::create_dir_all(&capi).expect("a folder");
        for name in [
            "libonnxruntime.so.1.32.0",
            "onnxruntime_pybind11_state.so",
            "tool.py",
        ] {
            std::fs::write(capi.join(name), name).expect("a file");
        }
        std::fs::write(from.path().join("onnxruntime/LICENSE"), b"MIT").expect("a file");
        keep(from.path(), to.path()).expect("kept");
        let mut names: Vec<_> = std::fs::read_dir(to.path())
            .expect("a folder")
            .map(|entry| {
                entry
                    .expect("an entry")
                    .file_name()
                    .to_string_lossy()
                    .into_owned()
            })
            .collect();
        names.sort();
        assert_eq!(names, ["libonnxruntime.so", "onnxruntime-LICENSE"]);
    }
}
