//! What wasmtime makes of `wit/policy.wit`, one module per world.

pub(crate) mod normalizer {
    wasmtime::component::bindgen!({
        world: "text-normalizer",
        path: "../../wit",
    });
}

pub(crate) mod bucketing {
    wasmtime::component::bindgen!({
        world: "bucketing-policy",
        path: "../../wit",
        with: {
            "koemasu:policy/log@1.0.0": crate::bindings::normalizer::koemasu::policy::log,
            "koemasu:policy/config@1.0.0": crate::bindings::normalizer::koemasu::policy::config,
            "koemasu:policy/types@1.0.0": crate::bindings::normalizer::koemasu::policy::types,
        },
    });
}

pub(crate) mod eviction {
    wasmtime::component::bindgen!({
        world: "eviction-policy",
        path: "../../wit",
        with: {
            "koemasu:policy/log@1.0.0": crate::bindings::normalizer::koemasu::policy::log,
            "koemasu:policy/config@1.0.0": crate::bindings::normalizer::koemasu::policy::config,
            "koemasu:policy/types@1.0.0": crate::bindings::normalizer::koemasu::policy::types,
        },
    });
}

pub(crate) use normalizer::koemasu::policy::{config, lexicon, log, remarks, types};
