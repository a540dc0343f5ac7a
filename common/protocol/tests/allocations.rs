//! Checks that hot loops do not allocate per chunk: sixteen times the chunks cost only a few more
//! allocations, as buffers grow.
#![allow(clippy::unwrap_used)] // A test that cannot go on should stop here.
#![allow(unsafe_code)] // A global allocator that counts is an unsafe trait.

#[allow(dead_code)] // Other tests need more of them.
#[path = "hostile/submissions.rs"]
mod submissions;

use codec::{
    aggregate::{ClipBounds, FullWork, outer_step},
    feedback,
    sparse::{Quantizer, compress},
    submission::{Header, Submission, SubmissionLayout, TRAILER_BYTES, encode},
};
use std::{
    alloc::{GlobalAlloc, Layout as Memory, System},
    cell::Cell,
    sync::Arc,
};
use submissions::{SENDER, expected, layout, sign};

/// Bounds that clip nothing.
const BOUNDS: ClipBounds<'_> = ClipBounds { last: None, full: FullWork { travel: 1e30, samples: 1 } };

/// An allocator that counts the allocations of each thread and the bytes that it holds.
struct Counting;

thread_local! {
    static COUNT: Cell<u64> = const { Cell::new(0) };
    /// The bytes allocated now. A thread may free memory that another thread allocated.
    static HELD: Cell<i64> = const { Cell::new(0) };
    /// The most bytes allocated at once.
    static MOST: Cell<i64> = const { Cell::new(0) };
}

fn count() {
    COUNT.with(|count| count.set(count.get() + 1));
}

fn hold(bytes: i64) {
    let held = HELD.with(|held| {
        held.set(held.get() + bytes);
        held.get()
    });
    MOST.with(|most| most.set(most.get().max(held)));
}

// SAFETY: all calls go to the system's allocator unchanged; the count is a thread's own and never allocates.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, memory: Memory) -> *mut u8 {
        count();
        hold(memory.size() as i64);
        // SAFETY: as the caller promised.
        unsafe { System.alloc(memory) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, memory: Memory) {
        hold(-(memory.size() as i64));
        // SAFETY: as the caller promised.
        unsafe { System.dealloc(pointer, memory) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, memory: Memory, size: usize) -> *mut u8 {
        count();
        hold(size as i64 - memory.size() as i64);
        // SAFETY: as the caller promised.
        unsafe { System.realloc(pointer, memory, size) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// Returns the number of allocations that `work` makes on this thread, and its result.
fn allocations<T>(work: impl FnOnce() -> T) -> (u64, T) {
    let before = COUNT.with(Cell::get);
    let result = work();
    (COUNT.with(Cell::get) - before, result)
}

/// Returns the most bytes that `work` holds at once on this thread, beyond those held before, and its result.
fn most_held<T>(work: impl FnOnce() -> T) -> (i64, T) {
    let before = HELD.with(Cell::get);
    MOST.with(|most| most.set(before));
    let result = work();
    (MOST.with(Cell::get) - before, result)
}

/// Returns a run's layout for a matrix of `bands` x 4 chunks.
fn matrix(quantizer: Quantizer, bands: usize) -> Arc<SubmissionLayout> {
    layout(quantizer, [64, 4096], &[&[64 * bands, 256]])
}

/// Returns the number of allocations of each step for a matrix of `bands` x 4 chunks.
fn each_step(bands: usize, quantizer: Quantizer) -> [(&'static str, u64); 6] {
    let layout = matrix(quantizer, bands);
    let expected = expected(&SENDER, false);
    let spec = *layout.spec();
    let geometry = *layout.tensors()[0].geometry();
    let values: Vec<f32> = (0..geometry.len()).map(|at| (at as f32 * 0.7).sin()).collect();
    let header = Header::new(&expected, 160, &layout);

    let (compressing, sent) = allocations(|| compress(&values, &geometry, &spec).unwrap());
    let (settling, ()) = allocations(|| feedback::settle(&mut values.clone(), &geometry, &sent));
    let sent = [sent];
    let (encoding, bytes) = allocations(|| encode(&layout, &header, &sent, &SENDER).unwrap());
    let (checking, submission) =
        allocations(|| Submission::open(bytes, Arc::clone(&layout), &expected).unwrap());
    let (decoding, decoded) = allocations(|| submission.tensor(0).unwrap());
    assert_eq!(decoded, sent[0]);
    let mut parameters = values;
    let accepted = [submission];
    let (aggregating, _) = allocations(|| outer_step(&mut [&mut parameters], &accepted, BOUNDS, 1).unwrap());
    [
        ("compressing", compressing),
        ("settling", settling),
        ("encoding", encoding),
        ("checking", checking),
        ("decoding", decoding),
        ("aggregating", aggregating),
    ]
}

#[test]
fn hot_loops_do_not_allocate_per_chunk() {
    for quantizer in Quantizer::ALL {
        let few = each_step(4, quantizer);
        let many = each_step(64, quantizer);
        for ((step, few), (_, many)) in few.into_iter().zip(many) {
            assert!(few > 0, "{step} allocates something: the counter counts");
            assert!(
                many <= few + 16,
                "{quantizer:?}: {step} of 16 and 256 chunks: {few} and {many} allocations"
            );
        }
    }
}

/// Checks hostile bodies with valid signatures. Checking one takes no more memory than an honest
/// body of the run. Decoding and adding take little more than the parameters.
#[test]
fn hostile_bodies_take_no_more_memory_than_true_ones() {
    for quantizer in Quantizer::ALL {
        let layout = matrix(quantizer, 256);
        let expected = expected(&SENDER, false);
        let geometry = *layout.tensors()[0].geometry();
        let mut values: Vec<f32> = (0..geometry.len()).map(|at| (at as f32 * 0.7).sin()).collect();
        let sent = [compress(&values, &geometry, layout.spec()).unwrap()];
        let bytes = encode(&layout, &Header::new(&expected, 160, &layout), &sent, &SENDER).unwrap();
        let open = |bytes: &[u8]| {
            most_held(|| Submission::open(bytes.to_vec(), Arc::clone(&layout), &expected).map(|_| ()))
        };
        let (most, checked) = open(&bytes);
        assert!(checked.is_ok());
        assert!(most < bytes.len() as i64 + (1 << 20), "{quantizer:?}: {most}");
        for step in 0..300usize {
            let mut hostile = bytes[..bytes.len() - TRAILER_BYTES].to_vec();
            let length = hostile.len();
            // Change bytes somewhere after the header and the table: from a few bytes to all that follow.
            let at = 304 + step * 7919 % (length - 304);
            let end = length.min(at + (1 << (step % 20)));
            hostile[at..end].iter_mut().enumerate().for_each(|(at, byte)| *byte ^= (at * step + 255) as u8);
            let (held, _) = open(&sign(&hostile));
            assert!(held <= most + 4096, "{quantizer:?}, {step}: {held} of {most}");
        }
        let accepted = [Submission::open(bytes, Arc::clone(&layout), &expected).unwrap()];
        let (held, _) = most_held(|| outer_step(&mut [&mut values], &accepted, BOUNDS, 1).unwrap());
        assert!(held < 1 << 20, "{quantizer:?}: {held}");
    }
}
