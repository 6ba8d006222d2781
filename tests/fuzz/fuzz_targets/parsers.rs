//! One of the parsers of `tests/src/lib.rs`; KOEMASU_PARSER names it.
#![no_main]

use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;

static PARSER: LazyLock<String> =
    LazyLock::new(|| std::env::var("KOEMASU_PARSER").expect("KOEMASU_PARSER"));

fuzz_target!(|input: &[u8]| {
    let _ = tests::run(&PARSER, input);
});
