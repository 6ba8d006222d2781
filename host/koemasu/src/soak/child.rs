//! One mode in a process of its own: the requests of the plan through the real
//! path, and memory after each burst, as JSON lines.

use std::io::Write;
use std::time::{Duration, Instant};

use anyhow::Context;
use pipeline::units::{Bytes, Span};
use pipeline::{Format, Generation, Live, Request, Sound, synthesize};
use session::device::Device;
use session::memory::policy::{Amount, Mode};
use session::native::tensors::Tensors;
use session::{slab, watch};
use std::sync::Arc;
use tokio::task::JoinSet;

use super::measure::{Dropped, End, Line, Sample, Slab, Zone};
use super::plan::{Asked, Plan};
use super::{base, stock};
use crate::args::{self, SoakMode};
use crate::config::Config;
use crate::line::{self, Lines};
use crate::memory::EVERY;
use crate::platform;

pub(super) fn run(args: &args::Soak, mode: SoakMode) -> anyhow::Result<()> {
    let config = configured(args, mode)?;
    let live = platform::live(&config)?;
    let device = live.residency().device(config.service.models.device)?;
    let base = watch::rss();
    let voices: Vec<_> = config
        .service
        .voices
        .iter()
        .map(|it| it.name.clone())
        .collect();
    let tokio = platform::tokio()?;
    let start = Instant::now();
    let prepared = tokio.block_on(live.prepare(config.service))?;
    live.publish(prepared);
    let mut soak = Soak {
        voices,
        device,
        out: line::out(),
        leak: args.leak.map(|Bytes(bytes)| Leak::new(&live, bytes)),
        end: End {
            device: match device {
                Device::Cpu => "cpu".to_owned(),
                Device::Cuda(number) => format!("cuda:{number}"),
            },
            base,
            prepared_seconds: start.elapsed().as_secs_f64(),
            ..End::default()
        },
        asked: 0,
        tidied: Instant::now(),
    };
    tokio.block_on(soak.run(&live, super::wanted(args)))?;
    soak.finish(live)
}

struct Soak<O> {
    voices: Vec<String>,
    device: Device,
    out: Lines<O>,
    leak: Option<Leak>,
    end: End,
    asked: usize,
    tidied: Instant,
}

impl<O: Write> Soak<O> {
    async fn run(&mut self, live: &Live, wanted: super::plan::Wanted) -> anyhow::Result<()> {
        let generation = live.pin().context("nothing was published")?;
        live.residency().tidy();
        let (start, cpu) = (Instant::now(), watch::cpu_seconds());
        self.sample(live)?;
        for burst in Plan::new(wanted) {
            self.asked += burst.len();
            self.burst(&generation, burst).await;
            if let Some(leak) = &mut self.leak {
                leak.spill(self.asked);
            }
            // As a server does.
            if self.tidied.elapsed() >= EVERY {
                live.residency().watch();
                live.residency().tidy();
                self.tidied = Instant::now();
            }
            self.sample(live)?;
        }
        self.end.wall_seconds = start.elapsed().as_secs_f64();
        self.end.cpu_seconds = watch::cpu_seconds() - cpu;
        Ok(())
    }

    /// Sends all requests together, and waits until the last one is through.
    async fn burst(&mut self, generation: &Arc<Generation>, burst: Vec<Asked>) {
        let mut under_way = JoinSet::new();
        for Asked { voice, text } in burst {
            self.end.characters += text.chars().count();
            let request = Request {
                text,
                voice: self.voices[voice % self.voices.len()].clone(),
                sound: Sound {
                    format: Format::Pcm,
                    ..Sound::default()
                },
                ..Request::default()
            };
            let generation = Arc::clone(generation);
            under_way.spawn(async move {
                let text = request.text.clone();
                let answer = synthesize(&generation, request).await;
                answer
                    .map(drop)
                    .map_err(|why| format!("{why} (of `{text}`)"))
            });
        }
        while let Some(ended) = under_way.join_next().await {
            let failed = match ended {
                Ok(Ok(())) => continue,
                Ok(Err(why)) => why,
                Err(lost) => lost.to_string(),
            };
            self.end.failed += 1;
            if self.end.reasons.len() < REASONS_MAX {
                self.end.reasons.push(failed);
            }
        }
    }

    fn sample(&mut self, live: &Live) -> anyhow::Result<()> {
        let report = live.residency().report().context("no model is open")?;
        let on_device = report
            .library
            .voices
            .iter()
            .filter(|it| it.tier == "device");
        let resident = on_device.map(|voice| voice.bytes).sum();
        let zone = |zone: &session::residency::ZoneReport| Zone {
            zone: zone.census.zone.name().to_owned(),
            bytes: zone.census.bytes,
            in_use: zone.census.in_use,
            largest_free: zone.census.largest_free,
            free_entries: zone.census.free_entries,
            fragmentation: zone.fragmentation,
        };
        self.end.shared = report.templates.iter().all(|template| template.slots > 0);
        let slab = report.slab.as_ref().map(|slab| {
            self.end.budget = slab.budget;
            Slab {
                in_use: slab.in_use,
                high_water: slab.high_water,
                overdrafts: slab.overdrafts,
                resident,
                zones: slab.zones.iter().map(zone).chain([library(slab)]).collect(),
            }
        });
        let sample = Sample {
            requests: self.asked,
            rss: watch::rss(),
            private: watch::anonymous(),
            gpu: watch::gpu(self.device),
            cpu_seconds: watch::cpu_seconds(),
            evictions: report.library.evictions,
            loads: report.library.loads,
            failed: self.end.failed,
            slab,
        };
        self.tell(&Line::Sample(sample))
    }

