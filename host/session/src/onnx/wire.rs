//! The wire format of protocol buffers, read just far enough to take an ONNX
//! file of hundreds of megabytes apart without copying it.

use vits::message::Message;

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

/// Writes a field as it was read.
pub(crate) fn write(message: &mut Message, field: u64, value: Value<'_>) {
    match value {
        Value::Varint(number) => message.number(field, number),
        Value::Bytes(bytes) => message.bytes(field, bytes),
        Value::Fixed64(bits) => message.fixed64(field, bits),
        Value::Fixed32(bits) => message.fixed32(field, bits),
    };
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_reads_the_same() {
        let mut message = Message::default();
        message.number(1, 300).bytes(2, b"name");
        write(&mut message, 3, Value::Fixed32(7));
        write(&mut message, 4, Value::Fixed64(u64::MAX));
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
