//! The memory behind the slab: one reservation of addresses, made at start. The
//! processor's memory comes to them page by page and goes again; a device's is
//! there from the start.

use std::ops::Range;
use std::ptr::NonNull;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::device::Device;
use crate::error::Error;
use crate::native::cuda::Cuda;

/// Which memory a reservation is of; ONNX Runtime has an allocator for each.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// The processor's own.
    Cpu,
    /// A GPU's, by CUDA's number.
    Cuda(i32),
    /// Host memory that a GPU copies from at full speed.
    Pinned(i32),
}

impl Kind {
    /// The memory that sessions on this device compute in.
    pub fn of(device: Device) -> Self {
        match device {
            Device::Cpu => Self::Cpu,
            Device::Cuda(number) => Self::Cuda(number),
        }
    }

    /// Logs and reports call it so; GPUs are not told apart.
    pub fn name(self) -> &'static str {
        match self {
            Self::Cpu => "cpu",
            Self::Cuda(_) => "cuda",
            Self::Pinned(_) => "pinned",
        }
    }
}

/// Bytes at a fixed address until the process ends.
pub(crate) struct Reservation {
    base: NonNull<u8>,
    bytes: usize,
    memory: Memory,
    touched: AtomicBool,
}

enum Memory {
    /// Pages come when they are first written.
    Mapped(#[expect(dead_code, reason = "held so that the mapping stays")] memmap2::MmapMut),
    Cuda(Cuda),
    Pinned(Cuda),
}

#[expect(unsafe_code, reason = "an address handed to many threads; see SAFETY")]
// SAFETY: the reservation is memory, not state: the slab decides who may touch
// which bytes of it, and copies go through `&mut`-like ownership of a block.
unsafe impl Send for Reservation {}
#[expect(unsafe_code, reason = "as above")]
// SAFETY: as above.
unsafe impl Sync for Reservation {}

impl Reservation {
    /// Addresses for `span` bytes, of which `budget` are wanted.
    pub(crate) fn new(kind: Kind, budget: usize, span: usize) -> Result<Self, Error> {
        let failed = |cause: &dyn std::fmt::Display| {
            Error::Device(format!(
                "cannot reserve {budget} bytes of {} memory for the slab ({cause}); lower `memory.budget`",
                kind.name()
            ))
        };
        let bytes = span.max(memory::slab::ALIGNMENT);
        let (base, memory) = match kind {
            Kind::Cpu => {
                let mut map = memmap2::MmapOptions::new()
                    .len(bytes)
                    .no_reserve_swap()
                    .map_anon()
                    .map_err(|e| failed(&e))?;
                (map.as_mut_ptr(), Memory::Mapped(map))
            }
            Kind::Cuda(device) => {
                let cuda = Cuda::load(device).map_err(|e| failed(&e))?;
                let base = cuda.allocate(bytes).map_err(|e| failed(&e))?;
                (base, Memory::Cuda(cuda))
            }
            Kind::Pinned(device) => {
                let cuda = Cuda::load(device).map_err(|e| failed(&e))?;
                let base = cuda.allocate_pinned(bytes).map_err(|e| failed(&e))?;
                (base, Memory::Pinned(cuda))
            }
        };
        let base = NonNull::new(base).ok_or_else(|| failed(&"address 0"))?;
        Ok(Self {
            base,
            bytes,
            memory,
            touched: AtomicBool::new(false),
        })
    }

    pub(crate) fn base(&self) -> usize {
        self.base.as_ptr() as usize
    }

    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    pub(crate) fn pointer(&self, offset: usize) -> *mut u8 {
        assert!(offset <= self.bytes, "an offset of the slab");
        // Wrapping, so that no unsafe is needed to compute an address.
        self.base.as_ptr().wrapping_add(offset)
    }

    /// Memory of the same kind that is none of the reservation's: for the one
    /// allocation that can neither be refused nor served. None if the system
    /// has none.
    pub(crate) fn beyond(&self, bytes: usize) -> Option<NonNull<u8>> {
        let pointer = match &self.memory {
            Memory::Mapped(_) => {
                let mut pointer = std::ptr::null_mut();
                #[expect(unsafe_code, reason = "the C heap, for memory that C++ writes to")]
                // SAFETY: a valid alignment and out-pointer.
                let failed = unsafe {
                    libc::posix_memalign(&raw mut pointer, memory::slab::ALIGNMENT, bytes.max(1))
                };
                (failed == 0).then_some(pointer.cast())
            }
            Memory::Cuda(cuda) => cuda.allocate(bytes).ok(),
            Memory::Pinned(cuda) => cuda.allocate_pinned(bytes).ok(),
        };
        pointer.and_then(NonNull::new)
    }

