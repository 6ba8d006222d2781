//! The .npy format of numpy, as far as style vectors come in it: a matrix of
//! floats.
//!
//! The header is a literal of Python's, which allows anything, nested as one
//! likes. What numpy writes is one flat dict of three keys, and that alone is
//! read here, from left to right and never back.
//!
//! Source of the format: numpy's `numpy.lib.format`, versions 1.0 to 3.0.

use super::bounds::STYLES_MAX;
use super::defect::NpyFault;
use crate::family::STYLE_WIDTH;

/// A header says three things; numpy itself trusts no more than 10,000 bytes.
const HEADER_BYTES_MAX: usize = 64 << 10;
/// Of a whole file: header and numbers of the widest kind.
pub(super) const BYTES_MAX: usize = 2 * HEADER_BYTES_MAX + STYLES_MAX * STYLE_WIDTH * 8;

const MAGIC: &[u8] = b"\x93NUMPY";

/// Row by row, however the file has it.
#[derive(Debug, PartialEq)]
pub(super) struct Matrix {
    pub(super) rows: usize,
    pub(super) width: usize,
    pub(super) data: Vec<f32>,
}

pub(super) fn read(bytes: &[u8]) -> Result<Matrix, NpyFault> {
    let (header, values) = split(bytes)?;
    let header = Header::parse(header)?;
    let [rows, width] = header.shape[..] else {
        return Err(NpyFault::Rank(shown(&header.shape)));
    };
    if rows == 0 || rows > STYLES_MAX as u64 || width != STYLE_WIDTH as u64 {
        return Err(NpyFault::Shape {
            rows,
            width,
            rows_max: STYLES_MAX,
            width_expected: STYLE_WIDTH,
        });
    }
    let (rows, width) = (rows as usize, width as usize);
    let size = header.element.bytes();
    let needed = rows * width * size;
    let found = values.len();
    let short = NpyFault::Short { found, needed };
    let values = values.get(..needed).ok_or(short)?;
    let number = |at: usize| header.element.read(&values[at * size..(at + 1) * size]);
    let data = (0..rows * width).map(|at| match header.columns_first {
        false => number(at),
        true => number(at % width * rows + at / width),
    });
    Ok(Matrix {
        rows,
        width,
        data: data.collect(),
    })
}

fn split(bytes: &[u8]) -> Result<(&str, &[u8]), NpyFault> {
    let rest = bytes.strip_prefix(MAGIC).ok_or(NpyFault::CutOff)?;
    let ([major, _minor], rest) = rest.split_first_chunk().ok_or(NpyFault::CutOff)?;
    let (length, rest) = match major {
        1 => {
            let (length, rest) = rest.split_first_chunk().ok_or(NpyFault::CutOff)?;
            (u32::from(u16::from_le_bytes(*length)), rest)
        }
        2 | 3 => {
            let (length, rest) = rest.split_first_chunk().ok_or(NpyFault::CutOff)?;
            (u32::from_le_bytes(*length), rest)
        }
        other => return Err(NpyFault::Version(*other)),
    };
    if length as usize > HEADER_BYTES_MAX {
        return Err(NpyFault::LongHeader {
            bytes: length,
            most: HEADER_BYTES_MAX,
        });
    }
    let (header, values) = rest
        .split_at_checked(length as usize)
        .ok_or(NpyFault::CutOff)?;
    let header = std::str::from_utf8(header).map_err(|_| NpyFault::NoText)?;
    Ok((header, values))
}

#[derive(Debug)]
struct Header {
    element: Element,
    /// `fortran_order`: the numbers lie column by column.
    columns_first: bool,
    shape: Vec<u64>,
}

#[derive(Clone, Copy, Debug)]
struct Element {
    kind: Kind,
    big_endian: bool,
}

#[derive(Clone, Copy, Debug)]
enum Kind {
    F16,
    F32,
    F64,
}

impl Header {
    fn parse(text: &str) -> Result<Self, NpyFault> {
        let mut scan = Scan { rest: text };
        let (mut element, mut columns_first, mut shape) = (None, None, None);
        scan.need('{')?;
        while !scan.take('}') {
            let key = scan.string()?;
            scan.need(':')?;
            let again = match key {
                "descr" => element.replace(Element::named(scan.string()?)?).is_some(),
                "fortran_order" => columns_first.replace(scan.flag()?).is_some(),
                "shape" => shape.replace(scan.shape()?).is_some(),
                _ => return Err(NpyFault::Key),
            };
            if again {
                return Err(NpyFault::Twice(key.to_owned()));
            }
            if !scan.take(',') {
                scan.need('}')?;
                break;
            }
        }
        if !scan.rest.trim_start().is_empty() {
            return Err(NpyFault::GoesOn);
        }
        Ok(Self {
            element: element.ok_or(NpyFault::Missing("descr"))?,
            columns_first: columns_first.ok_or(NpyFault::Missing("fortran_order"))?,
            shape: shape.ok_or(NpyFault::Missing("shape"))?,
        })
    }
}

