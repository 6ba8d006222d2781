//! The pickle of a state dict: a program for a machine with a stack, of which
//! only what such a dict needs is carried out. Nothing is imported or called;
//! a name that is not on the list is an error.
//!
//! Format: Python's `pickletools`, protocols 2 to 5.

use crate::package::tensors::Stored;

/// One tensor, in elements of its storage.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Placed {
    pub(super) element: Stored,
    /// Bytes of one element.
    pub(super) size: u64,
    /// Name of the entry `data/NAME`.
    pub(super) storage: String,
    pub(super) offset: u64,
    pub(super) shape: Vec<u64>,
    pub(super) strides: Vec<u64>,
}

/// Why a pickle is no state dict. In sentences, "it" is the file.
#[derive(Debug, thiserror::Error)]
pub(crate) enum PickleFault {
    #[error("its pickle is cut off")]
    CutOff,
    #[error("its pickle has the instruction {0:#04x}, which no state dict needs")]
    Instruction(u8),
    #[error("its pickle names `{0}`, which no state dict needs: nothing is run here")]
    Name(String),
    #[error("its pickle takes what is not there, or something else than is there")]
    Misused,
    #[error("its pickle makes more than {0} values")]
    Values(usize),
    #[error("its pickle holds no state dict")]
    NoStateDict,
}

/// A checkpoint with its optimizer makes some hundred thousand.
const VALUES_MAX: usize = 2_000_000;
/// The largest have 1,200 tensors.
const TENSORS_MAX: usize = 20_000;
const AXES_MAX: usize = 8;
/// Where a dict of tensors may lie within another.
const WITHIN: [&str; 3] = ["model", "state_dict", "weight"];

/// Names and places of the tensors of the outermost dict that has any.
pub(super) fn state_dict(code: &[u8]) -> Result<Vec<(String, Placed)>, PickleFault> {
    let mut machine = Machine {
        code,
        values: Vec::new(),
        stack: Vec::new(),
        marks: Vec::new(),
        memo: Vec::new(),
    };
    let root = machine.run()?;
    let mut dict = root;
    for _ in 0..2 {
        let tensors = machine.tensors(dict);
        if tensors.len() > TENSORS_MAX {
            return Err(PickleFault::Values(TENSORS_MAX));
        }
        if !tensors.is_empty() {
            return Ok(tensors);
        }
        let within = WITHIN.iter().find_map(|name| machine.item(dict, name));
        dict = within.ok_or(PickleFault::NoStateDict)?;
    }
    Err(PickleFault::NoStateDict)
}

/// Number of a value.
type Id = u32;

enum Value {
    /// None, a bool, a float, or what a name that does nothing has made.
    Nothing,
    Int(i64),
    Text(String),
    /// A tuple or a list.
    List(Vec<Id>),
    Dict(Vec<(Id, Id)>),
    Name(Name),
    Storage(Box<Storage>),
    Tensor(Box<Placed>),
}

struct Storage {
    element: Stored,
    size: u64,
    name: String,
}

/// The names that a state dict needs.
#[derive(Clone, Copy)]
enum Name {
    OrderedDict,
    RebuildTensor,
    /// The tensor is its first argument.
    RebuildParameter,
    Storage(Stored, u64),
}

impl Name {
    fn of(module: &str, name: &str) -> Option<Self> {
        Some(match (module, name) {
            ("collections", "OrderedDict") => Self::OrderedDict,
            ("torch._utils", "_rebuild_tensor_v2") => Self::RebuildTensor,
            ("torch._utils", "_rebuild_parameter") => Self::RebuildParameter,
            ("torch", "FloatStorage") => Self::Storage(Stored::Float, 4),
            ("torch", "HalfStorage") => Self::Storage(Stored::Half, 2),
            ("torch", "BFloat16Storage") => Self::Storage(Stored::BFloat, 2),
            ("torch", "DoubleStorage" | "LongStorage") => Self::Storage(Stored::Other, 8),
            ("torch", "IntStorage") => Self::Storage(Stored::Other, 4),
            ("torch", "ShortStorage") => Self::Storage(Stored::Other, 2),
            ("torch", "CharStorage" | "ByteStorage" | "BoolStorage") => {
                Self::Storage(Stored::Other, 1)
            }
            _ => return None,
        })
    }
}

struct Machine<'c> {
    code: &'c [u8],
    values: Vec<Value>,
    stack: Vec<Id>,
    marks: Vec<usize>,
    memo: Vec<Option<Id>>,
}

