//! The wire format of protocol buffers, read and written just far enough to
//! take an ONNX file of hundreds of megabytes apart without copying it.

use super::error::Malformed;

/// The fields of one message, in file order.
pub(crate) struct Fields<'a> {
    rest: &'a [u8],
}

/// A field's value, as far as the wire format tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Value<'a> {
    Varint(u64),
    Fixed64(u64),
    Fixed32(u32),
    Bytes(&'a [u8]),
}

pub(crate) fn fields(message: &[u8]) -> Fields<'_> {
    Fields { rest: message }
}

impl<'a> Iterator for Fields<'a> {
    type Item = Result<(u64, Value<'a>), Malformed>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.rest.is_empty() {
            return None;
        }
        let field = self.field();
        if field.is_none() {
            self.rest = &[];
        }
        Some(field.ok_or(Malformed::Wire))
    }
}

impl<'a> Fields<'a> {
    fn field(&mut self) -> Option<(u64, Value<'a>)> {
        let tag = self.varint()?;
        let value = match tag & 7 {
            0 => Value::Varint(self.varint()?),
            1 => Value::Fixed64(u64::from_le_bytes(self.take(8)?.try_into().ok()?)),
            2 => {
                let length = usize::try_from(self.varint()?).ok()?;
                Value::Bytes(self.take(length)?)
            }
            5 => Value::Fixed32(u32::from_le_bytes(self.take(4)?.try_into().ok()?)),
            _ => return None,
        };
        Some((tag >> 3, value))
    }

    fn varint(&mut self) -> Option<u64> {
        let mut value = 0u64;
        for shift in (0..64).step_by(7) {
            let byte = *self.take(1)?.first()?;
            value |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return Some(value);
            }
        }
        None
    }

    fn take(&mut self, length: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.rest.split_at_checked(length)?;
        self.rest = rest;
        Some(taken)
    }
}

/// The numbers of a packed field.
pub(crate) fn varints(mut packed: &[u8]) -> Result<Vec<u64>, Malformed> {
    let mut numbers = Vec::new();
    while !packed.is_empty() {
        let mut fields = Fields { rest: packed };
        let number = fields.varint().ok_or(Malformed::Packed)?;
        numbers.push(number);
        packed = fields.rest;
    }
    Ok(numbers)
}

/// A message being written.
#[derive(Default)]
pub(crate) struct Message(Vec<u8>);

impl Message {
    pub(crate) fn finish(self) -> Vec<u8> {
        self.0
    }

    pub(crate) fn number(&mut self, field: u64, value: u64) -> &mut Self {
        self.varint(field << 3);
        self.varint(value);
        self
    }

    pub(crate) fn bytes(&mut self, field: u64, value: &[u8]) -> &mut Self {
        self.varint(field << 3 | 2);
        self.varint(value.len() as u64);
        self.0.extend_from_slice(value);
        self
    }

    pub(crate) fn message(&mut self, field: u64, value: Self) -> &mut Self {
        self.bytes(field, &value.0)
    }

    /// A field as it was read.
    pub(crate) fn value(&mut self, field: u64, value: Value<'_>) -> &mut Self {
        match value {
            Value::Varint(number) => self.number(field, number),
            Value::Bytes(bytes) => self.bytes(field, bytes),
            Value::Fixed64(bits) => {
                self.varint(field << 3 | 1);
                self.0.extend_from_slice(&bits.to_le_bytes());
                self
            }
            Value::Fixed32(bits) => {
                self.varint(field << 3 | 5);
                self.0.extend_from_slice(&bits.to_le_bytes());
                self
            }
        }
    }

    fn varint(&mut self, mut value: u64) {
        while value >= 0x80 {
            self.0.push(value as u8 | 0x80);
            value >>= 7;
        }
        self.0.push(value as u8);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_reads_the_same() {
        let mut message = Message::default();
        message
            .number(1, 300)
            .bytes(2, b"name")
            .value(3, Value::Fixed32(7))
            .value(4, Value::Fixed64(u64::MAX));
        let written = message.finish();
        let read: Result<Vec<_>, _> = fields(&written).collect();
        assert_eq!(
            read.expect("well formed"),
            vec![
                (1, Value::Varint(300)),
                (2, Value::Bytes(b"name")),
                (3, Value::Fixed32(7)),
                (4, Value::Fixed64(u64::MAX)),
            ]
        );
    }

    #[test]
    fn a_message_cut_off_anywhere_is_an_error_or_shorter() {
        let mut message = Message::default();
        message.number(1, 1 << 40).bytes(2, &[0; 40]);
        let written = message.finish();
        for end in 0..written.len() {
            let read: Result<Vec<_>, _> = fields(&written[..end]).collect();
            assert!(read.is_err() || read.is_ok_and(|fields| fields.len() < 2));
        }
    }
}
