//! The models: ONNX Runtime sessions, pools, residency.
