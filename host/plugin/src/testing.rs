//! Components from text, for tests: well-behaved ones and hostile ones.
//!
//! The core module speaks the canonical ABI by hand; `wit-component` makes a
//! component of it. Only with the feature `testing`.

use wit_component::{ComponentEncoder, StringEncoding};
use wit_parser::Resolve;

const WIT: &str = include_str!("../../../wit/policy.wit");

/// Hostile guests behave until a text begins with this, so that they pass the
/// checks at load.
pub const TRIGGER: &str = "X";

/// Encodes a core module in text form as a component of one of our worlds.
pub fn component(world: &str, core: &str) -> Vec<u8> {
    component_of(&[WIT], world, core)
}

/// The same for a world of other interfaces.
pub fn component_of(wits: &[&str], world: &str, core: &str) -> Vec<u8> {
    let mut resolve = Resolve::default();
    let mut package = None;
    for (number, wit) in wits.iter().enumerate() {
        let pushed = resolve.push_str(format!("{number}.wit"), wit);
        package = Some(pushed.expect("the interfaces parse"));
    }
    let package = package.expect("at least one package");
    let world = resolve
        .select_world(&[package], Some(world))
        .expect("the world is there");
    let mut module = wat::parse_str(core).expect("the module parses");
    wit_component::embed_component_metadata(&mut module, &resolve, world, StringEncoding::UTF8)
        .expect("the module takes its metadata");
    ComponentEncoder::default()
        .module(&module)
        .expect("a module with metadata")
        .encode()
        .expect("the module fits its world")
}

/// Memory, an allocator that only grows, and a plugin that takes any settings.
/// Free memory begins at 65536; constants lie below 4096.
const SCAFFOLD: &str = r#"
  (memory (export "memory") 4)
  (global $free (mut i32) (i32.const 65536))
  (func $alloc (param $align i32) (param $size i32) (result i32)
    (local $at i32)
    (local.set $at (i32.and
      (i32.add (global.get $free) (i32.sub (local.get $align) (i32.const 1)))
      (i32.sub (i32.const 0) (local.get $align))))
    (global.set $free (i32.add (local.get $at) (local.get $size)))
    (local.get $at))
  (func (export "cabi_realloc") (param i32 i32 i32 i32) (result i32)
    (call $alloc (local.get 2) (local.get 3)))
  (data (i32.const 16) "test")
  (data (i32.const 32) "1.0.0")
  (func (export "koemasu:policy/plugin@1.0.0#describe") (result i32)
    (i32.store (i32.const 64) (i32.const 16)) (i32.store (i32.const 68) (i32.const 4))
    (i32.store (i32.const 72) (i32.const 32)) (i32.store (i32.const 76) (i32.const 5))
    (i32.store8 (i32.const 80) (i32.const 1)) (i32.store8 (i32.const 81) (i32.const 0))
    (i32.store (i32.const 84) (i32.const 0))
    (i32.const 64))
  (func (export "koemasu:policy/plugin@1.0.0#configure") (result i32)
    (i32.store8 (i32.const 128) (i32.const 0))
    (i32.const 128))
"#;

/// `result<output, policy-error>` at 256, in its three used forms.
const NORMALIZER: &str = r#"
  (data (i32.const 512) "language")
  (func $answer (param $at i32) (param $length i32) (result i32)
    (i32.store8 (i32.const 256) (i32.const 0))
    (i32.store (i32.const 260) (local.get $at))
    (i32.store (i32.const 264) (local.get $length))
    (i32.store (i32.const 268) (i32.const 0))
    (i32.store (i32.const 272) (i32.const 0))
    (i32.const 256))
  (func $unsupported (result i32)
    (i32.store8 (i32.const 256) (i32.const 1))
    (i32.store8 (i32.const 260) (i32.const 0))
    (i32.store (i32.const 264) (i32.const 512))
    (i32.store (i32.const 268) (i32.const 8))
    (i32.const 256))
"#;

/// A normalizer whose answer to a text that begins with `begin` is
/// `triggered`, and to any other the text itself. Both get `$at` and
/// `$length`.
fn normalizer(begin: &str, triggered: &str, more: &str) -> Vec<u8> {
    let matches: Vec<_> = begin
        .bytes()
        .enumerate()
        .map(|(offset, byte)| {
            format!("(i32.eq (i32.load8_u offset={offset} (local.get $at)) (i32.const {byte}))")
        })
        .collect();
    let all = matches
        .into_iter()
        .reduce(|all, one| format!("(i32.and {all} {one})"))
        .unwrap_or_else(|| "(i32.const 1)".to_owned());
    let core = format!(
        r#"(module {SCAFFOLD} {NORMALIZER} {more}
  (func (export "koemasu:policy/normalizer@1.0.0#normalize")
      (param $at i32) (param $length i32) (param $tag i32) (param $tag_length i32) (result i32)
    (if (i32.ne (i32.load8_u (local.get $tag)) (i32.const 106)) (then (return (call $unsupported))))
    (if (i32.ge_u (local.get $length) (i32.const {}))
      (then (if {all} (then {triggered}))))
    (call $answer (local.get $at) (local.get $length))))"#,
        begin.len()
    );
    component("text-normalizer", &core)
}

