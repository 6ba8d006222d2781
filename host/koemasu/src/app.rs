//! What every handler may touch.

use std::sync::atomic::{AtomicBool, Ordering};

use metrics_exporter_prometheus::PrometheusHandle;
use pipeline::{Live, Pin};

use crate::admission::Admission;
use crate::config::{Config, Server};
use crate::events;
use crate::fault::Fault;
use crate::reload::Reloads;

pub struct App {
    pub live: Live,
    pub settings: Server,
    pub admin_token: Option<String>,
    /// Folder of plugins named without a path.
    pub plugins: std::path::PathBuf,
    /// The library this process has loaded.
    pub onnxruntime: std::path::PathBuf,
    pub admission: Admission,
    pub reloads: Reloads,
    pub metrics: PrometheusHandle,
    pub(crate) stopping: AtomicBool,
}

impl App {
    /// The generation of one request, or the reason why there is none yet.
    pub fn pin(&self) -> Result<Pin, Fault> {
        self.live
            .pin()
            .ok_or_else(|| Fault::later("the first generation is still being prepared", 2))
    }

    /// Some settings shape the server itself; whoever edits them should know
    /// that a reload does not bring them.
    pub(crate) fn tell_what_waits_for_a_start(&self, config: &Config) {
        if config.server != self.settings {
            events::restart_needed("[server]");
        }
        if config.admin.token != self.admin_token {
            events::restart_needed("[admin]");
        }
        let policy = self.live.residency().policy();
        for field in policy.needs_restart(&config.service.memory.policy) {
            events::restart_needed(&format!("memory.{field}"));
        }
        if config.onnxruntime != self.onnxruntime {
            events::restart_needed("[onnxruntime]");
        }
    }

    /// Whether a load balancer should send requests here.
    pub fn ready(&self) -> bool {
        self.live.pin().is_some() && !self.stopping.load(Ordering::Relaxed)
    }
}
