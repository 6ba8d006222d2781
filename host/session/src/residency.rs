//! Which models are open, and who owns the memory they lie in. A model lives
//! as long as somebody uses it, and an unchanged one is carried over from one
//! generation to the next.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Instant;

use crate::bert::Bert;
use crate::device::{self, Device, Wanted};
use crate::error::Error;
use crate::events;
use crate::examine::{Examiner, Proof, Proofs, Subject, Terms};
use crate::gate::{self, Verdict};
use crate::library::{Effort, Library, LibraryCensus, Ready, Record, Rules};
use crate::memory::MemoryPolicy;
use crate::memory::policy::{Amount, Mode};
use crate::native::heap;
use crate::native::reservation::Kind;
use crate::native::tensors::{Block, Region};
use crate::onnx::{Inside, Part, Template};
use crate::own::Own;
use crate::package::{Package, Unpacking};
use crate::placement::{Placement, Sizes};
use crate::runtime::Runtime;
use crate::settings::Settings;
use crate::slab::{Keep, ModelsCensus, OwnerCensus, Tenant, Zone, ZoneCensus, round_up};
use crate::slot::{SlotCensus, Slots, short};
use crate::source::Source;
use crate::voice::{Family, Voice, VoiceSession, Way};
use crate::watch::{self, Outside};
use crate::weights::Weights;
use crate::whole;
use crate::workspace::Need;

pub struct Residency {
    runtime: Runtime,
    /// Unpacked archives and verdicts about templates.
    cache: Option<PathBuf>,
    /// Why nothing new is kept in it, if so.
    no_cache: Option<String>,
    policy: Mutex<Rules>,
    estate: Mutex<Option<Arc<Estate>>>,
    voices: Resident<Voice>,
    berts: Resident<Bert>,
    /// What was found by trying files before they are opened here.
    proofs: Option<Proofs>,
}

/// What there is once the device is known.
struct Estate {
    placement: Placement,
    library: Arc<Library>,
    /// As it was found or given at start: `auto` does not change with what
    /// others leave.
    sizes: Sizes,
    templates: Resident<TemplateEntry>,
}

/// A template, how its voices are spoken with, and its slots.
pub(crate) struct TemplateEntry {
    template: Arc<Template>,
    family: Family,
    verdict: Verdict,
    /// None if its voices have sessions of their own.
    slots: Option<Arc<Slots>>,
}

/// Open models by fingerprint and settings. Weak: whoever uses one keeps it.
/// Each has a lock of its own, held while it opens: two who want the same must
/// not both pay, and one that hangs must not hold up the others.
struct Resident<M>(Mutex<HashMap<String, Arc<Mutex<Weak<M>>>>>);

/// All there is to say about memory, for `/admin/memory`.
#[derive(Clone, Debug, serde::Serialize, utoipa::ToSchema)]
pub struct MemoryReport {
    pub mode: Mode,
    pub slab: Option<SlabReport>,
    pub library: LibraryCensus,
    pub templates: Vec<TemplateReport>,
    pub workspace: WorkspaceReport,
    pub outside: Outside,
}

#[derive(Clone, Debug, serde::Serialize, utoipa::ToSchema)]
pub struct SlabReport {
    pub kind: &'static str,
    pub budget: usize,
    pub in_use: usize,
    pub high_water: usize,
    pub blocks: usize,
    pub allocations: u64,
    pub overdrafts: u64,
    /// Bytes that were moved so that free ones lie in one piece, ever.
    pub moved: u64,
    /// The longest stretch for a model that moving makes, without anybody's
    /// going.
    pub reachable: usize,
    /// Of the slab, what the system has given memory for.
    pub resident: usize,
    pub models: ModelsCensus,
    pub zones: Vec<ZoneReport>,
    pub owners: Vec<OwnerCensus>,
}

#[derive(Clone, Debug, serde::Serialize, utoipa::ToSchema)]
pub struct ZoneReport {
    #[serde(flatten)]
    pub census: ZoneCensus,
    pub fragmentation: f64,
}

#[derive(Clone, Debug, serde::Serialize, utoipa::ToSchema)]
pub struct TemplateReport {
    pub digest: String,
    pub voice_bytes: usize,
    pub verdict: Verdict,
    /// Why it runs whole, if it does.
    pub whole: Option<String>,
    pub runs: u64,
    pub idle_slots: Vec<SlotCensus>,
    pub slots: usize,
}

#[derive(Clone, Debug, serde::Serialize, utoipa::ToSchema)]
pub struct WorkspaceReport {
    pub bytes: usize,
    pub free: usize,
    pub needs: Vec<Need>,
}