/// Says `words` whatever it is given.
pub fn normalizer_saying(words: &str) -> Vec<u8> {
    let quoted: String = words.bytes().map(|byte| format!("\\{byte:02x}")).collect();
    let data = format!("(data (i32.const 1024) \"{quoted}\")");
    let answer = format!(
        "(return (call $answer (i32.const 1024) (i32.const {})))",
        words.len()
    );
    normalizer("", &answer, &data)
}

/// Gives every text back, and traps on those that begin with `begin`.
pub fn normalizer_trapping_on(begin: &str) -> Vec<u8> {
    normalizer(begin, "unreachable", "")
}

/// A normalizer that does this, in text form, on [`TRIGGER`].
pub fn hostile_normalizer(triggered: &str, more: &str) -> Vec<u8> {
    normalizer(TRIGGER, triggered, more)
}

/// The body of a bucketing policy: gives `result<list<u32>, …>` at 256 with
/// one length, which `length` leaves on the stack. `$axes` points at the axes.
pub fn bucketer(length: &str) -> Vec<u8> {
    let core = format!(
        r#"(module {SCAFFOLD}
  (func (export "koemasu:policy/bucketing@1.0.0#choose")
      (param $batch i32) (param $axes i32) (param $count i32) (result i32)
    (local $len i32)
    (local.set $len (i32.load offset=8 (local.get $axes)))
    (i32.store (i32.const 1024) {length})
    (i32.store8 (i32.const 256) (i32.const 0))
    (i32.store (i32.const 260) (i32.const 1024))
    (i32.store (i32.const 264) (local.get $count))
    (i32.const 256)))"#
    );
    component("bucketing-policy", &core)
}

/// Pads nothing, except that a length of 11 to 63 gets this answer.
pub fn bucketer_answering(answer: u32) -> Vec<u8> {
    bucketer(&format!(
        "(select (i32.const {answer}) (local.get $len) (i32.and (i32.gt_u (local.get $len) (i32.const 10)) (i32.lt_u (local.get $len) (i32.const 64))))"
    ))
}

/// An eviction policy that says it is deterministic, and reusable or not.
/// `choose` finds `$revision`, `$missing` and `$count` items of 88 bytes at
/// `$items` (the id at 0, runs at 68, pinned at 72), and calls `$evict` with
/// ids.
pub fn evictor(reusable: bool, choose: &str) -> Vec<u8> {
    let scaffold = SCAFFOLD.replace(
        "(i32.store8 (i32.const 81) (i32.const 0))",
        &format!(
            "(i32.store8 (i32.const 81) (i32.const {}))",
            u8::from(reusable)
        ),
    );
    let core = format!(
        r#"(module {scaffold}
  (global $actions (mut i32) (i32.const 0))
  (global $calls (mut i32) (i32.const 0))
  (func $evict (param $id i64)
    (local $at i32)
    (local.set $at (i32.add (i32.const 2048) (i32.mul (global.get $actions) (i32.const 16))))
    (i32.store8 (local.get $at) (i32.const 0))
    (i64.store offset=8 (local.get $at) (local.get $id))
    (global.set $actions (i32.add (global.get $actions) (i32.const 1))))
  (func (export "koemasu:policy/eviction@1.0.0#propose") 
      (param $revision i64) (param $level i32) (param $tier i32) (param $used i64) (param $budget i64)
      (param $missing i64) (param $host_free i64) (param $items i32) (param $count i32) (result i32)
    (global.set $actions (i32.const 0))
    (global.set $calls (i32.add (global.get $calls) (i32.const 1)))
    {choose}
    (i32.store8 (i32.const 256) (i32.const 0))
    (i64.store (i32.const 264) (local.get $revision))
    (i32.store (i32.const 272) (i32.const 2048))
    (i32.store (i32.const 276) (global.get $actions))
    (i32.const 256)))"#
    );
    component("eviction-policy", &core)
}

/// Snapshots of this revision make hostile evictors misbehave.
pub const TRIGGER_REVISION: u64 = 666;

/// Proposes nothing, and does this on [`TRIGGER_REVISION`].
pub fn hostile_evictor(reusable: bool, triggered: &str) -> Vec<u8> {
    let choose = format!(
        "(if (i64.eq (local.get $revision) (i64.const {TRIGGER_REVISION})) (then {triggered}))"
    );
    evictor(reusable, &choose)
}
