//! A voice's weights as they lie in the user's files: the lowest tier, read in
//! parts on the way to where they are wanted, never mapped: a file that shrinks
//! is an error here, and would be the end of the process there.

mod bytes;
mod vary;

use std::borrow::Cow;
use std::collections::{HashMap, HashSet};
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, Weak, mpsc};
use std::time::Duration;

use crate::derived;
use crate::error::Error;
use crate::files::{Held, Sum};
use crate::halves::{self, Halves};
use crate::native::tensors::Block;
use crate::onnx::{self, Element, Filling, Inside, Outside, Part, Piece, Template};
use crate::package;
use crate::skeleton::Skeleton;
use crate::source::{Graph, unreadable};
use bytes::{Bytes, Place, Stretch, held_by, read_parts, read_whole};

/// Of a tensor in another file that is no weight, such as a table of integers.
const CONSTANT_BYTES_MAX: u64 = 64 << 20;

/// The graph's one output that is ever fetched.
pub(crate) const OUTPUT: &str = "output";

/// Where each weight of a template lies in one voice's files.
pub(crate) struct Weights {
    files: Arc<Vec<Bytes>>,
    /// Those that others may write to, each once.
    held: Vec<Arc<Held>>,
    places: Arc<Vec<Place>>,
    /// Names of the files after the first, which is the graph.
    beside: Vec<String>,
    /// Of all weights as they were first read: what comes later is the same or
    /// an error, whatever the file's times say.
    sum: OnceLock<Sum>,
    /// A reader that was given up still waits for the disk.
    stuck: Mutex<Weak<()>>,
}

/// In which order the numbers of weights are wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum InOrder {
    /// As the parts of the template want them.
    Template,
    /// As the whole graph wants them.
    File,
}

/// A part of one weight: which, from where on, and its bytes.
type Take<'t> = dyn FnMut(usize, usize, &[u8]) -> Result<(), Error> + 't;

/// A disk that gives nothing for so long is not waited for.
const PATIENCE: Duration = Duration::from_secs(30);

/// A user's graph with its weights inside, as bytes of ours: ONNX Runtime would
/// map what lies beside a file, and die with it.
pub(crate) fn whole(graph: &Graph) -> Result<Cow<'_, [u8]>, Error> {
    match graph {
        Graph::Embedded(bytes) => return Ok(Cow::Borrowed(bytes)),
        Graph::File(held) | Graph::Unlinked(held) => {
            let bytes = read_whole(held)?;
            if onnx::is_in_one_file(&bytes).map_err(failed)? {
                return Ok(Cow::Owned(bytes));
            }
        }
        Graph::Built(_) => {}
    }
    let (template, weights) = Weights::split(graph)?;
    weights
        .model(&template, Part::Whole, Inside::Constant)
        .map(Cow::Owned)
}

fn failed(cause: impl std::fmt::Display) -> Error {
    Error::Open(format!("the graph: {cause}"))
}

