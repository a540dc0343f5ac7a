//! The C functions of `cpp/collectives.cpp`, and owners of their objects.
#![allow(unsafe_code)]

use super::{CollectiveError, Member};
use std::{
    ffi::{CStr, CString, c_char, c_int, c_void},
    ptr::{self, NonNull},
    time::Duration,
};
use tch::Tensor;

#[repr(C)]
struct CMeeting {
    _opaque: [u8; 0],
}

#[repr(C)]
struct CGroup {
    _opaque: [u8; 0],
}

#[repr(C)]
struct CPending {
    _opaque: [u8; 0],
}

/// A message of the C functions; null if all is well.
type Message = *mut c_char;

unsafe extern "C" {
    fn collectives_meeting(
        host: *const c_char,
        port: u16,
        serves: bool,
        timeout_ms: i64,
        out: *mut *mut CMeeting,
        bound: *mut u16,
    ) -> Message;
    fn collectives_free_meeting(meeting: *mut CMeeting);
    fn collectives_gloo(
        meeting: *mut CMeeting,
        name: *const c_char,
        host: *const c_char,
        rank: c_int,
        size: c_int,
        timeout_ms: i64,
        out: *mut *mut CGroup,
    ) -> Message;
    fn collectives_free_group(group: *mut CGroup);
    fn collectives_broadcast(
        group: *mut CGroup,
        values: *mut c_void,
        root: c_int,
        out: *mut *mut CPending,
    ) -> Message;
    fn collectives_all_gather(
        group: *mut CGroup,
        all: *mut c_void,
        part: *mut c_void,
        out: *mut *mut CPending,
    ) -> Message;
    fn collectives_all_to_all(
        group: *mut CGroup,
        received: *mut c_void,
        sent: *mut c_void,
        out: *mut *mut CPending,
    ) -> Message;
    fn collectives_barrier(group: *mut CGroup, out: *mut *mut CPending) -> Message;
    fn collectives_wait(pending: *mut CPending) -> Message;
    fn collectives_free_text(text: *mut c_char);
}

/// Turns a message into an error, and frees it. c10d adds C++ stack frames after the first line.
fn check(operation: &'static str, message: Message) -> Result<(), CollectiveError> {
    if message.is_null() {
        return Ok(());
    }
    // SAFETY: a message is a string that ends with 0, and it is freed once, after the last use.
    let text = unsafe {
        let text = CStr::from_ptr(message).to_string_lossy().into_owned();
        collectives_free_text(message);
        text
    };
    let message = text.lines().next().unwrap_or_default().to_owned();
    Err(CollectiveError { operation, message })
}

fn c_text(operation: &'static str, text: &str) -> Result<CString, CollectiveError> {
    CString::new(text).map_err(|error| CollectiveError { operation, message: error.to_string() })
}

fn milliseconds(time: Duration) -> i64 {
    i64::try_from(time.as_millis()).unwrap_or(i64::MAX)
}

/// Returns the tensor in the type of the C functions.
fn pointer(tensor: &Tensor) -> *mut c_void {
    tensor.as_ptr().cast_mut().cast()
}

/// Returns the object that a function without a message has made.
fn made<T>(out: *mut T) -> NonNull<T> {
    NonNull::new(out).expect("a C function without a message has made its object")
}

#[derive(Debug)]
pub(super) struct RawMeeting(NonNull<CMeeting>);

// SAFETY: c10d locks the store's connection in each call.
unsafe impl Send for RawMeeting {}

impl RawMeeting {
    pub(super) fn new(
        host: &str,
        port: u16,
        serves: bool,
        timeout: Duration,
    ) -> Result<(Self, u16), CollectiveError> {
        let operation = if serves { "opening a meeting of ranks" } else { "joining a meeting of ranks" };
        let host = c_text(operation, host)?;
        let (mut out, mut bound) = (ptr::null_mut(), 0);
        let timeout = milliseconds(timeout);
        // SAFETY: the text and both places for results outlive the call.
        let message =
            unsafe { collectives_meeting(host.as_ptr(), port, serves, timeout, &mut out, &mut bound) };
        check(operation, message)?;
        Ok((Self(made(out)), bound))
    }
}

