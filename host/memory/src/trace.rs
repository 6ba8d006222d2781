//! Uses and decisions as JSON lines: written while serving, read by replay.

use std::io::{self, BufRead};

use serde::{Deserialize, Serialize};

use super::decide::Decision;
use super::policy::MemoryPolicy;

/// One line. Times are microseconds of the writer's monotonic clock.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "lowercase")]
pub enum Line {
    /// The first of each file.
    Start {
        /// The version of the lines that follow; see [`FORMAT`].
        format: u32,
        /// Bytes for voices on the device.
        device: u64,
    },
    /// The policy from here on.
    Policy {
        /// The policy was published at this time.
        at_us: u64,
        /// It has everything that the operator wrote, without the plugin.
        policy: Box<MemoryPolicy>,
        /// The eviction plugin goes by this name; None if there is none.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        plugin: Option<String>,
    },
    /// Somebody asked for a voice.
    Use(Use),
    /// Memory was short, and something was decided.
    Decision {
        /// The decision was made at this time.
        at_us: u64,
        /// Its fields stand in the line itself, beside `kind` and `at_us`.
        #[serde(flatten)]
        decision: Box<Decision>,
    },
}

/// A voice was wanted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Use {
    /// The request came at this time.
    pub at_us: u64,
    /// The name that it asked for.
    pub voice: String,
    /// What it holds on the device.
    pub bytes: u64,
    /// What loading it from its file takes.
    pub reload_us: u64,
}

/// What is written now; other formats are refused.
pub const FORMAT: u32 = 1;

impl Line {
    /// A first line in the present format, for so many bytes of device memory.
    pub const fn start(device: u64) -> Self {
        Self::Start {
            format: FORMAT,
            device,
        }
    }
}

/// A trace that cannot be read. The operator can act.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// The file could not be read, or is larger than a trace may be (512 MiB).
    #[error(transparent)]
    Read(#[from] io::Error),
    /// The line with this number, from 1, is no line of a trace.
    #[error("line {line}: {cause}")]
    Line { line: usize, cause: String },
}

/// Of a whole trace; two files of the largest size that is useful have less.
const BYTES_MAX: u64 = 512 << 20;

/// All lines. The last one may be cut short, by a crash or a full disk.
pub fn read(from: impl BufRead) -> Result<Vec<Line>, ReadError> {
    read_at_most(from, BYTES_MAX)
}

fn read_at_most(from: impl BufRead, most: u64) -> Result<Vec<Line>, ReadError> {
    let mut lines = Vec::new();
    let from = Measured {
        from,
        left: most,
        most,
    };
    let mut from = from.lines().enumerate().peekable();
    while let Some((number, text)) = from.next() {
        let text = text?;
        if text.trim().is_empty() {
            continue;
        }
        let wrong = |cause: String| ReadError::Line {
            line: number + 1,
            cause,
        };
        match serde_json::from_str(&text) {
            Ok(Line::Start { format, .. }) if format != FORMAT => {
                return Err(wrong(format!(
                    "this is format {format} of a trace; this koemasu reads {FORMAT}"
                )));
            }
            Ok(line) => lines.push(line),
            Err(error) if error.is_eof() && from.peek().is_none() => {}
            Err(error) => return Err(wrong(error.to_string())),
        }
    }
    Ok(lines)
}

/// A reader that ends in an error beyond so many bytes.
struct Measured<R> {
    from: R,
    left: u64,
    most: u64,
}

impl<R: BufRead> io::Read for Measured<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = io::Read::read(&mut self.fill_buf()?, buffer)?;
        self.consume(read);
        Ok(read)
    }
}

impl<R: BufRead> BufRead for Measured<R> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        let there = self.from.fill_buf()?;
        if there.len() as u64 > self.left {
            let most = self.most;
            return Err(io::Error::other(format!("it has more than {most} bytes")));
        }
        Ok(there)
    }

    fn consume(&mut self, read: usize) {
        self.left = self.left.saturating_sub(read as u64);
        self.from.consume(read);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn used(at_us: u64) -> Line {
        Line::Use(Use {
            at_us,
            voice: "haru".to_owned(),
            bytes: 1,
            reload_us: 1,
        })
    }

    #[test]
    fn a_line_cut_short_at_the_end_is_left_out_and_elsewhere_an_error() {
        let whole = serde_json::to_string(&used(1)).expect("JSON");
        let text = format!("{whole}\n{}", &whole[..20]);
        assert_eq!(read(text.as_bytes()).expect("a trace"), [used(1)]);
        let text = format!("{}\n{whole}", &whole[..20]);
        let error = read(text.as_bytes()).expect_err("broken").to_string();
        assert!(error.starts_with("line 1: "), "{error}");
        let error = read_at_most(text.as_bytes(), 20).expect_err("too long");
        assert!(error.to_string().contains("more than 20 bytes"), "{error}");
        let error = read(&br#"{"kind":"start","format":2,"device":1}"#[..]).expect_err("newer");
        assert!(error.to_string().contains("format 2"), "{error}");
    }
}
