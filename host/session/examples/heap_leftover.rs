//! What the C heap keeps after voices were opened and dropped. Run it as it is,
//! with `keep` (nothing is trimmed), and under other allocators by LD_PRELOAD.
//!
//! usage: heap_leftover LIBRARY trim|keep VOICE…

#![expect(clippy::print_stdout, reason = "a program that prints a table")]

use std::path::PathBuf;
use std::time::{Duration, Instant};

use memory::MemoryPolicy;
use session::native::heap;
use session::residency::Residency;
use session::runtime::Runtime;
use session::{Settings, Source, watch};

fn main() {
    let arguments: Vec<_> = std::env::args_os().skip(1).collect();
    let [library, trim, voices @ ..] = arguments.as_slice() else {
        eprintln!("usage: heap_leftover LIBRARY trim|keep VOICE…");
        std::process::exit(2);
    };
    if trim == "keep" {
        heap::keep();
    }
    let policy: MemoryPolicy = toml::from_str("mode = \"arena\"").expect("a policy");
    let runtime = Runtime::start(PathBuf::from(library).as_path()).expect("ONNX Runtime starts");
    let residency = Residency::new(runtime, policy, None);
    let runner = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime");
    let mib = |bytes: u64| bytes >> 20;
    println!("before: {} MiB", mib(watch::anonymous()));
    let start = Instant::now();
    for round in 1..=4 {
        let open: Vec<_> = voices
            .iter()
            .map(|voice| {
                let source = Source::Path(PathBuf::from(voice));
                let voice = residency.voice("voice", &source, &Settings::default());
                let voice = voice.expect("opens");
                let lease = voice.checkout(64, Duration::from_secs(60));
                runner.block_on(lease).expect("a session").release();
                voice
            })
            .collect();
        let held = watch::anonymous();
        drop(open);
        residency.tidy();
        println!(
            "round {round}: {} MiB with {} voices open, {} MiB after they were dropped",
            mib(held),
            voices.len(),
            mib(watch::anonymous())
        );
    }
    println!("took {:.1} s", start.elapsed().as_secs_f64());
}