impl Weights {
    /// Takes a user's graph apart without reading its weights.
    pub(crate) fn split(graph: &Graph) -> Result<(Template, Self), Error> {
        let (model, folder, skeleton) = match graph {
            Graph::File(held) => {
                let skeleton = Skeleton::read(held).map_err(|e| unreadable(held.path(), &e))?;
                let folder = held.path().parent().map(Path::to_owned);
                (Bytes::Held(Arc::clone(held)), folder, Some(skeleton))
            }
            Graph::Unlinked(held) => {
                let skeleton = Skeleton::read(held).map_err(|e| unreadable(held.path(), &e))?;
                (Bytes::Held(Arc::clone(held)), None, Some(skeleton))
            }
            Graph::Embedded(bytes) => (Bytes::Embedded(bytes), None, None),
            Graph::Built(built) => (Bytes::Memory(Arc::clone(&built.model)), None, None),
        };
        let external = |location: &str, offset: u64, length: Option<u64>| {
            let held = beside(folder.as_deref(), location)?;
            let end = match length {
                Some(length) => offset.saturating_add(length),
                None => held.bytes(),
            };
            let bytes = end.checked_sub(offset).filter(|_| end <= held.bytes());
            let bytes = bytes.ok_or_else(|| Outside::Short(location.to_owned()))?;
            // A file may be large and hold nothing: it is not copied unseen.
            if bytes > CONSTANT_BYTES_MAX {
                return Err(Outside::Large {
                    file: location.to_owned(),
                    most: CONSTANT_BYTES_MAX,
                });
            }
            let mut constant = vec![0; bytes as usize];
            let read = held.read_at(offset, &mut constant);
            read.map_err(|cause| Outside::Unreadable {
                path: location.into(),
                cause,
            })?;
            Ok(constant)
        };
        let bytes = match (&skeleton, graph) {
            (Some(skeleton), _) => &**skeleton,
            (None, Graph::Embedded(bytes)) => bytes,
            (None, Graph::Built(built)) => &built.model,
            (None, Graph::File(_) | Graph::Unlinked(_)) => &[],
        };
        let (template, pieces) = onnx::split(bytes, OUTPUT, external).map_err(failed)?;
        let mut files = vec![model];
        let mut names = Vec::new();
        let mut places = Vec::with_capacity(pieces.len());
        let mut open = HashMap::new();
        for piece in pieces {
            let file = match &piece.file {
                None => 0,
                Some(location) => match open.get(location) {
                    Some(file) => *file,
                    None => {
                        files.push(match (graph, location.as_str()) {
                            (Graph::Built(built), package::TENSORS) => {
                                Bytes::Held(Arc::clone(&built.tensors))
                            }
                            (Graph::Built(built), derived::DERIVED) => {
                                Bytes::Derived(Arc::clone(&built.derived))
                            }
                            _ => {
                                let held = beside(folder.as_deref(), location).map_err(failed)?;
                                Bytes::Held(Arc::new(held))
                            }
                        });
                        names.push(location.clone());
                        open.insert(location.clone(), files.len() - 1);
                        files.len() - 1
                    }
                },
            };
            places.push(place(&piece, file, files[file].length()).map_err(failed)?);
        }
        let weights = Self {
            held: held_by(&files),
            files: Arc::new(files),
            places: Arc::new(places),
            beside: names,
            sum: OnceLock::new(),
            stuck: Mutex::default(),
        };
        Ok((template, weights))
    }

    /// Hands on all weights in order, in parts, and then says whether they were
    /// what they were the first time. Until it has said so nothing may be used.
    fn each(&self, take: &mut Take<'_>) -> Result<(), Error> {
        if self.held.is_empty() {
            for (index, place) in self.places.iter().enumerate() {
                match &self.files[place.file] {
                    Bytes::Embedded(bytes) => take(index, 0, place.of(bytes))?,
                    Bytes::Memory(bytes) => take(index, 0, place.of(bytes))?,
                    // Over held files, which are read apart.
                    Bytes::Held(_) | Bytes::Derived(_) => {}
                }
            }
            return Ok(());
        }
        if self.stuck().upgrade().is_some() {
            return Err(self.silent());
        }
        let sum = self.read_apart(take)?;
        let first = match self.sum.get() {
            Some(first) => *first,
            None => {
                // What is remembered must be what was opened.
                if let Some(held) = self.rewritten() {
                    return Err(changed(held));
                }
                *self.sum.get_or_init(|| sum)
            }
        };
        if sum == first {
            return Ok(());
        }
        match self.rewritten().or_else(|| self.held.first()) {
            Some(held) => Err(changed(held)),
            None => Ok(()),
        }
    }

    /// Reads on a thread of its own, so that a disk that does not answer holds
    /// nothing of ours but that thread; and reads ahead meanwhile.
    fn read_apart(&self, take: &mut Take<'_>) -> Result<Sum, Error> {
        let (sender, parts) = mpsc::sync_channel::<std::io::Result<Stretch>>(2);
        let (give_back, buffers) = mpsc::channel::<Vec<u8>>();
        for _ in 0..3 {
            let _ = give_back.send(Vec::new());
        }
        let (files, places) = (Arc::clone(&self.files), Arc::clone(&self.places));
        let alive = Arc::new(());
        let stuck = Arc::downgrade(&alive);
        let work = move || {
            read_parts(&files, &places, &buffers, &sender);
            drop(alive);
        };
        std::thread::Builder::new()
            .name("weights".to_owned())
            .spawn(work)
            .map_err(|e| Error::Open(format!("no thread to read with: {e}")))?;
        let mut sum = Sum::default();
        let mut missing: usize = self.places.iter().map(|place| place.bytes).sum();
        loop {
            match parts.recv_timeout(PATIENCE) {
                Ok(Ok(part)) => {
                    sum.add(&part.bytes);
                    missing -= part.bytes.len();
                    take(part.index, part.offset, &part.bytes)?;
                    let _ = give_back.send(part.bytes);
                }
                Ok(Err(error)) => return Err(self.failed(&error)),
                Err(mpsc::RecvTimeoutError::Disconnected) if missing == 0 => return Ok(sum),
                Err(mpsc::RecvTimeoutError::Disconnected) => {
                    return Err(Error::Open("the reader was lost".to_owned()));
                }
                Err(mpsc::RecvTimeoutError::Timeout) => {
                    *self.stuck() = stuck;
                    return Err(self.silent());
                }
            }
        }
    }

