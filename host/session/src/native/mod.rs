//! The one home of `unsafe`: what the compiler cannot prove about memory that
//! others own. The slab's memory, ONNX Runtime's allocator and borrowed
//! weights, the few calls of CUDA, the C heap, the end of the process.

pub(crate) mod cuda;
pub mod heap;
pub(crate) mod limits;
pub mod process;
mod refusal;
pub(crate) mod reservation;
pub(crate) mod run_options;
pub mod tensors;
pub(crate) mod weights;

pub use reservation::Kind;
pub use tensors::{Block, Tensors};
