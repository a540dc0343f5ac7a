//! Starts libtorch: loads its CUDA half first, then counts the GPUs.

use crate::{error::EngineError, raw};
use std::{hint::black_box, sync::OnceLock};
use tch::{Cuda, Device};

/// The device of a model.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Place {
    /// The first GPU if there is one, else the CPU.
    #[default]
    Auto,
    /// The CPU.
    Cpu,
    /// A GPU, numbered from 0.
    Gpu(usize),
}

/// Loads libtorch's CUDA half once, if it is installed, and returns the number of usable GPUs.
///
/// All code in this crate calls this before it calls libtorch. The first query about CUDA decides for
/// the whole process whether CUDA is available.
pub fn init_torch() -> i64 {
    static GPUS: OnceLock<i64> = OnceLock::new();
    *GPUS.get_or_init(|| {
        match raw::load_cuda() {
            Ok(()) => tracing::debug!(target: "engine", "libtorch_cuda is loaded"),
            Err(error) => tracing::debug!(target: "engine", error = %base::ErrorChain(&error), "computing without libtorch_cuda"),
        }
        Cuda::device_count()
    })
}

impl Place {
    /// Returns the device in libtorch's type.
    pub(crate) fn device(self) -> Result<Device, EngineError> {
        let found = init_torch();
        match self {
            Self::Auto if found > 0 => Ok(Device::Cuda(0)),
            Self::Auto | Self::Cpu => Ok(Device::Cpu),
            Self::Gpu(wanted) if i64::try_from(wanted).is_ok_and(|wanted| wanted < found) => {
                Ok(Device::Cuda(wanted))
            }
            Self::Gpu(wanted) => Err(EngineError::Device { wanted, found }),
        }
    }
}

/// Checks that this thread computes with denormal numbers, as IEEE 754 requires.
pub(crate) fn check_denormals() -> Result<(), EngineError> {
    let half = black_box(f32::MIN_POSITIVE) * black_box(0.5);
    if black_box(half) * black_box(2.0) == f32::MIN_POSITIVE { Ok(()) } else { Err(EngineError::Denormals) }
}
