//! Name, element type and rank of a graph's inputs and outputs, checked when
//! the model opens, so that a request never meets a shape surprise.

use ort::session::Session;
use ort::value::{Outlet, TensorElementType, ValueType};

use crate::error::Error;

/// One input or output as a graph must have it.
pub(crate) struct Port {
    pub(crate) name: &'static str,
    pub(crate) element: TensorElementType,
    pub(crate) rank: Rank,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Rank {
    Exactly(usize),
    /// A single number: rank 0, or rank 1 with one element.
    Scalar,
}

pub(crate) const fn int(name: &'static str, rank: usize) -> Port {
    Port {
        name,
        element: TensorElementType::Int64,
        rank: Rank::Exactly(rank),
    }
}

pub(crate) const fn float(name: &'static str, rank: usize) -> Port {
    Port {
        name,
        element: TensorElementType::Float32,
        rank: Rank::Exactly(rank),
    }
}

pub(crate) const fn scalar(name: &'static str) -> Port {
    Port {
        name,
        element: TensorElementType::Float32,
        rank: Rank::Scalar,
    }
}

/// Every port must be there as described; inputs must not hold more, since
/// nobody would feed them. Further outputs are never fetched.
pub(crate) fn check(
    kind: &'static str,
    session: &Session,
    inputs: &[&Port],
    output: &Port,
) -> Result<(), Error> {
    check_inputs(kind, session, inputs)?;
    check_output(kind, session, output)
}

pub(crate) fn check_inputs(
    kind: &'static str,
    session: &Session,
    inputs: &[&Port],
) -> Result<(), Error> {
    let wrong = |cause| Error::Signature { kind, cause };
    for port in inputs {
        compare("input", port, find(session.inputs(), port.name)).map_err(wrong)?;
    }
    for input in session.inputs() {
        if inputs.iter().all(|port| port.name != input.name()) {
            return Err(wrong(format!(
                "it has the unknown input `{}`",
                input.name()
            )));
        }
    }
    Ok(())
}

pub(crate) fn check_output(
    kind: &'static str,
    session: &Session,
    output: &Port,
) -> Result<(), Error> {
    compare("output", output, find(session.outputs(), output.name))
        .map_err(|cause| Error::Signature { kind, cause })
}

pub(crate) fn has_input(session: &Session, name: &str) -> bool {
    find(session.inputs(), name).is_some()
}

fn find<'a>(outlets: &'a [Outlet], name: &str) -> Option<&'a Outlet> {
    outlets.iter().find(|outlet| outlet.name() == name)
}

fn compare(side: &str, port: &Port, found: Option<&Outlet>) -> Result<(), String> {
    let expected = || match port.rank {
        Rank::Exactly(rank) => format!("{:?} of rank {rank}", port.element),
        Rank::Scalar => format!("{:?} scalar", port.element),
    };
    let Some(outlet) = found else {
        return Err(format!(
            "{side} `{}` is missing (expected {})",
            port.name,
            expected()
        ));
    };
    let ValueType::Tensor { ty, shape, .. } = outlet.dtype() else {
        return Err(format!("{side} `{}` is no tensor", port.name));
    };
    let rank = shape.len();
    let fits = match port.rank {
        Rank::Exactly(expected) => rank == expected,
        Rank::Scalar => rank == 0 || (rank == 1 && matches!(shape[0], -1 | 1)),
    };
    if *ty == port.element && fits {
        Ok(())
    } else {
        Err(format!(
            "{side} `{}` is {ty:?} of rank {rank}, expected {}",
            port.name,
            expected()
        ))
    }
}
