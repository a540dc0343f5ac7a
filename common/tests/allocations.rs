//! Hot loops do not allocate per chunk: sixteen times the chunks cost a few allocations more, by which buffers grow.
#![allow(clippy::unwrap_used)] // A test that cannot go on should stop here.
#![allow(unsafe_code)] // A global allocator that counts is an unsafe trait.

use common::{
    Height, NeuronId, Window,
    aggregate::{Update, step_tensor, trial_step},
    digest::{RunHash, State},
    feedback,
    model::{Role, TensorSpec},
    signature::SigningKey,
    sparse::{Aggregation, Codec, Quantizer, SparseSpec, compress},
    submission::{Expected, Header, Layout, Submission, encode},
};
use std::{
    alloc::{GlobalAlloc, Layout as Memory, System},
    cell::Cell,
    sync::Arc,
};

/// Counts the allocations of each thread.
struct Counting;

thread_local! {
    static COUNT: Cell<u64> = const { Cell::new(0) };
}

fn count() {
    COUNT.with(|count| count.set(count.get() + 1));
}

// SAFETY: all calls go to the system's allocator unchanged; the count is a thread's own and never allocates.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, memory: Memory) -> *mut u8 {
        count();
        // SAFETY: as the caller promised.
        unsafe { System.alloc(memory) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, memory: Memory) {
        // SAFETY: as the caller promised.
        unsafe { System.dealloc(pointer, memory) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, memory: Memory, size: usize) -> *mut u8 {
        count();
        // SAFETY: as the caller promised.
        unsafe { System.realloc(pointer, memory, size) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// The allocations that `work` makes on this thread.
fn allocations<T>(work: impl FnOnce() -> T) -> (u64, T) {
    let before = COUNT.with(Cell::get);
    let result = work();
    (COUNT.with(Cell::get) - before, result)
}

/// The allocations of each step for a matrix of `bands` x 4 chunks.
fn each_step(bands: usize, quantizer: Quantizer) -> [(&'static str, u64); 7] {
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
    let tensor = TensorSpec { name: "a".to_owned(), shape: vec![64 * bands, 256], role: Role::Matrix };
    let layout = Arc::new(Layout::new(&[tensor], &spec).unwrap());
    let geometry = *layout.tensors()[0].geometry();
    let values: Vec<f32> = (0..geometry.len()).map(|at| (at as f32 * 0.7).sin()).collect();
    let secret = schnorrkel::MiniSecretKey::from_bytes(&[7; 32]).unwrap();
    let secret = secret.expand(schnorrkel::ExpansionMode::Ed25519);
    let key = SigningKey::from_bytes(&secret.to_bytes()).unwrap();
    let neuron = NeuronId { hotkey: key.hotkey(), registered: Height(0) };
    let expected = Expected {
        run: RunHash([1; 32]),
        spec: RunHash([1; 32]),
        neuron,
        window: Window(0),
        base: State([0; 32]),
        least_samples: 0,
    };
    let header = Header::new(&expected, 0, &layout);

    let (compressing, sent) = allocations(|| compress(&values, &geometry, &spec).unwrap());
    let (settling, ()) = allocations(|| feedback::settle(&mut values.clone(), &geometry, &sent));
    let sent = [sent];
    let (encoding, bytes) = allocations(|| encode(&layout, &header, &sent, &key).unwrap());
    let (checking, submission) =
        allocations(|| Submission::open(bytes, Arc::clone(&layout), &expected).unwrap());
    let (decoding, decoded) = allocations(|| submission.tensor(0).unwrap());
    assert_eq!(decoded, sent[0]);
    let mut parameters = values;
    let (trying, _) = allocations(|| trial_step(&mut parameters, &geometry, &decoded, 1.0, 0.1));
    let update = Update { neuron, tensor: &decoded };
    let (stepping, _) =
        allocations(|| step_tensor(&mut parameters, &geometry, &spec, &[update], None, 1).unwrap());
    [
        ("compressing", compressing),
        ("settling", settling),
        ("encoding", encoding),
        ("checking", checking),
        ("decoding", decoding),
        ("trying", trying),
        ("stepping", stepping),
    ]
}

#[test]
fn hot_loops_do_not_allocate_per_chunk() {
    for quantizer in [Quantizer::Templar, Quantizer::SignCentroid, Quantizer::F32] {
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
