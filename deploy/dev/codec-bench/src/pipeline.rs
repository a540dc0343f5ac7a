//! Wraps the codec as nodes use it, and checks it before it is measured.

use crate::{
    packing::{pack, unpack},
    sender::sender,
};
use anyhow::Context as _;
use base::{signature::SigningKey, tensor::TensorRole, tensor::TensorSpec};
use codec::{
    aggregate::{ClipBounds, FullWork, outer_step},
    chunks::Geometry,
    quantize::Values,
    select::Simd,
    sparse::{
        Aggregation, Codec as Positions, Quantizer, Source, SparseSpec, SparseTensor, compress_all, select,
    },
    submission::{Expected, Header, Submission, SubmissionLayout, encode},
};
use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

/// Values per chunk.
pub(crate) const CHUNK: usize = 4096;
/// Values sent per chunk.
pub(crate) const TOP_K: usize = 64;
/// Decay of the error feedback.
pub(crate) const BETA: f32 = 0.95;
/// The number of submissions that are aggregated.
pub(crate) const PEERS: usize = 16;

/// The quantizers that are measured.
pub(crate) const QUANTIZERS: [(&str, Quantizer); 3] =
    [("templar", Quantizer::Templar), ("sign-centroid", Quantizer::SignCentroid), ("sign", Quantizer::Sign)];
/// The quantizer of the submissions that are encoded, decoded and aggregated.
pub(crate) const MEASURED: Quantizer = Quantizer::Sign;
/// The name of Templar's quantizer with its own packing.
pub(crate) const PACKED: &str = "templar-12+8";

/// The codec of one miner, for a model that is one matrix.
pub(crate) struct Codec {
    layout: Arc<SubmissionLayout>,
    key: SigningKey,
    expected: Expected,
}

impl Codec {
    /// Creates the codec of a miner, for a matrix.
    pub(crate) fn new(shape: [usize; 2], quantizer: Quantizer, miner: u8) -> anyhow::Result<Self> {
        let tensor =
            TensorSpec { name: "values".to_owned(), shape: shape.to_vec(), role: TensorRole::Matrix };
        let layout = Arc::new(SubmissionLayout::new(&[tensor], &spec(quantizer))?);
        let (key, expected) = sender(miner);
        Ok(Self { layout, key, expected })
    }

    /// Returns the division of the matrix into chunks.
    pub(crate) fn geometry(&self) -> &Geometry {
        self.layout.tensors()[0].geometry()
    }

    /// Adds a pseudo-gradient, selects and quantizes.
    pub(crate) fn compress(
        &self,
        error: &mut [f32],
        delta: &[f32],
        threads: usize,
    ) -> anyhow::Result<SparseTensor> {
        self.compress_source(Source::Feedback { error, pseudo_gradient: delta }, threads)
    }

    fn compress_source(&self, source: Source<'_>, threads: usize) -> anyhow::Result<SparseTensor> {
        let made = compress_all(source, &[*self.geometry()], self.layout.spec(), threads)?;
        made.into_iter().next().context("a tensor was given")
    }

    /// Encodes and signs a submission.
    pub(crate) fn encode(&self, sent: &SparseTensor) -> anyhow::Result<Vec<u8>> {
        let header = Header::new(&self.expected, 0, &self.layout);
        Ok(encode(&self.layout, &header, std::slice::from_ref(sent), &self.key)?)
    }

    /// Checks a submission to the last bit.
    pub(crate) fn open<B: AsRef<[u8]>>(&self, bytes: B) -> anyhow::Result<Submission<B>> {
        Ok(Submission::open(bytes, Arc::clone(&self.layout), &self.expected)?)
    }

    /// Checks and decodes a submission.
    pub(crate) fn decode(&self, bytes: &[u8]) -> anyhow::Result<SparseTensor> {
        Ok(self.open(bytes)?.tensor(0)?)
    }
}

fn spec(quantizer: Quantizer) -> SparseSpec {
    SparseSpec {
        chunk: CHUNK as u32,
        topk: TOP_K as u32,
        codec: Positions::Halving,
        quantizer,
        beta: BETA,
        outer_lr: 1.0,
        aggregation: Aggregation::SenderMean,
        clip_growth: 1.1,
    }
}

/// Decodes and aggregates submissions.
pub(crate) fn aggregate(
    parameters: &mut [f32],
    accepted: &[Submission<Vec<u8>>],
    threads: usize,
) -> anyhow::Result<()> {
    let bounds = ClipBounds { last: None, full: FullWork { travel: 1.0, samples: 1 } };
    outer_step(&mut [parameters], accepted, bounds, threads)?;
    Ok(())
}

/// The size and the error of a quantizer.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Size {
    /// Bits per position.
    pub(crate) index_bits: f64,
    /// Bits per value, scales included.
    pub(crate) value_bits: f64,
    /// The squared error of the sent values, relative to their square.
    pub(crate) nmse: f64,
}

