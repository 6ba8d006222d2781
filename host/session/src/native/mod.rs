//! The one home of `unsafe`: what the compiler cannot prove about memory that
//! others own. Memory-mapped files now; ONNX Runtime's allocator next.

mod map;

pub use map::Mapped;
