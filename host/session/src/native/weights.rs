//! Weights that a session borrows instead of owning: each initializer of a
//! template aliases its place in a block of the slab.

use std::ffi::CString;
use std::ptr::NonNull;

use ort::AsPointer;
use ort::session::builder::SessionBuilder;
use ort::sys;

use crate::error::Error;
use crate::native::reservation::Kind;
use crate::native::tensors::check;
use crate::onnx::{Element, Shapes, Weight};

/// The values that name the borrowed places. ONNX Runtime keeps their
/// addresses: they stay as long as the session, and the block longer.
pub(crate) struct Bound {
    values: Vec<NonNull<sys::OrtValue>>,
    /// What some of them lie over, instead of a device's memory.
    _zeros: Option<memmap2::Mmap>,
}

#[expect(unsafe_code, reason = "handles that are only released; see SAFETY")]
// SAFETY: the handles are never used, only released once, from any thread.
unsafe impl Send for Bound {}
#[expect(unsafe_code, reason = "as above")]
// SAFETY: as above.
unsafe impl Sync for Bound {}

impl Drop for Bound {
    fn drop(&mut self) {
        for value in &self.values {
            #[expect(unsafe_code, reason = "ONNX Runtime's C interface")]
            // SAFETY: made by `bind` and released once.
            unsafe {
                (ort::api().ReleaseValue)(value.as_ptr());
            }
        }
    }
}

/// Binds every weight to the bytes at its `place`, those in `shapes` under
/// another shape of as many elements. The caller keeps the bytes and the answer
/// longer than the session.
///
/// Both calls are needed: `AddInitializer` makes the session use the memory
/// in place, `AddExternalInitializers` keeps it from looking for the file
/// that the template names. What the second is given is copied on the host,
/// whatever memory it lies in: of a device's it gets zeros of that shape, and
/// the session uses what the first was given.
#[expect(unsafe_code, reason = "ONNX Runtime's C interface")]
pub(crate) fn bind<'w>(
    builder: &mut SessionBuilder,
    kind: Kind,
    place: impl Fn(&Weight) -> *mut u8,
    weights: impl Iterator<Item = &'w Weight>,
    shapes: &Shapes,
) -> Result<Bound, Error> {
    let api = ort::api();
    let mut info = std::ptr::null_mut();
    let device = sys::OrtAllocatorType::OrtDeviceAllocator;
    let usual = sys::OrtMemType::OrtMemTypeDefault;
    // SAFETY: names and out-pointer are valid for the call.
    check(unsafe {
        match kind {
            Kind::Cuda(number) => {
                (api.CreateMemoryInfo)(c"Cuda".as_ptr(), device, number, usual, &raw mut info)
            }
            Kind::Cpu | Kind::Pinned(_) => (api.CreateCpuMemoryInfo)(device, usual, &raw mut info),
        }
    })?;
    let mut host_info = std::ptr::null_mut();
    // SAFETY: the out-pointer is valid for the call.
    check(unsafe { (api.CreateCpuMemoryInfo)(device, usual, &raw mut host_info) })?;
    let weights: Vec<_> = weights.collect();
    let zeros = match kind {
        Kind::Cuda(_) => {
            let largest = weights.iter().map(|weight| weight.bytes).max();
            Some(zeros(largest.unwrap_or(0))?)
        }
        Kind::Cpu | Kind::Pinned(_) => None,
    };
    let bind_all = || {
        let mut bound = Bound {
            values: Vec::new(),
            _zeros: None,
        };
        for weight in weights {
            let name = CString::new(weight.name.as_str())
                .map_err(|_| Error::Open("a weight's name has a zero byte".to_owned()))?;
            let dims = shapes.get(&weight.name).unwrap_or(&weight.dims);
            let value = value_over(info, place(weight), weight, dims)?;
            bound.values.push(value);
            let instead = match &zeros {
                None => value,
                Some(zeros) => {
                    // Read only, and as long as the largest.
                    let instead = value_over(host_info, zeros.as_ptr().cast_mut(), weight, dims)?;
                    bound.values.push(instead);
                    instead
                }
            };
            let (names, values) = (name.as_ptr(), value.as_ptr().cast_const());
            let instead = instead.as_ptr().cast_const();
            // SAFETY: names and values are valid for the calls; ONNX Runtime
            // copies the names and keeps the values, which `Bound` holds.
            unsafe {
                check((api.AddInitializer)(
                    builder.ptr().cast_mut(),
                    names,
                    values,
                ))?;
                check((api.AddExternalInitializers)(
                    builder.ptr().cast_mut(),
                    &raw const names,
                    &raw const instead,
                    1,
                ))?;
            }
        }
        Ok(bound)
    };
    let result = bind_all();
    // SAFETY: made above, and no longer used.
    unsafe {
        (api.ReleaseMemoryInfo)(info);
        (api.ReleaseMemoryInfo)(host_info);
    }
    result.map(|mut bound| {
        bound._zeros = zeros;
        bound
    })
}

