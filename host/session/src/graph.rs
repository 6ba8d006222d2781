//! An open graph of which one output is fetched: tensors in, tensor out.

use std::time::Instant;

use ort::session::{HasSelectedOutputs, OutputSelector, RunOptions, Session, SessionInputValue};
use ort::value::{PrimitiveTensorElementType, Tensor};

use crate::error::Error;
use crate::events;

pub(crate) type Input = SessionInputValue<'static>;
/// Bound by name: exporters differ in their order.
pub(crate) type Inputs = Vec<(&'static str, Input)>;

pub(crate) struct OpenGraph {
    kind: &'static str,
    session: Session,
    output: &'static str,
    options: RunOptions<HasSelectedOutputs>,
    _counted: events::OpenSession,
}

impl OpenGraph {
    /// `output` alone is ever fetched: users' synthesis graphs have six more,
    /// one of them quadratic in length.
    pub(crate) fn new(
        kind: &'static str,
        session: Session,
        counted: events::OpenSession,
        output: &'static str,
    ) -> Result<Self, Error> {
        let options = RunOptions::new()
            .map_err(|e| Error::Open(e.to_string()))?
            .with_outputs(OutputSelector::no_default().with(output));
        Ok(Self {
            kind,
            session,
            output,
            options,
            _counted: counted,
        })
    }

    /// Blocks for the length of the run, then lets `read` copy what it wants of
    /// the output's shape and values.
    pub(crate) fn run<T>(
        &mut self,
        inputs: Inputs,
        read: impl FnOnce(&[i64], &[f32]) -> Result<T, Error>,
    ) -> Result<T, Error> {
        let failed = |e: ort::Error| Error::Run(e.to_string());
        // The run alone: copies in and out are ours, not ONNX Runtime's.
        let start = Instant::now();
        let outputs = self.session.run_with_options(inputs, &self.options);
        events::ran(self.kind, start.elapsed());
        let outputs = outputs.map_err(failed)?;
        let output = outputs
            .get(self.output)
            .ok_or_else(|| Error::Run("no output came back".to_owned()))?;
        let (shape, values) = output.try_extract_tensor::<f32>().map_err(failed)?;
        read(shape, values)
    }
}

/// Takes the values over without copying them.
pub(crate) fn tensor<T>(shape: &[usize], values: Vec<T>) -> Result<Input, Error>
where
    T: PrimitiveTensorElementType + std::fmt::Debug + Clone + 'static,
{
    Tensor::from_array((shape.to_vec(), values))
        .map(Input::from)
        .map_err(|e| Error::Input(e.to_string()))
}
