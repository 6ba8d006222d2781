//! The wire format of protocol buffers, written: what an ONNX file is made of.

/// A message inside of another that has begun: where its fields are.
#[derive(Debug)]
pub struct Begun(usize);

/// Bytes of a length that is not known yet; 32 GiB are as much as they hold.
const LENGTH: usize = 5;

/// A message being written.
#[derive(Clone, Debug, Default)]
pub struct Message(Vec<u8>);

impl Message {
    /// The bytes of all fields that were written.
    pub fn finish(self) -> Vec<u8> {
        self.0
    }

    /// Adds a field of the wire type `VARINT`.
    pub fn number(&mut self, field: u64, value: u64) -> &mut Self {
        self.varint(field << 3);
        self.varint(value);
        self
    }

    /// Adds a field of the wire type `LEN`: bytes, a text or a packed list.
    pub fn bytes(&mut self, field: u64, value: &[u8]) -> &mut Self {
        self.varint(field << 3 | 2);
        self.varint(value.len() as u64);
        self.0.extend_from_slice(value);
        self
    }

    /// Adds a message inside of this one.
    pub fn message(&mut self, field: u64, value: Self) -> &mut Self {
        self.bytes(field, &value.0)
    }

    /// Begins a message inside of this one, whose fields are added to this one
    /// until it [ends](Self::end): for what is too large to be copied.
    pub fn begin(&mut self, field: u64) -> Begun {
        self.varint(field << 3 | 2);
        self.0.extend_from_slice(&[0; LENGTH]);
        Begun(self.0.len())
    }

    /// Ends what was begun last.
    pub fn end(&mut self, begun: &Begun) {
        let mut length = self.0.len() - begun.0;
        let bytes = &mut self.0[begun.0 - LENGTH..begun.0];
        for (place, byte) in bytes.iter_mut().enumerate() {
            // A number may be longer than it has to be.
            let more = if place + 1 < LENGTH { 0x80 } else { 0 };
            *byte = (length & 0x7f) as u8 | more;
            length >>= 7;
        }
    }

    /// Adds a field of the wire type `I32`, by its bits.
    pub fn fixed32(&mut self, field: u64, bits: u32) -> &mut Self {
        self.varint(field << 3 | 5);
        self.0.extend_from_slice(&bits.to_le_bytes());
        self
    }

    /// Adds a field of the wire type `I64`, by its bits.
    pub fn fixed64(&mut self, field: u64, bits: u64) -> &mut Self {
        self.varint(field << 3 | 1);
        self.0.extend_from_slice(&bits.to_le_bytes());
        self
    }

    fn varint(&mut self, mut value: u64) {
        while value >= 0x80 {
            self.0.push(value as u8 | 0x80);
            value >>= 7;
        }
        self.0.push(value as u8);
    }
}
