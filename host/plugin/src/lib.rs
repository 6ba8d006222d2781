//! The sandbox: wasmtime, limits, typed calls.
