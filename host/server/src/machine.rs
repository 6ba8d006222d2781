//! What the machine has and uses, whoever uses it: for `/status`.

use std::sync::{LazyLock, Mutex, PoisonError};

use session::watch::{self, Gpu};
use sysinfo::{CpuRefreshKind, MemoryRefreshKind, RefreshKind, System};

/// In bytes.
pub(crate) struct Machine {
    /// Since the last reading, or since the start of the process.
    pub(crate) cpu_percent: f32,
    pub(crate) total: u64,
    pub(crate) available: u64,
    pub(crate) used: u64,
    pub(crate) gpus: Vec<Gpu>,
}

static SYSTEM: LazyLock<Mutex<System>> = LazyLock::new(|| {
    let all = RefreshKind::nothing()
        .with_cpu(CpuRefreshKind::nothing().with_cpu_usage())
        .with_memory(MemoryRefreshKind::nothing().with_ram());
    Mutex::new(System::new_with_specifics(all))
});

/// Reads the system's tables: blocks for a moment.
pub(crate) fn read() -> Machine {
    let mut system = SYSTEM.lock().unwrap_or_else(PoisonError::into_inner);
    system.refresh_cpu_usage();
    system.refresh_memory_specifics(MemoryRefreshKind::nothing().with_ram());
    Machine {
        cpu_percent: system.global_cpu_usage(),
        total: system.total_memory(),
        available: system.available_memory(),
        used: system.used_memory(),
        gpus: watch::gpus(),
    }
}

impl Machine {
    pub(crate) fn percent(&self) -> f64 {
        let percent = self.used as f64 * 100.0 / self.total.max(1) as f64;
        (percent * 10.0).round() / 10.0
    }
}