impl Residency {
    /// `cache` is a folder for unpacked archives and for what was found out
    /// about templates; without one both are done again at each start.
    pub fn new(runtime: Runtime, policy: MemoryPolicy, cache: Option<PathBuf>) -> Self {
        let mut no_cache = None;
        if let Some(folder) = &cache
            && let Err(error) = whole::probe(folder)
        {
            // What lies there already can still be used.
            events::not_kept("whatever it is for", folder, &error);
            no_cache = Some(format!("{}: {error}", folder.display()));
        }
        Self {
            runtime,
            cache,
            no_cache,
            policy: Mutex::new(Rules {
                policy,
                proposer: None,
            }),
            estate: Mutex::default(),
            voices: Resident(Mutex::default()),
            berts: Resident(Mutex::default()),
            proofs: None,
        }
    }

    /// Files are tried by this first, and opened here only if that went well.
    #[must_use]
    pub fn with_examiner(mut self, examiner: Examiner) -> Self {
        self.proofs = Some(Proofs::new(examiner));
        self
    }

    /// Whether what comes from outside is tried first.
    pub fn tries(&self) -> bool {
        self.proofs.is_some()
    }

    /// Whether [`voice`](Self::voice) may open this one, found out if it is
    /// not known. Several may be asked at a time.
    pub fn examine(&self, name: &str, source: &Source, settings: &Settings) -> Result<(), Error> {
        let subject = Subject::voice(source);
        let fingerprint = source.settled()?;
        self.proof(name, subject, &fingerprint, settings).map(drop)
    }

    /// None of what needs no trial.
    fn proof(
        &self,
        name: &str,
        subject: Option<Subject>,
        fingerprint: &str,
        settings: &Settings,
    ) -> Result<Option<Arc<Proof>>, Error> {
        let (Some(proofs), Some(subject)) = (&self.proofs, subject) else {
            return Ok(None);
        };
        let estate = self.estate(settings)?;
        let tensors = estate.placement.tensors();
        let terms = Terms {
            runtime: &self.runtime,
            settings,
            cache: self.cache.as_deref(),
            mode: estate.placement.mode(),
            workspace: estate.library.workspace().bytes(),
            reserve: tensors.map_or(0, |it| it.slab().zone(Zone::Reserve).bytes),
        };
        proofs.of(name, &subject, fingerprint, &terms).map(Some)
    }

    /// Why the cache cannot be written to, if there should be one: archives
    /// are unpacked and templates tried anew at each start.
    pub fn without_cache(&self) -> Option<&str> {
        self.no_cache.as_deref()
    }

    pub fn device(&self, wanted: Wanted) -> Result<Device, Error> {
        device::choose(wanted, &self.runtime)
    }

    /// Makes ready what a policy asks for; changes nothing that is obeyed.
    pub fn ready(&self, rules: Rules) -> Result<Ready, Error> {
        let estate = lock(&self.estate).clone();
        let Some(estate) = estate else {
            return Ok(Ready::plain(rules));
        };
        let limits = estate.sizes.under(&rules.policy).limits();
        estate.library.ready(rules, Some(limits))
    }

