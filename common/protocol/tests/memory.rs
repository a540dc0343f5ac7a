//! Checks the memory needed besides the inputs. Compression needs a 16th of the tensors. Opening
//! and adding submissions need a fixed amount each. Parsers need no more than the existing bytes
//! can fill, whatever lengths these state.
#![allow(clippy::unwrap_used)] // A test that cannot go on should stop here.
#![allow(unsafe_code)] // A global allocator that counts is an unsafe trait.

#[allow(dead_code)] // Other tests need more of them.
#[path = "hostile/objects.rs"]
mod objects;

use base::{commitment::Commitment, key_file::KeyFile, tensor::TensorRole, tensor::TensorSpec};
use codec::{
    aggregate::{ClipBounds, FullWork, outer_step},
    chunks::Geometry,
    sparse::{Quantizer, Source, compress, compress_all},
    submission::{Header, Sealed, Submission, SubmissionLayout, encode},
};
use objects::*;
use parity_scale_codec::Encode as _;
use protocol::{
    announcement::{self, Record},
    checkpoint, dataset,
    history::WindowRecord,
    progress::Progress,
    run_spec::{RunFile, RunSpec},
};
use scoring::score_log::ScoreLog;
use std::{
    alloc::{GlobalAlloc, Layout, System},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
};

/// Bounds that clip nothing.
const BOUNDS: ClipBounds<'_> = ClipBounds { last: None, full: FullWork { travel: 1e30, samples: 1 } };

/// An allocator that counts the bytes in use and their maximum.
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

/// A lock that runs one test at a time, since all of the process's memory is counted.
static ALONE: Mutex<()> = Mutex::new(());

fn alone() -> MutexGuard<'static, ()> {
    ALONE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Returns the result of `work`, and the most bytes in use meanwhile beyond those in use before.
fn needed<T>(work: impl FnOnce() -> T) -> (T, usize) {
    let before = IN_USE.load(Relaxed);
    MOST.store(before, Relaxed);
    let made = work();
    (made, MOST.load(Relaxed) - before)
}

#[test]
fn compression_needs_a_16th_of_the_tensors() {
    let _alone = alone();
    // As in a model: matrices, and vectors, which are sent whole.
    let shapes: [&[usize]; 6] = [&[2048, 1024], &[1024], &[1024, 1024], &[256, 4096], &[1024], &[4096, 1024]];
    let tensors = shapes.map(|shape| Geometry::new(shape, 64).unwrap());
    let count: usize = tensors.iter().map(Geometry::len).sum();
    let delta: Vec<f32> = (0..count).map(|at| (at as f32 * 0.7).sin()).collect();
    for quantizer in Quantizer::ALL {
        for threads in [1, 4] {
            let mut error = delta.clone();
            let source = Source::Feedback { error: &mut error, pseudo_gradient: &delta };
            let (sent, needed) =
                needed(|| compress_all(source, &tensors, &spec(quantizer, [64, 4096]), threads).unwrap());
            assert_eq!(sent.len(), tensors.len());
            let most = count * size_of::<f32>() / 16;
            assert!(needed <= most, "{quantizer:?}, {threads} threads: {needed} of at most {most} bytes");
        }
    }
}

/// Checks sixteen submissions of a tensor of 4 and of 16 MiB: the memory needed besides them and
/// the parameters is the same.
#[test]
fn opening_and_adding_need_a_fixed_amount() {
    const PEERS: usize = 16;
    let _alone = alone();
    for quantizer in Quantizer::ALL {
        for rows in [1024, 4096] {
            let tensor =
                TensorSpec { name: "a".to_owned(), shape: vec![rows, 1024], role: TensorRole::Matrix };
            let layout = Arc::new(SubmissionLayout::new(&[tensor], &spec(quantizer, [64, 4096])).unwrap());
            let geometry = *layout.tensors()[0].geometry();
            let values: Vec<f32> = (0..geometry.len()).map(|at| (at as f32 * 0.7).sin()).collect();
            let sent = compress(&values, &geometry, layout.spec()).unwrap();
            let written = (0..PEERS as u8).map(|peer| {
                let key = key(peer + 1);
                let header = Header::new(&expected(&key, false), 160, &layout);
                (encode(&layout, &header, std::slice::from_ref(&sent), &key).unwrap(), expected(&key, false))
            });
            let written: Vec<_> = written.collect();
            let (accepted, opening) = needed(|| {
                let open =
                    |(bytes, expected)| Submission::open(bytes, Arc::clone(&layout), &expected).unwrap();
                written.into_iter().map(open).collect::<Vec<_>>()
            });
            assert!(opening <= 1 << 20, "{quantizer:?}, {rows} rows: {opening} bytes for opening");
            for threads in [1, 4] {
                let mut parameters = values.clone();
                let (_, adding) =
                    needed(|| outer_step(&mut [&mut parameters], &accepted, BOUNDS, threads).unwrap());
                // Groups of 4096 values of each submission, and the sums of a chunk.
                let most = threads * PEERS * 4096 * 8 + (1 << 20);
                assert!(adding <= most, "{quantizer:?}, {rows} rows, {threads} threads: {adding} of {most}");
            }
        }
    }
}