impl<'c> Machine<'c> {
    fn run(&mut self) -> Result<Id, PickleFault> {
        loop {
            let [instruction] = self.array()?;
            match instruction {
                // PROTO, FRAME
                0x80 => drop(self.take(1)?),
                0x95 => drop(self.take(8)?),
                b'(' => self.marks.push(self.stack.len()),
                b'.' => return self.pop(),
                b'0' => drop(self.pop()?),
                b'N' => self.push(Value::Nothing)?,
                // NEWTRUE, NEWFALSE
                0x88 | 0x89 => self.push(Value::Nothing)?,
                // BINFLOAT
                b'G' => {
                    self.take(8)?;
                    self.push(Value::Nothing)?;
                }
                b'K' => {
                    let [value] = self.array()?;
                    self.push(Value::Int(value.into()))?;
                }
                b'M' => {
                    let value = u16::from_le_bytes(self.array()?);
                    self.push(Value::Int(value.into()))?;
                }
                b'J' => {
                    let value = i32::from_le_bytes(self.array()?);
                    self.push(Value::Int(value.into()))?;
                }
                // LONG1
                0x8a => self.long()?,
                // BINUNICODE, SHORT_BINUNICODE, BINUNICODE8
                b'X' => {
                    let bytes = u32::from_le_bytes(self.array()?);
                    self.text(bytes.into())?;
                }
                0x8c => {
                    let [bytes] = self.array()?;
                    self.text(bytes.into())?;
                }
                0x8d => {
                    let bytes = u64::from_le_bytes(self.array()?);
                    self.text(bytes)?;
                }
                b')' | b']' => self.push(Value::List(Vec::new()))?,
                b't' | b'l' => {
                    let items = self.marked()?;
                    self.push(Value::List(items))?;
                }
                // TUPLE1 to TUPLE3
                0x85..=0x87 => {
                    let count = usize::from(instruction - 0x84);
                    let from = self.stack.len().checked_sub(count);
                    let items = self.stack.split_off(from.ok_or(PickleFault::Misused)?);
                    self.push(Value::List(items))?;
                }
                b'}' => self.push(Value::Dict(Vec::new()))?,
                b'a' => {
                    let item = self.pop()?;
                    self.extend(vec![item])?;
                }
                b'e' => {
                    let items = self.marked()?;
                    self.extend(items)?;
                }
                b's' => {
                    let (value, key) = (self.pop()?, self.pop()?);
                    self.set(&[key, value])?;
                }
                b'u' => {
                    let items = self.marked()?;
                    self.set(&items)?;
                }
                // BINPUT, LONG_BINPUT, MEMOIZE
                b'q' => {
                    let [place] = self.array()?;
                    self.remember(place.into())?;
                }
                b'r' => {
                    let place = u32::from_le_bytes(self.array()?);
                    self.remember(place as usize)?;
                }
                0x94 => self.remember(self.memo.len())?,
                // BINGET, LONG_BINGET
                b'h' => {
                    let [place] = self.array()?;
                    self.recall(place.into())?;
                }
                b'j' => {
                    let place = u32::from_le_bytes(self.array()?);
                    self.recall(place as usize)?;
                }
                b'c' => {
                    let (module, name) = (self.line()?, self.line()?);
                    self.name(module, name)?;
                }
                // STACK_GLOBAL
                0x93 => {
                    let (name, module) = (self.pop()?, self.pop()?);
                    let (module, name) = (self.text_of(module)?, self.text_of(name)?);
                    let (module, name) = (module.to_owned(), name.to_owned());
                    self.name(&module, &name)?;
                }
                b'Q' => self.storage()?,
                b'R' => self.call()?,
                // BUILD: what an OrderedDict remembers beside its items.
                b'b' => drop(self.pop()?),
                other => return Err(PickleFault::Instruction(other)),
            }
        }
    }

