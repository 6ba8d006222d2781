//! An open graph: tensors in, tensors out, and what its runs allocate has an
//! owner.

use std::sync::Arc;
use std::time::Instant;

use ort::session::{OutputSelector, RunOptions, Session, SessionInputValue, SessionOutputs};
use ort::value::{PrimitiveTensorElementType, Tensor};

use crate::error::Error;
use crate::events;
use crate::native::run_options::SharedOptions;
use crate::native::tensors::{Region, Tensors, Used};
use crate::native::weights::Bound;
use crate::stop::Stop;
use memory::slab::Owner;

pub(crate) type Input = SessionInputValue<'static>;
/// Bound by name: exporters differ in their order.
pub(crate) type Inputs = Vec<(&'static str, Input)>;

pub(crate) struct OpenGraph {
    kind: &'static str,
    session: Session,
    outputs: Vec<&'static str>,
    options: Arc<SharedOptions>,
    tenancy: Option<Tenancy>,
    _bound: Option<Bound>,
    /// After the session, which lies in it.
    _region: Option<Arc<Region>>,
    _counted: events::OpenSession,
}

/// The account in the slab that a session's runs go to.
pub(crate) struct Tenancy {
    tensors: Arc<Tensors>,
    owner: Owner,
}

/// A session with all that must live as long as it.
pub(crate) struct Opened {
    pub(crate) session: Session,
    pub(crate) tenancy: Option<Tenancy>,
    pub(crate) bound: Option<Bound>,
    pub(crate) region: Option<Arc<Region>>,
    pub(crate) counted: events::OpenSession,
}

impl Tenancy {
    pub(crate) fn new(tensors: &Arc<Tensors>, name: &str) -> Self {
        let owner = tensors.slab().owner(name);
        Self {
            tensors: Arc::clone(tensors),
            owner,
        }
    }

    pub(crate) fn owner(&self) -> Owner {
        self.owner
    }
}

impl Drop for Tenancy {
    fn drop(&mut self) {
        self.tensors.slab().close(self.owner);
    }
}

impl OpenGraph {
    /// `outputs` alone are ever fetched: users' synthesis graphs have six
    /// more, one of them quadratic in length.
    pub(crate) fn new(
        kind: &'static str,
        opened: Opened,
        outputs: &[&'static str],
    ) -> Result<Self, Error> {
        Ok(Self {
            kind,
            options: options(outputs)?,
            session: opened.session,
            outputs: outputs.to_vec(),
            tenancy: opened.tenancy,
            _bound: opened.bound,
            _region: opened.region,
            _counted: opened.counted,
        })
    }

    /// Blocks for the length of the run, then lets `read` copy what it wants of
    /// the outputs. With what the run has used of the slab. `stop` may end it
    /// from another thread.
    pub(crate) fn run<T>(
        &mut self,
        inputs: Inputs,
        stop: &Stop,
        read: impl FnOnce(&SessionOutputs<'_>) -> Result<T, Error>,
    ) -> (Result<T, Error>, Used) {
        let (kind, session, options) = (self.kind, &mut self.session, &self.options);
        let run = || {
            let stoppable = stop.enter(options)?;
            // The run alone: copies in and out are ours, not ONNX Runtime's.
            let start = Instant::now();
            let outputs = session.run_with_options(inputs, options.of_the_run());
            events::ran(kind, start.elapsed());
            if stoppable.leave() {
                return Err(Error::Cancelled);
            }
            let outputs = outputs.map_err(|e| Error::Run(e.to_string()))?;
            read(&outputs)
        };
        let (ran, used) = match &self.tenancy {
            Some(tenancy) => tenancy.tensors.running(tenancy.owner, options, run),
            None => (run(), Used::default()),
        };
        if matches!(ran, Err(Error::OutOfMemory(_) | Error::Cancelled))
            && let Ok(fresh) = self::options(&self.outputs)
        {
            // The old ones carry the flag that ended this run.
            self.options = fresh;
        }
        (ran, used)
    }
}

fn options(outputs: &[&'static str]) -> Result<Arc<SharedOptions>, Error> {
    let selected = outputs
        .iter()
        .fold(OutputSelector::no_default(), |selected, output| {
            selected.with(*output)
        });
    let options = RunOptions::new().map_err(|e| Error::Open(e.to_string()))?;
    Ok(Arc::new(SharedOptions::new(options.with_outputs(selected))))
}

/// The shape and values of one output.
pub(crate) fn floats<'o>(
    outputs: &'o SessionOutputs<'_>,
    name: &str,
) -> Result<(&'o [i64], &'o [f32]), Error> {
    let output = outputs
        .get(name)
        .ok_or_else(|| Error::Run(format!("no output `{name}` came back")))?;
    let (shape, values) = output
        .try_extract_tensor::<f32>()
        .map_err(|e| Error::Run(e.to_string()))?;
    Ok((shape, values))
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
