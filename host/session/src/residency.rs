//! Which models are open, and who owns the memory they lie in. A model lives
//! as long as somebody uses it, and an unchanged one is carried over from one
//! generation to the next.

mod report;
mod resident;
mod sizes;
mod templates;

use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::bert::Bert;
use crate::blocks::Blocks;
use crate::choose;
use crate::device::{Device, Wanted};
use crate::entry::TemplateEntry;
use crate::error::Error;
use crate::events;
use crate::examine::{Examiner, Proof, Proofs, Subject, Terms};
use crate::finding;
use crate::library::{Effort, Library, Needs, Own, Ready, Record, Rules};
use crate::native::heap;
use crate::native::reservation::Kind;
use crate::onnx::{Inside, Part};
use crate::package::{Package, Unpacking};
use crate::placement::{Placement, Sizes};
use crate::runtime::Runtime;
use crate::sessions::Sessions;
use crate::settings::Settings;
use crate::source::Source;
use crate::synthesis::VoiceSession;
use crate::voice::{Voice, Way};
use crate::watch;
use crate::weights::Weights;
use crate::whole;
use memory::MemoryPolicy;
use memory::policy::Amount;
use memory::slab::Zone;

use resident::Resident;

pub use report::{MemoryReport, SlabReport, TemplateReport, WorkspaceReport, ZoneReport};