    fn stuck(&self) -> MutexGuard<'_, Weak<()>> {
        self.stuck.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether what lies in the files is still this voice, as far as their
    /// times tell.
    pub(crate) fn intact(&self) -> bool {
        self.rewritten().is_none()
    }

    /// The first file that is not what it was, or that nothing can be said of.
    fn rewritten(&self) -> Option<&Arc<Held>> {
        self.held
            .iter()
            .find(|held| !held.intact().unwrap_or(false))
    }

    fn failed(&self, error: &std::io::Error) -> Error {
        match (self.rewritten(), self.held.first()) {
            (Some(held), _) => changed(held),
            (None, Some(held)) => unreadable(held.path(), error),
            (None, None) => Error::Open(error.to_string()),
        }
    }

    fn silent(&self) -> Error {
        self.failed(&std::io::Error::new(
            std::io::ErrorKind::TimedOut,
            format!("its disk gave nothing for {} s", PATIENCE.as_secs()),
        ))
    }

    /// Copies all of them to their places in a block.
    pub(crate) fn fill(&self, template: &Template, block: &mut Block) -> Result<(), Error> {
        let write = |at: usize, bytes: &[u8]| block.write(at, bytes);
        self.each_as(template, InOrder::Template, write)
    }

    /// The same as halves where they are floats; false, and the block holds
    /// nothing of use, if one of them is beyond what a half can hold.
    pub(crate) fn fill_halves(
        &self,
        template: &Template,
        halves: &Halves,
        block: &mut Block,
    ) -> Result<bool, Error> {
        let (mut wide, mut narrow) = (Vec::new(), Vec::new());
        let mut fits = true;
        self.each_ordered(template, &mut |index, offset, bytes| {
            let place = halves.places[index];
            let stored = self.places[index].element;
            match (place.half, stored) {
                // As they are stored.
                (true, Element::Float16) => block.write(place.from + offset, bytes),
                (true, _) => {
                    fits &= halves::narrow(bytes, &mut narrow).is_ok();
                    block.write(place.from + offset / 2, &narrow)
                }
                (false, _) if stored == template.weights[index].element => {
                    block.write(place.from + offset, bytes)
                }
                (false, _) => {
                    widen(stored, bytes, &mut wide);
                    let values = offset / stored.bytes();
                    block.write(place.from + values * 4, &wide)
                }
            }
        })?;
        Ok(fits)
    }

    /// How the files have each of them.
    pub(crate) fn stored(&self) -> Vec<Element> {
        self.places.iter().map(|place| place.element).collect()
    }

    /// One contiguous copy on the host, laid out as a block is, with numbers in
    /// this order.
    pub(crate) fn gather(&self, template: &Template, order: InOrder) -> Result<Vec<u8>, Error> {
        let mut blob = vec![0; template.blob_bytes];
        self.each_as(template, order, |at, bytes| {
            blob[at..at + bytes.len()].copy_from_slice(bytes);
            Ok(())
        })?;
        Ok(blob)
    }

    /// Hands on all weights with their numbers in the template's order. One
    /// that has another than its file is handed on whole.
    fn each_ordered(&self, template: &Template, take: &mut Take<'_>) -> Result<(), Error> {
        let (mut whole, mut ordered) = (Vec::new(), Vec::new());
        self.each(&mut |index, offset, bytes| {
            let Some(order) = template.weights[index].order else {
                return take(index, offset, bytes);
            };
            let place = self.places[index];
            whole.extend_from_slice(bytes);
            if whole.len() < place.bytes {
                return Ok(());
            }
            order.arrange(place.element.bytes(), &whole, &mut ordered);
            whole.clear();
            take(index, 0, &ordered)
        })
    }

    /// Hands on all weights as the template has them, with their places in a
    /// block.
    fn each_as(
        &self,
        template: &Template,
        order: InOrder,
        mut take: impl FnMut(usize, &[u8]) -> Result<(), Error>,
    ) -> Result<(), Error> {
        let mut wide = Vec::new();
        let mut take = |index: usize, offset: usize, bytes: &[u8]| {
            let weight = &template.weights[index];
            let stored = self.places[index].element;
            if stored == weight.element {
                return take(weight.offset + offset, bytes);
            }
            widen(stored, bytes, &mut wide);
            let values = offset / stored.bytes();
            take(weight.offset + values * weight.element.bytes(), &wide)
        };
        match order {
            InOrder::Template => self.each_ordered(template, &mut take),
            InOrder::File => self.each(&mut take),
        }
    }

