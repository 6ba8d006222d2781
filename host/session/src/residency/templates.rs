//! How voices of a template come to sessions: tried, in slots that they share,
//! or each in its own.

use std::sync::Arc;
use std::time::Instant;

use super::{Estate, Residency};
use crate::device::Device;
use crate::entry::TemplateEntry;
use crate::error::Error;
use crate::events;
use crate::family::Family;
use crate::gate::{self, Verdict};
use crate::library::Effort;
use crate::native::heap;
use crate::native::tensors::{Block, Region};
use crate::onnx::{Inside, Part, Template};
use crate::placement::Placement;
use crate::settings::Settings;
use crate::slot::Slots;
use crate::synthesis::VoiceSession;
use crate::weights::Weights;
use memory::slab::{Keep, Tenant};

/// What the sessions of a slot keep beside their weights: integers and shapes.
const SESSION: usize = 2 << 20;

impl Estate {
    pub(super) fn entries(&self) -> Vec<Arc<TemplateEntry>> {
        let mut entries = self.templates.all();
        entries.sort_by(|a, b| a.template.digest.cmp(&b.template.digest));
        entries
    }

    /// The living entry of an equal template, or a new one: tried for whether
    /// its voices may be swapped, and with its slots open.
    pub(super) fn template(
        &self,
        residency: &Residency,
        template: Template,
        weights: &Weights,
        settings: &Settings,
        known: Option<Verdict>,
    ) -> Result<Arc<TemplateEntry>, Error> {
        let key = format!("{} {settings:?}", template.kind());
        self.templates.get_or_open(key, || {
            if let Err(why) = template.is_cut() {
                events::template_whole(&template.digest, &why);
            }
            let template = Arc::new(template);
            if settings.prepack || self.placement.tensors().is_none() {
                let verdict = Verdict::NotSwappable {
                    why: "not tried: the configuration gives each voice a session of its own"
                        .to_owned(),
                };
                self.without_slots(residency, template, weights, settings, verdict)
            } else {
                self.with_slots(residency, template, weights, settings, known)
            }
        })
    }

    fn with_slots(
        &self,
        residency: &Residency,
        template: Arc<Template>,
        weights: &Weights,
        settings: &Settings,
        known: Option<Verdict>,
    ) -> Result<TemplateEntry, Error> {
        if let Some(verdict @ Verdict::NotSwappable { .. }) = known {
            return self.without_slots(residency, template, weights, settings, verdict);
        }
        let runtime = &residency.runtime;
        let slots = Slots::new(Arc::clone(&template), runtime, &self.placement, settings);
        let mut family = None;
        let mut verdict = known;
        for number in 0..settings.slots.max(settings.lanes).max(1) {
            let (mut session, mut block, region) = match self.slot(&slots, &template, number) {
                Ok(opened) => opened,
                // One slot serves all voices; more are a convenience.
                Err(error @ (Error::NoRoom(_) | Error::NeverFits(_))) if number > 0 => {
                    events::fewer_slots(number, &error);
                    break;
                }
                Err(Error::Open(why)) if verdict.is_none() => {
                    let verdict = Verdict::NotSwappable {
                        why: format!("it cannot be opened over weights of the slab: {why}"),
                    };
                    return self.without_slots(residency, template, weights, settings, verdict);
                }
                Err(error) => return Err(error),
            };
            family = Some(session.family());
            if verdict.is_none() {
                let cache = residency
                    .cache
                    .as_ref()
                    .map(|cache| cache.join("templates"));
                let judged = gate::verdict(
                    runtime,
                    &template,
                    weights,
                    settings,
                    &mut session,
                    &mut block,
                    cache.as_deref(),
                )?;
                heap::trim();
                if matches!(judged, Verdict::NotSwappable { .. }) {
                    drop((session, block, region));
                    return self.without_slots(residency, template, weights, settings, judged);
                }
                verdict = Some(judged);
            }
            slots.add(session, block, region);
        }
        let slots = Arc::new(slots);
        self.library.stands(&slots);
        Ok(TemplateEntry {
            template,
            family: family.unwrap_or(Family::JpExtra),
            verdict: verdict.unwrap_or(Verdict::Swappable { difference: 0.0 }),
            slots: Some(slots),
        })
    }

    /// The family is asked of a session, which is not kept.
    fn without_slots(
        &self,
        residency: &Residency,
        template: Arc<Template>,
        weights: &Weights,
        settings: &Settings,
        verdict: Verdict,
    ) -> Result<TemplateEntry, Error> {
        let model = weights.model(&template, Part::Whole, Inside::Constant)?;
        // Its inputs are the same on every device, and a GPU has no room for it.
        let on_host = Settings {
            device: Device::Cpu,
            ..settings.clone()
        };
        let runtime = &residency.runtime;
        let session = VoiceSession::whole(runtime, "trial", &model, &on_host, &Placement::Arena)?;
        Ok(TemplateEntry {
            template,
            family: session.family(),
            verdict,
            slots: None,
        })
    }

    /// A region with a session over a block in it.
    fn slot(
        &self,
        slots: &Slots,
        template: &Template,
        number: usize,
    ) -> Result<(VoiceSession, Block, Arc<Region>), Error> {
        let name = format!("slot {number} of template {}", template.short());
        let first = template.blob_bytes + SESSION;
        // More than one is a convenience that nobody has to wait for.
        let effort = match number {
            0 => Effort::Waiting(Instant::now() + slots.patience()),
            _ => Effort::Evicting,
        };
        let open = |region: Option<&Arc<Region>>| {
            let region = region.ok_or_else(|| Error::Memory("there is no slab".to_owned()))?;
            let block = region.block(template.blob_bytes).map_err(Error::NoRoom)?;
            let session = slots.open(number, &block, region)?;
            Ok((session, block))
        };
        let library = &self.library;
        let settled = library.open_in_region(&name, Tenant::Slot, first, effort, open)?;
        let region = settled.region;
        let region = region.ok_or_else(|| Error::Memory("there is no slab".to_owned()))?;
        // As much as opening it anew will take.
        region.fit(Keep::Ever);
        let (session, block) = settled.opened;
        Ok((session, block, region))
    }
}
