//! What only a component has: the host on the other side.

use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use crate::keys::keys;

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
