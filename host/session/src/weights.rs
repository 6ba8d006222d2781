//! A voice's weights as they lie in the user's files: the lowest tier, mapped
//! and never read as a whole.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::error::Error;
use crate::memory::synthetic::Random;
use crate::native::Mapped;
use crate::native::tensors::Block;
use crate::onnx::{self, Element, Part, Piece, Template};
use crate::source::Graph;

/// Of a tensor in another file that is no weight, such as a table of integers.
const CONSTANT_BYTES_MAX: usize = 64 << 20;

/// The graph's one output that is ever fetched.
pub(crate) const OUTPUT: &str = "output";

/// Where each weight of a template lies in one voice's files.
pub(crate) struct Weights {
    files: Vec<Bytes>,
    /// Names of the files after the first, which is the graph.
    beside: Vec<String>,
    places: Vec<Place>,
}

struct Place {
    file: usize,
    offset: usize,
    bytes: usize,
}

enum Bytes {
    Mapped(Mapped),
    Embedded(&'static [u8]),
    Memory(Arc<[u8]>),
}

impl AsRef<[u8]> for Bytes {
    fn as_ref(&self) -> &[u8] {
        match self {
            Self::Mapped(mapped) => mapped.as_ref(),
            Self::Embedded(bytes) => bytes,
            Self::Memory(bytes) => bytes,
        }
    }
}

impl Weights {
    /// Takes a user's graph apart without reading its weights.
    pub(crate) fn split(graph: &Graph) -> Result<(Template, Self), Error> {
        let (model, folder) = match graph {
            Graph::File(path) => {
                let mapped = Mapped::open(path).map_err(|e| crate::source::unreadable(path, &e))?;
                (Bytes::Mapped(mapped), path.parent().map(Path::to_owned))
            }
            Graph::Embedded(bytes) => (Bytes::Embedded(bytes), None),
            Graph::Unlinked(file) => {
                let path = file.path();
                let mapped =
                    Mapped::open(&path).map_err(|e| crate::source::unreadable(&path, &e))?;
                (Bytes::Mapped(mapped), None)
            }
        };
        let failed = |cause: String| Error::Open(format!("the graph: {cause}"));
        let external = |location: &str, offset: u64, length: Option<u64>| {
            let path = beside(folder.as_deref(), location)?;
            let mapped = Mapped::open(&path).map_err(|e| format!("{}: {e}", path.display()))?;
            let start = usize::try_from(offset).unwrap_or(usize::MAX);
            let end = match length {
                Some(length) => start.saturating_add(usize::try_from(length).unwrap_or(usize::MAX)),
                None => mapped.as_ref().len(),
            };
            // A file may be large and hold nothing: it is not copied unseen.
            if end.saturating_sub(start) > CONSTANT_BYTES_MAX {
                return Err(format!(
                    "a constant in {} has more than {CONSTANT_BYTES_MAX} bytes",
                    path.display()
                ));
            }
            let bytes = mapped.as_ref().get(start..end);
            bytes
                .map(<[u8]>::to_vec)
                .ok_or_else(|| format!("{} is too short", path.display()))
        };
        let (template, pieces) = onnx::split(model.as_ref(), OUTPUT, external).map_err(failed)?;
        let mut weights = Self {
            files: vec![model],
            beside: Vec::new(),
            places: Vec::with_capacity(pieces.len()),
        };
        let mut open = HashMap::new();
        for piece in pieces {
            let place = weights
                .place(piece, folder.as_deref(), &mut open)
                .map_err(failed)?;
            weights.places.push(place);
        }
        Ok((template, weights))
    }

    fn place(
        &mut self,
        piece: Piece,
        folder: Option<&Path>,
        open: &mut HashMap<String, usize>,
    ) -> Result<Place, String> {
        let file = match piece.file {
            None => 0,
            Some(location) => match open.get(&location) {
                Some(file) => *file,
                None => {
                    let path = beside(folder, &location)?;
                    let mapped =
                        Mapped::open(&path).map_err(|e| format!("{}: {e}", path.display()))?;
                    self.files.push(Bytes::Mapped(mapped));
                    self.beside.push(location.clone());
                    open.insert(location, self.files.len() - 1);
                    self.files.len() - 1
                }
            },
        };
        let end = piece.offset.checked_add(piece.bytes);
        let length = self.files[file].as_ref().len();
        if end.is_none_or(|end| end > length) {
            return Err("a weight lies beyond the end of its file".to_owned());
        }
        Ok(Place {
            file,
            offset: piece.offset,
            bytes: piece.bytes,
        })
    }

    /// The bytes of one weight, by its index in the template.
    pub(crate) fn get(&self, index: usize) -> &[u8] {
        let place = &self.places[index];
        &self.files[place.file].as_ref()[place.offset..place.offset + place.bytes]
    }

