//! How the sessions of one model are made.

use crate::device::Device;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    pub device: Device,
    /// Sessions of this model that may run at the same time.
    pub lanes: usize,
    /// Threads of one run.
    pub threads: usize,
    pub optimization: Optimization,
}

/// How much ONNX Runtime rewrites a graph when it opens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Optimization {
    None,
    All,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            device: Device::Cpu,
            lanes: 1,
            threads: 1,
            optimization: Optimization::All,
        }
    }
}
