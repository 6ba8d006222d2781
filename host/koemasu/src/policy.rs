//! `koemasu policy`: memory policies compared on a trace, without a model.

use std::io::{BufRead, BufReader, BufWriter, Write};
use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, bail};
use memory::replay::{Agreement, Report, Trace, agreement, foresight, replay};
use memory::synthetic::{self, Synthesis};
use memory::trace::{self, Line};
use memory::{MemoryPolicy, Order, Proposer};
use pipeline::document::{Document, Place};
use pipeline::spec::{Component, Memory, PluginRef};
use pipeline::units::{Bytes, Span};
use plugin::{Pool, Sandbox, SandboxSettings};
use serde_json::json;

use crate::args;
use server::config::{Config, Files};
use server::files;
use server::line::{self, Lines};

pub(crate) fn run(args: &args::Policy) -> anyhow::Result<()> {
    match args {
        args::Policy::Replay(args) => compare(args),
        args::Policy::Trace(args) => synthesize(args),
    }
}

const POLICY_BYTES_MAX: u64 = 4 << 20;

/// A policy with a name for its row.
struct Candidate {
    name: String,
    memory: Memory,
    /// Of its file, if it has one.
    document: Document,
}

struct Outcome {
    name: String,
    report: Report,
    /// None for foresight, which is no policy: it knows what will be used next.
    agreement: Option<Agreement>,
}

fn compare(args: &args::Replay) -> anyhow::Result<()> {
    let trace = Trace::of(
        trace::read(open(&args.trace)?)
            .with_context(|| format!("the trace {}", args.trace.display()))?,
    );
    let Some(device) = args.device.map(|Bytes(device)| device).or(trace.device) else {
        bail!("the trace does not say how much memory there is for voices; give --device");
    };
    let candidates = candidates(args, &trace)?;
    let mut plugins = Plugins {
        files: &args.files,
        sandbox: None,
    };
    let mut outcomes = Vec::new();
    for candidate in candidates {
        let policy = &candidate.memory.policy;
        let plugin = candidate.memory.plugin.as_ref();
        let place = Memory::plugin_place(&candidate.document);
        let proposer = plugin.map(|plugin| plugins.load(plugin, place));
        let proposer = proposer.transpose()?;
        outcomes.push(Outcome {
            report: replay(policy, proposer.as_ref(), device, &trace.uses),
            agreement: Some(agreement(policy, proposer.as_ref(), &trace.decisions)),
            name: candidate.name,
        });
    }
    outcomes.push(Outcome {
        name: "foresight".to_owned(),
        report: foresight(device, &trace.uses),
        agreement: None,
    });
    let out = Lines::new(BufWriter::new(line::bytes()));
    match args.json {
        true => rows(out, &outcomes)?,
        false => table(out, &trace, device, &outcomes)?,
    }
    Ok(())
}

fn open(path: &Path) -> anyhow::Result<Box<dyn BufRead>> {
    if path == Path::new("-") {
        return Ok(Box::new(BufReader::new(std::io::stdin())));
    }
    let file = std::fs::File::open(path).with_context(|| path.display().to_string())?;
    Ok(Box::new(BufReader::new(file)))
}

/// The three orders of the trace's own policy, then what the caller names.
fn candidates(args: &args::Replay, trace: &Trace) -> anyhow::Result<Vec<Candidate>> {
    let base = match &trace.policy {
        Some((policy, _)) => policy.clone(),
        None => MemoryPolicy::default(),
    };
    let orders = [
        ("lru", Order::Lru),
        ("lfu", Order::Lfu),
        ("cost", Order::Cost),
    ];
    let mut candidates: Vec<_> = orders
        .into_iter()
        .map(|(name, order)| {
            let mut policy = base.clone();
            policy.eviction.order = order;
            Candidate {
                name: name.to_owned(),
                memory: Memory {
                    policy,
                    plugin: None,
                },
                document: Document::default(),
            }
        })
        .collect();
    for path in &args.policy {
        let document = Document::open(path, POLICY_BYTES_MAX)?;
        let read = |document: &Document| -> anyhow::Result<Memory> {
            let mut memory = Memory::read(document)?;
            if let Some(plugin) = &mut memory.plugin
                && let Component::File(file) = &mut plugin.component
                && let Some(folder) = path.parent()
            {
                *file = folder.join(&*file);
            }
            Ok(memory)
        };
        candidates.push(Candidate {
            name: path
                .file_stem()
                .map(|stem| stem.to_string_lossy().into_owned())
                .unwrap_or_default(),
            memory: read(&document)?,
            document,
        });
    }
    for name in &args.plugin {
        candidates.push(Candidate {
            name: name.clone(),
            memory: Memory {
                policy: base.clone(),
                plugin: Some(PluginRef::named(name)?),
            },
            document: Document::default(),
        });
    }
    Ok(candidates)
}

