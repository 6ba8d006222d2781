//! Field numbers of the messages of `onnx.proto` (ONNX 1.x, IR 3 to 13) that are
//! read or written.

/// `ModelProto`
pub mod model {
    /// `ir_version`.
    pub const IR_VERSION: u64 = 1;
    /// `graph`.
    pub const GRAPH: u64 = 7;
    /// `opset_import`, repeated.
    pub const OPERATOR_SET: u64 = 8;
}

/// `OperatorSetIdProto`
pub mod operator_set {
    /// `domain`.
    pub const DOMAIN: u64 = 1;
    /// `version`.
    pub const VERSION: u64 = 2;
}

/// `GraphProto`
pub mod graph {
    /// `node`, repeated.
    pub const NODE: u64 = 1;
    /// `name`.
    pub const NAME: u64 = 2;
    /// `initializer`, repeated.
    pub const INITIALIZER: u64 = 5;
    /// `input`, repeated.
    pub const INPUT: u64 = 11;
    /// `output`, repeated.
    pub const OUTPUT: u64 = 12;
    /// `sparse_initializer`, repeated.
    pub const SPARSE_INITIALIZER: u64 = 15;
}

/// `NodeProto`
pub mod node {
    /// `input`, repeated.
    pub const INPUT: u64 = 1;
    /// `output`, repeated.
    pub const OUTPUT: u64 = 2;
    /// `name`.
    pub const NAME: u64 = 3;
    /// `op_type`.
    pub const OP_TYPE: u64 = 4;
    /// `attribute`, repeated.
    pub const ATTRIBUTE: u64 = 5;
    /// `domain`.
    pub const DOMAIN: u64 = 7;
}

/// `AttributeProto`
pub mod attribute {
    /// `name`.
    pub const NAME: u64 = 1;
    /// `f`.
    pub const FLOAT: u64 = 2;
    /// `i`.
    pub const INT: u64 = 3;
    /// `s`.
    pub const TEXT: u64 = 4;
    /// `floats`, repeated.
    pub const FLOATS: u64 = 7;
    /// `ints`, repeated.
    pub const INTS: u64 = 8;
    /// `type`.
    pub const TYPE: u64 = 20;
}

/// `TensorProto`
pub mod tensor {
    /// `dims`, repeated.
    pub const DIMS: u64 = 1;
    /// `data_type`.
    pub const DATA_TYPE: u64 = 2;
    /// `float_data`, repeated.
    pub const FLOAT_DATA: u64 = 4;
    /// `name`.
    pub const NAME: u64 = 8;
    /// `raw_data`.
    pub const RAW_DATA: u64 = 9;
    /// `external_data`, repeated.
    pub const EXTERNAL_DATA: u64 = 13;
    /// `data_location`.
    pub const DATA_LOCATION: u64 = 14;
    /// The value of `data_location` for a tensor in another file.
    pub const EXTERNAL: u64 = 1;
}

/// `StringStringEntryProto`
pub mod entry {
    /// `key`.
    pub const KEY: u64 = 1;
    /// `value`.
    pub const VALUE: u64 = 2;
}

/// `ValueInfoProto`
pub mod port {
    /// `name`.
    pub const NAME: u64 = 1;
    /// `type`.
    pub const TYPE: u64 = 2;
}

/// Values of `data_type`.
pub mod element {
    /// 32-bit floats.
    pub const FLOAT: u64 = 1;
    /// 64-bit whole numbers.
    pub const INT64: u64 = 7;
    /// 16-bit floats of IEEE 754.
    pub const HALF: u64 = 10;
    /// 16-bit floats with the exponent of 32-bit ones.
    pub const BFLOAT16: u64 = 16;
}
