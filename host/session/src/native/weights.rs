//! Weights that a session borrows instead of owning: each initializer of a
//! template aliases its place in a block of the slab.

use std::ffi::CString;
use std::ptr::NonNull;

use ort::AsPointer;
use ort::session::builder::SessionBuilder;
use ort::sys;

use crate::error::Error;
use crate::native::reservation::Kind;
use crate::native::tensors::{Block, check};
use crate::onnx::{Element, Weight};

/// The values that name the borrowed places. ONNX Runtime keeps their
/// addresses: they stay as long as the session, and the block longer.
pub(crate) struct Bound {
    values: Vec<NonNull<sys::OrtValue>>,
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

/// Binds every weight to its offset in `block`. The caller keeps block and
/// answer longer than the session.
///
/// Both calls are needed: `AddInitializer` makes the session use the memory
/// in place, `AddExternalInitializers` keeps it from looking for the file
/// that the template names.
#[expect(unsafe_code, reason = "ONNX Runtime's C interface")]
pub(crate) fn bind<'w>(
    builder: &mut SessionBuilder,
    kind: Kind,
    block: &Block,
    weights: impl Iterator<Item = &'w Weight>,
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
    let bind_all = || {
        let mut bound = Bound { values: Vec::new() };
        for weight in weights {
            let name = CString::new(weight.name.as_str())
                .map_err(|_| Error::Open("a weight's name has a zero byte".to_owned()))?;
            let mut value = std::ptr::null_mut();
            // SAFETY: the place lies inside the block, which outlives the
            // value; shape and out-pointer are valid for the call.
            check(unsafe {
                (api.CreateTensorWithDataAsOrtValue)(
                    info,
                    block.pointer(weight.offset).cast(),
                    weight.bytes,
                    weight.dims.as_ptr(),
                    weight.dims.len(),
                    element_type(weight.element),
                    &raw mut value,
                )
            })?;
            let value = NonNull::new(value)
                .ok_or_else(|| Error::Open("a weight could not be bound".to_owned()))?;
            bound.values.push(value);
            let (names, values) = (name.as_ptr(), value.as_ptr().cast_const());
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
                    &raw const values,
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
    }
    result
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
