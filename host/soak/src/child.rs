//! One mode in a process of its own: the requests of the plan through the real
//! path, and memory after each burst, as JSON lines.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::Write;
use std::time::{Duration, Instant};

use anyhow::Context;
use memory::policy::{Amount, Mode};
use pipeline::units::{Bytes, Span};
use pipeline::{Live, Published};
use session::device::Device;
use session::residency::MemoryReport;
use session::watch;
use tokio::task::JoinSet;

use crate::args::{self, SoakMode};
use crate::ask::{Taken, ask};
use crate::fault::Faults;
use crate::measure::{End, Happened, Line, Sample};
use crate::plan::{Asked, Burst, Change, Mood, Plan, Wanted};
use crate::sizes::Sizes;
use crate::upheaval::{Upheaval, words_file};
use crate::zones::{self, Slab};
use crate::{base, stock};
use server::admin::memory::EVERY;
use server::config::Config;
use server::line::{self, Lines};
use server::platform;

pub(crate) fn run(args: &args::Args, mode: SoakMode) -> anyhow::Result<()> {
    let began = Instant::now();
    let deadline = args.child.seconds.map(|it| began + Duration::from_secs(it));
    let config = configured(args, mode)?;
    // The arenas speak with what the slab's process has tried.
    let live = match mode {
        SoakMode::Slab => platform::live(&config)?,
        SoakMode::SharedArena | SoakMode::Arena => platform::live_untried(&config)?,
    };
    let device = live.residency().device(config.service.models.device)?;
    let service = config.service;
    let wanted = crate::wanted(args);
    let lively = wanted.mood == Mood::Lively;
    let made = args.child.made.as_ref().filter(|_| lively);
    let mut soak = Soak {
        voices: service.voices.iter().map(|it| it.name.clone()).collect(),
        device,
        out: line::out(),
        upheaval: made.map(|made| Upheaval::new(service.clone(), made, args.seed)),
        faults: Faults::new(args),
        lanes: service.models.lanes,
        patience: PATIENCE_AT_REST,
        end: End {
            device: match device {
                Device::Cpu => "cpu".to_owned(),
                Device::Cuda(number) => format!("cuda:{number}"),
            },
            base: watch::rss(),
            happened: made.map(|_| Happened {
                made: service.voices.len(),
                ..Happened::default()
            }),
            ..End::default()
        },
        asked: 0,
        tidied: Instant::now(),
    };
    let (voices, tokio) = (soak.voices.len(), platform::tokio()?);
    let prepared = if mode == SoakMode::Slab {
        soak.tell(&Line::Doing(format!(
            "opens {voices} voices; those that are new are tried first"
        )))?;
        tokio.block_on(live.prepare(service))?
    } else {
        soak.tell(&Line::Doing(format!("opens {voices} voices")))?;
        let left = deadline.map(|it| it.saturating_duration_since(Instant::now()));
        let left = left.unwrap_or(Duration::MAX);
        let prepared = async { tokio::time::timeout(left, live.prepare(service)).await };
        match tokio.block_on(prepared) {
            Ok(prepared) => prepared?,
            Err(_) => {
                soak.end.late = true;
                soak.give_up();
            }
        }
    };
    soak.published(&live.publish(prepared));
    soak.end.prepared_seconds = began.elapsed().as_secs_f64();
    tokio.block_on(soak.run(&live, wanted, deadline))?;
    soak.finish(live)
}

struct Soak<O> {
    voices: Vec<String>,
    device: Device,
    out: Lines<O>,
    upheaval: Option<Upheaval>,
    faults: Faults,
    lanes: usize,
    /// How long is waited until nothing runs any more.
    patience: Duration,
    end: End,
    asked: usize,
    tidied: Instant,
}

/// What a reader left ends within a window of sound.
const PATIENCE_AT_REST: Duration = Duration::from_secs(5);
/// After it was in vain once.
const NO_PATIENCE: Duration = Duration::from_millis(50);

