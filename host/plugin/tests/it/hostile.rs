//! Guests that misbehave. Each costs one call, and the next one works.

use plugin::testing::{self, TRIGGER, bucketer_answering, component_of, hostile_normalizer};
use plugin::{CallError, Limits, LoadError, Trap};
use serde_json::json;

use crate::stand::{bucketer, choose, normalizer, patient};

/// Loads, triggers, and checks that the plugin serves on.
fn triggered(guest: Vec<u8>, limits: &Limits) -> CallError {
    let plugin = normalizer(guest, limits).expect("it behaves while it is loaded");
    let before = plugin.normalize("あ", "ja").expect("an answer");
    let error = plugin
        .normalize(&format!("{TRIGGER}い"), "ja")
        .expect_err("it misbehaves");
    let after = plugin.normalize("あ", "ja").expect("a fresh instance");
    assert_eq!(before, after);
    error
}

fn trapped(guest: Vec<u8>, limits: &Limits) -> Trap {
    match triggered(guest, limits) {
        CallError::Trap(trap) => trap,
        other => panic!("no trap: {other:?}"),
    }
}

const FOREVER: &str = "(loop $again (br $again))";

#[test]
fn a_loop_runs_out_of_fuel() {
    assert_eq!(
        trapped(hostile_normalizer(FOREVER, ""), &patient()),
        Trap::Fuel
    );
}

#[test]
fn a_loop_with_fuel_for_hours_runs_out_of_time() {
    let limits = Limits {
        fuel_base: u64::MAX,
        fuel_max: u64::MAX,
        normalize_deadline: std::time::Duration::from_millis(50),
        ..Limits::default()
    };
    assert_eq!(
        trapped(hostile_normalizer(FOREVER, ""), &limits),
        Trap::Deadline
    );
}

#[test]
fn memory_is_bounded() {
    let grow = "(loop $again (drop (memory.grow (i32.const 16))) (br $again))";
    assert_eq!(
        trapped(hostile_normalizer(grow, ""), &patient()),
        Trap::Memory
    );
}

#[test]
fn recursion_is_bounded() {
    let function = "(func $deeper (param i32) (result i32) (i32.add (i32.const 1) (call $deeper (local.get 0))))";
    let guest = hostile_normalizer("(drop (call $deeper (i32.const 0)))", function);
    // Enough fuel to reach the end of the stack.
    assert_eq!(trapped(guest, &patient()), Trap::Stack);
}

#[test]
fn a_panic_is_a_trap() {
    assert_eq!(
        trapped(hostile_normalizer("unreachable", ""), &patient()),
        Trap::Unreachable
    );
}

#[test]
fn a_huge_output_is_refused() {
    let huge = "(return (call $answer (i32.const 65536) (i32.const 196608)))";
    let error = triggered(hostile_normalizer(huge, ""), &patient());
    assert_eq!(
        error,
        CallError::TooLong {
            bytes: 196_608,
            input: 4,
            most: 1_056,
        }
    );
}

#[test]
fn an_output_outside_of_its_memory_is_a_trap() {
    let outside = "(return (call $answer (i32.const 0x7fffff00) (i32.const 4096)))";
    let trap = trapped(hostile_normalizer(outside, ""), &patient());
    assert!(matches!(trap, Trap::Other(_)), "{trap:?}");
}

#[test]
fn an_output_that_is_no_utf8_is_a_trap() {
    let bytes = r#"(data (i32.const 2048) "\ff\fe\fd")"#;
    let guest = hostile_normalizer(
        "(return (call $answer (i32.const 2048) (i32.const 3)))",
        bytes,
    );
    let trap = trapped(guest, &patient());
    assert!(
        matches!(&trap, Trap::Other(what) if what.contains("utf-8")),
        "{trap:?}"
    );
}

#[test]
fn an_output_with_control_characters_is_refused() {
    let bytes = r#"(data (i32.const 2048) "a\1b[2J")"#;
    let guest = hostile_normalizer(
        "(return (call $answer (i32.const 2048) (i32.const 5)))",
        bytes,
    );
    let error = triggered(guest, &patient());
    assert_eq!(
        error,
        CallError::Answer("it holds the control character '\\u{1b}'".to_owned())
    );
}