/// What is left of a header.
struct Scan<'a> {
    rest: &'a str,
}

/// More axes than numpy has.
const AXES_MAX: usize = 64;

impl<'a> Scan<'a> {
    fn take(&mut self, sign: char) -> bool {
        let rest = self.rest.trim_start();
        let after = rest.strip_prefix(sign);
        self.rest = after.unwrap_or(rest);
        after.is_some()
    }

    fn need(&mut self, sign: char) -> Result<(), NpyFault> {
        match self.take(sign) {
            true => Ok(()),
            false => Err(NpyFault::Sign(sign)),
        }
    }

    fn string(&mut self) -> Result<&'a str, NpyFault> {
        let quote = if self.take('"') { '"' } else { '\'' };
        if quote == '\'' {
            self.need('\'')?;
        }
        let (string, rest) = self.rest.split_once(quote).ok_or(NpyFault::OpenText)?;
        self.rest = rest;
        Ok(string)
    }

    fn flag(&mut self) -> Result<bool, NpyFault> {
        let rest = self.rest.trim_start();
        for (word, value) in [("False", false), ("True", true)] {
            if let Some(rest) = rest.strip_prefix(word) {
                self.rest = rest;
                return Ok(value);
            }
        }
        Err(NpyFault::Order)
    }

    fn shape(&mut self) -> Result<Vec<u64>, NpyFault> {
        let mut shape = Vec::new();
        self.need('(')?;
        while !self.take(')') {
            if shape.len() == AXES_MAX {
                return Err(NpyFault::Axes(AXES_MAX));
            }
            let rest = self.rest.trim_start();
            let end = rest.find(|c: char| !c.is_ascii_digit());
            let (digits, rest) = rest.split_at(end.unwrap_or(rest.len()));
            let axis = digits.parse().map_err(|_| NpyFault::Axis)?;
            shape.push(axis);
            // numpy under Python 2 wrote long numbers so.
            self.rest = rest.strip_prefix('L').unwrap_or(rest);
            if !self.take(',') {
                self.need(')')?;
                break;
            }
        }
        Ok(shape)
    }
}

impl Element {
    fn named(name: &str) -> Result<Self, NpyFault> {
        let (order, kind) = name.split_at_checked(1).unwrap_or_default();
        let kind = match kind {
            "f2" => Kind::F16,
            "f4" => Kind::F32,
            "f8" => Kind::F64,
            _ => return Err(NpyFault::Element),
        };
        match order {
            "<" | ">" => Ok(Self {
                kind,
                big_endian: order == ">",
            }),
            _ => Err(NpyFault::Endian),
        }
    }

    fn bytes(self) -> usize {
        match self.kind {
            Kind::F16 => 2,
            Kind::F32 => 4,
            Kind::F64 => 8,
        }
    }

    /// From exactly as many bytes as the kind has.
    fn read(self, bytes: &[u8]) -> f32 {
        let mut little = [0; 8];
        let own = &mut little[..bytes.len()];
        own.copy_from_slice(bytes);
        if self.big_endian {
            own.reverse();
        }
        let [a, b, c, d, ..] = little;
        match self.kind {
            Kind::F16 => half(u16::from_le_bytes([a, b])),
            Kind::F32 => f32::from_le_bytes([a, b, c, d]),
            Kind::F64 => f64::from_le_bytes(little) as f32,
        }
    }
}

/// A float of 16 bits: 1 sign, 5 exponent, 10 mantissa.
fn half(bits: u16) -> f32 {
    let sign = if bits >> 15 == 1 { -1.0 } else { 1.0 };
    let (exponent, mantissa) = (i32::from(bits >> 10 & 0x1f), f32::from(bits & 0x3ff));
    sign * match exponent {
        0 => mantissa * 2.0_f32.powi(-24),
        0x1f if mantissa == 0.0 => f32::INFINITY,
        0x1f => f32::NAN,
        _ => (mantissa + 1_024.0) * 2.0_f32.powi(exponent - 25),
    }
}

