//! What every handler may touch.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use hyper::StatusCode;
use hyper::http::Extensions;
use metrics_exporter_prometheus::PrometheusHandle;
use pipeline::{Live, Pin};
use tokio_util::task::TaskTracker;

use crate::config::{Config, Entry, Files, Server};
use crate::dangers;
use crate::events;
use crate::http::access::{Digest256, Keys};
use crate::http::admission::Admission;
use crate::http::cors::Cors;
use crate::http::fault::Fault;
use crate::http::parts::Dialects;
use crate::http::shares::Ledger;
use crate::reloads::Reloads;

/// Everything that requests share. There is one in a process, and it outlives
/// every generation.
pub struct App {
    /// The generation that serves, and the way to the next one.
    pub live: Live,
    /// `[server]` as it was at start; a reload changes none of it.
    pub settings: Server,
    /// `[dialects]` as it was at start; a reload changes none of it.
    pub dialects: Dialects,
    /// Who may ask. A reload brings another one.
    access: RwLock<Arc<Access>>,
    /// One reading of it at a time, so that the newest wins.
    entering: Mutex<()>,
    /// What the last settings have that is dangerous together.
    dangers: Mutex<Vec<String>>,
    /// Everything this server has spawned; drained before it ends.
    pub tasks: TaskTracker,
    /// Folder of plugins named without a path.
    pub plugins: std::path::PathBuf,
    /// The library this process has loaded.
    pub onnxruntime: std::path::PathBuf,
    /// Places of the speech requests that are taken in.
    pub admission: Admission,
    /// Bytes of the requests that are taken in or coming.
    pub bodies: Arc<Ledger>,
    /// Who asked for a reload, and how the last one ended.
    pub reloads: Reloads,
    /// Every metric of the process, as Prometheus reads it.
    pub metrics: PrometheusHandle,
    /// What dialects keep, by its type.
    states: Extensions,
    pub(crate) stopping: AtomicBool,
}

/// Who may ask: people, operators, web pages.
#[derive(Default)]
pub struct Access {
    /// Who may speak; without any since the start, nobody is asked for one.
    pub keys: Keys,
    /// Of the admin token; None leaves administration to whoever sits at this
    /// machine.
    pub admin: Option<Digest256>,
    /// Web pages of these origins may ask.
    pub cors: Cors,
}

impl Access {
    fn new(entry: &Entry, before: &Self) -> Self {
        let token = entry.admin.token.as_deref();
        let token = token.map(|token| Digest256::of(token.as_bytes()));
        Self {
            keys: Keys::new(&entry.keys, &before.keys),
            // Like the last key: who takes the token away opens nothing, and a
            // file that is seen half written does not either.
            admin: token.or(before.admin),
            cors: entry.cors.clone(),
        }
    }
}

impl App {
    pub(crate) fn new(
        config: &Config,
        live: Live,
        reloads: Reloads,
        metrics: PrometheusHandle,
        states: Extensions,
    ) -> Self {
        Self {
            live,
            admission: Admission::new(
                config.server.requests_max,
                config.server.requests_per_address,
                config.server.readers_max,
            ),
            bodies: Ledger::new(
                config.server.bodies_max.0 as usize,
                config.server.bodies_per_address.0 as usize,
            ),
            settings: config.server.clone(),
            dialects: config.dialects.clone(),
            states,
            access: RwLock::new(Arc::new(Access::new(&config.entry, &Access::default()))),
            entering: Mutex::new(()),
            dangers: Mutex::default(),
            plugins: config.service.plugins.clone(),
            onnxruntime: config.onnxruntime.clone(),
            reloads,
            metrics,
            tasks: TaskTracker::new(),
            stopping: AtomicBool::new(false),
        }
    }

    /// What a dialect keeps.
    pub(crate) fn state<T: Send + Sync + 'static>(&self) -> Result<&T, Fault> {
        self.states
            .get::<Arc<T>>()
            .map(AsRef::as_ref)
            .ok_or_else(|| {
                let lacking = format!("this server keeps no {}", std::any::type_name::<T>());
                Fault::operator(StatusCode::INTERNAL_SERVER_ERROR, lacking)
            })
    }

    /// Who may ask now.
    pub fn access(&self) -> Arc<Access> {
        Arc::clone(&self.access.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Reads who may ask, and obeys it at once: not after all that a reload has
    /// to prepare, and whether or not that succeeds. What cannot be read stays
    /// as it was. Touches one small file.
    pub(crate) fn read_access(&self, files: &Files) {
        let _turn = self.entering.lock().unwrap_or_else(PoisonError::into_inner);
        let entry = match Entry::load(files) {
            Ok(entry) => entry,
            Err(error) => return events::access_unread(&error),
        };
        let before = self.access();
        let access = Access::new(&entry, &before);
        if before.admin.is_some() && entry.admin.token.is_none() {
            events::token_kept();
        }
        if access.keys.nobody() {
            events::nobody_may_ask();
        }
        let revoked = {
            let mut current = self.access.write().unwrap_or_else(PoisonError::into_inner);
            *current = Arc::new(access);
            before.keys.revoke_others(&current.keys)
        };
        if revoked > 0 {
            events::revoked(revoked);
        }
    }

    /// In the log, and for `/admin/generations`.
    pub(crate) fn tell_dangers(&self, config: &Config) {
        let found = dangers::of(config);
        found.iter().for_each(|danger| events::danger(danger));
        *self.dangers.lock().unwrap_or_else(PoisonError::into_inner) = found;
    }

    pub(crate) fn dangers(&self) -> Vec<String> {
        let dangers = self.dangers.lock().unwrap_or_else(PoisonError::into_inner);
        dangers.clone()
    }

    pub(crate) fn is_stopping(&self) -> bool {
        self.stopping.load(Ordering::Relaxed)
    }

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
        if config.dialects != self.dialects {
            events::restart_needed("[dialects]");
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
        self.live.pin().is_some() && !self.is_stopping()
    }
}
