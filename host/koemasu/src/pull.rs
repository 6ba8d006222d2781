//! `koemasu pull`: a voice or the BERT, from the hub or an address into the
//! folder that a server serves.

use std::fmt::Write as _;
use std::time::{Duration, Instant};

use hub::{Check, Hub, Kind, Outcome, Progress, Pull, Settings, Source, Standing, Token};

use crate::args;
use server::config::{Environment, HubEnvironment};
use server::line;

pub(crate) fn run(args: &args::Pull) -> anyhow::Result<()> {
    let environment = Environment::read();
    let source = Source::parse(&args.source)?;
    let into = match source.kind() {
        Kind::Voice => environment.voices(),
        Kind::Bert => environment.berts(),
    };
    let pull = Pull {
        name: args.name.clone(),
        file: args.file.clone(),
        standing: match (args.replace, args.update) {
            (true, _) => Standing::Replace,
            (false, true) => Standing::Update,
            (false, false) => Standing::Keep,
        },
        check: match args.verify {
            true => Check::Digests,
            false => Check::Sizes,
        },
        ..Pull::new(source, into)
    };
    let hub = Hub::new(&settings(args, HubEnvironment::read())?)?;
    let mut told = Told::default();
    let pulled = hub.pull(&pull, &mut |progress| told.tell(progress));
    told.end();
    let pulled = pulled?;
    let bytes: u64 = pulled.record.files.iter().map(|file| file.bytes).sum();
    let commit = pulled.record.origin.as_ref();
    let commit = commit.map_or_else(String::new, |origin| {
        let commit = origin.commit.as_str();
        format!(", commit {}", commit.get(..12).unwrap_or(commit))
    });
    let name = &pulled.name;
    let mut out = line::out();
    out.line(format_args!(
        "{name}: {}{commit}, in {}",
        megabytes(bytes),
        pulled.folder.display()
    ))?;
    match pulled.outcome {
        Outcome::Fetched => {}
        Outcome::UpToDate => out.line("it was there already, and is what its source has")?,
        Outcome::Kept { newer } => out.line(format_args!(
            "it was there already and stays as it is; its source is at commit {} by now: `--update` takes that",
            newer.as_str()
        ))?,
    }
    if let Some(licence) = &pulled.record.licence {
        out.line(format_args!("licence: {licence}"))?;
    }
    Ok(())
}

fn settings(args: &args::Pull, environment: HubEnvironment) -> anyhow::Result<Settings> {
    let usual = Settings::default();
    let token = environment.token.as_deref().map(Token::new).transpose()?;
    Ok(Settings {
        endpoint: environment.endpoint.unwrap_or(usual.endpoint),
        token,
        limit: args.limit.0,
        ..usual
    })
}

/// How far it is: a line that is written over where somebody looks at it, else
/// now and then a line of its own.
#[derive(Default)]
struct Told {
    last: Option<Instant>,
    file: String,
    unended: bool,
}

const PAUSE: Duration = Duration::from_secs(10);

impl Told {
    fn tell(&mut self, progress: Progress<'_>) {
        let mut text = format!("{}: {}", progress.file, megabytes(progress.done));
        if let Some(total) = progress.total {
            let percent = 100 * progress.done / total.max(1);
            // A String takes everything.
            let _ = write!(text, " of {} ({percent} %)", megabytes(total));
        }
        let whole = progress.total == Some(progress.done);
        if line::is_terminal() {
            line::again(text);
            self.unended = true;
            if whole {
                self.end();
            }
            return;
        }
        let due = self.last.is_none_or(|last| last.elapsed() > PAUSE);
        let another = self.file != progress.file;
        if whole || due || another {
            progress.file.clone_into(&mut self.file);
            self.last = Some(Instant::now());
            line::tell(text);
        }
    }

    fn end(&mut self) {
        if std::mem::take(&mut self.unended) {
            line::tell("");
        }
    }
}

pub(crate) fn megabytes(bytes: u64) -> String {
    match bytes {
        0..1_000_000 => format!("{} kB", bytes.div_ceil(1_000)),
        _ => format!("{:.1} MB", bytes as f64 / 1e6),
    }
}
