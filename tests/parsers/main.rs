//! Every parser of bytes from outside, for some seconds each, on damaged and
//! hostile inputs: no panic, and a bound on time and memory for each of them.
//! `KOEMASU_FUZZ_SECONDS` says for how long (10).

#![expect(
    clippy::disallowed_methods,
    reason = "tests take their length from the environment"
)]

mod drive;
mod mutate;
mod seeds;

use drive::{Bounds, drive, seconds};

/// A test for each, so that they run side by side; and no target without one.
macro_rules! parsers {
    ($($name:ident),* $(,)?) => {
        $(#[test] fn $name() { fuzz(stringify!($name)); })*

        #[test]
        fn every_parser_has_its_test() {
            let tested = [$(stringify!($name)),*];
            let targets: Vec<_> = tests::TARGETS.iter().map(|target| target.name).collect();
            assert_eq!(tested.as_slice(), targets);
        }
    };
}

parsers!(
    npy,
    config,
    style_vectors,
    sbv2,
    aivmx,
    safetensors,
    torch,
    vocabulary,
    bert_config,
    manifest,
    onnx,
    tokenizer,
    trace,
    mecab,
    wav,
    kana,
    words_toml,
    words_csv,
    pipeline,
    policy,
    query,
    settings,
    presets,
    speech,
    synthesize,
    audio_query,
    accent_phrases,
    waves,
    imported_words,
    preset,
    word,
    g2p,
);

fn fuzz(name: &str) {
    let target = tests::TARGETS.iter().find(|target| target.name == name);
    let target = target.expect("a target");
    let seeds = seeds::of(name);
    let good = seeds.iter().filter(|seed| (target.run)(seed)).count();
    assert!(good > 0, "no seed of {name} is taken: it reads nothing");
    match drive(target.run, &seeds, seconds(), &Bounds::default()) {
        Ok(done) => eprintln!("{name}: {done}"),
        Err(failed) => panic!("{name}: {failed}"),
    }
}

/// A broken parser is found: by its panic, its time and its memory.
#[test]
fn the_driver_finds_what_is_broken() {
    let impatient = Bounds {
        millis: 200,
        ..Bounds::default()
    };
    let usual = Bounds::default();
    let seeds = [b"seed of a parser".to_vec()];
    let panics: fn(&[u8]) -> bool = |bytes| bytes[0] == b's';
    let sleeps: fn(&[u8]) -> bool = |bytes| {
        if bytes.len() > 100 {
            std::thread::sleep(std::time::Duration::from_millis(400));
        }
        true
    };
    let grows: fn(&[u8]) -> bool = |bytes| {
        let wanted = if bytes.len() > 100 { 200 << 20 } else { 1 };
        std::hint::black_box(vec![1_u8; wanted]).len() == 1
    };
    for (broken, bounds, said) in [
        (panics, &usual, "panic"),
        (sleeps, &impatient, "ms"),
        (grows, &usual, "MiB"),
    ] {
        let failed = drive(broken, &seeds, 20.0, bounds).expect_err("broken");
        assert!(failed.contains(said), "{failed}");
    }
    let sound: fn(&[u8]) -> bool = |bytes| bytes.first() == Some(&b's');
    let done = drive(sound, &seeds, 2.0, &usual).expect("sound");
    assert!(done.inputs > 20 && done.taken > 0, "{done}");
}
