//! What is worth telling about pipelines: one event, one function, so that the
//! log line and the number never part.

#![expect(
    clippy::disallowed_macros,
    reason = "the one file of this crate that names metrics"
)]

use std::time::{Duration, Instant};

use crate::left_out::{Kind, LeftOut};
use metrics::{counter, gauge, histogram};

/// Registers names, units and meanings with whatever recorder is installed.
pub fn describe() {
    session::describe_metrics! {
        histogram "koemasu_stage_seconds" Seconds "Time of one stage of a request.";
        gauge "koemasu_generations_living" Count "Generations that still serve or drain.";
        gauge "koemasu_left_out" Count "What is configured and could not be prepared, by kind.";
        gauge "koemasu_mixes_kept" Count "Voices mixed of others for requests that are kept now.";
        gauge "koemasu_generation" Count "Number of the generation that serves.";
        counter "koemasu_generations_published_total" Count "Generations published since start.";
        counter "koemasu_feature_cache_hits_total" Count "BERT features found in the cache.";
        counter "koemasu_feature_cache_misses_total" Count "BERT features that had to be computed.";
        gauge "koemasu_feature_cache_bytes" Bytes "Size of the BERT feature cache.";
        histogram "koemasu_queue_seconds" Seconds "Time a model run waited for a lane.";
        histogram "koemasu_first_sound_seconds" Seconds "Time from the request to the first sound that left.";
        counter "koemasu_runs_let_others_in_total" Count "Times that a sentence made room for somebody who was due sooner.";
        counter "koemasu_turned_away_total" Count "Requests refused because they would have waited too long.";
        counter "koemasu_readers_gone_total" Count "Answers whose reader went away or read no more.";
        counter "koemasu_policy_fallbacks_total" Count "Plugin calls that failed and were replaced or skipped.";
        counter "koemasu_padded_positions_total" Count "Positions computed for padding alone, by axis.";
    }
}

/// Times one stage of a request under the name it has in the story.
pub(crate) struct Stage {
    name: &'static str,
    start: Instant,
}

pub(crate) fn stage(name: &'static str) -> Stage {
    Stage {
        name,
        start: Instant::now(),
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        histogram!("koemasu_stage_seconds", "stage" => self.name).record(self.start.elapsed());
    }
}

pub(crate) fn generation_born(number: u64) {
    gauge!("koemasu_generations_living").increment(1.0);
    tracing::debug!(generation = number, "generation prepared");
}

pub(crate) fn generation_ended(number: u64) {
    gauge!("koemasu_generations_living").decrement(1.0);
    tracing::debug!(generation = number, "generation drained");
}

pub(crate) fn generation_published(number: u64, prepared_in: Duration) {
    counter!("koemasu_generations_published_total").increment(1);
    gauge!("koemasu_generation").set(number as f64);
    tracing::info!(generation = number, ?prepared_in, "generation serves");
}

pub(crate) fn feature_hit() {
    counter!("koemasu_feature_cache_hits_total").increment(1);
}

pub(crate) fn feature_miss() {
    counter!("koemasu_feature_cache_misses_total").increment(1);
}

pub(crate) fn feature_cache_size(bytes: u64) {
    gauge!("koemasu_feature_cache_bytes").set(bytes as f64);
}

pub(crate) fn padded(axis: &'static str, positions: usize) {
    counter!("koemasu_padded_positions_total", "axis" => axis).increment(positions as u64);
}

/// A policy answered with a failure and the host's own rule took over, or the
/// stage was skipped.
pub(crate) fn policy_fallback(plugin: &str, mode: &'static str, cause: &dyn std::fmt::Display) {
    counter!("koemasu_policy_fallbacks_total", "plugin" => plugin.to_owned(), "mode" => mode)
        .increment(1);
    tracing::warn!(plugin, mode, %cause, "plugin call failed");
}

/// A voice that the memory policy pins or ranks is not there: misspelt, most
/// likely, and harmless.
pub(crate) fn unknown_voice_in_policy(name: &str) {
    tracing::warn!(name, "[memory.eviction] names a voice that is not served");
}

pub(crate) fn waited(time: Duration) {
    histogram!("koemasu_queue_seconds").record(time);
}

pub(crate) fn first_sound(after: Duration) {
    histogram!("koemasu_first_sound_seconds").record(after);
}

pub(crate) fn turned_away(after: Duration) {
    counter!("koemasu_turned_away_total").increment(1);
    tracing::debug!(?after, "request turned away: too much is waiting");
}

pub(crate) fn reader_gone() {
    counter!("koemasu_readers_gone_total").increment(1);
    tracing::debug!("the reader has gone; the work ends");
}

/// Of what was found.
pub(crate) fn remarks(remarks: &[String]) {
    for remark in remarks {
        tracing::warn!("{remark}");
    }
}

pub(crate) fn mixes_kept(count: usize) {
    gauge!("koemasu_mixes_kept").set(count as f64);
}

/// Of the generation that serves now.
pub(crate) fn left_out(left_out: &[LeftOut]) {
    for kind in Kind::ALL {
        let count = left_out.iter().filter(|out| out.kind == kind).count();
        gauge!("koemasu_left_out", "kind" => kind.name()).set(count as f64);
    }
    for out in left_out {
        tracing::error!(
            kind = out.kind.name(),
            name = out.name,
            cause = out.cause,
            carried_on = out.carried_on,
            "left out: it could not be prepared"
        );
    }
}

/// A sentence has made room between two turns of windows.
pub(crate) fn let_in() {
    counter!("koemasu_runs_let_others_in_total").increment(1);
}
