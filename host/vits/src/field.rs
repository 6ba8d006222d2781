//! Field numbers of the messages of `onnx.proto` (ONNX 1.x, IR 3 to 13) that are
//! read or written here.

/// `ModelProto`
pub(super) mod model {
    pub(in crate::onnx) const GRAPH: u64 = 7;
}

/// `GraphProto`
pub(super) mod graph {
    pub(in crate::onnx) const NODE: u64 = 1;
    pub(in crate::onnx) const NAME: u64 = 2;
    pub(in crate::onnx) const INITIALIZER: u64 = 5;
    pub(in crate::onnx) const INPUT: u64 = 11;
    pub(in crate::onnx) const OUTPUT: u64 = 12;
    pub(in crate::onnx) const SPARSE_INITIALIZER: u64 = 15;
}

/// `NodeProto`
pub(super) mod node {
    pub(in crate::onnx) const INPUT: u64 = 1;
    pub(in crate::onnx) const OUTPUT: u64 = 2;
    pub(in crate::onnx) const NAME: u64 = 3;
    pub(in crate::onnx) const OP_TYPE: u64 = 4;
    pub(in crate::onnx) const ATTRIBUTE: u64 = 5;
    pub(in crate::onnx) const DOMAIN: u64 = 7;
}

/// `TensorProto`
pub(super) mod tensor {
    pub(in crate::onnx) const DIMS: u64 = 1;
    pub(in crate::onnx) const DATA_TYPE: u64 = 2;
    pub(in crate::onnx) const FLOAT_DATA: u64 = 4;
    pub(in crate::onnx) const NAME: u64 = 8;
    pub(in crate::onnx) const RAW_DATA: u64 = 9;
    pub(in crate::onnx) const EXTERNAL_DATA: u64 = 13;
    pub(in crate::onnx) const DATA_LOCATION: u64 = 14;
    /// A value of `DATA_LOCATION`.
    pub(in crate::onnx) const EXTERNAL: u64 = 1;
}

/// `StringStringEntryProto`
pub(super) mod entry {
    pub(in crate::onnx) const KEY: u64 = 1;
    pub(in crate::onnx) const VALUE: u64 = 2;
}

/// `ValueInfoProto`
pub(super) mod port {
    pub(in crate::onnx) const NAME: u64 = 1;
    pub(in crate::onnx) const TYPE: u64 = 2;
}
