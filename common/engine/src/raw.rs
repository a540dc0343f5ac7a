//! All of the engine's unsafe code: a library loaded at run time, files and tensors seen as slices.
#![allow(unsafe_code)]

use libloading::os::unix::{Library, RTLD_GLOBAL, RTLD_NOW};
use memmap2::Mmap;
use std::{fs::File, io, mem};
use tch::{Device, Kind, Tensor};

/// Loads libtorch's CUDA half for the life of the process, and says why it could not.
///
/// Programs are linked against the CPU half alone, so that they start on machines without NVIDIA's libraries.
pub(crate) fn load_cuda() -> Result<(), libloading::Error> {
    // SAFETY: its initialisers register kernels with the libtorch that is already loaded, which is what they are for;
    // it is the same build, found beside it by the same search path.
    let library = unsafe { Library::open(Some("libtorch_cuda.so"), RTLD_NOW | RTLD_GLOBAL) }?;
    mem::forget(library); // What it has registered stays in use.
    Ok(())
}

/// A file as a slice, without reading it.
pub(crate) fn map(file: &File) -> io::Result<Mmap> {
    // SAFETY: the bytes may change while they are seen as a slice if somebody else writes to the file. These are the
    // node's own files, written once under a temporary name and never changed after; all bytes are read as plain
    // numbers, for which any value is valid.
    unsafe { Mmap::map(file) }
}

/// The values of a contiguous f32 tensor in this process's memory; `None` for any other. The tensor must share its memory
/// with no other that is used meanwhile.
pub(crate) fn floats_mut(tensor: &mut Tensor) -> Option<&mut [f32]> {
    let is_plain = tensor.kind() == Kind::Float && tensor.device() == Device::Cpu && tensor.is_contiguous();
    let data = tensor.data_ptr().cast::<f32>();
    if !is_plain || data.is_null() {
        return None;
    }
    // SAFETY: libtorch keeps `numel` aligned f32 there for as long as the tensor lives. Tensors that share this memory
    // belong to the same owner, on the same thread, and libtorch's own threads are idle between two calls.
    Some(unsafe { std::slice::from_raw_parts_mut(data, tensor.numel()) })
}
