//! Which device the models run on.

use nvml_wrapper::Nvml;

use crate::device::{Device, Wanted};
use crate::error::Error;
use crate::events;
use crate::runtime::Runtime;

/// Decides. That ONNX Runtime's build has a CUDA provider says nothing of a
/// GPU, so the driver itself is asked.
pub(crate) fn choose(wanted: Wanted, runtime: &Runtime) -> Result<Device, Error> {
    if wanted == Wanted::Cpu {
        events::device_chosen(&Device::Cpu, "configured");
        return Ok(Device::Cpu);
    }
    let found = driver().and_then(|()| runtime.cuda_provider());
    match (found, wanted) {
        (Ok(()), _) => {
            events::device_chosen(&Device::Cuda(0), "a driver answers");
            Ok(Device::Cuda(0))
        }
        (Err(why), Wanted::Cuda) => Err(Error::Device(format!(
            "`models.device` is \"cuda\", but {why}; \"cpu\" or \"auto\" would run on the processor"
        ))),
        (Err(why), _) => {
            events::device_chosen(&Device::Cpu, &why);
            Ok(Device::Cpu)
        }
    }
}

/// Whether an NVIDIA driver answers and has a GPU.
fn driver() -> Result<(), String> {
    let nvml = Nvml::init().map_err(|e| format!("no NVIDIA driver answers ({e})"))?;
    match nvml.device_count() {
        Ok(0) => Err("the NVIDIA driver has no GPU".to_owned()),
        Ok(_) => Ok(()),
        Err(e) => Err(format!("the NVIDIA driver does not count its GPUs ({e})")),
    }
}
