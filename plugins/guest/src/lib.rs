//! What every guest needs: an allocator, a panic that says why before it
//! traps, and the host's `log` and `config` in short words.

#![no_std]
#![cfg(target_arch = "wasm32")]

extern crate alloc;

use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

wit_bindgen::generate!({
    inline: "
        package koemasu:guest;
        world guest {
            import koemasu:policy/log@1.0.0;
            import koemasu:policy/config@1.0.0;
        }
    ",
    path: "../../wit",
    generate_all,
});

pub use koemasu::policy::{config, log};

#[global_allocator]
static ALLOCATOR: dlmalloc::GlobalDlmalloc = dlmalloc::GlobalDlmalloc;

#[panic_handler]
fn panicked(info: &core::panic::PanicInfo<'_>) -> ! {
    log::emit(log::Level::Error, &format!("{info}"));
    core::arch::wasm32::unreachable()
}

/// A line in the host's log.
pub fn warn(message: &str) {
    log::emit(log::Level::Warn, message);
}

/// What the operator has set and no setting of this guest is, as path and
/// message.
pub fn unknown_settings(known: &[&str]) -> Vec<(String, String)> {
    let json = config::json();
    let unknown = keys(&json).into_iter().filter(|key| !known.contains(key));
    unknown
        .map(|key| {
            let message = format!("unknown; known are `{}`", known.join("`, `"));
            (key.to_string(), message)
        })
        .collect()
}

/// The keys of a JSON object, without those of objects in it. Settings come
/// from the host, so the text is well-formed.
fn keys(json: &str) -> Vec<&str> {
    let mut keys = Vec::new();
    let (mut depth, mut start, mut escaped) = (0, None, false);
    for (at, c) in json.char_indices() {
        match (start, c) {
            (Some(_), '\\') if !escaped => {
                escaped = true;
                continue;
            }
            (Some(from), '"') if !escaped => {
                if depth == 1 && json[at + 1..].starts_with(':') {
                    keys.push(&json[from..at]);
                }
                start = None;
            }
            (Some(_), _) => {}
            (None, '"') => start = Some(at + 1),
            (None, '{' | '[') => depth += 1,
            (None, '}' | ']') => depth -= 1,
            (None, _) => {}
        }
        escaped = false;
    }
    keys
}