    /// From the next decision on these rules are obeyed: nothing here can
    /// fail, and nobody waits for it. What bites at start only is named, and
    /// stays as it was. What has no place any more under a smaller budget goes
    /// with [`watch`](Self::watch).
    pub fn obey(&self, ready: Ready) -> Vec<&'static str> {
        let mut held = lock(&self.policy);
        let rules = ready.rules.clone();
        let estate = lock(&self.estate).clone();
        let mut late = Vec::new();
        if let Some(estate) = estate {
            late = held.policy.needs_restart(&rules.policy);
            estate.library.obey(ready);
        }
        *held = rules;
        late
    }

    /// Both at once.
    pub fn set_policy(&self, rules: Rules) -> Result<Vec<&'static str>, Error> {
        self.ready(rules).map(|ready| self.obey(ready))
    }

    pub fn policy(&self) -> MemoryPolicy {
        lock(&self.policy).policy.clone()
    }

    /// The open voice of this source, or a newly opened one.
    /// `name` is what policies and reports call it.
    pub fn voice(
        &self,
        name: &str,
        source: &Source,
        settings: &Settings,
    ) -> Result<Arc<Voice>, Error> {
        for _ in 0..TRIES {
            let before = source.settled()?;
            let key = format!("{name} {before} {settings:?}");
            let voice = self.voices.get_or_open(key, || {
                let proof = self.proof(name, Subject::voice(source), &before, settings)?;
                let voice = self.open_voice(name, source, proof.as_deref(), settings);
                // Opening leaves what was parsed and unpacked in the C heap.
                heap::trim();
                voice
            });
            // Files that changed meanwhile may have been read half and half.
            if source.fingerprint()? == before {
                return voice;
            }
        }
        Err(source.unsteady())
    }

    /// The open BERT of these sources, or a newly opened one.
    pub fn bert(
        &self,
        graph: &Source,
        tokenizer: &Source,
        settings: &Settings,
    ) -> Result<Arc<Bert>, Error> {
        let estate = self.estate(settings)?;
        let marks = || {
            Ok::<_, Error>((
                graph.fingerprint_with_neighbours()?,
                tokenizer.fingerprint()?,
            ))
        };
        for _ in 0..TRIES {
            graph.settled()?;
            if let Source::Path(path) = graph
                && let Some(folder) = path.parent().filter(|_| path.is_file())
            {
                // Weights may lie in another file of it.
                Source::Path(folder.to_owned()).settled()?;
            }
            tokenizer.settled()?;
            let before = marks()?;
            let key = format!("{before:?} {settings:?}");
            let bert = self.berts.get_or_open(key, || {
                let subject = Subject::bert(graph, tokenizer);
                let marks = format!("{before:?}");
                let proof = self.proof("BERT", subject, &marks, settings)?;
                let proof = proof.filter(|_| settings.device == Device::Cpu);
                let bert = Bert::open(
                    &self.runtime,
                    graph,
                    tokenizer,
                    settings,
                    proof.as_ref().map_or(0, |proof| proof.region),
                    Arc::clone(&estate.library),
                );
                heap::trim();
                let bert = bert?;
                if let Some(proof) = proof {
                    bert.expect(&proof.peaks);
                }
                Ok(bert)
            });
            if marks()? == before {
                return bert;
            }
        }
        Err(graph.unsteady())
    }

    fn estate(&self, settings: &Settings) -> Result<Arc<Estate>, Error> {
        let mut estate = lock(&self.estate);
        if let Some(estate) = &*estate {
            return Ok(Arc::clone(estate));
        }
        // The size of a device is asked of libraries that have to be there.
        self.runtime.prepare(settings.device)?;
        let rules = lock(&self.policy).clone();
        let sizes = sizes(&rules.policy, settings)?;
        let mode = rules.policy.mode;
        let placement = self.runtime.place(mode, settings.device, &sizes)?;
        // The first in this process decides; its zones are what there is.
        let workspace = placement.tensors().map_or(sizes.workspace, |tensors| {
            tensors.slab().zone(Zone::Activations).bytes
        });
        let kind = Kind::of(settings.device);
        let library = Library::new(placement.clone(), kind, workspace, rules.clone());
        library.obey(library.ready(rules, None)?);
        let opened = Arc::new(Estate {
            library: Arc::new(library),
            placement,
            sizes,
            templates: Resident(Mutex::default()),
        });
        *estate = Some(Arc::clone(&opened));
        Ok(opened)
    }

    fn open_voice(
        &self,
        name: &str,
        source: &Source,
        proof: Option<&Proof>,
        settings: &Settings,
    ) -> Result<Voice, Error> {
        let estate = self.estate(settings)?;
        let slab = estate.placement.tensors();
        let package = Package::open_unpacked(
            source,
            &Unpacking {
                folder: self
                    .cache
                    .as_ref()
                    .map(|cache| cache.join("unpacked"))
                    .as_deref(),
                // More than there is for all voices is none that can serve.
                bytes_max: slab.map_or(u64::MAX, |tensors| tensors.slab().bytes() as u64),
            },
        )?;
        let (template, weights) = Weights::split(package.graph())?;
        // What it does on the processor says nothing about a GPU.
        let proof = proof.filter(|_| settings.device == Device::Cpu);
        let known = proof.and_then(|proof| proof.template.as_ref());
        let known = known.filter(|(digest, _)| *digest == template.digest);
        let verdict = known.map(|(_, verdict)| verdict.clone());
        let entry = estate.template(self, template, &weights, settings, verdict)?;
        let library = &estate.library;
        let record = library.record(name, Arc::clone(&entry.template), weights);
        for (tokens, bytes) in proof.map_or(&[][..], |proof| &proof.peaks) {
            library.learn(&record.graph(), *tokens, *bytes);
        }
        let way = match &entry.slots {
            Some(slots) => Way::Slots(Arc::clone(slots)),
            None => {
                let needs = proof.map_or(0, |proof| proof.region);
                let own = self.own(&estate, &package, &record, settings, needs);
                record.owns(&own);
                Way::Own(own)
            }
        };
        let family = entry.family;
        Voice::new(package, family, record, way, Arc::clone(library), entry)
    }

    /// Sessions of the voice's own, opened when it is first wanted.
    fn own(
        &self,
        estate: &Estate,
        package: &Package,
        record: &Arc<Record>,
        settings: &Settings,
        needs: usize,
    ) -> Arc<Own> {
        let (runtime, placement) = (self.runtime.clone(), estate.placement.clone());
        let (lanes, settings) = (settings.lanes, settings.clone());
        let (name, record) = (package.name().to_owned(), Arc::downgrade(record));
        let open = move |region: Option<&Arc<Region>>| {
            let record = record.upgrade();
            let record = record.ok_or_else(|| Error::Open("the voice is gone".to_owned()))?;
            let template = record.template();
            let part = |part: Part| record.weights().model(template, part, Inside::Constant);
            let opened = if placement.tensors().is_none() {
                // As other servers do: the model, whole.
                let model = part(Part::Whole)?;
                VoiceSession::whole(&runtime, &name, &model, &settings, &placement)
            } else {
                VoiceSession::with_weights(
                    &runtime, &name, template, &settings, &placement, region, part,
                )
            };
            heap::trim();
            opened
        };
        Own::new(package.name(), lanes, needs, open)
    }

    /// Opens every idle slot anew, one at a time, beside the runs of the
    /// others. Those that run are opened anew before their next run.
    pub fn renew(&self) -> Result<usize, Error> {
        let estate = lock(&self.estate).clone();
        let Some(estate) = estate else {
            return Ok(0);
        };
        let mut renewed = 0;
        for entry in estate.entries() {
            if let Some(slots) = &entry.slots {
                slots.begin_renewal();
                while slots.renew_one()? {
                    renewed += 1;
                    heap::trim();
                }
            }
        }
        Ok(renewed)
    }

    /// Runs over all slots, for renewal by count.
    pub fn runs(&self) -> u64 {
        let estate = lock(&self.estate).clone();
        estate.map_or(0, |estate| {
            let slots = estate
                .entries()
                .into_iter()
                .filter_map(|it| it.slots.clone());
            slots.map(|slots| slots.runs()).sum()
        })
    }

    /// Looks at what the process holds and lets idle voices go where a
    /// watermark is passed.
    pub fn watch(&self) -> Option<watch::Reading> {
        let estate = lock(&self.estate).clone()?;
        let policy = self.policy();
        let reading = watch::read(&estate.placement, &policy);
        watch::act(&reading, &policy, &estate.library);
        estate.library.settle();
        Some(reading)
    }

    /// Forgets what runs were measured to need, as if none had run yet.
    pub fn forget_needs(&self) {
        if let Some(estate) = lock(&self.estate).clone() {
            estate.library.workspace().retain(|_| false);
        }
    }

    /// Forgets what was learnt about graphs that are gone.
    pub fn tidy(&self) {
        if let Some(estate) = lock(&self.estate).clone() {
            let library = &estate.library;
            library
                .workspace()
                .retain(|graph| graph.starts_with("bert") || library.knows(graph));
            if let Some(tensors) = library.placement().tensors() {
                // What was free for a while; runs want theirs again soon.
                tensors.give_back(&[Zone::Models]);
            }
        }
        heap::trim();
    }

    pub fn report(&self) -> Option<MemoryReport> {
        let estate = lock(&self.estate).clone()?;
        let library = &estate.library;
        let slab = estate.placement.tensors().map(|tensors| {
            let resident = tensors.resident();
            let reachable = library.reachable();
            let slab = tensors.slab();
            SlabReport {
                kind: tensors.kind().name(),
                budget: slab.bytes(),
                in_use: slab.in_use(),
                high_water: slab.high_water(),
                blocks: slab.blocks(),
                allocations: slab.allocations(),
                overdrafts: tensors.overdrafts(),
                moved: tensors.moved(),
                reachable,
                resident,
                models: slab.models(),
                zones: Zone::ALL
                    .map(|zone| {
                        let census = slab.zone(zone);
                        ZoneReport {
                            fragmentation: census.fragmentation(),
                            census,
                        }
                    })
                    .to_vec(),
                owners: slab.owners(),
            }
        });
        let templates = estate.entries().into_iter().map(|entry| TemplateReport {
            digest: entry.template.digest.clone(),
            voice_bytes: entry.template.blob_bytes,
            verdict: entry.verdict.clone(),
            whole: entry.template.is_cut().err().map(str::to_owned),
            runs: entry.slots.as_ref().map_or(0, |slots| slots.runs()),
            slots: entry.slots.as_ref().map_or(0, |slots| slots.count()),
            idle_slots: entry
                .slots
                .as_ref()
                .map_or_else(Vec::new, |slots| slots.census(|id| library.name_of(id))),
        });
        Some(MemoryReport {
            mode: estate.placement.mode(),
            library: library.report(),
            templates: templates.collect(),
            workspace: WorkspaceReport {
                bytes: library.workspace().bytes(),
                free: library.workspace().free(),
                needs: library.workspace().needs(),
            },
            outside: watch::outside(&estate.placement),
            slab,
        })
    }

    /// The slab's memory, for checks from outside; none in the other modes.
    pub fn placement(&self) -> Option<Placement> {
        lock(&self.estate).as_ref().map(|it| it.placement.clone())
    }
}