/// Everything that is open: one runtime, one slab, and the models in it. All of
/// it is shared by generations.
pub struct Residency {
    runtime: Runtime,
    /// Unpacked archives and verdicts about templates.
    cache: Option<PathBuf>,
    /// Why nothing new is kept in it, if so.
    no_cache: Option<String>,
    policy: Mutex<Rules>,
    estate: Mutex<Option<Arc<Estate>>>,
    /// Which layout decoders have.
    blocks: Blocks,
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
            runtime: runtime.keeping(cache.clone()),
            cache,
            no_cache,
            policy: Mutex::new(Rules {
                policy,
                proposer: None,
            }),
            estate: Mutex::default(),
            blocks: Blocks::default(),
            voices: Resident::default(),
            berts: Resident::default(),
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
        let terms = self.terms(settings)?;
        proofs.of(name, &subject, fingerprint, &terms).map(Some)
    }

    /// What a trial depends on beside the files.
    fn terms<'t>(&'t self, settings: &'t Settings) -> Result<Terms<'t>, Error> {
        let estate = self.estate(settings)?;
        let tensors = estate.placement.tensors();
        let workspace = estate.library.workspace().bytes();
        let reserve = tensors.map_or(0, |it| it.slab().zone(Zone::Reserve).bytes);
        // What is found at each start is another number of bytes each time; what
        // was proven with a little less holds with it.
        let policy = self.policy();
        let auto = policy.budget == Amount::Auto;
        let of = |amount: Amount, bytes: usize| match (auto, amount) {
            (true, Amount::Auto) => sizes::steady(bytes),
            _ => bytes,
        };
        let own = of(policy.workspace, workspace);
        let is_found = auto && policy.workspace == Amount::Auto;
        Ok(Terms {
            runtime: &self.runtime,
            settings,
            cache: self.cache.as_deref(),
            mode: estate.placement.mode(),
            workspace: own,
            workspace_before: match is_found {
                true => sizes::beside(own).into(),
                false => Vec::new(),
            },
            reserve: of(policy.reserve, reserve),
        })
    }

    /// Whether this voice has spoken before as it is now, after whichever
    /// start: with these files and settings, this program, library and
    /// processor.
    pub fn has_spoken(&self, voice: &Voice) -> bool {
        let place = self.spoken(voice);
        place.is_some_and(|place| finding::read(&place, 16) == Some(true))
    }

    /// It has; kept in the cache.
    pub fn spoke(&self, voice: &Voice) {
        if let Some(place) = self.spoken(voice) {
            finding::keep(&place, &true, SPOKEN_MAX);
        }
    }

    fn spoken(&self, voice: &Voice) -> Option<PathBuf> {
        let folder = self.cache.as_ref()?.join("spoken");
        Some(finding::place(&folder, voice.mark()?))
    }

    /// Why the cache cannot be written to, if there should be one: archives
    /// are unpacked and templates tried anew at each start.
    pub fn without_cache(&self) -> Option<&str> {
        self.no_cache.as_deref()
    }

    /// An error says why CUDA was asked for and cannot be had; the operator can
    /// act.
    pub fn device(&self, wanted: Wanted) -> Result<Device, Error> {
        choose::choose(wanted, &self.runtime)
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

    /// A copy of what is obeyed now, or will be once the first model opens.
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
                let mark = match (&self.proofs, proof) {
                    (Some(proofs), Some(_)) => Some(proofs.key(&before, &self.terms(settings)?)),
                    _ => None,
                };
                Ok(voice?.marked(mark))
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
        let sizes = sizes::sizes(&rules.policy, settings)?;
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
            templates: Resident::default(),
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
        let (mut template, weights) = Weights::split(package.graph())?;
        if let Some(block) = self
            .blocks
            .of(&self.runtime, settings, self.cache.as_deref())
        {
            let rewritten = template.in_blocks(block);
            template = rewritten.map_err(|e| Error::Open(format!("the graph: {e}")))?;
        }
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
                let needs = Needs::new(proof.map_or(0, |proof| proof.region), OPENING);
                let own = self.own(library, &package, &record, settings, needs);
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
        library: &Arc<Library>,
        package: &Package,
        record: &Arc<Record>,
        settings: &Settings,
        needs: Needs,
    ) -> Arc<Own> {
        let (runtime, library) = (self.runtime.clone(), Arc::clone(library));
        let departures = Arc::clone(library.departures());
        let (lanes, settings) = (settings.lanes, settings.clone());
        let (name, record) = (package.name().to_owned(), Arc::downgrade(record));
        let open = move |needs: &Needs, effort: Effort| {
            let record = record.upgrade();
            let record = record.ok_or_else(|| Error::Open("the voice is gone".to_owned()))?;
            library.open_own(&record, needs, effort, |region| {
                let (template, placement) = (record.template(), library.placement());
                let part = |part: Part| record.weights().model(template, part, Inside::Constant);
                let opened = if placement.tensors().is_none() {
                    // As other servers do: the model, whole.
                    let model = part(Part::Whole)?;
                    VoiceSession::whole(&runtime, &name, &model, &settings, placement)
                } else {
                    VoiceSession::with_weights(
                        &runtime, &name, template, &settings, placement, region, part,
                    )
                };
                heap::trim();
                opened
            })
        };
        Sessions::new("voice", package.name(), lanes, needs, &departures, open)
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

    /// Forgets what was learnt about graphs that are gone, and closes the gaps
    /// that they left.
    pub fn tidy(&self) {
        if let Some(estate) = lock(&self.estate).clone() {
            let library = &estate.library;
            library
                .workspace()
                .retain(|graph| graph.starts_with("bert") || library.knows(graph));
            library.close_large_gaps();
            if let Some(tensors) = library.placement().tensors() {
                // What was free for a while; runs want theirs again soon.
                tensors.give_back(&[Zone::Models]);
            }
        }
        heap::trim();
    }

    /// The slab's memory, for checks from outside; none in the other modes.
    pub fn placement(&self) -> Option<Placement> {
        lock(&self.estate).as_ref().map(|it| it.placement.clone())
    }
}

/// Voices of which it is known that they speak.
const SPOKEN_MAX: usize = 4_096;

/// What a session of one voice allocates beside its weights.
const OPENING: usize = 4 << 20;

/// A package that changes while it is opened is opened again, but not for ever.
const TRIES: usize = 3;

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
