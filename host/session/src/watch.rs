//! What the process really holds: NVML where a driver answers, the cgroup or
//! the machine elsewhere. The slab's own counters cannot see what lies outside
//! of it; the watermarks act on what this file reads.

use std::sync::OnceLock;

use nvml_wrapper::Nvml;
use nvml_wrapper::enums::device::UsedGpuMemory;

use crate::bounds::System;
use crate::device::Device;
use crate::error::Error;
use crate::events;
use crate::library::Library;
use crate::native::heap;
use crate::native::reservation::Kind;
use crate::placement::Placement;
use memory::{Level, MemoryPolicy};

/// Memory as the system counts it, in bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, utoipa::ToSchema)]
pub struct Outside {
    /// Resident set of the process.
    pub rss: u64,
    /// What the process holds on the GPU, if a driver tells.
    pub gpu: Option<u64>,
    /// Resident and not in the slab: code, heap, mapped files, CUDA's own.
    pub beyond_slab: u64,
    /// Memory of the GPU; without one the tightest limit that the system has
    /// for this process. The watermarks are parts of it.
    pub limit: u64,
    /// Of the limit, by this process and all others, without what lies free in
    /// the slab.
    pub taken: u64,
}

/// One look at what the system counts.
#[derive(Clone, Copy, Debug, PartialEq, serde::Serialize)]
pub struct Reading {
    /// The bytes that were counted.
    pub outside: Outside,
    /// Part of the limit that is in use.
    pub share: f64,
    /// The watermark that `share` has reached.
    pub level: Watermark,
}

/// Which of the policy's watermarks is reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Watermark {
    /// Less than `watermarks.warn`.
    Calm,
    /// From `watermarks.warn` on: voices past `keep_idle` go.
    Warn,
    /// From `watermarks.relieve` on: voices go until `watermarks.warn` is
    /// reached.
    Relieve,
}

pub(crate) fn outside(placement: &Placement) -> Outside {
    let rss = rss();
    let tensors = placement.tensors();
    let resident = tensors.map_or(0, |tensors| tensors.resident() as u64);
    let (slab, in_use) = tensors.map_or((0, 0), |tensors| {
        let slab = tensors.slab();
        (slab.bytes() as u64, slab.in_use() as u64)
    });
    match tensors.map(|tensors| tensors.kind()) {
        Some(Kind::Cuda(number)) => {
            let gpu = gpu_of_process(number);
            let (limit, used) = gpu_memory(number).unwrap_or((u64::MAX, slab));
            Outside {
                rss,
                gpu,
                beyond_slab: gpu.map_or(0, |gpu| gpu.saturating_sub(slab)),
                limit,
                taken: taken(used, slab, in_use),
            }
        }
        _ => {
            let memory = System::default().memory();
            let used = memory.bytes.saturating_sub(memory.free);
            Outside {
                rss,
                gpu: None,
                beyond_slab: rss.saturating_sub(resident),
                limit: memory.bytes,
                taken: taken(used, resident, in_use),
            }
        }
    }
}

/// What evicting a voice makes less: whatever anybody uses, the slab's part of
/// it counted by what is in use there.
fn taken(used: u64, slab: u64, in_use: u64) -> u64 {
    used.saturating_sub(slab.saturating_sub(in_use))
}

pub(crate) fn read(placement: &Placement, policy: &MemoryPolicy) -> Reading {
    let outside = outside(placement);
    let share = outside.taken as f64 / outside.limit.max(1) as f64;
    Reading {
        outside,
        share,
        level: level(share, policy),
    }
}

fn level(share: f64, policy: &MemoryPolicy) -> Watermark {
    let marks = &policy.watermarks;
    if share >= marks.relieve {
        Watermark::Relieve
    } else if share >= marks.warn {
        Watermark::Warn
    } else {
        Watermark::Calm
    }
}

