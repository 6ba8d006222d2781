//! What a plugin call costs.
//!
//!     cargo run --release -p plugin --example call_cost -- NORMALIZER.wasm

#![expect(clippy::print_stdout, reason = "an example prints its result")]

use std::sync::Arc;
use std::time::Instant;

use plugin::{Limits, Pool, Sandbox, SandboxSettings, Source};
use serde_json::json;

const CALLS: usize = 3_000;

fn main() {
    let path = std::env::args().nth(1).expect("a component");
    let bytes = std::fs::read(path).expect("a readable component");
    let text: String = "2026年11月24日、Ｔｏｋｙｏの気温は１２．５℃でした。"
        .chars()
        .cycle()
        .take(65)
        .collect();
    for (name, pool) in [("pool", Pool::Of(64)), ("on demand", Pool::None)] {
        let settings = SandboxSettings {
            pool,
            ..SandboxSettings::default()
        };
        let sandbox = Arc::new(Sandbox::new(settings).expect("a sandbox"));
        let source = Source {
            name: "normalizer".to_owned(),
            bytes: bytes.clone(),
        };
        let start = Instant::now();
        let plugin = sandbox
            .load_normalizer(source, &json!({}), &Limits::default())
            .expect("a normalizer");
        let loaded = start.elapsed();
        let mut micros: Vec<f64> = (0..CALLS)
            .map(|_| {
                let start = Instant::now();
                plugin.normalize(&text, "ja").expect("an answer");
                start.elapsed().as_secs_f64() * 1e6
            })
            .collect();
        micros.sort_by(f64::total_cmp);
        let at = |share: f64| micros[(share * (CALLS - 1) as f64) as usize];
        println!(
            "{name}: compiled and loaded in {loaded:?}; a call in a fresh instance p10 {:.1} p50 {:.1} p99 {:.1} us ({} characters)",
            at(0.1),
            at(0.5),
            at(0.99),
            text.chars().count()
        );
    }
}