    /// Hands on each weight whole. Nothing of it may be used if this ends in an
    /// error.
    pub(crate) fn each_whole(
        &self,
        template: &Template,
        order: InOrder,
        mut take: impl FnMut(usize, &[u8]),
    ) -> Result<(), Error> {
        let (mut number, mut whole) = (0, Vec::new());
        self.each_as(template, order, |_, bytes| {
            whole.extend_from_slice(bytes);
            if whole.len() >= template.weights[number].bytes {
                take(number, &whole);
                number += 1;
                whole.clear();
            }
            Ok(())
        })
    }

    /// A whole model again: the part's graph with these weights inside.
    pub(crate) fn model(
        &self,
        template: &Template,
        part: Part,
        inside: Inside,
    ) -> Result<Vec<u8>, Error> {
        // The whole graph is as it was.
        let order = match part {
            Part::Whole => InOrder::File,
            Part::Front | Part::Decoder => InOrder::Template,
        };
        let weights: HashSet<_> = template.weights.iter().map(|it| &it.name[..]).collect();
        let filling = Filling::of(template.graph(part), inside, |it| weights.contains(it));
        let mut filling = filling.map_err(failed)?;
        self.each_whole(template, order, |number, bytes| {
            filling.weight(&template.weights[number].name, bytes);
        })?;
        Ok(filling.finish())
    }
}

fn place(piece: &Piece, file: usize, length: usize) -> Result<Place, Outside> {
    let end = piece.offset.checked_add(piece.bytes);
    if end.is_none_or(|end| end > length) {
        return Err(Outside::Beyond);
    }
    Ok(Place {
        file,
        offset: piece.offset,
        bytes: piece.bytes,
        element: piece.element,
    })
}

fn changed(held: &Held) -> Error {
    Error::Changed {
        path: held.path().to_owned(),
    }
}

/// Halves as floats.
fn widen(stored: Element, bytes: &[u8], wide: &mut Vec<u8>) {
    let float: fn([u8; 2]) -> f32 = match stored {
        Element::BFloat16 => |bits| half::bf16::from_le_bytes(bits).to_f32(),
        _ => |bits| half::f16::from_le_bytes(bits).to_f32(),
    };
    wide.clear();
    wide.reserve(2 * bytes.len());
    for bits in bytes.as_chunks::<2>().0 {
        wide.extend_from_slice(&float(*bits).to_le_bytes());
    }
}

/// A file of the model's own folder: a name or a link that leads elsewhere is
/// refused.
fn beside(folder: Option<&Path>, location: &str) -> Result<Held, Outside> {
    let plain = !location.is_empty()
        && Path::new(location).components().all(|part| {
            matches!(
                part,
                std::path::Component::Normal(_) | std::path::Component::CurDir
            )
        });
    match folder {
        Some(folder) if plain => {
            Held::open_inside(folder, Path::new(location)).map_err(|cause| Outside::Unreadable {
                path: folder.join(location),
                cause,
            })
        }
        Some(_) => Err(Outside::Elsewhere(location.to_owned())),
        None => Err(Outside::InArchive(location.to_owned())),
    }
}

#[cfg(test)]
mod changes;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn halves_become_the_same_numbers() {
        let values = [0.0_f32, -0.0, 1.5, -0.333_251_95, 65_504.0, 6e-8];
        let mut wide = Vec::new();
        let halves = values.map(|it| half::f16::from_f32(it).to_le_bytes());
        widen(Element::Float16, halves.as_flattened(), &mut wide);
        let expected = values.map(|it| half::f16::from_f32(it).to_f32().to_le_bytes());
        assert_eq!(wide, expected.as_flattened());
        let halves = values.map(|it| half::bf16::from_f32(it).to_le_bytes());
        widen(Element::BFloat16, halves.as_flattened(), &mut wide);
        let expected = values.map(|it| half::bf16::from_f32(it).to_f32().to_le_bytes());
        assert_eq!(wide, expected.as_flattened());
    }

    #[test]
    fn weights_outside_the_folder_are_refused() {
        let folder = tempfile::tempdir().expect("a folder");
        let folder = folder.path();
        std::fs::write(folder.join("voice.weights"), b"").expect("a file");
        assert!(beside(Some(folder), "voice.weights").is_ok());
        assert!(beside(Some(folder), "../secret").is_err());
        assert!(beside(Some(folder), "/etc/passwd").is_err());
        assert!(beside(None, "voice.weights").is_err());
    }
}
