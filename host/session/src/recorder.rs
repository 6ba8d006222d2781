//! Writes the trace of memory while serving.
//!
//! The files never grow beyond their bound, and a disk that is full or slow
//! costs lines and never a request.

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::JoinHandle;

use memory::trace::Line;
use memory::units::Bytes;

use crate::events;

/// Writes lines from a thread of its own. Dropped, it writes what it still
/// holds.
#[derive(Debug)]
pub(crate) struct Recorder {
    file: PathBuf,
    bytes_max: Arc<AtomicU64>,
    lines: Option<SyncSender<Line>>,
    lost: Arc<AtomicU64>,
    thread: Option<JoinHandle<()>>,
}

/// Lines that wait for a slow disk.
const WAITING_MAX: usize = 1_024;

impl Recorder {
    /// Goes on in `file`; at half of `bytes_max` it becomes `file.1`, which
    /// replaces the one before.
    pub(crate) fn start(file: &Path, bytes_max: Bytes, device: u64) -> io::Result<Self> {
        let mut files = Files::open(file, bytes_max, device)?;
        let (sender, receiver) = sync_channel(WAITING_MAX);
        let bytes_max = Arc::clone(&files.bytes_max);
        let lost = Arc::new(AtomicU64::new(0));
        let counter = Arc::clone(&lost);
        let thread = std::thread::Builder::new()
            .name("memory-trace".to_owned())
            .spawn(move || files.write_all(&receiver, &counter))?;
        Ok(Self {
            file: file.to_owned(),
            bytes_max,
            lines: Some(sender),
            lost,
            thread: Some(thread),
        })
    }

    pub(crate) fn file(&self) -> &Path {
        &self.file
    }

    /// From the next line on.
    pub(crate) fn set_bytes_max(&self, bytes_max: Bytes) {
        self.bytes_max.store(bytes_max.0 / 2, Ordering::Relaxed);
    }

    /// Never waits: a line for which there is no room is lost and counted.
    pub(crate) fn record(&self, line: Line) {
        let sent = self.lines.as_ref().map(|lines| lines.try_send(line));
        if !matches!(sent, Some(Ok(()))) {
            lose(&self.lost, &"the disk is slow");
        }
    }
}