    /// Drops every model and looks at what is left.
    fn finish(mut self, live: Live) -> anyhow::Result<()> {
        let placement = live.residency().placement();
        drop(live);
        if let Some(leak) = self.leak.take() {
            self.end.planted = leak.planted;
        }
        let tensors = placement.as_ref().and_then(|it| it.tensors());
        self.end.dropped = tensors.map(|tensors| dropped(tensors));
        let end = Line::End(Box::new(std::mem::take(&mut self.end)));
        self.tell(&end)
    }

    fn tell(&mut self, line: &Line) -> anyhow::Result<()> {
        self.out.line(serde_json::to_string(line)?)?;
        Ok(())
    }
}

/// What voices hold and could hold in the zone of models.
fn library(slab: &session::residency::SlabReport) -> Zone {
    let models = &slab.models;
    let fixed = models.bert + models.slots + models.other;
    let zone = slab.zones.iter().map(|it| it.census);
    let bytes = zone
        .filter(|it| it.zone == slab::Zone::Models)
        .map(|it| it.bytes);
    Zone {
        zone: "library".to_owned(),
        bytes: bytes.sum::<usize>().saturating_sub(fixed),
        in_use: models.sessions + models.blobs,
        ..Zone::default()
    }
}

/// Reasons that are told; the others are counted.
const REASONS_MAX: usize = 5;

fn dropped(tensors: &Tensors) -> Dropped {
    let slab = tensors.slab();
    let holds = |owner: &slab::OwnerCensus| {
        (owner.blocks > 0).then(|| format!("{} ({} bytes)", owner.owner, owner.in_use))
    };
    let torn = slab::Zone::ALL.into_iter().filter(|zone| {
        let census = slab.zone(*zone);
        census.bytes > 0 && census.free_entries != 1
    });
    Dropped {
        in_use: slab.in_use(),
        blocks: slab.blocks(),
        holders: slab.owners().iter().filter_map(holds).collect(),
        torn: torn.map(|zone| zone.name().to_owned()).collect(),
    }
}

const ACTIVATIONS: slab::Place = slab::Place::Zone(slab::Zone::Activations);

/// The negative control: memory that nobody gives back.
struct Leak {
    bytes: usize,
    tensors: Option<(Arc<Tensors>, slab::Owner)>,
    spilt: usize,
    /// Blocks of the slab.
    planted: usize,
}

impl Leak {
    fn new(live: &Live, bytes: u64) -> Self {
        let placement = live.residency().placement();
        let tensors = placement.as_ref().and_then(|it| it.tensors());
        let tensors = tensors.map(|tensors| {
            let owner = tensors.slab().owner("leak");
            (Arc::clone(tensors), owner)
        });
        Self {
            bytes: usize::try_from(bytes).unwrap_or(usize::MAX).max(1),
            tensors,
            spilt: 0,
            planted: 0,
        }
    }

    /// Heap for each request there was, and one small block of the slab.
    fn spill(&mut self, asked: usize) {
        let requests = asked - std::mem::replace(&mut self.spilt, asked);
        // Not zeros: those the system would lend without a page behind them.
        Vec::leak(vec![1_u8; requests * self.bytes]);
        if let Some((tensors, owner)) = &self.tensors {
            let spilt = tensors
                .slab()
                .allocate(ACTIVATIONS, *owner, slab::ALIGNMENT);
            self.planted += usize::from(spilt.is_ok());
        }
    }
}

/// The configuration with what the soak asks for.
fn configured(args: &args::Soak, mode: SoakMode) -> anyhow::Result<Config> {
    let mut config = base(args)?;
    let voices = stock::chosen(args, &config)?;
    let service = &mut config.service;
    service.voices = voices;
    service.models.lanes = args.lanes;
    service.models.threads = args.threads;
    // It is about memory, not about time: nobody is sent away.
    service.models.wait = PATIENCE;
    service.memory.policy.permits.wait = PATIENCE;
    for pipeline in service.pipelines.values_mut() {
        pipeline.limits.deadline = PATIENCE;
        pipeline.limits.characters_max = pipeline.limits.characters_max.max(args.characters);
    }
    // Full after a few requests, and from then on as large as it gets.
    service.feature_cache = Bytes::mebibytes(4);

    let sizes = super::sizes(args, service);
    let policy = &mut service.memory.policy;
    policy.slots = args.slots;
    policy.prepack = args.prepack;
    policy.touch = args.touch;
    policy.workspace = Amount::Of(Bytes(sizes.workspace));
    policy.reserve = Amount::Of(Bytes(sizes.reserve));
    policy.budget = Amount::Of(Bytes(sizes.budget));
    policy.mode = match mode {
        SoakMode::Slab => Mode::Slab,
        SoakMode::SharedArena => Mode::SharedArena,
        SoakMode::Arena => Mode::Arena,
    };
    if mode != SoakMode::Slab {
        // In the arena modes the budget is for voices and workspace alone; so
        // that as many voices stay, they get the room that the slab had.
        let room = args.child.room.map_or(sizes.room, |room| room as u64);
        policy.budget = Amount::Of(Bytes(room + sizes.workspace));
        policy.reserve = Amount::Auto;
    }
    policy.check()?;
    Ok(config)
}

const PATIENCE: Span = Span(Duration::from_secs(24 * 3600));
