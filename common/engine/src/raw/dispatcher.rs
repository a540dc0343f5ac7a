//! Calls operators of libtorch by name, through its stable C interface
//! (`torch/csrc/stable/c/shim.h` of 2.11.0).

use std::{
    ffi::{CStr, c_char},
    ptr,
};
use tch::{TchError, Tensor};
use torch_sys::C_tensor;

/// The version of the interface: `TORCH_VERSION_2_11_0` of `torch/csrc/stable/version.h`.
const VERSION: u64 = (2 << 56) | (11 << 48);

/// An argument of an operator: a number, a handle of a tensor or list, or 0 for an absent one.
type Value = u64;

/// A list of arguments in libtorch's memory.
#[repr(C)]
struct List {
    _opaque: [u8; 0],
}

/// A text in libtorch's memory.
#[repr(C)]
struct Text {
    _opaque: [u8; 0],
}

// All functions return 0 if they succeed. They catch libtorch's exceptions and print them to stderr. A handle
// of a tensor is a pointer to an `at::Tensor`, as in torch-sys.
unsafe extern "C" {
    fn aoti_torch_new_tensor_handle(tensor: *mut C_tensor, handle: *mut *mut C_tensor) -> i32;
    fn torch_new_list_reserve_size(size: usize, list: *mut *mut List) -> i32;
    fn torch_list_push_back(list: *mut List, value: Value) -> i32;
    fn torch_new_string_handle(bytes: *const c_char, length: usize, text: *mut *mut Text) -> i32;
    fn torch_call_dispatcher(
        operator: *const c_char,
        overload: *const c_char,
        stack: *mut Value,
        version: u64,
    ) -> i32;
}

/// Calls `_fused_adamw_`: one step of AdamW in place, with one kernel for each tensor.
///
/// `lists` are parameters, gradients, first and second moments, largest second moments (empty), and counts of
/// steps. `numbers` are learning rate, beta 1, beta 2, weight decay and epsilon.
pub(crate) fn fused_adamw(lists: [&[Tensor]; 6], numbers: [f64; 5]) -> Result<(), TchError> {
    // The order of the operator's schema. Its last four arguments: no AMSGrad, no maximization, gradients
    // without a scale, and no search for infinities.
    let mut stack: [Value; 15] = [0; 15];
    for (value, tensors) in stack.iter_mut().zip(lists) {
        *value = list(tensors)?;
    }
    for (value, number) in stack[6..].iter_mut().zip(numbers) {
        *value = number.to_bits();
    }
    call(c"aten::_fused_adamw_", &mut stack)
}

/// Calls `mkldnn::_linear_pointwise`: the product of a matrix with the transpose of another, computed by
/// oneDNN. Both are f32 on the processor, with any strides.
pub(crate) fn linear(left: &Tensor, right: &Tensor) -> Result<Tensor, TchError> {
    // The order of the operator's schema. Its other arguments: no bias, no function after the product, no
    // numbers and no algorithm for that function.
    let mut stack = [handle(left)?, handle(right)?, 0, text(c"none")?, list(&[])?, 0];
    call(c"mkldnn::_linear_pointwise", &mut stack)?;
    // SAFETY: the operator has one result. The call wrote a new handle of it to the first place.
    Ok(unsafe { Tensor::from_ptr(stack[0] as *mut C_tensor) })
}

/// Creates a text.
fn text(value: &CStr) -> Result<Value, TchError> {
    let mut text = ptr::null_mut();
    // SAFETY: libtorch copies as many bytes as there are, and writes a new handle.
    check(unsafe { torch_new_string_handle(value.as_ptr(), value.count_bytes(), &raw mut text) })?;
    Ok(text as Value)
}

/// Creates a new handle that shares the tensor's values.
fn handle(tensor: &Tensor) -> Result<Value, TchError> {
    let mut handle = ptr::null_mut();
    // SAFETY: libtorch reads the tensor and writes the handle.
    check(unsafe { aoti_torch_new_tensor_handle(tensor.as_ptr().cast_mut(), &raw mut handle) })?;
    Ok(handle as Value)
}

/// Creates a list of new handles to tensors.
fn list(tensors: &[Tensor]) -> Result<Value, TchError> {
    let mut list = ptr::null_mut();
    // SAFETY: the pointer to write to is valid.
    check(unsafe { torch_new_list_reserve_size(tensors.len(), &raw mut list) })?;
    for tensor in tensors {
        let handle = handle(tensor)?;
        // SAFETY: the list is valid. It owns the handle from then on.
        check(unsafe { torch_list_push_back(list, handle) })?;
    }
    Ok(list as Value)
}

/// Calls an operator. It takes what is on the stack, and writes its results there.
fn call(operator: &CStr, stack: &mut [Value]) -> Result<(), TchError> {
    // SAFETY: the stack has the arguments of the operator's schema, in order: the caller says so. libtorch
    // owns them from then on.
    check(unsafe { torch_call_dispatcher(operator.as_ptr(), c"".as_ptr(), stack.as_mut_ptr(), VERSION) })
}

fn check(status: i32) -> Result<(), TchError> {
    match status {
        0 => Ok(()),
        _ => Err(TchError::Torch("an operator of libtorch failed; its message is on stderr".to_owned())),
    }
}