fn shown(shape: &[u64]) -> String {
    let axes: Vec<_> = shape.iter().take(4).map(u64::to_string).collect();
    let more = if shape.len() > 4 { ", …" } else { "" };
    format!("({}{more})", axes.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(version: u8, header: &str, values: &[u8]) -> Vec<u8> {
        let length = header.len();
        let length = match version {
            1 => (length as u16).to_le_bytes().to_vec(),
            _ => (length as u32).to_le_bytes().to_vec(),
        };
        [MAGIC, &[version, 0], &length, header.as_bytes(), values].concat()
    }

    fn header(element: &str, fortran: &str, shape: &str) -> String {
        format!("{{'descr': '{element}', 'fortran_order': {fortran}, 'shape': {shape}, }}   \n")
    }

    /// Two rows: 0, 1, 2, … and 1000, 1001, ….
    fn expected() -> Vec<f32> {
        (0..2 * 256)
            .map(|at| (at / 256 * 1_000 + at % 256) as f32)
            .collect()
    }

    #[test]
    fn numbers_of_every_kind_and_order_are_the_same() {
        let rows = expected();
        let columns: Vec<f32> = (0..256).flat_map(|x| [rows[x], rows[256 + x]]).collect();
        for version in 1..=3 {
            for (fortran, values) in [("False", &rows), ("True", &columns)] {
                let bytes = |to: fn(f32) -> Vec<u8>| -> Vec<u8> {
                    values.iter().copied().flat_map(to).collect()
                };
                for (element, bytes) in [
                    ("<f4", bytes(|it| it.to_le_bytes().into())),
                    (">f4", bytes(|it| it.to_be_bytes().into())),
                    ("<f8", bytes(|it| f64::from(it).to_le_bytes().into())),
                    (">f8", bytes(|it| f64::from(it).to_be_bytes().into())),
                ] {
                    let header = header(element, fortran, "(2, 256)");
                    let read = read(&file(version, &header, &bytes));
                    let read = read.unwrap_or_else(|e| panic!("{version} {header}: {e}"));
                    assert_eq!((read.rows, read.width), (2, 256));
                    assert!(read.data == rows, "{version} {header}");
                }
            }
        }
    }

    #[test]
    fn halves_are_read() {
        for (bits, value) in [
            (0x0000, 0.0),
            (0x3c00, 1.0),
            (0xc100, -2.5),
            (0x0001, 2.0_f32.powi(-24)),
            (0x7bff, 65_504.0),
            (0x7c00, f32::INFINITY),
        ] {
            assert_eq!(half(bits), value, "{bits:#06x}");
        }
        assert!(half(0x7e00).is_nan());
    }

    #[test]
    fn keys_may_come_in_any_order_and_quotes() {
        let header = "{ \"shape\":(1L ,256,),'descr' :'<f4','fortran_order':False}";
        assert!(read(&file(1, header, &[0; 1_024])).is_ok());
    }

    #[test]
    fn what_numpy_does_not_write_is_refused_at_once() {
        let values = [0; 2_048];
        let nested = |open: &str, close: &str, depth: usize| {
            format!(
                "{{'descr': {}{}, 'fortran_order': False, 'shape': (2, 256), }}",
                open.repeat(depth),
                close.repeat(depth)
            )
        };
        let shape = |shape: &str| header("<f4", "False", shape);
        for text in [
            nested("[", "]", 10),
            nested("[", "]", 30),
            nested("[", "]", 15_000),
            nested("(", ")", 15_000),
            "{'a': {'a': ".repeat(12),
            "{'descr': ".repeat(3_000),
            "-".repeat(60_000),
            "1".repeat(60_000),
            " ".repeat(60_000),
            String::new(),
            "{".to_owned(),
            "{}".to_owned(),
            shape("(2, 256)").replace("descr", "déscr"),
            shape("(2, 256)").replace("'descr': '<f4'", "'descr': '<f4', 'descr': '<f4'"),
            format!("{}x", shape("(2, 256)")),
            shape("(-1, 256)"),
            shape("(2.0, 256)"),
            shape("2"),
            shape("(99999999999999999999999999, 256)"),
            shape("(2305843009213693952, 8)"),
            shape("(72057594037927936, 256)"),
            shape("(1099511627776, 256)"),
            shape("(0, 256)"),
            shape("(3, 256)"),
            shape(&format!("({})", "1, ".repeat(15_000))),
            header("<V9223372036854775807", "False", "(2, 256)"),
            header("<U4611686018427387905", "False", "(2, 256)"),
            header("|f4", "False", "(2, 256)"),
            header("", "False", "(2, 256)"),
            header("<f4", "Maybe", "(2, 256)"),
        ] {
            for version in 1..=2 {
                let refused = read(&file(version, &text, &values));
                let refused = refused.expect_err(&text).to_string();
                assert!(refused.len() < 300, "{refused}");
            }
        }
        for bytes in [
            &b""[..],
            b"\x93NUMPY",
            b"\x93NUMPY\x02\0\xff\xff\xff\xff",
            b"\x93NUMPY\x09\0\0\0",
        ] {
            assert!(read(bytes).is_err(), "{bytes:?}");
        }
        assert!(read(&file(1, &shape("(2, 256)"), &values)).is_ok());
    }
}
