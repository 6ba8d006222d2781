//! `libonnxruntime_providers_cuda.so`, small enough to travel.
//!
//! The provider carries device code for many GPUs, and kernels of language
//! models that no voice uses. Here it is rewritten in place, with its size and
//! all addresses as they were, so that relocations and the pointers from
//! `.nvFatBinSegment` stay right; what is left out becomes zeros, which any
//! compressor removes.
//!
//! Of each container one architecture is kept, unless a kernel in it is of a
//! group that is given up. A container that has nothing left gets one small
//! entry of another architecture: what the driver sees today in those that are
//! made for newer GPUs alone. It fails when such a kernel is launched ("no
//! kernel image is available"), never when the library is loaded.
//!
//! Layout, as `cuobjdump` reads it:
//!
//! | where | what |
//! |---|---|
//! | `.nvFatBinSegment` | wrappers of 24 bytes: magic, version, pointer to a container, unused |
//! | `.nv_fatbin` | containers: u32 magic, u16 1, u16 header bytes, u64 bytes of entries |
//! | entry | u16 kind (1 PTX, 2 ELF), u16, u32 header bytes, u64 payload, u32 compressed payload, u32, u16, u16, u32 architecture, u32, u32, u64 flags (0x8000 zstd), u64, u64 plain payload |
//! | `.rodata` | attention's kernels as plain ELF files |

use std::collections::BTreeMap;

use anyhow::{Context, Result, bail};
use object::{Object, ObjectSection};
use serde::Serialize;

const CONTAINER: u32 = 0xba55_ed50;
const WRAPPER: u32 = 0x4662_43b1;
const WRAPPER_BYTES: usize = 24;
const PTX: u16 = 1;
const ELF: u16 = 2;
const ZSTD: u64 = 0x8000;
const LZ4: u64 = 0x2000;
/// `e_machine` of device code.
const EM_CUDA: u16 = 190;

/// Parts of mangled names by what they belong to. Voices and BERT are Conv,
/// ConvTranspose, MatMul, Gather, LayerNormalization, Softmax, elementwise and
/// shape operators; none of these is reached from them.
const GIVEN_UP: &[&str] = &[
    // Mixture of experts, and products with weights of 4 or 8 bits (CUTLASS).
    "MoeFCGemm",
    "GroupProblemShape",
    "fusedBuildExpert",
    "MixedInput",
    "Moe",
    "moe",
    "FpA_intB",
    "fpA_intB",
    "fpA_IntB",
    "DqMma",
    "MatMulFloatInt",
    "4Bits",
    "Nbits",
    "nbits",
    "weight_only",
    "blkq4",
    "MatMulNBits",
    // Flash and lean attention: half precision alone.
    "5flash",
    "flash_fwd",
    "4lean",
    // Decoding of language models.
    "xqa",
    "masked_multihead",
    "Paged",
    "paged",
    "GroupQuery",
    "gqa",
    "kernel_mha",
    "gated_delta",
    "BeamSearch",
    "beam",
    // Memory-efficient attention (CUTLASS).
    "AttentionKernel",
    "attention_kernel_batched",
    "fmha",
    "PyTorchMemEff",
    // Training, images, top-k, long documents.
    "hybrid_topk",
    "RadixTopK",
    "Dropout",
    "RoIAlign",
    "GridSample",
    "Resize",
    "Upsample",
    "ongformer",
    "GroupNorm",
];

/// What was found and left out.
#[derive(Debug, Default, PartialEq, Serialize)]
pub(crate) struct Report {
    architecture: u32,
    /// Bytes of device code by kind and architecture, before.
    had: BTreeMap<String, u64>,
    containers: usize,
    kept: usize,
    given_up: usize,
    of_other_gpus: usize,
    kept_bytes: usize,
    plain_kept: usize,
    plain_zeroed: usize,
    wrappers: usize,
}