    /// Gives back what `beyond` gave, once.
    pub(crate) fn give_back(&self, pointer: NonNull<u8>) {
        // What a device does not take back is lost; nothing else can be done.
        let _ = match &self.memory {
            Memory::Mapped(_) => {
                #[expect(unsafe_code, reason = "as in `beyond`")]
                // SAFETY: of `posix_memalign`, and given up by the caller.
                unsafe {
                    libc::free(pointer.as_ptr().cast());
                }
                Ok(())
            }
            Memory::Cuda(cuda) => cuda.free(pointer.as_ptr()),
            Memory::Pinned(cuda) => cuda.free_pinned(pointer.as_ptr()),
        };
    }

    /// Whether every page is there from the start, as on a GPU.
    pub(crate) fn is_whole(&self) -> bool {
        !matches!(self.memory, Memory::Mapped(_)) || self.touched.load(Ordering::Relaxed)
    }

    /// Writes to every page, so that the process has its final size from the
    /// start and nothing grows later; none of them is given back.
    pub(crate) fn touch(&self, range: Range<usize>) {
        assert!(range.end <= self.bytes, "inside the slab");
        if let Memory::Mapped(_) = self.memory {
            self.touched.store(true, Ordering::Relaxed);
            for offset in range.step_by(4096) {
                #[expect(unsafe_code, reason = "a write through the base address")]
                // SAFETY: inside the mapping, and nobody holds a block yet.
                unsafe {
                    self.pointer(offset).write_volatile(0);
                }
            }
        }
    }

    /// Gives whole pages back to the system; their bytes are zeros from then
    /// on. Nobody has a block there.
    pub(crate) fn give_pages_back(&self, pages: &Range<usize>) {
        assert!(pages.end <= self.bytes, "inside the slab");
        if let Memory::Mapped(_) = self.memory {
            #[expect(unsafe_code, reason = "the system's own call for it")]
            // SAFETY: inside the mapping, which is private and of no file. A
            // failure keeps the pages, which costs memory and nothing else.
            unsafe {
                libc::madvise(
                    self.pointer(pages.start).cast(),
                    pages.len(),
                    libc::MADV_DONTNEED,
                );
            }
        }
    }

    /// Copies host bytes to `offset`. The caller owns the block there.
    pub(crate) fn write(&self, offset: usize, bytes: &[u8]) -> Result<(), Error> {
        assert!(offset + bytes.len() <= self.bytes, "inside the slab");
        match &self.memory {
            Memory::Mapped(_) | Memory::Pinned(_) => {
                #[expect(unsafe_code, reason = "the slab is memory ONNX Runtime also writes")]
                // SAFETY: both ranges are valid for their length; the target
                // belongs to a block that only the caller writes to now.
                unsafe {
                    std::ptr::copy_nonoverlapping(
                        bytes.as_ptr(),
                        self.pointer(offset),
                        bytes.len(),
                    );
                }
                Ok(())
            }
            Memory::Cuda(cuda) => cuda
                .copy_from_host(self.pointer(offset), bytes)
                .map_err(Error::from),
        }
    }

    /// Copies inside the reservation; the ranges do not overlap.
    pub(crate) fn copy_within(&self, from: usize, to: usize, bytes: usize) -> Result<(), Error> {
        assert!(from + bytes <= self.bytes && to + bytes <= self.bytes);
        assert!(from + bytes <= to || to + bytes <= from, "apart");
        self.move_within(from, to, bytes)
    }

    /// Moves bytes inside the reservation, to where they may overlap what they
    /// were.
    pub(crate) fn move_within(&self, from: usize, to: usize, bytes: usize) -> Result<(), Error> {
        assert!(from + bytes <= self.bytes && to + bytes <= self.bytes);
        match &self.memory {
            Memory::Mapped(_) | Memory::Pinned(_) => {
                #[expect(unsafe_code, reason = "the slab is memory ONNX Runtime also writes")]
                // SAFETY: both ranges lie inside the mapping, and belong to the
                // block that the caller moves; they may overlap.
                unsafe {
                    std::ptr::copy(self.pointer(from), self.pointer(to), bytes);
                }
                Ok(())
            }
            Memory::Cuda(cuda) => {
                for (from, to, bytes) in steps(from, to, bytes) {
                    cuda.copy_on_device(self.pointer(from), self.pointer(to), bytes)
                        .map_err(Error::from)?;
                }
                Ok(())
            }
        }
    }