/// Loads plugins, and what they need only if there is one.
struct Plugins<'a> {
    files: &'a args::Files,
    sandbox: Option<(Arc<Sandbox>, Config)>,
}

impl Plugins<'_> {
    fn load(&mut self, plugin: &PluginRef, place: Place) -> anyhow::Result<Proposer> {
        let (sandbox, config) = match self.sandbox.take() {
            Some(there) => there,
            None => self.start()?,
        };
        // Instructions bound it alone: a busy machine must not change the result.
        let plugin = PluginRef {
            deadline: Some(plugin.deadline.unwrap_or(Span::seconds(10))),
            ..plugin.clone()
        };
        let loaded = pipeline::evict::proposer(&sandbox, &config.service.plugins, &plugin);
        self.sandbox = Some((sandbox, config));
        Ok(loaded.map_err(|e| e.at(place))?)
    }

    fn start(&self) -> anyhow::Result<(Arc<Sandbox>, Config)> {
        let config = Config::load(&Files::named(self.files.config.as_deref(), None))?;
        let sandbox = Sandbox::new(SandboxSettings {
            compiled_cache: Some(config.compiled_cache.clone()),
            pool: Pool::None,
        })
        .context("the plugin sandbox does not start")?;
        Ok((Arc::new(sandbox), config))
    }
}

fn rows(mut out: Lines<impl Write>, outcomes: &[Outcome]) -> std::io::Result<()> {
    for outcome in outcomes {
        let row = json!({
            "policy": outcome.name,
            "hit_rate": outcome.report.hit_rate(),
            "report": outcome.report,
            "decisions": outcome.agreement,
        });
        out.line(row)?;
    }
    out.flush()
}

fn table(
    mut out: Lines<impl Write>,
    trace: &Trace,
    device: u64,
    outcomes: &[Outcome],
) -> std::io::Result<()> {
    let (voices, bytes) = trace.voices();
    out.line(format_args!(
        "{} uses of {voices} voices ({} in all), {} for voices on the device",
        trace.uses.len(),
        Bytes(bytes),
        Bytes(device),
    ))?;
    let width = outcomes.iter().map(|outcome| outcome.name.len()).max();
    let width = width.unwrap_or(0).max("policy".len());
    let decided = !trace.decisions.is_empty();
    out.line(format_args!(
        "{:width$}  hit rate    loads  from host  evictions   loaded GiB  seconds  refused{}",
        "policy",
        if decided { "  same decisions" } else { "" }
    ))?;
    for Outcome {
        name,
        report,
        agreement,
    } in outcomes
    {
        let mut row = format!(
            "{name:width$}  {:6.2} %  {:7}  {:9}  {:9}  {:11.1}  {:7.1}  {:7}",
            report.hit_rate() * 100.0,
            report.loads,
            report.host_hits,
            report.evictions,
            report.bytes_loaded as f64 / f64::from(1u32 << 30),
            report.load_time().as_secs_f64(),
            report.refused,
        );
        if let Some(agreement) = agreement
            && decided
        {
            row += &format!("  {:6} of {:5}", agreement.alike, agreement.decisions);
        }
        if report.failures > 0 {
            row += &format!("  {} of {} times no answer", report.failures, report.asked);
        }
        out.line(row)?;
    }
    out.flush()
}

fn synthesize(args: &args::Trace) -> anyhow::Result<()> {
    let uses = synthetic::uses(&Synthesis {
        pattern: match args.pattern {
            args::Pattern::Zipf => synthetic::Pattern::Zipf,
            args::Pattern::Drift => synthetic::Pattern::Drift,
            args::Pattern::Uniform => synthetic::Pattern::Uniform,
            args::Pattern::Scan => synthetic::Pattern::Scan,
        },
        voices: args.voices,
        requests: args.requests,
        seed: args.seed,
        gap_us: u64::try_from(args.gap.0.as_micros()).unwrap_or(u64::MAX),
    });
    let mut bytes = Vec::new();
    let mut out = Lines::new(&mut bytes);
    let start = std::iter::once(Line::start(args.device.0));
    for line in start.chain(uses.into_iter().map(Line::Use)) {
        out.line(serde_json::to_string(&line)?)?;
    }
    files::put(&args.output, &bytes)
        .with_context(|| format!("cannot write {}", args.output.display()))
}
