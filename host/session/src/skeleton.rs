//! An ONNX file without its weights: everything a parser looks at, at its own
//! place, and nothing where large tensors lie.
//!
//! A voice of 250 MB has a graph of one or two. Only that is read; the rest
//! stays untouched memory, which costs nothing, so that offsets into it are
//! offsets into the file.

use std::io::{Error, ErrorKind, Result};
use std::ops::Deref;

use crate::files::{Held, MODEL_MAX};
use crate::onnx;

/// Tensors from here on are left out.
const LARGE: u64 = 32 << 10;
/// Of what is read: no graph comes near it.
const READ_MAX: u64 = 512 << 20;
/// Read at once where small fields follow each other.
const AHEAD: u64 = 4 << 10;

pub(crate) struct Skeleton(memmap2::MmapMut);

impl Deref for Skeleton {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.0
    }
}

impl Skeleton {
    pub(crate) fn read(held: &Held) -> Result<Self> {
        if held.bytes() > MODEL_MAX {
            return Err(wrong("is larger than an ONNX file can be"));
        }
        let bytes = usize::try_from(held.bytes()).map_err(|_| wrong("is too large"))?;
        // Anonymous memory: reserved and zero, there where it is written.
        let memory = memmap2::MmapMut::map_anon(bytes.max(1))?;
        let mut reading = Reading {
            held,
            memory,
            known: 0..0,
            read: 0,
        };
        reading.model(0..held.bytes())?;
        if !held.intact()? {
            return Err(Error::new(
                ErrorKind::ResourceBusy,
                "was written to while it was read",
            ));
        }
        Ok(Self(reading.memory))
    }
}

type Span = std::ops::Range<u64>;

/// ModelProto.graph, GraphProto.initializer, and of a TensorProto its dims,
/// data_type and raw_data.
const GRAPH: u64 = 7;
const INITIALIZER: u64 = 5;
const DIMS: u64 = 1;
const DATA_TYPE: u64 = 2;
const RAW: u64 = 9;

struct Reading<'h> {
    held: &'h Held,
    memory: memmap2::MmapMut,
    /// Read ahead last.
    known: Span,
    read: u64,
}

enum Field {
    Number(u64),
    Bytes(Span),
    Other,
}

impl Reading<'_> {
    fn model(&mut self, span: Span) -> Result<()> {
        self.fields(span, |this, number, field| match (number, field) {
            (GRAPH, Field::Bytes(graph)) => this.graph(graph),
            (_, field) => this.keep(field),
        })
    }

    fn graph(&mut self, span: Span) -> Result<()> {
        self.fields(span, |this, number, field| match (number, field) {
            (INITIALIZER, Field::Bytes(tensor)) if tensor.end - tensor.start >= LARGE => {
                this.tensor(tensor)
            }
            (_, field) => this.keep(field),
        })
    }

    /// Without its values if they are a weight's.
    fn tensor(&mut self, span: Span) -> Result<()> {
        let (mut element, mut scalar, mut values) = (0, true, Vec::new());
        self.fields(span, |this, number, field| {
            match (number, &field) {
                (DATA_TYPE, Field::Number(number)) => element = *number,
                (DIMS, _) => scalar = false,
                (RAW, Field::Bytes(raw)) => {
                    values.push(raw.clone());
                    return Ok(());
                }
                _ => {}
            }
            this.keep(field)
        })?;
        if scalar || !onnx::is_weight(element) {
            for raw in values {
                self.fill(raw)?;
            }
        }
        Ok(())
    }

    fn keep(&mut self, field: Field) -> Result<()> {
        match field {
            Field::Bytes(span) => self.fill(span),
            Field::Number(_) | Field::Other => Ok(()),
        }
    }

    fn fields(
        &mut self,
        span: Span,
        mut each: impl FnMut(&mut Self, u64, Field) -> Result<()>,
    ) -> Result<()> {
        let mut at = span.start;
        while at < span.end {
            let tag = self.varint(&mut at, span.end)?;
            let field = match tag & 7 {
                0 => Field::Number(self.varint(&mut at, span.end)?),
                kind @ (1 | 5) => {
                    let bytes = if kind == 1 { 8 } else { 4 };
                    let start = at;
                    at = end(start, bytes, span.end)?;
                    self.fill(start..at)?;
                    Field::Other
                }
                2 => {
                    let bytes = self.varint(&mut at, span.end)?;
                    let start = at;
                    at = end(start, bytes, span.end)?;
                    Field::Bytes(start..at)
                }
                _ => return Err(torn()),
            };
            each(self, tag >> 3, field)?;
        }
        Ok(())
    }

    fn varint(&mut self, at: &mut u64, limit: u64) -> Result<u64> {
        let mut value = 0;
        for shift in (0..64).step_by(7) {
            if *at >= limit {
                return Err(torn());
            }
            self.fill(*at..*at + 1)?;
            let byte = self.memory[*at as usize];
            *at += 1;
            value |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return Ok(value);
            }
        }
        Err(torn())
    }

    /// Reads a span, and a little more for what comes next.
    fn fill(&mut self, span: Span) -> Result<()> {
        if span.start >= self.known.start && span.end <= self.known.end {
            return Ok(());
        }
        let end = span.end.max(span.start + AHEAD).min(self.held.bytes());
        self.read += end - span.start;
        if self.read > READ_MAX {
            return Err(wrong("has a graph of more than 512 MiB beside its weights"));
        }
        let place = span.start as usize..end as usize;
        self.held.read_at(span.start, &mut self.memory[place])?;
        self.known = span.start..end;
        Ok(())
    }
}

fn end(start: u64, bytes: u64, limit: u64) -> Result<u64> {
    let end = start.checked_add(bytes).filter(|end| *end <= limit);
    end.ok_or_else(torn)
}

fn torn() -> Error {
    wrong("the file is cut off or no ONNX file")
}

fn wrong(why: &str) -> Error {
    Error::new(ErrorKind::InvalidData, why.to_owned())
}