/// Bytes to give up until the lower mark is reached again.
fn over(outside: &Outside, policy: &MemoryPolicy) -> usize {
    let mark = (outside.limit as f64 * policy.watermarks.warn) as u64;
    usize::try_from(outside.taken.saturating_sub(mark)).unwrap_or(usize::MAX)
}

pub(crate) fn act(reading: &Reading, policy: &MemoryPolicy, library: &Library) {
    let Reading { outside, share, .. } = *reading;
    events::watched(outside.rss, outside.beyond_slab, share);
    let over = over(&reading.outside, policy);
    match reading.level {
        Watermark::Calm => {}
        Watermark::Warn => {
            events::above_first_mark(share);
            library.relieve_by(over, Level::Low);
        }
        Watermark::Relieve => {
            events::above_second_mark(share);
            library.relieve_by(over, Level::Soft);
            heap::trim();
        }
    }
}

/// Bytes a slab may take when nobody says: most of what is free.
pub(crate) fn available(device: Device) -> Result<usize, Error> {
    match device {
        Device::Cpu => {
            let system = System::default();
            let memory = system.memory();
            // Models are also parsed and kept outside of the slab.
            let mut room = memory.free / 10 * 7;
            let mut of = memory.of;
            if let Some(addresses) = system.addresses() {
                // Code, stacks and mapped files need addresses too, and more
                // of them than memory.
                let half = addresses.free / 2;
                if half < room {
                    (room, of) = (half, addresses.of);
                }
            }
            events::room_found(room, &of);
            Ok(usize::try_from(room).unwrap_or(usize::MAX))
        }
        Device::Cuda(number) => {
            let cuda = crate::native::cuda::Cuda::load(number)?;
            let (free, _) = cuda.memory()?;
            // CUDA's context, kernels and library workspaces lie outside.
            let overhead = (1 << 30).max(free / 20);
            Ok(free.saturating_sub(overhead))
        }
    }
}

/// What a part of the slab may ever grow to: all memory that there is, if
/// addresses cost nothing.
pub(crate) fn most() -> usize {
    let system = System::default();
    match system.addresses() {
        Some(_) => 0,
        None => usize::try_from(system.memory().bytes).unwrap_or(0),
    }
}

/// Resident bytes of this process; 0 where the system does not tell.
pub fn rss() -> u64 {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
    let pages = statm.split_whitespace().nth(1);
    pages
        .and_then(|pages| pages.parse::<u64>().ok())
        .unwrap_or(0)
        * PAGE
}

/// Private resident bytes: without files that are mapped and shared.
pub fn anonymous() -> u64 {
    field("/proc/self/status", "RssAnon:")
}

/// Processor seconds of this process, all threads together; 0 where the system
/// does not tell.
pub fn cpu_seconds() -> f64 {
    // The name may hold anything; after its bracket come numbers alone.
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let fields = stat.rsplit_once(')').map_or("", |(_, rest)| rest);
    let ticks = fields.split_whitespace().skip(11).take(2);
    let ticks: u64 = ticks.filter_map(|ticks| ticks.parse::<u64>().ok()).sum();
    ticks as f64 / TICKS
}

/// What the process holds on this device, if it is a GPU and a driver tells.
pub fn gpu(device: Device) -> Option<u64> {
    match device {
        Device::Cpu => None,
        Device::Cuda(number) => gpu_of_process(number),
    }
}

/// A GPU of this machine, whoever uses it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Gpu {
    /// NVML counts the machine's GPUs from 0.
    pub id: u32,
    /// 0 to 1.
    pub load: f64,
    /// Bytes of its memory.
    pub total: u64,
    /// Bytes of it that anybody uses.
    pub used: u64,
}

/// The GPUs that a driver tells of; none without one.
pub fn gpus() -> Vec<Gpu> {
    let Some(nvml) = nvml() else {
        return Vec::new();
    };
    let read = |id| {
        let device = nvml.device_by_index(id).ok()?;
        let memory = device.memory_info().ok()?;
        let load = device.utilization_rates().map_or(0, |rates| rates.gpu);
        Some(Gpu {
            id,
            load: f64::from(load) / 100.0,
            total: memory.total,
            used: memory.used,
        })
    };
    (0..nvml.device_count().unwrap_or(0))
        .filter_map(read)
        .collect()
}

