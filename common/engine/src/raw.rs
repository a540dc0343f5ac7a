//! All unsafe code of the engine: a library loaded at run time, files and tensors used as slices, and
//! operators of libtorch that `tch` lacks.
#![allow(unsafe_code)]

mod dispatcher;

pub(crate) use dispatcher::{fused_adamw, linear};

use libloading::os::unix::{Library, RTLD_GLOBAL, RTLD_NOW};
use memmap2::Mmap;
use std::{fs::File, io, mem};
use tch::{Device, Kind, Tensor};

/// Loads libtorch's CUDA half for the life of the process. The error says why it cannot.
///
/// Programs link against the CPU half only, so that they start on machines without NVIDIA's libraries.
pub(crate) fn load_cuda() -> Result<(), libloading::Error> {
    // SAFETY: the library's initialisers register kernels with the libtorch that is already loaded,
    // which is their purpose. Both halves are of the same build, found in the same folder by the same
    // search path.
    let library = unsafe { Library::open(Some("libtorch_cuda.so"), RTLD_NOW | RTLD_GLOBAL) }?;
    mem::forget(library); // The registered kernels stay in use.
    Ok(())
}

/// Returns the gaps in the heap to the system. They are large: libtorch's aligned allocations rarely fit into
/// the space of those before them. Without glibc, it does nothing.
pub(crate) fn release_gaps() {
    #[cfg(target_env = "gnu")]
    {
        unsafe extern "C" {
            fn malloc_trim(keep: usize) -> i32;
        }
        // SAFETY: glibc's function may be called at any time, from any thread.
        unsafe { malloc_trim(0) };
    }
}

/// Maps a file into memory as a slice, without reading it.
pub(crate) fn map(file: &File) -> io::Result<Mmap> {
    // SAFETY: if another process writes to the file, the bytes change while they are used as a slice.
    // These are the node's own files. They are written once under a temporary name and never changed
    // afterwards. All bytes are read as plain numbers, for which any value is valid.
    unsafe { Mmap::map(file) }
}

/// Returns the values of a contiguous f32 tensor in this process's memory, or `None` for any other tensor.
pub(crate) fn floats(tensor: &Tensor) -> Option<&[f32]> {
    let data = data(tensor)?;
    // SAFETY: see `data`. The tensor is borrowed meanwhile.
    Some(unsafe { std::slice::from_raw_parts(data, tensor.numel()) })
}

/// Returns the values of such a tensor, to write them.
pub(crate) fn floats_mut(tensor: &mut Tensor) -> Option<&mut [f32]> {
    let data = data(tensor)?;
    // SAFETY: see `data`. The tensor is borrowed mutably meanwhile.
    Some(unsafe { std::slice::from_raw_parts_mut(data, tensor.numel()) })
}

/// Returns where the values of a contiguous f32 tensor in this process's memory are.
///
/// libtorch keeps `numel` aligned f32 values there for as long as the tensor lives. While they are used as a
/// slice, no other tensor that shares this memory may be written. Such tensors belong to the same owner, on
/// the same thread. Between two calls, libtorch's own threads are idle.
fn data(tensor: &Tensor) -> Option<*mut f32> {
    let is_plain = tensor.kind() == Kind::Float && tensor.device() == Device::Cpu && tensor.is_contiguous();
    let data = tensor.data_ptr().cast::<f32>();
    (is_plain && !data.is_null()).then_some(data)
}