/// The codec of each quantizer for some values, checked on them.
pub(crate) struct Checked {
    /// Name, codec and size of each quantizer.
    pub(crate) codecs: Vec<(&'static str, Codec, Size)>,
    /// The codec of [`MEASURED`].
    pub(crate) measured: Codec,
    /// Submissions of [`PEERS`] miners, each with different positions.
    pub(crate) accepted: Vec<Submission<Vec<u8>>>,
    /// The contents of the first submission.
    pub(crate) sent: SparseTensor,
    /// Whether selection equals a full sort, and decoding returns the encoded values.
    pub(crate) verified: bool,
}

impl Checked {
    pub(crate) fn new(values: &[f32], columns: usize, simd: Simd, threads: usize) -> anyhow::Result<Self> {
        let shape = [values.len() / columns, columns];
        let exact = Codec::new(shape, Quantizer::F32, 1)?;
        let exactly = exact.compress_source(Source::Values(values), threads)?;
        let mut verified = is_that_of_a_full_sort(values, exact.geometry(), exactly.positions(), threads);
        let selected = select(values, exact.geometry(), TOP_K, simd, threads);
        verified &= selected == exactly.positions();
        let whole = exact.encode(&exactly)?;
        verified &= exact.decode(&whole)? == exactly;
        // A submission with values of 32 bits: everything beyond 32 bits is positions and the header.
        let index_bits = bits(whole.len(), &exactly) - 32.0;
        let mut codecs = Vec::new();
        for (name, quantizer) in QUANTIZERS {
            let codec = Codec::new(shape, quantizer, 1)?;
            let sent = codec.compress_source(Source::Values(values), threads)?;
            let bytes = codec.encode(&sent)?;
            verified &= codec.decode(&bytes)? == sent && sent.positions() == exactly.positions();
            if let Values::Templar { codes, .. } = sent.values() {
                let packed = pack(sent.positions(), codes);
                verified &= unpack(&packed, codes.len()) == (sent.positions().to_vec(), &codes[..]);
            }
            let value_bits = bits(bytes.len(), &sent) - index_bits;
            let nmse = error(values, codec.geometry(), &sent);
            codecs.push((name, codec, Size { index_bits, value_bits, nmse }));
        }
        let measured = Codec::new(shape, MEASURED, 1)?;
        let sent = measured.compress_source(Source::Values(values), threads)?;
        let accepted = peers(shape, &sent)?;
        Ok(Self { codecs, measured, accepted, sent, verified })
    }
}

/// Returns the bits per value.
fn bits(bytes: usize, sent: &SparseTensor) -> f64 {
    bytes as f64 * 8.0 / sent.positions().len() as f64
}

/// Returns whether these are the positions that a full sort of each chunk selects, with ties to the
/// lower position.
fn is_that_of_a_full_sort(values: &[f32], geometry: &Geometry, positions: &[u16], threads: usize) -> bool {
    let fine = AtomicBool::new(true);
    let sent = geometry.sent(TOP_K);
    let share = geometry.chunks().div_ceil(threads.max(1)).max(1);
    crate::threads::for_parts(positions.chunks(share * sent).enumerate(), |(part, positions)| {
        for (chunk, positions) in positions.chunks_exact(sent).enumerate() {
            let origin = geometry.origin(part * share + chunk);
            let magnitude = |&position: &u16| values[geometry.coordinate(origin, position.into())].abs();
            let mut order: Vec<u16> = (0..geometry.size()).map(|position| position as u16).collect();
            order.sort_by(|a, b| magnitude(b).total_cmp(&magnitude(a)));
            order.truncate(sent);
            order.sort_unstable();
            if order != positions {
                fine.store(false, Ordering::Relaxed);
            }
        }
    });
    fine.into_inner()
}

/// Returns the squared error of the sent values, relative to their square.
fn error(values: &[f32], geometry: &Geometry, sent: &SparseTensor) -> f64 {
    let (mut error, mut total) = (0.0, 0.0);
    sent.for_each(geometry, |coordinate, decoded| {
        let value = f64::from(values[coordinate]);
        error += (f64::from(decoded) - value).powi(2);
        total += value.powi(2);
    });
    error / total
}

/// Creates submissions of several miners. For each chunk, a miner sends the first miner's values of
/// another chunk.
fn peers(shape: [usize; 2], sent: &SparseTensor) -> anyhow::Result<Vec<Submission<Vec<u8>>>> {
    let peer = |peer: usize| {
        let codec = Codec::new(shape, MEASURED, peer as u8 + 1)?;
        let turn = peer * 37 % sent.chunks();
        let mut positions = sent.positions().to_vec();
        positions.rotate_left(turn * sent.sent());
        let mut values = sent.values().clone();
        if let Values::Sign { magnitudes, codes, .. } = &mut values {
            magnitudes.rotate_left(turn);
            codes.rotate_left(turn * sent.sent());
        }
        let sent = SparseTensor::new(codec.geometry(), TOP_K, positions, values)?;
        codec.open(codec.encode(&sent)?)
    };
    (0..PEERS).map(peer).collect()
}
