//! The process that tries: reads what, limits itself, tries, says what it
//! found.

use std::io::{Read, Write};
use std::path::PathBuf;
use std::time::Duration;

use super::ask::{Answer, Question};
use super::{CHARACTERS, LINE_MAX, LONG, Proof, Subject, TOKENS};
use crate::bert::BertInput;
use crate::device::Device;
use crate::error::Error;
use crate::finding;
use crate::native::limits;
use crate::residency::Residency;
use crate::runtime::Runtime;
use crate::settings::Settings;
use crate::source::Source;
use crate::synthesis::VoiceInput;
use memory::MemoryPolicy;
use memory::policy::Amount;
use memory::units::Bytes;

/// For a lane or for workspace, of which nobody else wants any.
const WAIT: Duration = Duration::from_secs(60);

/// One line in, one line out.
pub fn answer(input: impl Read, mut output: impl Write) -> std::io::Result<()> {
    let answer = match try_one(input) {
        Ok(proof) => Answer::Proven(proof),
        Err(why) => Answer::Refused { why },
    };
    let line = serde_json::to_vec(&answer)?;
    output.write_all(&line)?;
    output.flush()
}

fn try_one(input: impl Read) -> Result<Proof, String> {
    let mut line = Vec::new();
    let read = input.take(LINE_MAX).read_to_end(&mut line);
    read.map_err(|e| e.to_string())?;
    let question: Question = serde_json::from_slice(&line).map_err(|e| e.to_string())?;
    let budget = confine(&question)?;

    let runtime = Runtime::start(&question.library).map_err(|e| e.to_string())?;
    let of = |bytes: u64| Amount::Of(Bytes(bytes));
    let policy = MemoryPolicy {
        mode: question.mode,
        budget: of(budget),
        workspace: of(question.workspace),
        reserve: of(question.reserve),
        ..MemoryPolicy::default()
    };
    let settings = Settings {
        device: Device::Cpu,
        lanes: 1,
        slots: 1,
        threads: question.threads,
        window: question.window,
        layout: question.layout,
        precision: question.precision,
        prepack: question.prepack,
        ..Settings::default()
    };
    let residency = Residency::new(runtime, policy, question.cache.clone());
    let found = match &question.subject {
        Subject::Voice(path) => {
            let source = Source::Path(path.clone());
            voice(&residency, &source, &settings, &question)
        }
        Subject::Bert { graph, tokenizer } => bert(
            &residency,
            &Source::Path(graph.clone()),
            &Source::Path(tokenizer.clone()),
            &settings,
        ),
    };
    found.map_err(|e| e.to_string())
}

/// Limits on what is left of this process; what its slab may have.
fn confine(question: &Question) -> Result<u64, String> {
    let model = question.subject.bytes();
    // Weights of half precision and archives are larger once they are open;
    // the slab is reserved, not taken.
    let weights = model.saturating_mul(8);
    let budget = question
        .workspace
        .saturating_add(question.reserve)
        .saturating_add(weights)
        .saturating_add(256 << 20);
    let threads = question.threads.max(1) as u64;
    // Beside the slab: the session that a slot is compared with, the library,
    // stacks and heaps of threads.
    let memory = budget
        .saturating_add(weights)
        .saturating_add(4 << 30)
        .saturating_add(threads.saturating_mul(256 << 20));
    let seconds = question.seconds.saturating_mul(threads);
    limits::confine(question.parent, memory, seconds)?;
    Ok(budget)
}

