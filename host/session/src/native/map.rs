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

    /// Lets go of the pages that were read: the system's file cache keeps them
    /// as long as it likes, and they no longer count as this process's. The
    /// next read brings them back.
    pub fn forget(&self) {
        #[expect(
            unsafe_code,
            reason = "advice that may lose what was written to private pages"
        )]
        // SAFETY: the mapping is read-only, so nothing was written; a page that
        // is read again comes from the file, with the same bytes.
        let _ = unsafe {
            self.map
                .unchecked_advise(memmap2::UncheckedAdvice::DontNeed)
        };
    }
}

impl AsRef<[u8]> for Mapped {
    fn as_ref(&self) -> &[u8] {
        &self.map
    }
}
