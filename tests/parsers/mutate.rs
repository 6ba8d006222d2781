//! Inputs by damage: a seed with bytes changed, pieces moved, and what parsers
//! break on put in between, once or many thousand times.

/// What nests, repeats, overflows or has no end.
const TOKENS: &[&[u8]] = &[
    b"[",
    b"]",
    b"{",
    b"}",
    b"(",
    b")",
    b"[]",
    b"[],",
    b"{\"a\":",
    b"{'a': ",
    b"{'descr': [",
    b"\"",
    b"'",
    b"\\",
    b"\\u0000",
    b"\\ud800",
    b",",
    b":",
    b"-",
    b".",
    b"/",
    b"0",
    b"1e999",
    b"-1",
    b"18446744073709551615",
    b"9223372036854775808",
    b"4294967296",
    b"340282366920938463463",
    b"NaN",
    b"inf",
    b"null",
    b"true",
    b"\n",
    b"\r\n",
    b"\0",
    b" ",
    b"=",
    b"[[a]]\n",
    b"a.",
    b"a=[",
    b"#",
    b"\"\"",
    b"%",
    b"&a=",
    b"+",
    b"\x0a\x00",
    b"\x2a\x00",
    b"\x72\x00",
    b"\x5a\x00",
    b"\x08\x00",
    b"\x12\x00",
    b"\x0a\x02\x0a\x00",
    b"\x2a\x02\x0a\x00",
    b"\xff",
    b"\xff\xff\xff\xff",
    b"\xff\xff\xff\xff\xff\xff\xff\xff\x7f",
    b"\x80",
    b"\x7f",
    b"data",
    b"fmt ",
    b"RIFF",
    "ア".as_bytes(),
    "ア'".as_bytes(),
    "？".as_bytes(),
    "、".as_bytes(),
    "_ス".as_bytes(),
    b"\xef\xbb\xbf",
    b"\x28\xb5\x2f\xfd",
];

const LENGTH_MAX: usize = 1 << 20;

/// The same inputs from the same start.
pub(crate) struct Mutator {
    state: u64,
}

impl Mutator {
    pub(crate) fn new(seed: u64) -> Self {
        Self { state: seed }
    }

    pub(crate) fn next(&mut self, seeds: &[Vec<u8>]) -> Vec<u8> {
        let mut bytes = seeds[self.below(seeds.len())].clone();
        for _ in 0..1 + self.below(4) {
            self.damage(&mut bytes, seeds);
        }
        bytes.truncate(LENGTH_MAX);
        bytes
    }

    fn damage(&mut self, bytes: &mut Vec<u8>, seeds: &[Vec<u8>]) {
        let at = self.below(bytes.len() + 1);
        match self.below(10) {
            0 | 1 if at < bytes.len() => bytes[at] ^= 1 << self.below(8),
            2 if at < bytes.len() => bytes[at] = self.random() as u8,
            3 => bytes.truncate(at),
            4 => {
                let end = at + self.below(64).min(bytes.len() - at);
                bytes.drain(at..end);
            }
            5 => {
                let other = &seeds[self.below(seeds.len())];
                let from = self.below(other.len() + 1);
                let end = from + self.below(512).min(other.len() - from);
                bytes.splice(at..at, other[from..end].iter().copied());
            }
            6 => {
                let end = at + self.below(64).min(bytes.len() - at);
                let times = self.times();
                let piece = bytes[at..end].repeat(times.min(LENGTH_MAX / (end - at).max(1)));
                bytes.splice(at..at, piece);
            }
            7 => {
                // A length or a count as formats have them.
                let value = self.extreme().to_le_bytes();
                let width = [1, 2, 4, 8][self.below(4)];
                for (place, byte) in bytes.iter_mut().skip(at).take(width).zip(value) {
                    *place = byte;
                }
            }
            _ => {
                let token = TOKENS[self.below(TOKENS.len())];
                let times = self.times();
                bytes.splice(at..at, token.repeat(times));
            }
        }
    }

    fn times(&mut self) -> usize {
        [1, 1, 1, 2, 20, 300, 5_000, 50_000][self.below(8)]
    }

    fn extreme(&mut self) -> u64 {
        let near = self.random() % 5;
        let edge: [u64; 9] = [
            0,
            0x7f,
            0xff,
            0xffff,
            1 << 31,
            1 << 32,
            1 << 56,
            1 << 61,
            1 << 63,
        ];
        edge[self.below(edge.len())]
            .wrapping_add(near)
            .wrapping_sub(2)
    }

    fn below(&mut self, end: usize) -> usize {
        (self.random() % end.max(1) as u64) as usize
    }

    /// Marsaglia's xorshift, 64 bits.
    fn random(&mut self) -> u64 {
        self.state ^= self.state << 13;
        self.state ^= self.state >> 7;
        self.state ^= self.state << 17;
        self.state
    }
}