    /// Copies all of them to their places in a block.
    pub(crate) fn fill(&self, template: &Template, block: &mut Block) -> Result<(), Error> {
        for (index, weight) in template.weights.iter().enumerate() {
            block.write(weight.offset, self.get(index))?;
        }
        self.forget();
        Ok(())
    }

    /// Forty mapped voices would look like gigabytes of ours; what was copied
    /// is not needed here any more.
    fn forget(&self) {
        for file in &self.files {
            if let Bytes::Mapped(mapped) = file {
                mapped.forget();
            }
        }
    }

    /// One contiguous copy on the host, laid out as a block is.
    pub(crate) fn gather(&self, template: &Template) -> Vec<u8> {
        let mut blob = vec![0; template.blob_bytes];
        for (index, weight) in template.weights.iter().enumerate() {
            blob[weight.offset..weight.offset + weight.bytes].copy_from_slice(self.get(index));
        }
        self.forget();
        blob
    }

    /// A whole model again: the part's graph with these weights inside.
    pub(crate) fn model(&self, template: &Template, part: Part) -> Result<Vec<u8>, Error> {
        let index: HashMap<_, _> = template
            .weights
            .iter()
            .enumerate()
            .map(|(index, weight)| (weight.name.as_str(), index))
            .collect();
        let model = onnx::embed(template.graph(part), |name| {
            index.get(name).map(|index| self.get(*index))
        });
        self.forget();
        model.map_err(Error::Open)
    }

    /// Another voice of the same template: every weight a few percent off. For
    /// the check whether a template may change its voice by copying.
    pub(crate) fn altered(&self, template: &Template) -> Self {
        let mut blob = self.gather(template);
        let mut places = Vec::with_capacity(template.weights.len());
        for weight in &template.weights {
            let bytes = &mut blob[weight.offset..weight.offset + weight.bytes];
            alter(weight.element, bytes);
            places.push(Place {
                file: 0,
                offset: weight.offset,
                bytes: weight.bytes,
            });
        }
        Self {
            files: vec![Bytes::Memory(Arc::from(blob))],
            beside: Vec::new(),
            places,
        }
    }

    /// The files of another voice of the same template: the graph, and what
    /// lies beside it by name. Which values differ the seed decides.
    pub(crate) fn vary(&self, template: &Template, seed: u64) -> (Vec<u8>, Vec<(String, Vec<u8>)>) {
        let copy = |file: &Bytes| file.as_ref().to_vec();
        let mut files: Vec<_> = self.files.iter().map(copy).collect();
        let mut random = Random(seed);
        for (weight, place) in template.weights.iter().zip(&self.places) {
            let bytes = &mut files[place.file][place.offset..place.offset + place.bytes];
            let (start, end) = (random.below(bytes.len()), bytes.len());
            // Whole values: the start is one's first byte.
            let start = start / WIDEST * WIDEST;
            alter(weight.element, &mut bytes[start..end]);
        }
        let mut files = files.into_iter();
        let graph = files.next().unwrap_or_default();
        (graph, self.beside.iter().cloned().zip(files).collect())
    }
}

/// Bytes of the widest weight.
const WIDEST: usize = 4;

/// Flips the fifth bit of every mantissa: 3 % up or down, and never another
/// exponent, so that no value becomes huge or no number.
fn alter(element: Element, bytes: &mut [u8]) {
    let (width, byte, bit) = match element {
        Element::Float => (4, 2, 0x04),
        Element::Float16 => (2, 0, 0x20),
        Element::BFloat16 => (2, 0, 0x04),
        Element::Int8 | Element::Uint8 => (1, 0, 0x01),
    };
    for value in bytes.chunks_exact_mut(width) {
        value[byte] ^= bit;
    }
}

/// A file of the model's own folder: a name that leads elsewhere is refused.
fn beside(folder: Option<&Path>, location: &str) -> Result<PathBuf, String> {
    let plain = Path::new(location).components().all(|part| {
        matches!(
            part,
            std::path::Component::Normal(_) | std::path::Component::CurDir
        )
    });
    match folder {
        Some(folder) if plain => Ok(folder.join(location)),
        Some(_) => Err(format!(
            "its weights are at `{location}`, outside of its folder"
        )),
        None => Err(format!(
            "its weights are in another file, `{location}`, which an archive cannot have"
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_altered_weight_is_near_and_different() {
        for value in [1.0_f32, -0.37, 1e-4, 300.0] {
            let mut bytes = value.to_le_bytes();
            alter(Element::Float, &mut bytes);
            let other = f32::from_le_bytes(bytes);
            let ratio = other / value;
            assert!(other != value && (0.95..1.05).contains(&ratio), "{ratio}");
        }
    }

    #[test]
    fn weights_outside_the_folder_are_refused() {
        let folder = Path::new("voices/haru");
        assert!(beside(Some(folder), "voice.weights").is_ok());
        assert!(beside(Some(folder), "../secret").is_err());
        assert!(beside(Some(folder), "/etc/passwd").is_err());
        assert!(beside(None, "voice.weights").is_err());
    }
}