struct Entry {
    at: usize,
    kind: u16,
    architecture: u32,
    bytes: usize,
    header: usize,
    packed: usize,
    payload: usize,
    plain: usize,
    flags: u64,
}

struct Container {
    at: usize,
    header: usize,
    bytes: usize,
    entries: Vec<Entry>,
}

struct Section {
    address: usize,
    offset: usize,
    bytes: usize,
}

/// Keeps the device code of one architecture (90 for 9.0), in place.
pub(crate) fn slim(library: &mut [u8], architecture: u32) -> Result<Report> {
    let [fat, plain] = {
        let file = object::File::parse(&*library).context("no ELF file")?;
        [section(&file, ".nv_fatbin")?, section(&file, ".rodata")?]
    };
    let mut report = Report {
        architecture,
        ..Report::default()
    };
    containers_of_one(
        &mut library[fat.offset..fat.offset + fat.bytes],
        architecture,
        &mut report,
    )?;
    plain_of_one(
        &mut library[plain.offset..plain.offset + plain.bytes],
        architecture,
        &mut report,
    );
    report.wrappers = check(library)?;
    Ok(report)
}

fn section(file: &object::File<'_>, name: &str) -> Result<Section> {
    let section = file.section_by_name(name);
    let section = section.with_context(|| format!("it has no section {name}"))?;
    let (offset, bytes) = section.file_range().context("it has no bytes")?;
    Ok(Section {
        address: usize::try_from(section.address())?,
        offset: usize::try_from(offset)?,
        bytes: usize::try_from(bytes)?,
    })
}

fn containers_of_one(fat: &mut [u8], architecture: u32, report: &mut Report) -> Result<()> {
    let every = containers(fat)?;
    let others = every.iter().flat_map(|it| &it.entries);
    let others = others.filter(|it| it.kind == ELF && it.architecture != architecture);
    let small = others.min_by_key(|entry| entry.bytes);
    let stub = small.map(|entry| fat[entry.at..entry.at + entry.bytes].to_vec());
    for container in every {
        let mut body = Vec::new();
        let mut given_up = false;
        for entry in &container.entries {
            let kind = if entry.kind == PTX { "ptx" } else { "elf" };
            let had = format!("{kind} {}", entry.architecture);
            *report.had.entry(had).or_default() += entry.payload as u64;
            let serves = match entry.kind {
                PTX => entry.architecture <= architecture,
                _ => entry.architecture == architecture,
            };
            if !serves {
                continue;
            }
            if entry.kind == ELF && is_given_up(&image(fat, entry)?) {
                given_up = true;
                continue;
            }
            body.extend_from_slice(&fat[entry.at..entry.at + entry.bytes]);
        }
        report.containers += 1;
        report.kept_bytes += body.len();
        match (body.is_empty(), given_up) {
            (false, _) => report.kept += 1,
            (true, true) => report.given_up += 1,
            (true, false) => report.of_other_gpus += 1,
        }
        if body.is_empty() {
            body.clone_from(stub.as_ref().context("it is for this GPU alone already")?);
        }
        if body.len() > container.bytes {
            bail!(
                "the container at {:#x} is too small for what stays",
                container.at
            );
        }
        let length = container.at + 8..container.at + 16;
        fat[length].copy_from_slice(&(body.len() as u64).to_le_bytes());
        let start = container.at + container.header;
        let room = &mut fat[start..start + container.bytes];
        room.fill(0);
        room[..body.len()].copy_from_slice(&body);
    }
    Ok(())
}

fn containers(fat: &[u8]) -> Result<Vec<Container>> {
    let mut found = Vec::new();
    let mut at = 0;
    while at + 16 <= fat.len() {
        if number(fat, at, 4)? != CONTAINER as usize {
            // Padding between two.
            at += 8;
            continue;
        }
        let (header, bytes) = (number(fat, at + 6, 2)?, number(fat, at + 8, 8)?);
        let end = at + header + bytes;
        let mut entries = Vec::new();
        let mut place = at + header;
        while place < end {
            let entry = entry(fat, place)?;
            place += entry.bytes;
            entries.push(entry);
        }
        // One that was made smaller has zeros behind it.
        if place != end || end > fat.len() {
            bail!("the container at {at:#x} does not end where its entries do");
        }
        found.push(Container {
            at,
            header,
            bytes,
            entries,
        });
        at = end;
    }
    Ok(found)
}

