//! Files of the repository that programs have inside travel with it already:
//! they are taken out of the programs here and put back there.

use std::path::Path;

use anyhow::{Context, Result};
use serde::Serialize;

use crate::dictionary::sha256;
use crate::home::{repository, tracked};

/// Smaller ones are not worth a search.
const WORTH: usize = 64 << 10;

#[derive(Serialize)]
struct Program {
    file: String,
    /// Hex, of the whole program with everything back in its place.
    sha256: String,
    parts: Vec<Part>,
}

#[derive(Serialize)]
struct Part {
    offset: usize,
    /// Path from the top of the repository.
    from: String,
}

/// Zeroes them in the programs of `folder` and writes `splice.json` beside it;
/// what was taken, in words.
pub(super) fn take_out(folder: &Path) -> Result<Vec<String>> {
    let mut known = Vec::new();
    for name in tracked()? {
        let bytes = std::fs::read(repository().join(&name)).unwrap_or_default();
        if bytes.len() >= WORTH {
            known.push((name, bytes));
        }
    }
    let (mut programs, mut words) = (Vec::new(), Vec::new());
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        let file = path.file_name().unwrap_or_default();
        let file = file.to_string_lossy().into_owned();
        let mut bytes = std::fs::read(&path)?;
        let sha256 = sha256(&bytes);
        let parts = zero(&mut bytes, &known);
        words.extend(parts.iter().map(|part| format!("{} of {file}", part.from)));
        std::fs::write(&path, bytes)?;
        programs.push(Program {
            file,
            sha256,
            parts,
        });
    }
    let place = folder.with_file_name("splice.json");
    std::fs::write(&place, serde_json::to_vec_pretty(&programs)?)
        .with_context(|| format!("cannot write {}", place.display()))?;
    Ok(words)
}

fn zero(program: &mut [u8], known: &[(String, Vec<u8>)]) -> Vec<Part> {
    let mut parts = Vec::new();
    for (name, bytes) in known {
        if let Some(offset) = memchr::memmem::find(program, bytes) {
            program[offset..offset + bytes.len()].fill(0);
            parts.push(Part {
                offset,
                from: name.clone(),
            });
        }
    }
    parts
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_taken_out_can_be_put_back() {
        let inside: Vec<u8> = (0..WORTH).map(|i| (i * 7 % 251) as u8 + 1).collect();
        let other = vec![3; WORTH];
        let mut program = [b"head".as_slice(), &inside, b"tail"].concat();
        let whole = program.clone();
        let known = [("a".to_owned(), inside.clone()), ("b".to_owned(), other)];
        let parts = zero(&mut program, &known);
        assert_eq!(parts.len(), 1);
        assert_eq!((parts[0].offset, parts[0].from.as_str()), (4, "a"));
        assert!(program[4..4 + WORTH].iter().all(|byte| *byte == 0));
        program[4..4 + WORTH].copy_from_slice(&inside);
        assert_eq!(program, whole);
    }
}