#[test]
fn an_input_that_is_too_long_never_reaches_the_guest() {
    let plugin = normalizer(testing::normalizer_saying("はい"), &patient()).expect("loads");
    let error = plugin
        .normalize(&"あ".repeat(30_000), "ja")
        .expect_err("too long");
    assert!(matches!(error, CallError::InvalidInput(_)), "{error:?}");
}

#[test]
fn a_guest_that_misbehaves_on_everything_is_not_loaded() {
    let trap = normalizer(testing::normalizer_trapping_on(""), &patient())
        .err()
        .expect("refused");
    assert_eq!(
        trap.to_string(),
        "the check at load failed: for \"\": it panicked"
    );
}

#[test]
fn wrong_buckets_are_refused() {
    let answer = |answer, allowed: &[u32]| {
        let plugin = bucketer(bucketer_answering(answer), &json!({})).expect("loads");
        choose(&plugin, "tokens", 20, allowed)
    };
    assert_eq!(answer(20, &[32]), Ok(20), "no padding");
    assert_eq!(answer(32, &[32]), Ok(32));
    let told = |outcome: Result<u32, CallError>| outcome.expect_err("refused").to_string();
    assert!(told(answer(19, &[])).contains("not between its length 20 and 8192"));
    assert!(told(answer(9_000, &[])).contains("not between its length 20 and 8192"));
    assert!(told(answer(33, &[32, 64])).contains("not one of [32, 64]"));
}

#[test]
fn a_policy_that_is_always_wrong_is_not_loaded() {
    let error = bucketer(testing::bucketer("(i32.const 7)"), &json!({}))
        .err()
        .expect("refused");
    assert!(
        error
            .to_string()
            .contains("the check at load failed: for 1 tokens"),
        "{error}"
    );
}

const EVIL: &str = r#"
package test:evil;
interface clock { now: func() -> u64; }
world spy {
  import clock;
  export koemasu:policy/plugin@1.0.0;
  export koemasu:policy/normalizer@1.0.0;
}
"#;

const WASI: &str = r#"
package wasi:cli@0.2.0;
interface environment { get-arguments: func() -> u64; }
world spy { import environment; }
"#;

#[test]
fn an_import_that_no_world_has_is_named_with_its_cure() {
    let core =
        r#"(module (import "wasi:cli/environment@0.2.0" "get-arguments" (func (result i64))))"#;
    let error = normalizer(component_of(&[WASI], "spy", core), &patient())
        .err()
        .expect("refused");
    let told = error.to_string();
    assert!(
        told.contains("imports `wasi:cli/environment@0.2.0`"),
        "{told}"
    );
    assert!(told.contains("wasm32-unknown-unknown"), "{told}");

    let clock = EVIL
        .replace("export koemasu:policy/plugin@1.0.0;", "")
        .replace("export koemasu:policy/normalizer@1.0.0;", "");
    let core = r#"(module (import "test:evil/clock" "now" (func (result i64))))"#;
    let error = normalizer(component_of(&[&clock], "spy", core), &patient())
        .err()
        .expect("refused");
    assert!(
        error.to_string().contains("imports `test:evil/clock`"),
        "{error}"
    );
}

#[test]
fn another_world_is_named() {
    let error = normalizer(bucketer_answering(1), &patient())
        .err()
        .expect("refused");
    let told = error.to_string();
    assert!(
        told.starts_with("it is no text-normalizer: it exports"),
        "{told}"
    );
    assert!(told.contains("koemasu:policy/bucketing@1.0.0"), "{told}");
}

#[test]
fn what_is_no_component_is_told_how_to_become_one() {
    let core = wat::parse_str("(module)").expect("a module");
    assert!(matches!(
        normalizer(core, &patient()).err(),
        Some(LoadError::CoreModule)
    ));
    assert!(matches!(
        normalizer(b"hello".to_vec(), &patient()).err(),
        Some(LoadError::Compile(_))
    ));
    // Text is not taken for a component either.
    assert!(matches!(
        normalizer(b"(component)".to_vec(), &patient()).err(),
        Some(LoadError::Compile(_))
    ));
    let large = vec![0; 9 << 20];
    assert!(matches!(
        normalizer(large, &patient()).err(),
        Some(LoadError::TooLarge { .. })
    ));
}