const PAGE: u64 = 4096;
/// A second, as the system's tables count it.
const TICKS: f64 = 100.0;

/// The tightest limit on memory that the system has for this process.
pub fn memory_limit() -> u64 {
    System::default().memory().bytes
}

/// Bytes of address space this process may still take, if they are limited.
pub fn addresses() -> Option<u64> {
    System::default().addresses().map(|bound| bound.free)
}

/// A field in kB of one of the system's tables, in bytes.
fn field(file: &str, name: &str) -> u64 {
    let text = std::fs::read_to_string(file).unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix(name));
    let number = line.and_then(|line| line.split_whitespace().next());
    number
        .and_then(|number| number.parse::<u64>().ok())
        .unwrap_or(0)
        * 1024
}

fn nvml() -> Option<&'static Nvml> {
    static NVML: OnceLock<Option<Nvml>> = OnceLock::new();
    NVML.get_or_init(|| Nvml::init().ok()).as_ref()
}

fn gpu_of_process(number: i32) -> Option<u64> {
    let device = nvml()?.device_by_index(u32::try_from(number).ok()?).ok()?;
    let processes = device.running_compute_processes().ok()?;
    let own = processes
        .iter()
        .find(|process| process.pid == std::process::id());
    match own.map(|process| &process.used_gpu_memory) {
        Some(UsedGpuMemory::Used(bytes)) => Some(*bytes),
        // In a container process numbers differ; then the whole device counts.
        _ => device.memory_info().ok().map(|memory| memory.used),
    }
}

/// Of the whole device, and what everybody together uses.
fn gpu_memory(number: i32) -> Option<(u64, u64)> {
    let device = nvml()?.device_by_index(u32::try_from(number).ok()?).ok()?;
    let memory = device.memory_info().ok()?;
    Some((memory.total, memory.used))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_marks_divide_calm_from_warning_from_relief() {
        let policy = MemoryPolicy::default();
        let at = |share| level(share, &policy);
        assert_eq!(at(0.0), Watermark::Calm);
        assert_eq!(at(0.89), Watermark::Calm);
        assert_eq!(at(0.90), Watermark::Warn);
        assert_eq!(at(0.95), Watermark::Relieve);
        assert_eq!(at(1.2), Watermark::Relieve, "a limit may be passed");
    }

    #[test]
    fn others_count_and_what_is_free_in_the_slab_does_not() {
        const GIB: u64 = 1 << 30;
        let policy = MemoryPolicy::default();
        let mut outside = Outside {
            limit: 16 * GIB,
            // The slab has 14 GiB, 12 of them in use, and CUDA half of one.
            taken: taken(14 * GIB + GIB / 2, 14 * GIB, 12 * GIB),
            ..Outside::default()
        };
        assert_eq!(outside.taken, 12 * GIB + GIB / 2);
        assert_eq!(over(&outside, &policy), 0);
        // Another process takes what was left.
        outside.taken = taken(16 * GIB, 14 * GIB, 14 * GIB);
        let share = outside.taken as f64 / outside.limit as f64;
        assert_eq!(level(share, &policy), Watermark::Relieve);
        let over = over(&outside, &policy) as u64;
        outside.taken = taken(16 * GIB, 14 * GIB, 14 * GIB - over);
        let share = outside.taken as f64 / outside.limit as f64;
        assert!((share - policy.watermarks.warn).abs() < 1e-6, "{share}");
    }

    #[test]
    fn the_system_tells_what_this_process_holds() {
        assert!(rss() > 1 << 20);
        assert!(anonymous() > 0 && anonymous() <= rss());
        assert!(memory_limit() > rss());
    }
}
