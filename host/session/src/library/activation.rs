//! How a voice comes to a slot.

/// How a slot came to hold a voice.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Activation {
    /// It held the voice already.
    Sticky,
    /// Copied from the slab's library.
    Device,
    /// Copied from host memory.
    Host,
    /// Read from the file.
    File,
}

impl Activation {
    /// Metrics have it as the label `from`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Sticky => "sticky",
            Self::Device => "device",
            Self::Host => "host",
            Self::File => "file",
        }
    }
}
