//! Whether a decoder in blocks of channels is faster here, found out by trying.
//!
//! How many channels a block has is the processor's: eight with AVX2, sixteen
//! with AVX-512, and on some there are no such kernels. ONNX Runtime says so by
//! the shape it brings a value to. Whether they pay is measured: one
//! convolution as large as those of a voice, both ways.

use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use ort::session::{Session, SessionInputValue};
use ort::value::Tensor;
use serde::{Deserialize, Serialize};

use crate::device::Device;
use crate::error::Error;
use crate::events;
use crate::finding;
use crate::onnx::{TRIAL_CHANNELS, reorder_model, trial_models};
use crate::placement::Placement;
use crate::processor::FEATURES;
use crate::runtime::{Model, Opening, Runtime};
use crate::settings::{Layout, Settings};

/// Columns of the convolution that is tried: some milliseconds of work.
const COLUMNS: usize = 1_024;

/// Runs of each kind, taken in turns; the fastest counts.
const RUNS: usize = 6;

/// Of the time of the other kind: less is no reason.
const WORTH: f64 = 0.95;

/// Findings in the cache: one for each library and processor.
const KEPT_MAX: usize = 64;

/// By default that there are no such kernels.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Found {
    /// None where there are no such kernels.
    block: Option<usize>,
    /// Seconds of one convolution, in blocks and as it is.
    seconds: Option<[f64; 2]>,
}

impl Found {
    fn pays(self) -> bool {
        self.seconds
            .is_some_and(|[blocks, rows]| blocks < WORTH * rows)
    }
}

/// What was found, once it was asked for. One answer for as long as the process
/// lives: voices of one template must not differ in it.
#[derive(Default)]
pub(crate) struct Blocks(OnceLock<Found>);

impl Blocks {
    /// Channels of a block for decoders with these settings; none leaves them
    /// as they are.
    pub(crate) fn of(
        &self,
        runtime: &Runtime,
        settings: &Settings,
        cache: Option<&Path>,
    ) -> Option<usize> {
        let cut = settings.device == Device::Cpu && settings.window > 0;
        if !cut || settings.layout == Layout::Rows {
            return None;
        }
        let found = *self.0.get_or_init(|| known_or_found(runtime, cache));
        let pays = settings.layout == Layout::Blocks || found.pays();
        found.block.filter(|_| pays)
    }
}

fn known_or_found(runtime: &Runtime, cache: Option<&Path>) -> Found {
    let place = cache.map(|cache| place(cache, runtime));
    if let Some(known) = place.as_deref().and_then(read) {
        return known;
    }
    // Without an answer, decoders stay as they are.
    let found = find(runtime).unwrap_or_default();
    events::blocks_tried(found.block, found.seconds);
    if let Some(place) = place {
        finding::keep(&place, &found, KEPT_MAX);
    }
    found
}

fn find(runtime: &Runtime) -> Result<Found, Error> {
    let mut asked = open(runtime, &reorder_model())?;
    let input = vec![0.0_f32; 4];
    let shape = run(&mut asked, &[1, 4, 1, 1], input)?.0;
    let block = match shape[..] {
        [1, block @ 2..=64, 1, 1] => block as usize,
        _ => return Ok(Found::default()),
    };
    let (blocks, rows) = trial_models(block).map_err(|e| Error::Open(e.to_string()))?;
    let (mut blocks, mut rows) = (open(runtime, &blocks)?, open(runtime, &rows)?);
    let mut best = [f64::INFINITY; 2];
    for _ in 0..RUNS {
        for (session, best) in [&mut blocks, &mut rows].into_iter().zip(&mut best) {
            let (_, took) = run(session, &[1, TRIAL_CHANNELS, COLUMNS], numbers())?;
            *best = best.min(took.as_secs_f64());
        }
    }
    Ok(Found {
        block: Some(block),
        seconds: Some(best),
    })
}

/// Nothing that a kernel could do less work for.
fn numbers() -> Vec<f32> {
    let number = |place: usize| (place * 37 % 101) as f32 / 50.0 - 1.0;
    (0..TRIAL_CHANNELS * COLUMNS).map(number).collect()
}

fn open(runtime: &Runtime, model: &[u8]) -> Result<Session, Error> {
    // As a slot's decoder: one thread, nothing packed.
    let settings = Settings::default();
    let opened = runtime.open(&Opening {
        kind: "trial",
        name: "blocks",
        model: Model::Bytes(model),
        settings: &settings,
        placement: &Placement::Arena,
        region: None,
        write_to: None,
    })?;
    Ok(opened.session)
}

fn run(
    session: &mut Session,
    dims: &[usize],
    input: Vec<f32>,
) -> Result<(Vec<i64>, Duration), Error> {
    let failed = |e: ort::Error| Error::Run(e.to_string());
    let input = Tensor::from_array((dims.to_vec(), input)).map_err(failed)?;
    let start = Instant::now();
    let outputs = session
        .run(vec![("x", SessionInputValue::from(input))])
        .map_err(failed)?;
    let took = start.elapsed();
    let (shape, _) = outputs["y"].try_extract_tensor::<f32>().map_err(failed)?;
    Ok((shape.to_vec(), took))
}

/// Named by what decides it.
fn place(cache: &Path, runtime: &Runtime) -> PathBuf {
    let key = format!(
        "1 {} {}",
        crate::files::identity(runtime.library()),
        *FEATURES
    );
    finding::place(&cache.join("blocks"), &key)
}

fn read(place: &Path) -> Option<Found> {
    let found: Found = finding::read(place, 4 << 10)?;
    let sound = found.block.is_none_or(|it| (2..=64).contains(&it));
    sound.then_some(found)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::library_of_tests::library;

    #[test]
    fn this_machine_says_what_it_has_and_remembers_it() {
        let runtime = Runtime::start(&library()).expect("ONNX Runtime starts");
        let folder = tempfile::tempdir().expect("a folder");
        let settings = |layout| Settings {
            layout,
            ..Settings::default()
        };
        let ask = |layout| Blocks::default().of(&runtime, &settings(layout), Some(folder.path()));
        let found = find(&runtime).expect("an answer");
        assert_eq!(ask(Layout::Blocks), found.block);
        assert_eq!(ask(Layout::Rows), None);
        let place = place(folder.path(), &runtime);
        let kept = read(&place).expect("it is kept");
        assert_eq!(ask(Layout::Auto), kept.block.filter(|_| kept.pays()));
        // What is kept is what is said.
        let slow = Found {
            block: Some(8),
            seconds: Some([1.0, 1.0]),
        };
        let json = serde_json::to_vec(&slow).expect("JSON");
        std::fs::write(&place, json).expect("a file");
        assert_eq!((ask(Layout::Auto), ask(Layout::Blocks)), (None, Some(8)));
        for broken in [&b"{"[..], br#"{"block":1000,"seconds":null}"#, b""] {
            std::fs::write(&place, broken).expect("a file");
            assert_eq!(ask(Layout::Blocks), found.block);
        }
    }
}
