//! A user's ONNX file → a template without weights, and where the weights are.

use base16ct::lower::encode_string as encode_hex;
use std::collections::{HashMap, HashSet};

use sha2::{Digest, Sha256};

use super::dice;
use super::error::{Malformed, Outside, Uncut, WeightFault};
use super::graph::{Data, Graph, Model, Names, Tensor};
use super::template::{Element, Piece, Template, Weight};
use super::widen;
use super::writer::{Writer, in_decoder};
use memory::slab::round_up;

/// Takes a model apart. `external` reads what an initializer that is no weight
/// keeps in another file.
pub(crate) fn split(
    bytes: &[u8],
    output: &str,
    external: impl Fn(&str, u64, Option<u64>) -> Result<Vec<u8>, Outside>,
) -> Result<(Template, Vec<Piece>), Malformed> {
    super::examine::check(bytes)?;
    let mut model = Model::parse(bytes)?;
    let flat = model.graph.is_flat();
    let widened = match flat {
        true => widen::take_casts(&mut model.graph),
        false => HashSet::new(),
    };
    let graph = &model.graph;
    // Names inside an inner graph may mean values of the outer one.
    let names = match flat {
        true => canonical(graph, output),
        false => Names::default(),
    };
    let order = in_order(graph, flat.then_some(&names));
    let found = collect_weights(&order, &names, &widened, bytes)?;
    let constants = write_constants(&order, &names, &found, external)?;
    let writer = Writer {
        dice: match flat {
            true => find_dice(graph),
            false => HashMap::new(),
        },
        model: &model,
        names: &names,
        order: &order,
        constants: &constants,
        weights: &found.weights,
        place: &found.place,
    };
    let whole = writer.whole(output, flat)?;
    let cut = match flat {
        true => writer.cut(output),
        false => Err(Uncut::Nested),
    };
    let template = Template {
        digest: encode_hex(&Sha256::digest(&whole)),
        whole,
        cut,
        weights: found.weights,
        blob_bytes: found.bytes.max(1),
    };
    Ok((template, found.pieces))
}

/// Initializers as the nodes use them; files may list them in another order.
/// Without canonical names, as the file has them.
fn in_order<'g, 'a>(graph: &'g Graph<'a>, names: Option<&Names<'a>>) -> Vec<&'g Tensor<'a>> {
    let mut order: Vec<_> = graph.tensors.iter().collect();
    if let Some(names) = names {
        order.retain(|tensor| names.has(tensor.name));
        order.sort_by_key(|tensor| number_of(names.get(tensor.name)));
    }
    order
}

/// The weights of a model, one behind the other in a blob.
struct Found<'a> {
    weights: Vec<Weight>,
    /// Where each lies in the file, in the same order.
    pieces: Vec<Piece>,
    /// Of the initializers that are weights.
    place: HashMap<&'a str, usize>,
    bytes: usize,
}

fn collect_weights<'a>(
    order: &[&Tensor<'a>],
    names: &Names<'a>,
    widened: &HashSet<&'a str>,
    model: &[u8],
) -> Result<Found<'a>, Malformed> {
    let mut found = Found {
        weights: Vec::new(),
        pieces: Vec::new(),
        place: HashMap::new(),
        bytes: 0,
    };
    for tensor in order {
        let Some(piece) = weight(tensor, model)? else {
            continue;
        };
        found.place.insert(tensor.name, found.weights.len());
        let element = match widened.contains(tensor.name) {
            true => Element::Float,
            false => piece.element,
        };
        let bytes = piece.bytes / piece.element.bytes() * element.bytes();
        found.weights.push(Weight {
            name: names.get(tensor.name).to_owned(),
            dims: tensor.dims.clone(),
            element,
            offset: found.bytes,
            bytes,
            order: None,
        });
        found.bytes += round_up(bytes);
        found.pieces.push(piece);
    }
    Ok(found)
}