impl Drop for Recorder {
    fn drop(&mut self) {
        self.lines = None;
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn lose(lost: &AtomicU64, why: &dyn std::fmt::Display) {
    let before = lost.fetch_add(1, Ordering::Relaxed);
    events::trace_line_lost(before == 0, why);
}

/// The file that is written, and the one before it.
struct Files {
    path: PathBuf,
    /// Of one file.
    bytes_max: Arc<AtomicU64>,
    /// None after a failure, until a file can be opened again.
    open: Option<Open>,
    start: Line,
    /// Said again at the head of each file.
    policy: Option<Line>,
}

struct Open {
    file: BufWriter<File>,
    bytes: u64,
}

impl Files {
    fn open(path: &Path, bytes_max: Bytes, device: u64) -> io::Result<Self> {
        let mut files = Self {
            path: path.to_owned(),
            bytes_max: Arc::new(AtomicU64::new(bytes_max.0 / 2)),
            open: None,
            start: Line::start(device),
            policy: None,
        };
        files.open = Some(files.go_on()?);
        Ok(files)
    }

    fn write_all(&mut self, lines: &Receiver<Line>, lost: &AtomicU64) {
        while let Ok(line) = lines.recv() {
            let mut outcome = self.write(line);
            while let Ok(line) = lines.try_recv() {
                if let Err(error) = outcome {
                    lose(lost, &error);
                }
                outcome = self.write(line);
            }
            // Nobody waits: a good moment for the disk.
            if let Err(error) = outcome.and_then(|()| self.flush()) {
                lose(lost, &error);
            }
        }
    }

    fn write(&mut self, line: Line) -> io::Result<()> {
        let text = serialize(&line)?;
        if matches!(line, Line::Policy { .. }) {
            self.policy = Some(line);
        }
        let mut open = match self.open.take() {
            Some(open) => open,
            None => self.go_on()?,
        };
        let bytes_max = self.bytes_max.load(Ordering::Relaxed);
        if open.bytes + text.len() as u64 > bytes_max {
            open.file.flush()?;
            open = self.turn_over()?;
            if text.len() as u64 + open.bytes > bytes_max {
                self.open = Some(open);
                return Err(io::Error::other("the line is longer than the file may be"));
            }
        }
        open.put(&text)?;
        self.open = Some(open);
        Ok(())
    }

    fn flush(&mut self) -> io::Result<()> {
        match &mut self.open {
            Some(open) => open.file.flush(),
            None => Ok(()),
        }
    }

    /// The file as it is, with a head if it is new.
    fn go_on(&self) -> io::Result<Open> {
        let file = File::options().create(true).append(true).open(&self.path)?;
        let bytes = file.metadata()?.len();
        let mut open = Open {
            file: BufWriter::new(file),
            bytes,
        };
        if bytes == 0 {
            for line in [Some(&self.start), self.policy.as_ref()]
                .into_iter()
                .flatten()
            {
                open.put(&serialize(line)?)?;
            }
        }
        Ok(open)
    }

    fn turn_over(&self) -> io::Result<Open> {
        let mut before = self.path.clone().into_os_string();
        before.push(".1");
        std::fs::rename(&self.path, before)?;
        self.go_on()
    }
}

impl Open {
    fn put(&mut self, text: &str) -> io::Result<()> {
        self.file.write_all(text.as_bytes())?;
        self.bytes += text.len() as u64;
        Ok(())
    }
}

fn serialize(line: &Line) -> io::Result<String> {
    let mut text = serde_json::to_string(line)?;
    text.push('\n');
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use memory::trace::{Use, read};
    use memory::{Census, Level, MemoryPolicy, Pressure, Zone, decide};

    fn used(at_us: u64) -> Line {
        Line::Use(Use {
            at_us,
            voice: "haru".to_owned(),
            bytes: 1,
            reload_us: 1,
        })
    }

    fn read_file(path: &Path) -> Vec<Line> {
        let file = File::open(path).expect("the file");
        read(io::BufReader::new(file)).expect("a trace")
    }

    #[test]
    fn what_is_recorded_is_read_back() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("trace.jsonl");
        let pressure = Pressure {
            zone: Zone::Device,
            needed: 1,
            free: 0,
            level: Level::Soft,
            for_voice: Some(3),
        };
        let policy = MemoryPolicy::default();
        let decision = decide(&policy, None, Census::default, &pressure);
        let lines = vec![
            Line::start(9),
            Line::Policy {
                at_us: 0,
                policy: Box::new(policy),
                plugin: None,
            },
            used(1),
            Line::Decision {
                at_us: 2,
                decision: Box::new(decision),
            },
        ];
        let recorder = Recorder::start(&path, Bytes::mebibytes(1), 9).expect("a file");
        for line in &lines[1..] {
            recorder.record(line.clone());
        }
        assert_eq!(recorder.lost.load(Ordering::Relaxed), 0);
        drop(recorder);
        assert_eq!(read_file(&path), lines);

        let again = Recorder::start(&path, Bytes::mebibytes(1), 9).expect("the same file");
        again.record(used(3));
        drop(again);
        assert_eq!(read_file(&path).len(), 5, "it goes on, with one head");
    }

    #[test]
    fn the_files_stay_within_their_bound_and_each_has_a_head() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("trace.jsonl");
        let recorder = Recorder::start(&path, Bytes(20_000), 9).expect("a file");
        recorder.record(Line::Policy {
            at_us: 0,
            policy: Box::default(),
            plugin: None,
        });
        for at_us in 0..5_000 {
            // The writer is behind a bounded queue; a test can wait for it.
            while recorder
                .lines
                .as_ref()
                .expect("open")
                .try_send(used(at_us))
                .is_err()
            {
                std::thread::yield_now();
            }
        }
        drop(recorder);
        let before = folder.path().join("trace.jsonl.1");
        for file in [&path, &before] {
            let length = file.metadata().expect("the file").len();
            assert!(length <= 10_000, "{length} bytes");
            let lines = read_file(file);
            assert_eq!(lines[0], Line::start(9));
            assert!(matches!(lines[1], Line::Policy { .. }));
        }
        assert_eq!(read_file(&path).last(), Some(&used(4_999)));
    }

    #[test]
    fn a_disk_that_fails_costs_lines_and_nothing_else() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("trace.jsonl");
        let recorder = Recorder::start(&path, Bytes(4_000), 9).expect("a file");
        std::fs::create_dir(folder.path().join("trace.jsonl.1")).expect("in the way");
        for at_us in 0..100 {
            recorder.record(used(at_us));
        }
        let lost = Arc::clone(&recorder.lost);
        drop(recorder);
        assert!(lost.load(Ordering::Relaxed) > 0);
        assert!(path.metadata().expect("the file").len() <= 2_000);
    }
}
