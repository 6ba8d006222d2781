//! One session over the graph of a BERT.

use std::path::Path;
use std::sync::Arc;

use super::{BertInput, Features, KIND};
use crate::error::Error;
use crate::graph::{Inputs, OpenGraph, floats, tensor};
use crate::native::tensors::{Block, Region, Used};
use crate::placement::Placement;
use crate::runtime::{Model, Opening, Runtime};
use crate::settings::Settings;
use crate::signature::{self, Port, float, int};
use crate::stop::Stop;

const IDS: Port = int("input_ids", 2);
const MASK: Port = int("attention_mask", 2);
/// Some exports keep it; DeBERTa ignores it.
const TYPES: Port = int("token_type_ids", 2);
/// [sequence length, width]: row 0 of the batch, so one text a run.
pub(super) const OUTPUT: Port = float("output", 2);

/// One session of ONNX Runtime over a BERT graph; it runs one text at a time.
pub(super) struct BertSession {
    // Before the block: it aliases that.
    graph: OpenGraph,
    has_types: bool,
    padding: i64,
    width: usize,
    _weights: Option<Block>,
}

/// What sessions of one BERT are opened with beside its model.
#[derive(Clone, Copy)]
pub(super) struct Opener<'o> {
    pub(super) runtime: &'o Runtime,
    pub(super) settings: &'o Settings,
    pub(super) placement: &'o Placement,
    pub(super) padding: i64,
    pub(super) width: usize,
}

impl BertSession {
    pub(super) fn open(
        opener: Opener<'_>,
        model: Model<'_>,
        region: Option<&Arc<Region>>,
        write_to: Option<&Path>,
    ) -> Result<Self, Error> {
        let opened = opener.runtime.open(&Opening {
            kind: KIND,
            name: KIND,
            model,
            settings: opener.settings,
            placement: opener.placement,
            region,
            write_to,
        })?;
        let session = &opened.session;
        let has_types = signature::has_input(session, TYPES.name);
        let inputs: &[&Port] = if has_types {
            &[&IDS, &MASK, &TYPES]
        } else {
            &[&IDS, &MASK]
        };
        signature::check(KIND, session, inputs, &OUTPUT)?;
        Ok(Self {
            graph: OpenGraph::new(KIND, opened, &[OUTPUT.name])?,
            has_types,
            padding: opener.padding,
            width: opener.width,
            _weights: None,
        })
    }

    /// The block lives as long as the session that borrows from it.
    pub(super) fn keeping(self, weights: Block) -> Self {
        Self {
            _weights: Some(weights),
            ..self
        }
    }

    pub(super) fn run(&mut self, input: BertInput, stop: &Stop) -> (Result<Features, Error>, Used) {
        let (rows, padded) = (input.ids.len(), input.padded);
        let inputs = match self.bind(input) {
            Ok(inputs) => inputs,
            Err(error) => return (Err(error), Used::default()),
        };
        let width = self.width;
        self.graph.run(inputs, stop, |outputs| {
            let (shape, data) = floats(outputs, OUTPUT.name)?;
            if *shape != [padded as i64, width as i64] {
                return Err(Error::Run(format!(
                    "the features have shape {shape:?}, expected [{padded}, {width}]",
                )));
            }
            Ok(Features {
                rows,
                width,
                data: data[..rows * width].to_vec(),
            })
        })
    }

    fn bind(&self, input: BertInput) -> Result<Inputs, Error> {
        let rows = input.ids.len();
        if rows == 0 || input.padded < rows {
            return Err(Error::Input(format!(
                "{rows} ids padded to {}",
                input.padded
            )));
        }
        let row = |values: Vec<i64>| tensor(&[1, input.padded], values);
        let mut ids = input.ids;
        ids.resize(input.padded, self.padding);
        let mut mask = vec![1; rows];
        mask.resize(input.padded, 0);
        let mut inputs = vec![(IDS.name, row(ids)?), (MASK.name, row(mask)?)];
        if self.has_types {
            inputs.push((TYPES.name, row(vec![0; input.padded])?));
        }
        Ok(inputs)
    }
}
