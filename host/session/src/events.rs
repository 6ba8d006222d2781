//! What is worth telling about sessions: one event, one function.

#![expect(
    clippy::disallowed_macros,
    reason = "the one file of this crate that names metrics"
)]

use std::time::Duration;

use metrics::{counter, gauge, histogram};

use memory::slab::NoRoom;
use memory::{Decision, Tier};

/// Registers names, units and meanings with whatever recorder is installed.
pub fn describe() {
    crate::describe_metrics! {
        histogram "koemasu_session_run_seconds" Seconds "Time inside one ONNX Runtime run, by kind of graph.";
        histogram "koemasu_session_open_seconds" Seconds "Time to open one session, by kind of graph.";
        gauge "koemasu_sessions_open" Count "Sessions that exist now, by kind of graph.";
        counter "koemasu_model_cache_failures_total" Count "Times that the model cache was found not to be writable.";
        counter "koemasu_leases_discarded_total" Count "Sessions dropped because their run did not end well.";
        histogram "koemasu_session_wait_seconds" Seconds "Time a run waited for a session, by kind of graph.";
        gauge "koemasu_slab_budget_bytes" Bytes "The slab: all tensor memory there is.";
        gauge "koemasu_slab_in_use_bytes" Bytes "Bytes of the slab that belong to somebody.";
        gauge "koemasu_slab_high_water_bytes" Bytes "The most the slab ever held.";
        gauge "koemasu_slab_resident_bytes" Bytes "Bytes of the slab that the system has given pages for.";
        gauge "koemasu_slab_models_bytes" Bytes "Bytes of the zone of models, by whose they are.";
        counter "koemasu_slab_moved_bytes_total" Bytes "Bytes of copies of weights that were moved to make room.";
        counter "koemasu_slab_moves_total" Count "Copies of weights that were moved to make room.";
        counter "koemasu_slab_sunk_total" Count "Sessions that were opened anew lower in the slab, to close a gap.";
        counter "koemasu_regions_grown_total" Count "Regions that were too short for what was opened in them.";
        gauge "koemasu_slab_zone_bytes" Bytes "Bytes of a zone of the slab.";
        gauge "koemasu_slab_zone_in_use_bytes" Bytes "Bytes of a zone that belong to somebody.";
        gauge "koemasu_slab_zone_high_water_bytes" Bytes "The most a zone ever held.";
        gauge "koemasu_slab_zone_largest_free_bytes" Bytes "The largest block a zone could give.";
        gauge "koemasu_slab_zone_fragmentation_ratio" Count "Share of a zone's free bytes outside its largest free block.";
        gauge "koemasu_voices" Count "Voices by the nearest tier that has their weights.";
        gauge "koemasu_workspace_free_bytes" Bytes "Activations that may still be handed out.";
        gauge "koemasu_process_resident_bytes" Bytes "Resident set of the process.";
        gauge "koemasu_memory_beyond_slab_bytes" Bytes "What the process holds outside the slab.";
        gauge "koemasu_memory_limit_share" Count "Part of the memory limit that is in use.";
        counter "koemasu_runs_over_budget_total" Count "Runs that found their zone full and were ended.";
        counter "koemasu_runs_retried_total" Count "Runs made again, alone, after a shortage.";
        counter "koemasu_windows_halved_total" Count "Times a decoder went on in smaller windows.";
        counter "koemasu_models_unproven_total" Count "Models that failed when they were tried in a process of their own.";
        counter "koemasu_slab_overdrafts_total" Count "Allocations that could neither be served nor refused: the reserve was too small.";
        counter "koemasu_workspace_refused_total" Count "Runs told to come back, since no workspace came free.";
        counter "koemasu_voice_activations_total" Count "Times a slot took up a voice, by where from.";
        histogram "koemasu_voice_activation_seconds" Seconds "Time for a slot to take up a voice, by where from.";
        counter "koemasu_voice_loads_total" Count "Voices brought to the device.";
        counter "koemasu_voice_loaded_bytes_total" Bytes "Bytes of voices brought to the device.";
        counter "koemasu_voice_evictions_total" Count "Voices that gave up a tier.";
        counter "koemasu_memory_decisions_total" Count "Decisions about who has to go.";
        counter "koemasu_eviction_plugin_failures_total" Count "Proposals that did not come; the host decided alone.";
        counter "koemasu_eviction_proposals_refused_total" Count "Proposed actions that the host did not take.";
        counter "koemasu_library_full_total" Count "Voices that ran from a slot alone, since the library had no room for them.";
        counter "koemasu_slots_renewed_total" Count "Slots whose sessions were opened anew.";
        counter "koemasu_memory_trace_lines_lost_total" Count "Lines of the memory trace that were not written.";
    }
}

