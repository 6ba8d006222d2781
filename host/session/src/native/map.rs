//! A file as bytes, shared by every process that maps it.

use std::fs::File;
use std::path::Path;

/// A read-only mapping. Files of dictionaries and models are replaced, never
/// edited in place: a file that shrinks while it is mapped ends the process.
#[derive(Debug)]
pub struct Mapped {
    map: memmap2::Mmap,
}

impl Mapped {
    pub fn open(path: &Path) -> std::io::Result<Self> {
        let file = File::open(path)?;
        #[expect(
            unsafe_code,
            reason = "mapping a file is unsafe by nature; see `Mapped`"
        )]
        // SAFETY: the mapping is read-only and private to this struct, which
        // hands out only shared slices. That nobody truncates the file is the
        // contract stated above, kept by set-up (rename) and by operators.
        let map = unsafe { memmap2::Mmap::map(&file)? };
        Ok(Self { map })
    }
}

impl AsRef<[u8]> for Mapped {
    fn as_ref(&self) -> &[u8] {
        &self.map
    }
}