    /// Copies from another reservation, of which one is host memory.
    pub(crate) fn copy_across(
        &self,
        to: usize,
        from: &Self,
        offset: usize,
        bytes: usize,
    ) -> Result<(), Error> {
        match (&self.memory, &from.memory) {
            (Memory::Cuda(_), Memory::Cuda(_)) => {
                Err(Error::Device("two slabs on one device".to_owned()))
            }
            (_, Memory::Cuda(_)) => {
                assert!(to + bytes <= self.bytes, "inside the slab");
                #[expect(unsafe_code, reason = "host memory that the caller owns a block of")]
                // SAFETY: inside the mapping; the block belongs to the caller.
                let into = unsafe { std::slice::from_raw_parts_mut(self.pointer(to), bytes) };
                from.read(offset, into)
            }
            (_, _) => {
                assert!(offset + bytes <= from.bytes, "inside the slab");
                #[expect(unsafe_code, reason = "host memory that the caller owns a block of")]
                // SAFETY: inside the mapping; nobody writes to the block while
                // its owner lends it.
                let bytes = unsafe { std::slice::from_raw_parts(from.pointer(offset), bytes) };
                self.write(to, bytes)
            }
        }
    }

    /// Writes `bytes` bytes of floats at `to` that are halves in another
    /// reservation; both of the processor's memory, and apart.
    pub(crate) fn widen(
        &self,
        to: usize,
        from: &Self,
        offset: usize,
        bytes: usize,
    ) -> Result<(), Error> {
        use half::slice::HalfFloatSliceExt;
        assert!(offset + bytes / 2 <= from.bytes && to + bytes <= self.bytes);
        assert!(to.is_multiple_of(4) && offset.is_multiple_of(2) && bytes.is_multiple_of(4));
        if matches!(self.memory, Memory::Cuda(_)) || matches!(from.memory, Memory::Cuda(_)) {
            return Err(Error::Device(
                "a GPU's memory is copied as it is".to_owned(),
            ));
        }
        #[expect(unsafe_code, reason = "host memory that the caller owns blocks of")]
        // SAFETY: inside the mappings, aligned for their types since both bases
        // are pages; nobody writes to the one while its owner lends it, and the
        // other belongs to the caller alone.
        let (halves, floats) = unsafe {
            (
                std::slice::from_raw_parts(from.pointer(offset).cast::<half::f16>(), bytes / 4),
                std::slice::from_raw_parts_mut(self.pointer(to).cast::<f32>(), bytes / 4),
            )
        };
        halves.convert_to_f32_slice(floats);
        Ok(())
    }

    /// Copies the bytes at `offset` out to the host.
    pub(crate) fn read(&self, offset: usize, into: &mut [u8]) -> Result<(), Error> {
        assert!(offset + into.len() <= self.bytes, "inside the slab");
        match &self.memory {
            Memory::Mapped(_) | Memory::Pinned(_) => {
                #[expect(unsafe_code, reason = "the slab is memory ONNX Runtime also writes")]
                // SAFETY: as in `write`, the other way.
                unsafe {
                    std::ptr::copy_nonoverlapping(
                        self.pointer(offset),
                        into.as_mut_ptr(),
                        into.len(),
                    );
                }
                Ok(())
            }
            Memory::Cuda(cuda) => cuda
                .copy_to_host(self.pointer(offset), into)
                .map_err(Error::from),
        }
    }
}

/// Copies that together move bytes, each of which overlaps nothing: a device
/// copies in no order that it tells. One stream keeps the order of the copies.
fn steps(from: usize, to: usize, bytes: usize) -> Vec<(usize, usize, usize)> {
    let stride = from.abs_diff(to).max(1);
    let starts = (0..bytes).step_by(stride);
    let step = |start: usize| (from + start, to + start, stride.min(bytes - start));
    match to < from {
        true => starts.map(step).collect(),
        false => starts.rev().map(step).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_moved_by_copies_that_do_not_overlap() {
        for (from, to, bytes) in [(0, 3, 10), (3, 0, 10), (5, 30, 10), (30, 5, 25), (0, 7, 7)] {
            let mut memory: Vec<_> = (0..64).collect();
            for (from, to, bytes) in steps(from, to, bytes) {
                assert!(from + bytes <= to || to + bytes <= from, "apart");
                memory.copy_within(from..from + bytes, to);
            }
            let expected: Vec<_> = (from..from + bytes).collect();
            assert_eq!(memory[to..to + bytes], expected, "{from} to {to}");
        }
    }

    #[test]
    fn pages_come_and_go_and_bytes_are_moved_over_themselves() {
        let slab = Reservation::new(Kind::Cpu, 1 << 16, 1 << 20).expect("memory");
        let bytes: Vec<u8> = (0..40_000_u32).map(|it| it as u8).collect();
        slab.write(100, &bytes).expect("written");
        slab.move_within(100, 5_000, bytes.len()).expect("moved");
        let mut read = vec![0; bytes.len()];
        slab.read(5_000, &mut read).expect("read");
        assert!(read == bytes);
        slab.give_pages_back(&(4096..8192));
        slab.read(5_000, &mut read).expect("read");
        assert!(read[..8192 - 5_000].iter().all(|it| *it == 0));
        assert!(read[8192 - 5_000..] == bytes[8192 - 5_000..]);
    }
}