pub(crate) fn ran(kind: &'static str, took: Duration) {
    histogram!("koemasu_session_run_seconds", "kind" => kind).record(took);
}

/// Counts a session as open for as long as it is kept beside it, so that no
/// way out of a constructor leaves the gauge too high.
pub(crate) struct OpenSession {
    kind: &'static str,
}

pub(crate) fn opened(kind: &'static str, name: &str, took: Duration) -> OpenSession {
    gauge!("koemasu_sessions_open", "kind" => kind).increment(1.0);
    histogram!("koemasu_session_open_seconds", "kind" => kind).record(took);
    tracing::debug!(kind, name, ?took, "session opened");
    OpenSession { kind }
}

impl Drop for OpenSession {
    fn drop(&mut self) {
        gauge!("koemasu_sessions_open", "kind" => self.kind).decrement(1.0);
    }
}

pub(crate) fn waited(kind: &'static str, took: Duration) {
    histogram!("koemasu_session_wait_seconds", "kind" => kind).record(took);
}

pub(crate) fn discarded(kind: &'static str, name: &str) {
    counter!("koemasu_leases_discarded_total", "kind" => kind).increment(1);
    tracing::warn!(kind, name, "session discarded: its run did not end well");
}

/// What ONNX Runtime finds wrong; whoever called it is told as well.
pub(crate) fn runtime_said(place: &str, message: &str) {
    tracing::warn!(place, "ONNX Runtime: {message}");
}

pub(crate) fn device_chosen(device: &dyn std::fmt::Debug, why: &str) {
    tracing::info!(?device, why, "device chosen");
}

/// What `budget = "auto"` comes to.
pub(crate) fn room_found(bytes: u64, of: &str) {
    tracing::info!(
        bytes,
        of,
        "memory for the slab, by the tightest limit there is"
    );
}

/// Something that may be kept in the cache is not.
pub(crate) fn not_kept(what: &str, place: &std::path::Path, why: &dyn std::fmt::Display) {
    counter!("koemasu_model_cache_failures_total").increment(1);
    tracing::warn!(what, place = %place.display(), %why, "the model cache cannot be used; it goes on without");
}

pub(crate) fn slab_reserved(kind: &'static str, bytes: usize) {
    tracing::info!(kind, bytes, "slab reserved: all tensors lie in it");
}

/// A creation or run that found its zone full is ended.
pub(crate) fn over_budget(no_room: &NoRoom) {
    counter!("koemasu_runs_over_budget_total").increment(1);
    tracing::warn!(?no_room, "a tensor found no room: what wanted it is ended");
}

/// On a thread of ONNX Runtime's own nothing can be refused, and the reserve is
/// used up.
pub(crate) fn overdraft(bytes: usize) {
    counter!("koemasu_slab_overdrafts_total").increment(1);
    tracing::error!(
        bytes,
        "the slab's reserve is used up: raise `memory.reserve`"
    );
}

pub(crate) fn workspace_refused(bytes: usize) {
    counter!("koemasu_workspace_refused_total").increment(1);
    tracing::info!(bytes, "no workspace came free in time");
}

pub(crate) fn run_retried(no_room: &NoRoom) {
    counter!("koemasu_runs_retried_total").increment(1);
    tracing::warn!(?no_room, "the run is made again, alone");
}

pub(crate) fn window_halved(no_room: &NoRoom, size: usize) {
    counter!("koemasu_windows_halved_total").increment(1);
    tracing::warn!(?no_room, size, "the rest is decoded in smaller windows");
}

/// A template was tried for whether voices may be swapped in it: with the
/// difference that swapping makes, or why they may not.
pub(crate) fn template_tried(digest: &str, found: Result<f32, &str>, took: Duration) {
    match found {
        Ok(difference) => {
            tracing::info!(
                digest,
                difference,
                ?took,
                "template tried: voices are swapped in place"
            );
        }
        Err(why) => {
            tracing::warn!(
                digest,
                why,
                ?took,
                "template tried: each of its voices gets a session of its own"
            );
        }
    }
}

/// A model was tried in a process of its own, or what was found before is known.
pub(crate) fn examined(model: &str, why_not: Option<&String>, took: Duration) {
    match why_not {
        None => tracing::debug!(model, ?took, "model tried: it may be opened"),
        Some(why) => {
            counter!("koemasu_models_unproven_total").increment(1);
            tracing::error!(model, why, ?took, "model tried: it is left out");
        }
    }
}

pub(crate) fn libraries_elsewhere(missing: &dyn std::fmt::Display) {
    tracing::info!(
        %missing,
        "CUDA's libraries are not beside ONNX Runtime's; the system's are used"
    );
}