impl Drop for RawMeeting {
    fn drop(&mut self) {
        // SAFETY: it is freed once. Groups keep the store that they need.
        unsafe { collectives_free_meeting(self.0.as_ptr()) }
    }
}

#[derive(Debug)]
pub(super) struct RawGroup(NonNull<CGroup>);

// SAFETY: a group may move to another thread. One thread calls it at a time, since it is not `Sync`.
unsafe impl Send for RawGroup {}

impl RawGroup {
    pub(super) fn gloo(
        meeting: &RawMeeting,
        name: &str,
        host: &str,
        member: Member,
        timeout: Duration,
    ) -> Result<Self, CollectiveError> {
        const OPERATION: &str = "forming a group of ranks";
        let (name, host) = (c_text(OPERATION, name)?, c_text(OPERATION, host)?);
        let (rank, size) = (c_int::from(member.rank), c_int::from(member.size));
        let mut out = ptr::null_mut();
        // SAFETY: the meeting, the texts and the place for the result outlive the call.
        let message = unsafe {
            collectives_gloo(
                meeting.0.as_ptr(),
                name.as_ptr(),
                host.as_ptr(),
                rank,
                size,
                milliseconds(timeout),
                &mut out,
            )
        };
        check(OPERATION, message)?;
        Ok(Self(made(out)))
    }

    pub(super) fn broadcast(&self, values: &Tensor, root: u16) -> Result<RawPending, CollectiveError> {
        // SAFETY: group and tensor outlive the call, and c10d holds the tensor's storage afterwards.
        start("broadcast between ranks", |out| unsafe {
            collectives_broadcast(self.0.as_ptr(), pointer(values), root.into(), out)
        })
    }

    pub(super) fn all_gather(&self, all: &Tensor, part: &Tensor) -> Result<RawPending, CollectiveError> {
        // SAFETY: as in `broadcast`.
        start("gathering from ranks", |out| unsafe {
            collectives_all_gather(self.0.as_ptr(), pointer(all), pointer(part), out)
        })
    }

    pub(super) fn all_to_all(&self, received: &Tensor, sent: &Tensor) -> Result<RawPending, CollectiveError> {
        // SAFETY: as in `broadcast`.
        start("exchange between ranks", |out| unsafe {
            collectives_all_to_all(self.0.as_ptr(), pointer(received), pointer(sent), out)
        })
    }

    pub(super) fn barrier(&self) -> Result<RawPending, CollectiveError> {
        // SAFETY: as in `broadcast`.
        start("waiting for ranks", |out| unsafe { collectives_barrier(self.0.as_ptr(), out) })
    }
}

impl Drop for RawGroup {
    fn drop(&mut self) {
        // SAFETY: it is freed once.
        unsafe { collectives_free_group(self.0.as_ptr()) }
    }
}

/// Starts an operation.
fn start(
    operation: &'static str,
    call: impl FnOnce(*mut *mut CPending) -> Message,
) -> Result<RawPending, CollectiveError> {
    let mut out = ptr::null_mut();
    check(operation, call(&mut out))?;
    Ok(RawPending { pending: made(out), operation })
}

#[derive(Debug)]
pub(super) struct RawPending {
    pending: NonNull<CPending>,
    operation: &'static str,
}

impl RawPending {
    pub(super) fn wait(self) -> Result<(), CollectiveError> {
        let (pending, operation) = (self.pending, self.operation);
        std::mem::forget(self); // The wait frees it.
        // SAFETY: it is freed once, here.
        check(operation, unsafe { collectives_wait(pending.as_ptr()) })
    }
}

impl Drop for RawPending {
    fn drop(&mut self) {
        // An operation that nothing waits for still uses its tensors: wait, and ignore the result.
        // SAFETY: `wait` forgets `self`, so it is freed once, here.
        let _ = check(self.operation, unsafe { collectives_wait(self.pending.as_ptr()) });
    }
}