/// Pages that nobody writes take no memory.
fn zeros(bytes: usize) -> Result<memmap2::Mmap, Error> {
    let map = memmap2::MmapOptions::new()
        .len(bytes.max(1))
        .no_reserve_swap()
        .map_anon();
    map.and_then(memmap2::MmapMut::make_read_only)
        .map_err(|e| Error::Open(format!("no addresses for {bytes} bytes of zeros: {e}")))
}

/// A tensor over memory that outlives it.
#[expect(unsafe_code, reason = "ONNX Runtime's C interface")]
fn value_over(
    info: *const sys::OrtMemoryInfo,
    place: *mut u8,
    weight: &Weight,
    dims: &[i64],
) -> Result<NonNull<sys::OrtValue>, Error> {
    let mut value = std::ptr::null_mut();
    // SAFETY: the place has the weight's bytes and outlives the value, as the
    // caller says; shape and out-pointer are valid for the call.
    check(unsafe {
        (ort::api().CreateTensorWithDataAsOrtValue)(
            info,
            place.cast(),
            weight.bytes,
            dims.as_ptr(),
            dims.len(),
            element_type(weight.element),
            &raw mut value,
        )
    })?;
    NonNull::new(value).ok_or_else(|| Error::Open("a weight could not be bound".to_owned()))
}

fn element_type(element: Element) -> sys::ONNXTensorElementDataType {
    use sys::ONNXTensorElementDataType as Type;
    match element {
        Element::Float => Type::ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT,
        Element::Float16 => Type::ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT16,
        Element::BFloat16 => Type::ONNX_TENSOR_ELEMENT_DATA_TYPE_BFLOAT16,
        Element::Int8 => Type::ONNX_TENSOR_ELEMENT_DATA_TYPE_INT8,
        Element::Uint8 => Type::ONNX_TENSOR_ELEMENT_DATA_TYPE_UINT8,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::device::Device;
    use crate::library_of_tests::library;
    use crate::onnx::Part;
    use crate::placement::Placement;
    use crate::runtime::Runtime;
    use crate::settings::Settings;
    use crate::source::Source;
    use crate::weights::Weights;

    /// A device's memory cannot be read from the host. Here are pages that
    /// nobody may read, under the name of a device's.
    #[test]
    #[expect(unsafe_code, reason = "pages without permissions")]
    fn a_session_opens_without_a_look_at_a_devices_memory() {
        let runtime = Runtime::start(&library()).expect("ONNX Runtime starts");
        let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
        let graph = Source::Path(folder.join("../../tests/fixtures/decoded.onnx"));
        let graph = graph.graph().expect("a fixture");
        let (template, _) = Weights::split(&graph).expect("a graph");
        // SAFETY: new pages, which nobody else knows.
        let pages = unsafe {
            libc::mmap(
                std::ptr::null_mut(),
                template.blob_bytes,
                libc::PROT_NONE,
                libc::MAP_PRIVATE | libc::MAP_ANONYMOUS,
                -1,
                0,
            )
        };
        assert_ne!(pages, libc::MAP_FAILED);
        let settings = Settings {
            device: Device::Cpu,
            ..Settings::default()
        };
        let mut builder = runtime
            .builder(&settings, &Placement::Arena, true)
            .expect("a builder");
        let _bound = bind(
            &mut builder,
            Kind::Cuda(0),
            |weight| pages.cast::<u8>().wrapping_add(weight.offset),
            template.weights_of(Part::Whole),
            &Shapes::new(),
        )
        .expect("bound");
        let session = builder.commit_from_memory(template.graph(Part::Whole));
        assert!(session.is_ok(), "{:?}", session.err());
        // To the processor that memory is none of its own.
        let said = crate::runtime::ignored().expect("and that is noticed");
        assert!(said.contains("name:Cuda"), "{said}");
    }
}
