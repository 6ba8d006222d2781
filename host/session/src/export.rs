//! The memory report as metrics.

#![expect(
    clippy::disallowed_macros,
    reason = "beside events.rs, which knows no report"
)]

use metrics::gauge;

use crate::residency::MemoryReport;

/// The memory report as gauges, for whoever reads metrics next.
pub fn export(report: &MemoryReport) {
    if let Some(slab) = &report.slab {
        gauge!("koemasu_slab_budget_bytes").set(slab.budget as f64);
        gauge!("koemasu_slab_in_use_bytes").set(slab.in_use as f64);
        gauge!("koemasu_slab_high_water_bytes").set(slab.high_water as f64);
        gauge!("koemasu_slab_resident_bytes").set(slab.resident as f64);
        let models = &slab.models;
        for (tenant, bytes) in [
            ("bert", models.bert),
            ("slots", models.slots),
            ("sessions", models.sessions),
            ("blobs", models.blobs),
            ("other", models.other),
        ] {
            gauge!("koemasu_slab_models_bytes", "tenant" => tenant).set(bytes as f64);
        }
        for zone in &slab.zones {
            let name = zone.census.zone.name();
            gauge!("koemasu_slab_zone_bytes", "zone" => name).set(zone.census.bytes as f64);
            gauge!("koemasu_slab_zone_in_use_bytes", "zone" => name).set(zone.census.in_use as f64);
            gauge!("koemasu_slab_zone_high_water_bytes", "zone" => name)
                .set(zone.census.high_water as f64);
            gauge!("koemasu_slab_zone_largest_free_bytes", "zone" => name)
                .set(zone.census.largest_free as f64);
            gauge!("koemasu_slab_zone_fragmentation_ratio", "zone" => name).set(zone.fragmentation);
        }
    }
    for tier in ["device", "host", "file"] {
        let there = report.library.voices.iter().filter(|it| it.tier == tier);
        gauge!("koemasu_voices", "tier" => tier).set(there.count() as f64);
    }
    gauge!("koemasu_workspace_free_bytes").set(report.workspace.free as f64);
    gauge!("koemasu_process_resident_bytes").set(report.outside.rss as f64);
    gauge!("koemasu_memory_beyond_slab_bytes").set(report.outside.beyond_slab as f64);
}
