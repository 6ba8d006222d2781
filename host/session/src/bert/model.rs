//! What the sessions of a BERT are opened from: a graph with its weights
//! inside, or one of ours over tensors.

use std::path::Path;
use std::sync::{Arc, OnceLock};

use memory::slab::Tenant;

use super::folder;
use super::session::{BertSession, Opener};
use super::{KIND, OPENING};
use crate::error::Error;
use crate::family::FEATURE_WIDTH;
use crate::files::Sum;
use crate::library::{Effort, Library, Needs};
use crate::native::tensors::Region;
use crate::onnx::{Inside, Part, Quantized, Template};
use crate::optimized::Place;
use crate::runtime;
use crate::sessions::Opened;
use crate::settings::{Optimization, Precision, Settings};
use crate::source::{Graph, Source};
use crate::weights::{self, InOrder, Weights};

/// From what sessions are opened, as often as a pool needs one.
pub(super) enum Model {
    Graph {
        graph: Graph,
        /// A session opened later must be of the same file.
        first: OnceLock<Sum>,
    },
    /// Its weights are read into a block, from which a session borrows them:
    /// there is no second copy of them at any time.
    Tensors {
        template: Box<Template>,
        weights: Weights,
        width: usize,
    },
    /// Either, with its matrices in 8 bits, made while it is read. ONNX Runtime
    /// has them packed, so that it owns them.
    Int8 {
        template: Box<Template>,
        weights: Weights,
        width: usize,
        /// Names what it is made of.
        files: String,
    },
}

impl Model {
    pub(super) fn open(source: &Source, precision: Precision) -> Result<Self, Error> {
        let (graph, width) = match (folder::built(source)?, precision) {
            (Some(built), _) => built,
            (None, Precision::Int8) => (source.graph()?, FEATURE_WIDTH),
            (None, Precision::Full) => {
                return Ok(Self::Graph {
                    graph: source.graph()?,
                    first: OnceLock::new(),
                });
            }
        };
        let (template, weights) = Weights::split(&graph)?;
        let template = Box::new(template);
        Ok(match precision {
            Precision::Full => Self::Tensors {
                template,
                weights,
                width,
            },
            Precision::Int8 => Self::Int8 {
                template,
                weights,
                width,
                files: source.fingerprint_with_neighbours()?,
            },
        })
    }

    /// Numbers of a feature; a graph from elsewhere is held to what voices
    /// take.
    pub(super) fn width(&self) -> usize {
        match self {
            Self::Graph { .. } => FEATURE_WIDTH,
            Self::Tensors { width, .. } | Self::Int8 { width, .. } => *width,
        }
    }

    /// One session, in a region of its own where there is a slab.
    pub(super) fn session(
        &self,
        opener: Opener<'_>,
        library: &Library,
        needs: &Needs,
        effort: Effort,
    ) -> Result<Opened<BertSession>, Error> {
        let settled = match self {
            Self::Graph { graph, first } => {
                let bytes = weights::whole(graph)?;
                let mut sum = Sum::default();
                sum.add(&bytes);
                if *first.get_or_init(|| sum) != sum
                    && let Graph::File(held) = graph
                {
                    let path = held.path().to_owned();
                    return Err(Error::Changed { path });
                }
                let first = needs.first(bytes.len());
                library.open_in_region(KIND, Tenant::Bert, first, effort, |region| {
                    BertSession::open(opener, runtime::Model::Bytes(&bytes), region, None)
                })?
            }
            Self::Int8 {
                template,
                weights,
                files,
                ..
            } => {
                let place = opener.runtime.place_of_int8(files);
                let open = |bytes: &[u8], opener: Opener<'_>, place: Option<&Place>| {
                    let first = needs.first(bytes.len());
                    library.open_in_region(KIND, Tenant::Bert, first, effort, |region| {
                        let open = |file: Option<&Path>| {
                            BertSession::open(opener, runtime::Model::Bytes(bytes), region, file)
                        };
                        place.map_or_else(|| open(None), |place| place.keep_whole(open))
                    })
                };
                let kept = place.as_ref().and_then(Place::read_whole);
                let as_it_is = Settings {
                    optimization: Optimization::None,
                    ..opener.settings.clone()
                };
                let settings = &as_it_is;
                let known = kept.map(|bytes| open(&bytes, Opener { settings, ..opener }, None));
                match known {
                    // One that was damaged there is made anew.
                    None | Some(Err(Error::Open(_) | Error::Signature { .. })) => {
                        let bytes = in_eight_bits(template, weights)?;
                        open(&bytes, opener, place.as_ref())?
                    }
                    Some(opened) => opened?,
                }
            }
            Self::Tensors {
                template, weights, ..
            } => {
                // Nothing is made of the weights.
                let first = match needs.found() {
                    0 => template.blob_bytes + OPENING,
                    found => found,
                };
                library.open_in_region(KIND, Tenant::Bert, first, effort, |region| {
                    borrowing(opener, template, weights, region)
                })?
            }
        };
        Ok(settled.kept(needs))
    }
}

fn in_eight_bits(template: &Template, weights: &Weights) -> Result<Vec<u8>, Error> {
    let quantized = Quantized::of(template);
    let mut quantized = quantized.map_err(|cause| Error::Open(cause.to_string()))?;
    weights.each_whole(template, InOrder::File, |number, bytes| {
        quantized.fill(template, number, bytes);
    })?;
    Ok(quantized.finish())
}

fn borrowing(
    opener: Opener<'_>,
    template: &Template,
    weights: &Weights,
    region: Option<&Arc<Region>>,
) -> Result<BertSession, Error> {
    let Some(place) = region else {
        let bytes = weights.model(template, Part::Whole, Inside::Constant)?;
        return BertSession::open(opener, runtime::Model::Bytes(&bytes), None, None);
    };
    let mut block = place.block(template.blob_bytes).map_err(Error::NoRoom)?;
    weights.fill(template, &mut block)?;
    let model = runtime::Model::Template {
        template,
        part: Part::Whole,
        block: &block,
    };
    let session = BertSession::open(opener, model, region, None)?;
    Ok(session.keeping(block))
}
