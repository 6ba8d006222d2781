//! Each parser of bytes from outside by itself, for those who try what breaks
//! it: an answer or an error, whatever it is given.

use std::path::Path;

use crate::onnx;
use crate::package::parse as package;

/// Style vectors as NumPy writes them, `style_vectors.npy`.
pub fn npy(bytes: &[u8]) -> bool {
    package::npy(bytes)
}

/// A voice's `config.json`, as Style-Bert-VITS2 writes it.
pub fn config(bytes: &[u8]) -> bool {
    package::config(bytes)
}

/// The style vectors of a `.sbv2` archive, which are JSON there.
pub fn style_vectors(bytes: &[u8]) -> bool {
    package::style_vectors(bytes)
}

/// A file `.sbv2`; what it unpacks to lies in `folder`.
pub fn archive(bytes: &[u8], folder: &Path) -> bool {
    package::archive(bytes, folder)
}

/// A file `.aivmx`, with its portraits.
pub fn aivmx(bytes: &[u8]) -> bool {
    package::aivmx(bytes)
}

/// A file `.safetensors`, and the graph that is written for its shapes.
pub fn tensors(bytes: &[u8]) -> bool {
    package::tensors(bytes)
}

/// A file of `torch.save`: its zip, and the pickle in it.
pub fn torch(bytes: &[u8]) -> bool {
    package::torch_file(bytes)
}

/// A BERT's `vocab.txt`.
pub fn vocabulary(bytes: &[u8]) -> bool {
    crate::bert::parse_vocabulary(bytes)
}

/// A BERT's `config.json`.
pub fn bert_config(bytes: &[u8]) -> bool {
    crate::bert::folder::parse_config(bytes)
}

/// An AIVM manifest, the JSON in the metadata of a voice's file.
pub fn manifest(bytes: &[u8]) -> bool {
    package::manifest(bytes)
}

/// A graph taken apart and put together again.
pub fn graph(bytes: &[u8]) -> bool {
    let nothing = |location: &str, _, _| Err(onnx::Outside::Short(location.to_owned()));
    let Ok((template, pieces)) = onnx::split(bytes, crate::weights::OUTPUT, nothing) else {
        return false;
    };
    assert_eq!(
        template.weights.len(),
        pieces.len(),
        "a piece for each weight"
    );
    for piece in pieces.iter().filter(|piece| piece.file.is_none()) {
        let end = piece.offset.checked_add(piece.bytes);
        assert!(
            end.is_some_and(|end| end <= bytes.len()),
            "inside of the file"
        );
    }
    // Whatever a graph says of its sizes, in blocks it is a graph or stays one.
    let Ok(template) = template.in_blocks(8) else {
        return false;
    };
    let whole = template.graph(onnx::Part::Whole);
    onnx::Filling::of(whole, onnx::Inside::Constant, |_| false).is_ok()
        && onnx::Quantized::of(&template).is_ok()
}

/// A trace of memory, JSON lines.
pub fn trace(bytes: &[u8]) -> bool {
    memory::trace::read(bytes).is_ok()
}

/// A BERT's `tokenizer.json`, as Hugging Face writes it.
pub fn tokenizer(bytes: &[u8]) -> bool {
    crate::bert::parse_tokenizer(bytes).is_ok()
}