impl<O: Write> Soak<O> {
    async fn run(
        &mut self,
        live: &Live,
        wanted: Wanted,
        deadline: Option<Instant>,
    ) -> anyhow::Result<()> {
        live.residency().tidy();
        let (start, cpu) = (Instant::now(), watch::cpu_seconds());
        self.sample(live).await?;
        for burst in Plan::new(wanted) {
            if deadline.is_some_and(|deadline| Instant::now() >= deadline) {
                break;
            }
            self.asked += burst.asked.len();
            let changed = burst.change.is_some();
            self.burst(live, burst).await?;
            self.faults.spill(live, self.asked);
            // As a server does.
            if changed || self.tidied.elapsed() >= EVERY {
                live.residency().watch();
                live.residency().tidy();
                self.tidied = Instant::now();
            }
            self.sample(live).await?;
        }
        self.end.wall_seconds = start.elapsed().as_secs_f64();
        self.end.cpu_seconds = watch::cpu_seconds() - cpu;
        Ok(())
    }

    /// Sends all requests together, changes what is to be changed, and waits
    /// until the last one is through.
    async fn burst(&mut self, live: &Live, burst: Burst) -> anyhow::Result<()> {
        let mut under_way = JoinSet::new();
        for Asked {
            voice,
            text,
            reader,
        } in burst.asked
        {
            self.end.characters += text.chars().count();
            let voice = self.voices[voice % self.voices.len()].clone();
            let pin = live.pin().context("nothing was published")?;
            under_way.spawn(async move {
                let of = format!("of `{text}` by {voice}");
                let taken = ask(pin, voice, text, reader).await;
                taken.map_err(|why| format!("{why} ({of})"))
            });
        }
        if let (Some(upheaval), Some(change)) = (&mut self.upheaval, burst.change) {
            let made = upheaval.make(change, live).await;
            self.changed(change, made);
        }
        while let Some(ended) = under_way.join_next().await {
            match ended {
                Ok(Ok(taken)) => self.taken(taken),
                Ok(Err(why)) => self.failed(why),
                Err(lost) => self.failed(lost.to_string()),
            }
        }
        Ok(())
    }

    fn failed(&mut self, why: String) {
        self.end.failed += 1;
        if self.end.reasons.len() < REASONS_MAX {
            self.end.reasons.push(why);
        }
    }

    fn taken(&mut self, taken: Taken) {
        if let Some(happened) = &mut self.end.happened {
            match taken {
                Taken::Whole => {}
                Taken::Streamed => happened.streams += 1,
                Taken::Slowly => happened.slow += 1,
                Taken::Left => happened.vanished += 1,
            }
        }
    }

    fn changed(&mut self, change: Change, made: anyhow::Result<Published>) {
        let published = match made {
            Ok(published) => published,
            Err(why) => {
                self.left_out(format!("a reload: {why:#}"));
                return;
            }
        };
        self.published(&published);
        if let Change::Lanes(lanes) = change {
            self.lanes = lanes;
        }
        let lanes = self.lanes;
        if let Some(happened) = &mut self.end.happened {
            happened.reloads += 1;
            match change {
                Change::Words => happened.words += 1,
                Change::Voice => happened.voices += 1,
                Change::Lanes(_) if happened.lanes.contains(&lanes) => {}
                Change::Lanes(_) => happened.lanes.push(lanes),
            }
        }
    }

    fn published(&mut self, published: &Published) {
        for out in &published.left_out {
            self.left_out(format!("{}: {}", out.name, out.cause));
        }
    }

    fn left_out(&mut self, why: String) {
        self.end.left_out += 1;
        if self.end.left_out_reasons.len() < REASONS_MAX {
            self.end.left_out_reasons.push(why);
        }
    }

