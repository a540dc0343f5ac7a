//! Measures the cost of positions in a recorded run, and their cost under a code that knows the
//! previous windows: the figures of `common/codec/CODEC.md`.
//!
//! `cargo run -p codec-bench --example history -- FOLDER`, with the folder in which
//! `deploy/up --keep` left its run.
#![allow(clippy::unwrap_used)] // A measurement that cannot go on should stop here.

use base::{Window, wire::Reader};
use codec::{
    bits::BitWriter,
    positions::Halving,
    sparse::SparseTensor,
    submission::{Expected, Header, Sealed, Submission, SubmissionLayout},
};
use protocol::{bucket_layout, run_spec::RunSpec};
use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    sync::Arc,
};

/// The sent values of each tensor, by miner, then by window.
type Sent = BTreeMap<PathBuf, BTreeMap<Window, Vec<SparseTensor>>>;

/// A function that maps the knowledge about a coordinate to a number.
type Context = fn(&Known, usize) -> usize;

/// The knowledge from previous windows about the coordinates of a tensor, for one miner.
struct Known {
    /// Whether the miner sent the coordinate in the last window.
    own: Vec<bool>,
    /// Whether the miner sent it in the window before that.
    own_earlier: Vec<bool>,
    /// The number of all miners that sent it in the last window.
    all: Vec<u8>,
    /// The number of values that all miners sent of its row of the chunk in the last window, and of
    /// its column.
    lines: [Vec<u8>; 2],
}

fn main() {
    let folder = PathBuf::from(std::env::args().nth(1).unwrap());
    let spec = RunSpec::parse(&fs::read_to_string(folder.join("run.toml")).unwrap()).unwrap();
    let layout = Arc::new(SubmissionLayout::new(&spec.model.tensors(), &spec.sparse).unwrap());
    let sent = read(&folder, &spec, &layout);
    let (count, bits) = cost(&layout, &sent);
    println!("{count} positions, {:.3} bits each as they are written", bits as f64 / count as f64);
    let contexts: [(&str, Context); 8] = [
        ("nothing", |_, _| 0),
        ("whether this miner sent it in the last window", |known, at| known.own[at].into()),
        ("whether it did in the last two", |known, at| {
            usize::from(known.own[at]) + 2 * usize::from(known.own_earlier[at])
        }),
        ("how many miners sent it in the last window", |known, at| known.all[at].into()),
        ("both of the last window", |known, at| usize::from(known.own[at]) + 2 * usize::from(known.all[at])),
        ("how many were sent of its row of the chunk", |known, at| usize::from(known.lines[0][at].min(31))),
        ("the same, and of its column", |known, at| {
            let [row, column] = [0, 1].map(|line| usize::from(known.lines[line][at].min(15)));
            row * 16 + column
        }),
        ("all of these", |known, at| {
            let [row, column] = [0, 1].map(|line| usize::from(known.lines[line][at].min(15)));
            let own = usize::from(known.own[at]) + 2 * usize::from(known.own_earlier[at]);
            ((row * 16 + column) * 4 + own) * 8 + usize::from(known.all[at].min(7))
        }),
    ];
    println!("\n| what a code knows | bits of a position |\n|---|---|");
    for (name, context) in contexts {
        println!("| {name} | {:.3} |", entropy(&layout, &sent, context));
    }
}

/// Opens and decodes all submissions in the miners' buckets.
fn read(folder: &Path, spec: &RunSpec, layout: &Arc<SubmissionLayout>) -> Sent {
    let buckets = fs::read_dir(folder.join("buckets")).unwrap().map(|entry| entry.unwrap().path());
    let mut sent = Sent::new();
    for bucket in buckets.filter(|path| path.file_name().unwrap().to_string_lossy().starts_with("miner")) {
        let objects = bucket.join("objects");
        for name in fs::read_dir(&objects).unwrap().map(|entry| entry.unwrap().file_name()) {
            let key = name.to_string_lossy().replace("%2F", "/");
            let Some(rest) = key.strip_prefix(&bucket_layout::submissions(spec.id())) else { continue };
            let bytes = fs::read(objects.join(&name)).unwrap();
            let opener = format!("{}{rest}", bucket_layout::seal_keys(spec.id())).replace('/', "%2F");
            let opener = fs::read(objects.join(opener)).unwrap_or_default();
            let (window, tensors) = open(bytes, &opener, layout);
            sent.entry(bucket.clone()).or_default().insert(window, tensors);
        }
    }
    sent
}

