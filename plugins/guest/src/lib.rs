//! What every guest needs: an allocator, a panic that says why before it
//! traps, and the host's `log` and `config` in short words.

#![no_std]
#![cfg(target_arch = "wasm32")]

extern crate alloc;

use alloc::format;

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