/// Initializers that are no weights, as they are written.
fn write_constants<'a>(
    order: &[&Tensor<'a>],
    names: &Names<'a>,
    found: &Found<'a>,
    external: impl Fn(&str, u64, Option<u64>) -> Result<Vec<u8>, Outside>,
) -> Result<HashMap<&'a str, Vec<u8>>, Malformed> {
    let mut constants = HashMap::new();
    for tensor in order {
        if found.place.contains_key(tensor.name) {
            continue;
        }
        let name = names.get(tensor.name);
        let written = match &tensor.data {
            Data::External {
                location,
                offset,
                length,
            } => tensor.write(name, Some(&external(location, *offset, *length)?))?,
            Data::Inline(_) | Data::Other => tensor.write(name, None)?,
        };
        constants.insert(tensor.name, written.finish());
    }
    Ok(constants)
}

/// The dice by their outputs, counted; none if they cannot all be replaced, or
/// if the decoder throws some of them.
fn find_dice<'a>(graph: &Graph<'a>) -> HashMap<&'a str, usize> {
    let nodes: Vec<_> = graph.nodes.iter().collect();
    let found = dice::find(&nodes).unwrap_or_default();
    if found.iter().any(|place| in_decoder(nodes[*place])) {
        return HashMap::new();
    }
    let output = |place: &usize| nodes[*place].outputs.first().copied();
    let outputs = found.iter().filter_map(output);
    outputs
        .enumerate()
        .map(|(number, output)| (output, number))
        .collect()
}

/// Names by first appearance: `v0`, `v1`, … for values, `w0`, `w1`, … for
/// initializers. Inputs and `output` keep theirs: they are the interface.
fn canonical<'a>(graph: &Graph<'a>, output: &str) -> Names<'a> {
    let initializers: HashSet<_> = graph.tensors.iter().map(|tensor| tensor.name).collect();
    let mut names = Names::default();
    for port in &graph.inputs {
        if !initializers.contains(port.name) {
            names.set(port.name, port.name.to_owned());
        }
    }
    let (mut values, mut weights) = (0, 0);
    for node in &graph.nodes {
        for name in &node.inputs {
            if initializers.contains(name) && !names.has(name) {
                names.set(name, format!("w{weights}"));
                weights += 1;
            }
        }
        for name in &node.outputs {
            if *name == output {
                names.set(name, output.to_owned());
            } else if !name.is_empty() && !names.has(name) {
                names.set(name, format!("v{values}"));
                values += 1;
            }
        }
    }
    names
}

fn number_of(name: &str) -> usize {
    name.get(1..)
        .unwrap_or_default()
        .parse()
        .unwrap_or(usize::MAX)
}

/// Where the tensor's bytes lie if it is a weight: what voices differ in.
/// Scalars are the architecture's own constants.
fn weight(tensor: &Tensor<'_>, model: &[u8]) -> Result<Option<Piece>, Malformed> {
    let Some(element) = Element::of(tensor.data_type) else {
        return Ok(None);
    };
    if tensor.dims.is_empty() {
        return Ok(None);
    }
    let wrong = |fault| Malformed::Weight {
        name: tensor.name.to_owned(),
        fault,
    };
    let bytes = tensor
        .dims
        .iter()
        .try_fold(element.bytes(), |product, dim| {
            product.checked_mul(usize::try_from(*dim).ok()?)
        })
        .ok_or_else(|| wrong(WeightFault::Shape))?;
    let piece = match &tensor.data {
        Data::Other => return Ok(None),
        Data::Inline(values) => Piece {
            file: None,
            // Both are parts of one slice.
            offset: (values.as_ptr() as usize).wrapping_sub(model.as_ptr() as usize),
            bytes: values.len(),
            element,
        },
        Data::External {
            location,
            offset,
            length,
        } => Piece {
            file: Some((*location).to_owned()),
            offset: usize::try_from(*offset).map_err(|_| wrong(WeightFault::TooFar))?,
            bytes: match length {
                Some(length) => {
                    usize::try_from(*length).map_err(|_| wrong(WeightFault::TooLong))?
                }
                None => bytes,
            },
            element,
        },
    };
    if piece.bytes != bytes {
        return Err(wrong(WeightFault::Bytes {
            found: piece.bytes,
            dims: tensor.dims.clone(),
            expected: bytes,
        }));
    }
    Ok((bytes > 0).then_some(piece))
}