/// Opens a submission of the miner that its header names.
fn open(bytes: Vec<u8>, opener: &[u8], layout: &Arc<SubmissionLayout>) -> (Window, Vec<SparseTensor>) {
    let header = Header::read(&mut Reader::new(&bytes), bytes.len() as u64).unwrap();
    let expected = Expected {
        run: header.run,
        spec: header.spec,
        neuron: header.neuron,
        window: header.window,
        base: header.base,
        least_samples: header.samples,
        sealed: header.seal.is_some(),
    };
    let submission: Submission<Vec<u8>> = if expected.sealed {
        Sealed::open(bytes, Arc::clone(layout), &expected).unwrap().unseal(opener).unwrap()
    } else {
        Submission::open(bytes, Arc::clone(layout), &expected).unwrap()
    };
    let tensors = (0..layout.tensors().len()).map(|number| submission.tensor(number).unwrap());
    (header.window, tensors.collect())
}

/// Returns the number of positions of all tensors that are not sent whole, and their bits in the
/// codec's encoding.
fn cost(layout: &SubmissionLayout, sent: &Sent) -> (usize, usize) {
    let mut count = 0;
    let mut bits = 0;
    let mut bytes = Vec::new();
    for tensors in sent.values().flat_map(BTreeMap::values) {
        for (tensor, sent) in layout.tensors().iter().zip(tensors).filter(|(tensor, _)| is_chosen(tensor)) {
            let halving = Halving::new(tensor.geometry().size(), sent.sent());
            for chunk in 0..sent.chunks() {
                bytes.clear();
                let mut writer = BitWriter::new(&mut bytes);
                halving.write(sent.chunk_positions(chunk), &mut writer);
                bits += writer.finish();
                count += sent.sent();
            }
        }
    }
    (count, bits)
}

fn is_chosen(tensor: &codec::submission::TensorLayout) -> bool {
    tensor.sent() < tensor.geometry().size()
}

/// Returns the bits per position under the best code that knows `context` of each coordinate, and
/// how often coordinates with this context are sent. This is the entropy of whether each coordinate
/// is sent, from the third window on. The fixed number of positions per chunk is not used. It is
/// worth about 0.06 bits without any context.
fn entropy(layout: &SubmissionLayout, sent: &Sent, context: Context) -> f64 {
    let (mut bits, mut positions) = (0.0, 0u64);
    let windows: Vec<Window> = sent.values().next().unwrap().keys().copied().collect();
    for (number, tensor) in layout.tensors().iter().enumerate().filter(|(_, tensor)| is_chosen(tensor)) {
        // For each context: the number of coordinates, and of those that were sent.
        let mut counts = BTreeMap::<usize, [u64; 2]>::new();
        for before in windows.windows(3) {
            let all = all(tensor, number, sent, before[1]);
            for miner in sent.values() {
                let [earlier, last, now] = [0, 1, 2].map(|at| is_sent(tensor, &miner[&before[at]][number]));
                let lines = lines(tensor, &all);
                let known = Known { own: last, own_earlier: earlier, all: all.clone(), lines };
                for (at, sent) in now.into_iter().enumerate() {
                    let counts = counts.entry(context(&known, at)).or_default();
                    counts[0] += 1;
                    counts[1] += u64::from(sent);
                }
            }
        }
        for [coordinates, sent] in counts.into_values() {
            let share = sent as f64 / coordinates as f64;
            let term = |share: f64| if share > 0.0 { -share * share.log2() } else { 0.0 };
            bits += (term(share) + term(1.0 - share)) * coordinates as f64;
            positions += sent;
        }
    }
    bits / positions as f64
}

/// Returns whether each value was sent, chunk after chunk.
fn is_sent(tensor: &codec::submission::TensorLayout, sent: &SparseTensor) -> Vec<bool> {
    let size = tensor.geometry().size();
    let mut is = vec![false; sent.chunks() * size];
    for chunk in 0..sent.chunks() {
        sent.chunk_positions(chunk).iter().for_each(|&at| is[chunk * size + usize::from(at)] = true);
    }
    is
}

/// Returns the number of miners that sent each value in a window.
fn all(tensor: &codec::submission::TensorLayout, number: usize, sent: &Sent, window: Window) -> Vec<u8> {
    let mut all = vec![0; tensor.geometry().len()];
    for miner in sent.values() {
        let is = is_sent(tensor, &miner[&window][number]);
        all.iter_mut().zip(is).for_each(|(all, is)| *all += u8::from(is));
    }
    all
}

/// Returns, for each value, the numbers of sent values of its row of the chunk and of its column.
fn lines(tensor: &codec::submission::TensorLayout, all: &[u8]) -> [Vec<u8>; 2] {
    let (size, width) = (tensor.geometry().size(), tensor.geometry().width());
    [|at: usize, width: usize| at / width, |at: usize, width: usize| at % width].map(|line| {
        let mut known = vec![0; all.len()];
        for (chunk, known) in all.chunks(size).zip(known.chunks_mut(size)) {
            let mut sums = vec![0u8; size];
            chunk.iter().enumerate().for_each(|(at, &count)| {
                let sum = &mut sums[line(at, width)];
                *sum = sum.saturating_add(count);
            });
            known.iter_mut().enumerate().for_each(|(at, known)| *known = sums[line(at, width)]);
        }
        known
    })
}