pub(crate) fn template_whole(digest: &str, why: &dyn std::fmt::Display) {
    tracing::warn!(
        digest,
        %why,
        "the graph cannot be cut at its decoder and runs whole: memory grows with the sentence"
    );
}

pub(crate) fn activated(from: &'static str, took: Duration) {
    counter!("koemasu_voice_activations_total", "from" => from).increment(1);
    histogram!("koemasu_voice_activation_seconds", "from" => from).record(took);
}

pub(crate) fn voice_loaded(voice: &str, bytes: u64, took: Duration) {
    counter!("koemasu_voice_loads_total").increment(1);
    counter!("koemasu_voice_loaded_bytes_total").increment(bytes);
    tracing::debug!(voice, bytes, ?took, "voice loaded");
}

pub(crate) fn voice_evicted(voice: &str, bytes: u64, to: Tier) {
    counter!("koemasu_voice_evictions_total").increment(1);
    tracing::debug!(voice, bytes, ?to, "voice evicted");
}

pub(crate) fn decided(decision: &Decision) {
    counter!("koemasu_memory_decisions_total").increment(1);
    if let Some(proposed) = &decision.proposed {
        if let Some(failure) = &proposed.failure {
            counter!("koemasu_eviction_plugin_failures_total").increment(1);
            tracing::warn!(plugin = proposed.by, failure, "the host decides alone");
        }
        for (action, why) in &decision.refused {
            counter!("koemasu_eviction_proposals_refused_total").increment(1);
            tracing::info!(plugin = proposed.by, ?action, ?why, "proposal refused");
        }
    }
}

/// What opens in a region needs a larger one.
pub(crate) fn region_grown(name: &str, bytes: usize, no_room: &NoRoom) {
    counter!("koemasu_regions_grown_total").increment(1);
    tracing::debug!(
        name,
        bytes,
        ?no_room,
        "its region was too small; a larger one is tried"
    );
}

/// A copy of weights lies elsewhere now.
pub(crate) fn blob_moved(bytes: u64) {
    counter!("koemasu_slab_moved_bytes_total").increment(bytes);
    counter!("koemasu_slab_moves_total").increment(1);
}

pub(crate) fn not_halved(voice: &str) {
    tracing::warn!(
        voice,
        "a weight is beyond what a half can hold: the voice waits as it is"
    );
}

/// A session was opened anew where it lies lower.
pub(crate) fn sunk(kind: &str) {
    counter!("koemasu_slab_sunk_total").increment(1);
    tracing::debug!(kind, "opened anew lower in the slab");
}

pub(crate) fn not_sunk(kind: &str, error: &crate::Error) {
    tracing::warn!(kind, %error, "opening it anew lower in the slab failed; its next run opens it");
}

pub(crate) fn not_moved(error: &crate::Error) {
    tracing::error!(%error, "weights could not be moved; voices go instead");
}

pub(crate) fn library_full(no_room: &NoRoom) {
    counter!("koemasu_library_full_total").increment(1);
    tracing::info!(?no_room, "the voice runs from its slot alone");
}

pub(crate) fn slot_renewed(well: bool) {
    counter!("koemasu_slots_renewed_total").increment(1);
    tracing::info!(well, "slot renewed");
}

pub(crate) fn fewer_slots(count: usize, error: &crate::Error) {
    tracing::warn!(count, %error, "fewer slots than configured");
}

pub(crate) fn watched(resident: u64, beyond_slab: u64, share: f64) {
    gauge!("koemasu_process_resident_bytes").set(resident as f64);
    gauge!("koemasu_memory_beyond_slab_bytes").set(beyond_slab as f64);
    gauge!("koemasu_memory_limit_share").set(share);
}

pub(crate) fn above_first_mark(share: f64) {
    tracing::warn!(share, "memory: above the first mark");
}

pub(crate) fn above_second_mark(share: f64) {
    tracing::error!(share, "memory: above the second mark");
}

pub(crate) fn trace_line_lost(first: bool, why: &dyn std::fmt::Display) {
    counter!("koemasu_memory_trace_lines_lost_total").increment(1);
    if first {
        tracing::warn!(%why, "a line of the memory trace is lost; more are only counted");
    }
}

pub(crate) fn not_unpacked(place: &std::path::Path, cause: &dyn std::fmt::Display) {
    tracing::warn!(place = %place.display(), %cause, "an archive is unpacked into a file without a name: its place cannot be written");
}

/// `seconds` of one convolution, in blocks and as it is.
pub(crate) fn blocks_tried(block: Option<usize>, seconds: Option<[f64; 2]>) {
    let milliseconds = seconds.map(|both| both.map(|it| it * 1e3));
    tracing::info!(
        block,
        ?milliseconds,
        "convolutions in blocks of channels were tried"
    );
}