impl Estate {
    fn entries(&self) -> Vec<Arc<TemplateEntry>> {
        let mut entries = self.templates.all();
        entries.sort_by(|a, b| a.template.digest.cmp(&b.template.digest));
        entries
    }

    /// The living entry of an equal template, or a new one: tried for whether
    /// its voices may be swapped, and with its slots open.
    fn template(
        &self,
        residency: &Residency,
        template: Template,
        weights: &Weights,
        settings: &Settings,
        known: Option<Verdict>,
    ) -> Result<Arc<TemplateEntry>, Error> {
        let key = format!("{} {settings:?}", template.digest);
        self.templates.get_or_open(key, || {
            if let Err(why) = template.is_cut() {
                events::template_whole(&template.digest, why);
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
                Err(error @ Error::NoRoom(_)) if number > 0 => {
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
        Ok(TemplateEntry {
            template,
            family: family.unwrap_or(Family::JpExtra),
            verdict: verdict.unwrap_or(Verdict::Swappable { difference: 0.0 }),
            slots: Some(Arc::new(slots)),
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
        let name = format!("slot {number} of template {}", short(&template.digest));
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

/// A package that changes while it is opened is opened again, but not for ever.
const TRIES: usize = 3;

/// What the sessions of a slot keep beside their weights: integers and shapes.
const SESSION: usize = 2 << 20;

/// Zones of the slab by the policy, or by what there is.
fn sizes(policy: &MemoryPolicy, settings: &Settings) -> Result<Sizes, Error> {
    let budget = match bytes(policy.budget) {
        Some(budget) => budget,
        None => watch::available(settings.device)?,
    };
    let found = Sizes {
        budget: round_up(budget),
        workspace: 0,
        reserve: 0,
        lanes: settings.lanes.max(1),
        most: watch::most(),
        touch: policy.touch,
    };
    Ok(found.under(policy))
}

fn bytes(amount: Amount) -> Option<usize> {
    amount
        .bytes()
        .map(|bytes| usize::try_from(bytes).unwrap_or(usize::MAX))
}

impl Sizes {
    /// As another policy would have them.
    fn under(&self, policy: &MemoryPolicy) -> Self {
        let budget = bytes(policy.budget).map_or(self.budget, round_up);
        let workspace = bytes(policy.workspace)
            .unwrap_or_else(|| (budget / 5).clamp(WORKSPACE_MIN.min(budget / 2), budget / 2));
        let reserve =
            bytes(policy.reserve).unwrap_or_else(|| (RESERVE * self.lanes).min(budget / 16));
        Self {
            budget,
            workspace,
            reserve,
            ..*self
        }
    }
}

/// The stock voice's longest sentence takes 80 MiB, BERT's as much.
const WORKSPACE_MIN: usize = 256 << 20;
/// The largest single tensor of a stock voice is 14 MiB; a node has a few.
const RESERVE: usize = 64 << 20;

impl<M> Resident<M> {
    fn get_or_open(
        &self,
        key: String,
        open: impl FnOnce() -> Result<M, Error>,
    ) -> Result<Arc<M>, Error> {
        let place = {
            let mut open_models = lock(&self.0);
            open_models.retain(|_, place| {
                let idle = Arc::strong_count(place) == 1;
                !idle || lock(place).strong_count() > 0
            });
            Arc::clone(open_models.entry(key).or_default())
        };
        let mut held = lock(&place);
        if let Some(model) = held.upgrade() {
            return Ok(model);
        }
        let model = Arc::new(open()?);
        *held = Arc::downgrade(&model);
        Ok(model)
    }

    /// Those that are open now.
    fn all(&self) -> Vec<Arc<M>> {
        let open = lock(&self.0);
        // One that is locked is being opened.
        let all = open.values().filter_map(|place| place.try_lock().ok());
        all.filter_map(|held| held.upgrade()).collect()
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
