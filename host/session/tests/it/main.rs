//! Sessions over real graphs in the real ONNX Runtime.

mod packages;
mod reference;
mod runs;
mod stand;