fn voice(
    residency: &Residency,
    source: &Source,
    settings: &Settings,
    question: &Question,
) -> Result<Proof, Error> {
    let voice = residency.voice("voice", source, settings)?;
    let report = residency.report();
    let template = report.and_then(|it| it.templates.into_iter().next());
    let template = template.ok_or_else(|| Error::Open("it has no template".to_owned()))?;
    let mut speak = |waiting: &tokio::runtime::Runtime, tokens: usize| {
        let mut lease = waiting.block_on(voice.checkout(tokens, WAIT))?;
        let _within = waiting.enter();
        // One window is as good as all: they are alike.
        let ran = lease.speak(VoiceInput::sample(tokens), &mut |_| Err(Error::Cancelled));
        match ran {
            Ok(()) | Err(Error::Cancelled) => {
                lease.release();
                Ok(())
            }
            Err(error) => Err(error),
        }
    };
    let known = Siblings::of(question, &template.digest);
    let usual = TOKENS.partition_point(|tokens| *tokens <= LONG);
    let peaks = match known.read() {
        Some(longer) => {
            let mut peaks = climb(residency, &TOKENS[..usual], &mut speak)?;
            peaks.extend(longer);
            peaks
        }
        None => {
            let peaks = climb(residency, &TOKENS, &mut speak)?;
            let longer = peaks.iter().filter(|(tokens, _)| *tokens > LONG);
            known.write(&longer.copied().collect::<Vec<_>>());
            peaks
        }
    };
    Ok(Proof {
        template: Some((template.digest, template.verdict)),
        peaks,
        region: voice.opening_took(),
    })
}

/// What voices of the same template have shown at the longest lengths, which
/// take most of the time and are the graph's, not the weights'.
struct Siblings(Option<PathBuf>);

impl Siblings {
    fn of(question: &Question, template: &str) -> Self {
        let key = finding::name(&format!("{} {template}", question.terms));
        let name = format!("template-{key}.json");
        let cache = question.cache.as_ref();
        Self(cache.map(|cache| cache.join("proofs").join(name)))
    }

    fn read(&self) -> Option<Vec<(usize, usize)>> {
        let peaks: Vec<(usize, usize)> = finding::read(self.0.as_ref()?, LINE_MAX)?;
        let known = |(tokens, _): &(usize, usize)| *tokens > LONG && TOKENS.contains(tokens);
        peaks.iter().all(known).then_some(peaks)
    }

    fn write(&self, peaks: &[(usize, usize)]) {
        if let Some(place) = &self.0 {
            finding::keep(place, &peaks, super::KNOWN_MAX);
        }
    }
}

fn bert(
    residency: &Residency,
    graph: &Source,
    tokenizer: &Source,
    settings: &Settings,
) -> Result<Proof, Error> {
    let bert = residency.bert(graph, tokenizer, settings)?;
    let ids = bert.encode("こ")?;
    let mut run = |waiting: &tokio::runtime::Runtime, length: usize| {
        let mut lease = waiting.block_on(bert.checkout(length, WAIT))?;
        let _within = waiting.enter();
        let ids = ids.iter().copied().cycle().take(length).collect();
        lease.run(BertInput {
            ids,
            padded: length,
        })?;
        lease.release();
        Ok(())
    };
    Ok(Proof {
        template: None,
        peaks: climb(residency, &CHARACTERS, &mut run)?,
        region: bert.opening_took(),
    })
}

/// Longer and longer, until one does not fit: none beyond would. What each
/// held.
fn climb(
    residency: &Residency,
    lengths: &[usize],
    run: &mut impl FnMut(&tokio::runtime::Runtime, usize) -> Result<(), Error>,
) -> Result<Vec<(usize, usize)>, Error> {
    let waiting = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build()
        .map_err(|e| Error::Run(e.to_string()))?;
    let mut peaks = Vec::new();
    for (turn, &length) in lengths.iter().enumerate() {
        match run(&waiting, length) {
            Ok(()) => {}
            // Refused as it would be in a server, and the session is usable.
            Err(
                Error::OutOfMemory(_)
                | Error::TooLarge { .. }
                | Error::TooLong { .. }
                | Error::NoWorkspace { .. },
            ) if turn > 0 => break,
            Err(error) => return Err(error),
        }
        let report = residency.report();
        let needs = report.map(|it| it.workspace.needs).unwrap_or_default();
        let need = needs.iter().find(|need| need.length == length);
        peaks.extend(need.map(|need| (length, need.bytes)));
    }
    Ok(peaks)
}