    fn take(&mut self, count: usize) -> Result<&'c [u8], PickleFault> {
        let taken = self.code.split_at_checked(count);
        let (taken, rest) = taken.ok_or(PickleFault::CutOff)?;
        self.code = rest;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], PickleFault> {
        let taken = self.take(N)?;
        taken.try_into().map_err(|_| PickleFault::CutOff)
    }

    fn line(&mut self) -> Result<&'c str, PickleFault> {
        let end = self.code.iter().position(|byte| *byte == b'\n');
        let line = self.take(end.ok_or(PickleFault::CutOff)?)?;
        self.take(1)?;
        std::str::from_utf8(line).map_err(|_| PickleFault::Misused)
    }

    fn push(&mut self, value: Value) -> Result<(), PickleFault> {
        if self.values.len() == VALUES_MAX {
            return Err(PickleFault::Values(VALUES_MAX));
        }
        self.stack.push(self.values.len() as Id);
        self.values.push(value);
        Ok(())
    }

    fn pop(&mut self) -> Result<Id, PickleFault> {
        self.stack.pop().ok_or(PickleFault::Misused)
    }

    fn last(&self) -> Result<Id, PickleFault> {
        self.stack.last().copied().ok_or(PickleFault::Misused)
    }

    /// What lies above the last mark.
    fn marked(&mut self) -> Result<Vec<Id>, PickleFault> {
        let from = self.marks.pop().filter(|from| *from <= self.stack.len());
        Ok(self.stack.split_off(from.ok_or(PickleFault::Misused)?))
    }

    fn long(&mut self) -> Result<(), PickleFault> {
        let [count] = self.array()?;
        let bytes = self.take(count.into())?;
        let mut value = [0; 8];
        let Some(low) = value.get_mut(..bytes.len()) else {
            // Larger than any length.
            return self.push(Value::Nothing);
        };
        low.copy_from_slice(bytes);
        let value = match bytes.last() {
            Some(last) if last & 0x80 != 0 => return self.push(Value::Nothing),
            _ => i64::from_le_bytes(value),
        };
        self.push(Value::Int(value))
    }

    fn text(&mut self, bytes: u64) -> Result<(), PickleFault> {
        let bytes = usize::try_from(bytes).map_err(|_| PickleFault::CutOff)?;
        let text = String::from_utf8_lossy(self.take(bytes)?).into_owned();
        self.push(Value::Text(text))
    }

    fn text_of(&self, id: Id) -> Result<&str, PickleFault> {
        match &self.values[id as usize] {
            Value::Text(text) => Ok(text),
            _ => Err(PickleFault::Misused),
        }
    }

    fn extend(&mut self, items: Vec<Id>) -> Result<(), PickleFault> {
        let list = self.last()?;
        match &mut self.values[list as usize] {
            Value::List(list) => list.extend(items),
            _ => return Err(PickleFault::Misused),
        }
        Ok(())
    }

    fn set(&mut self, items: &[Id]) -> Result<(), PickleFault> {
        let dict = self.last()?;
        match &mut self.values[dict as usize] {
            Value::Dict(dict) => {
                let pairs = items.as_chunks::<2>().0.iter();
                dict.extend(pairs.map(|[key, value]| (*key, *value)));
            }
            _ => return Err(PickleFault::Misused),
        }
        Ok(())
    }

    fn remember(&mut self, place: usize) -> Result<(), PickleFault> {
        if place >= VALUES_MAX || place > self.values.len() + 256 {
            return Err(PickleFault::Misused);
        }
        let value = self.last()?;
        if self.memo.len() <= place {
            self.memo.resize(place + 1, None);
        }
        self.memo[place] = Some(value);
        Ok(())
    }

    fn recall(&mut self, place: usize) -> Result<(), PickleFault> {
        let value = self.memo.get(place).copied().flatten();
        if self.stack.len() >= VALUES_MAX {
            return Err(PickleFault::Values(VALUES_MAX));
        }
        self.stack.push(value.ok_or(PickleFault::Misused)?);
        Ok(())
    }

    fn name(&mut self, module: &str, name: &str) -> Result<(), PickleFault> {
        let known = Name::of(module, name);
        let known = known.ok_or_else(|| PickleFault::Name(format!("{module}.{name}")))?;
        self.push(Value::Name(known))
    }

    fn list(&self, id: Id) -> Result<&[Id], PickleFault> {
        match &self.values[id as usize] {
            Value::List(list) => Ok(list),
            _ => Err(PickleFault::Misused),
        }
    }

    fn number(&self, id: Id) -> Result<u64, PickleFault> {
        match &self.values[id as usize] {
            Value::Int(value) => u64::try_from(*value).map_err(|_| PickleFault::Misused),
            _ => Err(PickleFault::Misused),
        }
    }

    fn numbers(&self, id: Id) -> Result<Vec<u64>, PickleFault> {
        let list = self.list(id)?;
        if list.len() > AXES_MAX {
            return Err(PickleFault::Misused);
        }
        list.iter().map(|id| self.number(*id)).collect()
    }

    /// BINPERSID: `("storage", kind, name, device, elements)`.
    fn storage(&mut self) -> Result<(), PickleFault> {
        let id = self.pop()?;
        let [_, kind, name, ..] = self.list(id)? else {
            return Err(PickleFault::Misused);
        };
        let Value::Name(Name::Storage(element, size)) = self.values[*kind as usize] else {
            return Err(PickleFault::Misused);
        };
        let name = self.text_of(*name)?.to_owned();
        self.push(Value::Storage(Box::new(Storage {
            element,
            size,
            name,
        })))
    }

    /// REDUCE, of the names that are known.
    fn call(&mut self) -> Result<(), PickleFault> {
        let (arguments, name) = (self.pop()?, self.pop()?);
        let Value::Name(name) = self.values[name as usize] else {
            return Err(PickleFault::Misused);
        };
        match (name, self.list(arguments)?) {
            (Name::OrderedDict, []) => self.push(Value::Dict(Vec::new())),
            (Name::RebuildTensor, [storage, offset, shape, strides, ..]) => {
                let Value::Storage(storage) = &self.values[*storage as usize] else {
                    return Err(PickleFault::Misused);
                };
                let placed = Placed {
                    element: storage.element,
                    size: storage.size,
                    storage: storage.name.clone(),
                    offset: self.number(*offset)?,
                    shape: self.numbers(*shape)?,
                    strides: self.numbers(*strides)?,
                };
                if placed.shape.len() != placed.strides.len() {
                    return Err(PickleFault::Misused);
                }
                self.push(Value::Tensor(Box::new(placed)))
            }
            (Name::RebuildParameter, [tensor, ..]) => {
                let tensor = *tensor;
                self.stack.push(tensor);
                Ok(())
            }
            _ => Err(PickleFault::Misused),
        }
    }

    fn dict(&self, id: Id) -> impl Iterator<Item = (&str, Id)> {
        let pairs = match &self.values[id as usize] {
            Value::Dict(pairs) => &pairs[..],
            _ => &[],
        };
        let named = |(key, value): &(Id, Id)| self.text_of(*key).ok().map(|key| (key, *value));
        pairs.iter().filter_map(named)
    }

    fn item(&self, dict: Id, name: &str) -> Option<Id> {
        self.dict(dict)
            .find_map(|(key, value)| (key == name).then_some(value))
    }

    fn tensors(&self, dict: Id) -> Vec<(String, Placed)> {
        self.dict(dict)
            .filter_map(|(key, value)| match &self.values[value as usize] {
                Value::Tensor(placed) => Some((key.to_owned(), (**placed).clone())),
                _ => None,
            })
            .take(TENSORS_MAX + 1)
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `{"a": FloatStorage[3] as [3]}` as Python writes it.
    fn one() -> Vec<u8> {
        let mut code = b"\x80\x02}q\x00X\x01\x00\x00\x00aq\x01".to_vec();
        code.extend(b"ctorch._utils\n_rebuild_tensor_v2\nq\x02((X\x07\x00\x00\x00storageq\x03");
        code.extend(b"ctorch\nFloatStorage\nq\x04X\x01\x00\x00\x000q\x05X\x03\x00\x00\x00cpuq\x06");
        code.extend(b"K\x03tq\x07QK\x00K\x03\x85q\x08K\x01\x85q\x09\x89");
        code.extend(b"ccollections\nOrderedDict\nq\x0a)Rq\x0btq\x0cRq\x0ds.");
        code
    }

    #[test]
    fn a_state_dict_is_read_and_nothing_else_is_run() {
        let tensors = state_dict(&one()).expect("a state dict");
        let [(key, placed)] = &tensors[..] else {
            panic!("{tensors:?}");
        };
        assert_eq!((key.as_str(), &placed.shape[..]), ("a", &[3][..]));
        assert_eq!((placed.size, placed.storage.as_str()), (4, "0"));
        let refused = |code: &[u8]| state_dict(code).expect_err("refused").to_string();
        let system = refused(b"\x80\x02cos\nsystem\nX\x02\x00\x00\x00id\x85R.");
        assert!(system.contains("`os.system`"), "{system}");
        assert!(refused(b"\x80\x02}.").contains("no state dict"));
        for length in 0..one().len() {
            state_dict(&one()[..length]).expect_err("cut off");
        }
    }
}