    /// Memory once nothing runs any more.
    async fn sample(&mut self, live: &Live) -> anyhow::Result<()> {
        let report = self.rest(live).await?;
        let own = report.templates.iter().filter(|it| it.slots == 0);
        if let Some(happened) = &mut self.end.happened {
            happened.templates = report.templates.len();
            happened.refused = own.count();
            if happened.lanes.is_empty() {
                happened.lanes.push(self.lanes);
            }
        }
        self.end.budget = report.slab.as_ref().map_or(0, |slab| slab.budget);
        let sample = Sample {
            requests: self.asked,
            rss: watch::rss(),
            private: watch::anonymous(),
            features: live.feature_bytes(),
            gpu: watch::gpu(self.device),
            cpu_seconds: watch::cpu_seconds(),
            evictions: report.library.evictions,
            loads: report.library.loads,
            failed: self.end.failed,
            lanes: self.lanes,
            slots: report.templates.iter().map(|it| it.slots).collect(),
            cast: cast(&report),
            generations: live.report().len(),
            slab: Slab::of(&report),
        };
        self.tell(&Line::Sample(sample))
    }

    /// Waits for the ends of runs whose readers have gone, of sessions that are
    /// opened for them all the same, and of generations that were replaced.
    async fn rest(&mut self, live: &Live) -> anyhow::Result<MemoryReport> {
        let start = Instant::now();
        loop {
            let report = live.residency().report().context("no model is open")?;
            let of_runs = Slab::of(&report).map_or(0, |slab| slab.of_runs());
            let in_flight = report.library.voices.iter().any(|it| it.in_flight > 0);
            let opening = zones::of_nobody_yet(&report) > 0;
            if of_runs == 0 && !in_flight && !opening && live.report().len() <= 1 {
                return Ok(report);
            }
            if start.elapsed() >= self.patience {
                // Judged as it is.
                self.patience = NO_PATIENCE;
                return Ok(report);
            }
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    }

    /// Ends at once, whatever is still being opened.
    fn give_up(mut self) -> ! {
        let end = Line::End(Box::new(std::mem::take(&mut self.end)));
        let told = self.tell(&end);
        platform::end(u8::from(told.is_err()))
    }

    /// Drops every model and looks at what is left.
    fn finish(mut self, live: Live) -> anyhow::Result<()> {
        let placement = live.residency().placement();
        drop(live);
        self.end.planted = self.faults.planted;
        let tensors = placement.as_ref().and_then(|it| it.tensors());
        self.end.dropped = tensors.map(|tensors| zones::dropped(tensors));
        let end = Line::End(Box::new(std::mem::take(&mut self.end)));
        self.tell(&end)
    }

    fn tell(&mut self, line: &Line) -> anyhow::Result<()> {
        self.out.line(serde_json::to_string(line)?)?;
        self.out.flush()?;
        Ok(())
    }
}

/// Reasons that are told; the others are counted.
const REASONS_MAX: usize = 5;

/// Stands for the names of the voices on the device, and for their sessions.
fn cast(report: &MemoryReport) -> u64 {
    let voices = report.library.voices.iter();
    let on_device = voices.filter(|voice| voice.tier == "device");
    let mut names: Vec<_> = on_device
        .map(|voice| (&voice.name, voice.sessions))
        .collect();
    names.sort();
    let mut hasher = DefaultHasher::new();
    names.hash(&mut hasher);
    hasher.finish()
}

/// The configuration with what the soak asks for.
fn configured(args: &args::Args, mode: SoakMode) -> anyhow::Result<Config> {
    let mut config = base(args)?;
    let service = &mut config.service;
    service.voices = stock::chosen(args)?;
    service.models.lanes = args.lanes;
    service.models.threads = args.threads;
    // It is about memory, not about time: nobody is sent away.
    service.models.wait = PATIENCE;
    service.models.queue = PATIENCE;
    service.memory.policy.permits.wait = PATIENCE;
    for pipeline in service.pipelines.values_mut() {
        pipeline.limits.deadline = PATIENCE;
        pipeline.limits.characters_max = pipeline.limits.characters_max.max(args.characters);
        // Nobody's words are changed but the soak's own.
        pipeline.dictionary.file = args.child.made.as_deref().map(words_file);
    }
    // Full after a few requests, and from then on as large as it gets.
    service.feature_cache = Bytes::mebibytes(4);

    let sizes = Sizes::of(args, service);
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