fn entry(fat: &[u8], at: usize) -> Result<Entry> {
    let (header, payload) = (number(fat, at + 4, 4)?, number(fat, at + 8, 8)?);
    if header < 64 {
        bail!("the entry at {at:#x} has no header");
    }
    Ok(Entry {
        at,
        kind: number(fat, at, 2)? as u16,
        architecture: number(fat, at + 28, 4)? as u32,
        bytes: header + payload,
        header,
        packed: number(fat, at + 16, 4)?,
        payload,
        plain: number(fat, at + 56, 8)?,
        flags: number(fat, at + 40, 8)? as u64,
    })
}

fn number(bytes: &[u8], at: usize, width: usize) -> Result<usize> {
    let field = bytes
        .get(at..at + width)
        .context("it ends within a number")?;
    let mut wide = [0; 8];
    wide[..width].copy_from_slice(field);
    Ok(usize::try_from(u64::from_le_bytes(wide))?)
}

/// The ELF file of an entry; nothing of one that is packed in another way.
fn image(fat: &[u8], entry: &Entry) -> Result<Vec<u8>> {
    let start = entry.at + entry.header;
    let taken = |bytes: usize| fat.get(start..start + bytes).context("it is cut off");
    if entry.flags & ZSTD != 0 {
        let plain = zstd::bulk::decompress(taken(entry.packed)?, entry.plain);
        return plain.with_context(|| format!("the entry at {:#x}", entry.at));
    }
    if entry.flags & LZ4 != 0 {
        return Ok(Vec::new());
    }
    Ok(taken(entry.payload)?.to_vec())
}

/// Whether one of its kernels is. Each has a section `.text.NAME`.
fn is_given_up(image: &[u8]) -> bool {
    let Ok(file) = object::File::parse(image) else {
        return false;
    };
    let names = file.sections().filter_map(|section| {
        let name = section.name().ok()?;
        name.strip_prefix(".text.").map(str::to_owned)
    });
    let mut names = names.into_iter();
    names.any(|name| GIVEN_UP.iter().any(|part| name.contains(part)))
}

/// Zeroes what lies unpacked among constants and is of another architecture.
fn plain_of_one(constants: &mut [u8], architecture: u32, report: &mut Report) {
    const MAGIC: &[u8] = b"\x7fELF\x02";
    let mut at = 0;
    while let Some(next) = constants[at..]
        .windows(MAGIC.len())
        .position(|bytes| bytes == MAGIC)
    {
        at += next;
        let field = |offset, width| number(constants, at + offset, width).unwrap_or(0);
        if field(18, 2) == usize::from(EM_CUDA) {
            let segments = field(32, 8) + field(54, 2) * field(56, 2);
            let sections = field(40, 8) + field(58, 2) * field(60, 2);
            let end = (at + segments.max(sections)).min(constants.len());
            if field(48, 4) & 0xff == architecture as usize {
                report.plain_kept += 1;
            } else {
                report.plain_zeroed += 1;
                constants[at..end].fill(0);
            }
        }
        at += MAGIC.len();
    }
}

