//! What the sessions of a BERT are opened from: a graph with its weights
//! inside, or one of ours over tensors.

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
use crate::onnx::{Inside, Part, Template};
use crate::runtime;
use crate::sessions::Opened;
use crate::source::{Graph, Source};
use crate::weights::{self, Weights};

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
}

impl Model {
    pub(super) fn open(source: &Source) -> Result<Self, Error> {
        let Some((graph, width)) = folder::built(source)? else {
            return Ok(Self::Graph {
                graph: source.graph()?,
                first: OnceLock::new(),
            });
        };
        let (template, weights) = Weights::split(&graph)?;
        Ok(Self::Tensors {
            template: Box::new(template),
            weights,
            width,
        })
    }

    /// Numbers of a feature; a graph from elsewhere is held to what voices
    /// take.
    pub(super) fn width(&self) -> usize {
        match self {
            Self::Graph { .. } => FEATURE_WIDTH,
            Self::Tensors { width, .. } => *width,
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
                    BertSession::open(opener, runtime::Model::Bytes(&bytes), region)
                })?
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

fn borrowing(
    opener: Opener<'_>,
    template: &Template,
    weights: &Weights,
    region: Option<&Arc<Region>>,
) -> Result<BertSession, Error> {
    let Some(place) = region else {
        let bytes = weights.model(template, Part::Whole, Inside::Constant)?;
        return BertSession::open(opener, runtime::Model::Bytes(&bytes), None);
    };
    let mut block = place.block(template.blob_bytes).map_err(Error::NoRoom)?;
    weights.fill(template, &mut block)?;
    let model = runtime::Model::Template {
        template,
        part: Part::Whole,
        block: &block,
    };
    let session = BertSession::open(opener, model, region)?;
    Ok(session.keeping(block))
}