/// A parser and a valid input for it.
type Parser = (&'static str, Vec<u8>, fn(&[u8]));

fn parsers() -> Vec<Parser> {
    fn open(bytes: &[u8], layout: usize) {
        let bytes = repaired(bytes.to_vec());
        let _ = Submission::open(bytes, Arc::clone(&LAYOUTS[layout]), &expected(&SENDER, false));
    }
    let submissions: [fn(&[u8]); LAYOUT_COUNT] =
        [|b| open(b, 0), |b| open(b, 1), |b| open(b, 2), |b| open(b, 3), |b| open(b, 4), |b| open(b, 5)];
    let submissions =
        submissions.into_iter().zip(&*VALID).map(|(open, valid)| ("submission", valid.bytes.clone(), open));
    let commitment = commitment(s3(), Some(Record::Vote(vote()))).encode();
    let run_spec = run_spec().to_bytes();
    let run_file = launched().to_toml().unwrap().into_bytes();
    let others: [Parser; 13] = [
        ("sealed submission", UPLOAD.bytes.clone(), |bytes| {
            let layout = Arc::clone(&LAYOUTS[1]);
            let _ = Sealed::open(bytes.to_vec(), layout, &expected(&SENDER, true));
        }),
        ("what is sealed", UPLOAD.plain.clone(), |plain| {
            let (bytes, opener) = UPLOAD.with(plain);
            let sealed = Sealed::open(bytes, Arc::clone(&LAYOUTS[1]), &expected(&SENDER, true)).unwrap();
            let _ = sealed.unseal::<Vec<u8>>(&opener.sign(&SENDER));
        }),
        ("key object", UPLOAD.opener.sign(&SENDER).to_vec(), |bytes| {
            let _ = UPLOAD.sealed.clone().unseal::<Vec<u8>>(bytes);
        }),
        ("commitment", commitment, |bytes| {
            if let Ok(commitment) = Commitment::from_chain(bytes) {
                let _ = announcement::read(&commitment.fields);
            }
        }),
        ("score log", unsigned_log(), |bytes| drop(ScoreLog::open(&chained(bytes), &expected_log()))),
        ("run spec", run_spec, |bytes| drop(RunSpec::read(bytes))),
        ("run file", run_file, |bytes| drop(std::str::from_utf8(bytes).map(RunFile::parse))),
        ("dataset", objects::dataset().to_bytes(), |bytes| drop(dataset::Manifest::read(bytes))),
        ("block table", block_table().to_bytes(), |bytes| drop(dataset::BlockTable::read(bytes))),
        ("checkpoint", objects::checkpoint().to_bytes(), |bytes| drop(checkpoint::Manifest::read(bytes))),
        ("progress", progress().to_bytes(), |bytes| drop(Progress::read(bytes))),
        ("record", record(WINDOW).to_bytes(&RUN), |bytes| drop(WindowRecord::open(bytes, &RUN, WINDOW))),
        ("key file", key_file(), |bytes| drop(KeyFile::read(bytes).map(|contents| format!("{contents:?}")))),
    ];
    submissions.chain(others).collect()
}

#[test]
fn stated_lengths_take_no_memory_before_their_bytes_are_there() {
    let _alone = alone();
    for (name, valid, parse) in parsers() {
        parse(&valid); // This creates everything that is created only once.
        let check = |bytes: &[u8], change: &dyn std::fmt::Display| {
            let ((), needed) = needed(|| parse(bytes));
            let most = 64 * valid.len() + (512 << 10);
            assert!(needed <= most, "{name}, {change}: {needed} of at most {most} bytes");
        };
        let step = valid.len().div_ceil(400);
        for at in (0..valid.len()).step_by(step) {
            check(&valid[..at], &format_args!("cut at {at}"));
            for width in [1, 2, 4, 8] {
                let end = (at + width).min(valid.len());
                for fill in [0xff, 0x7f] {
                    let mut changed = valid.clone();
                    changed[at..end].fill(fill);
                    check(&changed, &format_args!("{width} bytes of {fill:#x} at {at}"));
                }
            }
        }
    }
}
