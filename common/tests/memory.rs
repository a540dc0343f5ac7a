//! Compression needs little memory beside the tensors: a 16th of them at most, on any number of threads.
#![allow(clippy::unwrap_used)] // A test that cannot go on should stop here.
#![allow(unsafe_code)] // A global allocator that counts is an unsafe trait.

use common::{
    chunks::Geometry,
    sparse::{Aggregation, Codec, Quantizer, Source, SparseSpec, compress_all},
};
use std::{
    alloc::{GlobalAlloc, Layout, System},
    sync::atomic::{AtomicUsize, Ordering::Relaxed},
};

/// Counts the bytes that are in use, and the most that were.
struct Counting;

static IN_USE: AtomicUsize = AtomicUsize::new(0);
static MOST: AtomicUsize = AtomicUsize::new(0);

fn take(bytes: usize) {
    MOST.fetch_max(IN_USE.fetch_add(bytes, Relaxed) + bytes, Relaxed);
}

// SAFETY: all calls go to the system's allocator unchanged; counting allocates nothing.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        take(layout.size());
        // SAFETY: as the caller promised.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        IN_USE.fetch_sub(layout.size(), Relaxed);
        // SAFETY: as the caller promised.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

#[test]
fn compression_needs_a_16th_of_the_tensors() {
    // As in a model: matrices, and vectors which are sent whole.
    let shapes: [&[usize]; 6] = [&[2048, 1024], &[1024], &[1024, 1024], &[256, 4096], &[1024], &[4096, 1024]];
    let tensors = shapes.map(|shape| Geometry::new(shape, 64).unwrap());
    let count: usize = tensors.iter().map(Geometry::len).sum();
    let delta: Vec<f32> = (0..count).map(|at| (at as f32 * 0.7).sin()).collect();
    for quantizer in Quantizer::ALL {
        let spec = SparseSpec {
            chunk: 4096,
            topk: 64,
            codec: Codec::Halving,
            quantizer,
            beta: 0.95,
            outer_lr: 1.0,
            aggregation: Aggregation::SenderMean,
            clip_growth: 1.1,
        };
        for threads in [1, 4] {
            let mut error = delta.clone();
            let before = IN_USE.load(Relaxed);
            MOST.store(before, Relaxed);
            let source = Source::Feedback { error: &mut error, pseudo_gradient: &delta };
            let sent = compress_all(source, &tensors, &spec, threads).unwrap();
            let needed = MOST.load(Relaxed) - before;
            assert_eq!(sent.len(), tensors.len());
            let most = count * size_of::<f32>() / 16;
            assert!(needed <= most, "{quantizer:?}, {threads} threads: {needed} of at most {most} bytes");
        }
    }
}