/// Every wrapper still points to a container; how many there are. The pointers
/// are relocations (R_X86_64_RELATIVE), whose addends are addresses.
fn check(library: &[u8]) -> Result<usize> {
    let file = object::File::parse(library)?;
    let (segment, fat) = (
        section(&file, ".nvFatBinSegment")?,
        section(&file, ".nv_fatbin")?,
    );
    let relocations = section(&file, ".rela.dyn")?;
    let starts = containers(&library[fat.offset..fat.offset + fat.bytes])?;
    let starts: std::collections::HashSet<_> =
        starts.iter().map(|it| it.at + fat.address).collect();
    let mut pointers = 0;
    for at in (relocations.offset..relocations.offset + relocations.bytes).step_by(24) {
        let place = number(library, at, 8)?;
        if (segment.address..segment.address + segment.bytes).contains(&place) {
            pointers += 1;
            if !starts.contains(&number(library, at + 16, 8)?) {
                bail!("the wrapper at {place:#x} points to no container");
            }
        }
    }
    let wrappers = segment.bytes / WRAPPER_BYTES;
    for wrapper in 0..wrappers {
        if number(library, segment.offset + wrapper * WRAPPER_BYTES, 4)? != WRAPPER as usize {
            bail!("the wrapper {wrapper} is none");
        }
    }
    if pointers != wrappers {
        bail!("{wrappers} wrappers have {pointers} pointers");
    }
    Ok(wrappers)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn packed(kind: u16, architecture: u32, payload: &[u8]) -> Vec<u8> {
        let squeezed = zstd::bulk::compress(payload, 1).expect("packed");
        let padded = squeezed.len().next_multiple_of(8);
        let mut entry = Vec::new();
        entry.extend(kind.to_le_bytes());
        entry.extend(1_u16.to_le_bytes());
        entry.extend(64_u32.to_le_bytes());
        entry.extend((padded as u64).to_le_bytes());
        entry.extend((squeezed.len() as u32).to_le_bytes());
        entry.extend([0; 8]);
        entry.extend(architecture.to_le_bytes());
        entry.extend([0; 8]);
        entry.extend(ZSTD.to_le_bytes());
        entry.extend([0; 8]);
        entry.extend((payload.len() as u64).to_le_bytes());
        assert_eq!(entry.len(), 64);
        entry.extend(&squeezed);
        entry.resize(64 + padded, 0);
        entry
    }

    fn container(entries: &[Vec<u8>]) -> Vec<u8> {
        let body = entries.concat();
        let mut made = CONTAINER.to_le_bytes().to_vec();
        made.extend(1_u16.to_le_bytes());
        made.extend(16_u16.to_le_bytes());
        made.extend((body.len() as u64).to_le_bytes());
        made.extend(body);
        made
    }

    #[test]
    fn one_architecture_stays_and_nothing_moves() {
        let ours = packed(ELF, 90, b"ours");
        let mut fat = container(&[
            packed(ELF, 80, b"older, and longer than ours"),
            ours.clone(),
        ]);
        let first = fat.len();
        fat.extend([0; 16]);
        fat.extend(container(&[
            packed(ELF, 120, b"newer"),
            packed(ELF, 80, b"old"),
        ]));
        let before = fat.len();
        let mut report = Report::default();
        containers_of_one(&mut fat, 90, &mut report).expect("slimmed");
        assert_eq!(fat.len(), before);
        assert_eq!((report.containers, report.kept), (2, 1));
        assert_eq!(report.of_other_gpus, 1);
        assert_eq!(report.kept_bytes, ours.len());
        let left = containers(&fat).expect("still containers");
        assert_eq!(left.len(), 2);
        assert_eq!(left[0].entries.len(), 1);
        assert_eq!(image(&fat, &left[0].entries[0]).expect("unpacked"), b"ours");
        assert!(left[1].at == first + 16, "where it was");
        assert_ne!(left[1].entries[0].architecture, 90, "a stub");
    }

    #[test]
    fn what_does_not_parse_is_an_error() {
        let fat = container(&[packed(ELF, 90, b"ours")]);
        for end in [17, 40, fat.len() - 1] {
            assert!(containers(&fat[..end]).is_err(), "{end}");
        }
        assert!(slim(&mut fat.clone(), 90).is_err(), "no library");
    }
}
