//! Draws the compared chunks, and takes the fingerprints of updates.

use base::BlockHash;
use codec::sparse::SparseTensor;
use std::collections::BTreeSet;

/// The drawn share of the chunks: one of this number.
const SHARE: usize = 256;
/// The number of chunks that are drawn at least, so that small models have enough for a cosine.
const LEAST: usize = 64;
/// The length of the values of a chunk in a fingerprint. Rounding to integers changes a cosine by about a
/// thousandth.
const LENGTH: f64 = 4096.0;

/// The chunks of a model that are compared in a window.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChunkSample {
    /// Tensor and chunk, in ascending order.
    pub(super) chunks: Vec<(usize, usize)>,
}

/// The values of the drawn chunks of one update, as integers.
///
/// The values of each chunk are scaled to the same length. So no few large values hide the others, and each
/// chunk has the same weight in a cosine.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Fingerprint {
    /// The end of each chunk in `values`.
    ends: Vec<u32>,
    /// Position in the chunk and value, ascending by position in each chunk.
    values: Vec<(u16, i16)>,
}

impl ChunkSample {
    /// Draws chunks, given the number of chunks of each tensor in the layout's order: one of 256, at least
    /// 64.
    ///
    /// `seed` is the hash of block `S_w`, which no miner knew while training.
    #[must_use]
    pub fn draw(seed: BlockHash, chunks: &[usize]) -> Self {
        let total: usize = chunks.iter().sum();
        let count = total.div_ceil(SHARE).max(LEAST).min(total);
        let mut random =
            blake3::Hasher::new_derive_key("muster v1 compared chunks").update(&seed.0).finalize_xof();
        let mut below = |bound: usize| {
            let mut bytes = [0; 8];
            random.fill(&mut bytes);
            (u64::from_le_bytes(bytes) % bound as u64) as usize
        };
        // Floyd's algorithm: each set of `count` places has the same probability.
        let mut places = BTreeSet::new();
        for last in total - count..total {
            let place = below(last + 1);
            places.insert(if places.contains(&place) { last } else { place });
        }
        Self { chunks: located(chunks, &places) }
    }

    /// Returns tensor and chunk of each drawn chunk, in ascending order.
    #[must_use]
    pub fn chunks(&self) -> &[(usize, usize)] {
        &self.chunks
    }
}

/// Returns tensor and chunk of places in the sequence of all chunks.
fn located(chunks: &[usize], places: &BTreeSet<usize>) -> Vec<(usize, usize)> {
    let mut located = Vec::with_capacity(places.len());
    let (mut tensor, mut first) = (0, 0);
    for &place in places {
        while place - first >= chunks[tensor] {
            first += chunks[tensor];
            tensor += 1;
        }
        located.push((tensor, place - first));
    }
    located
}

/// Returns the values of a chunk by position; none of a chunk that the tensor does not have.
fn values(tensor: Option<&SparseTensor>, chunk: usize) -> Vec<(u16, f64)> {
    let mut values = Vec::new();
    if let Some(tensor) = tensor.filter(|tensor| chunk < tensor.chunks()) {
        tensor.visit_chunk(chunk, 1.0, |position, value| values.push((position, value.into())));
    }
    values
}

impl Fingerprint {
    /// Takes the fingerprint of a decoded update: its tensors in the layout's order.
    #[must_use]
    pub fn of(tensors: &[SparseTensor], sample: &ChunkSample) -> Self {
        let chunk = |&(tensor, chunk): &(usize, usize)| values(tensors.get(tensor), chunk);
        Self::from_chunks(sample.chunks().iter().map(chunk))
    }

    /// Takes the fingerprint of an update whose tensors are decoded one after the other, by their numbers in
    /// the layout.
    ///
    /// # Errors
    /// Fails if a tensor cannot be decoded.
    pub fn decoding<E>(
        sample: &ChunkSample,
        mut decode: impl FnMut(usize) -> Result<SparseTensor, E>,
    ) -> Result<Self, E> {
        let mut chunks = Vec::with_capacity(sample.chunks().len());
        let mut last: Option<(usize, SparseTensor)> = None;
        for &(number, chunk) in sample.chunks() {
            let decoded = match last.take().filter(|(decoded, _)| *decoded == number) {
                Some((_, tensor)) => tensor,
                None => decode(number)?,
            };
            chunks.push(values(Some(&decoded), chunk));
            last = Some((number, decoded));
        }
        Ok(Self::from_chunks(chunks))
    }

    /// Takes the fingerprint of the drawn chunks, each with its values by ascending position. For steps that
    /// are no submissions, as the outer step.
    #[must_use]
    pub fn from_chunks(chunks: impl IntoIterator<Item = Vec<(u16, f64)>>) -> Self {
        let mut fingerprint = Self::default();
        for chunk in chunks {
            let squares: f64 = chunk.iter().map(|(_, value)| value * value).sum();
            let scale = LENGTH / squares.sqrt();
            if scale.is_finite() {
                let scaled = |(position, value): (u16, f64)| (position, (value * scale).round() as i16);
                fingerprint.values.extend(chunk.into_iter().map(scaled).filter(|(_, value)| *value != 0));
            }
            fingerprint.ends.push(fingerprint.values.len() as u32);
        }
        fingerprint
    }

    /// Adds up some fingerprints of the same sample: the direction of an outer step that applied these
    /// updates.
    #[must_use]
    pub fn sum<'a>(fingerprints: impl IntoIterator<Item = &'a Self>) -> Self {
        let fingerprints: Vec<_> = fingerprints.into_iter().collect();
        let chunks = fingerprints.iter().map(|fingerprint| fingerprint.chunks()).max().unwrap_or(0);
        Self::from_chunks((0..chunks).map(|chunk| {
            let mut sums = std::collections::BTreeMap::new();
            for &(position, value) in fingerprints.iter().flat_map(|fingerprint| fingerprint.chunk(chunk)) {
                *sums.entry(position).or_insert(0.0) += f64::from(value);
            }
            sums.into_iter().collect()
        }))
    }

    /// Returns the number of chunks.
    pub(super) fn chunks(&self) -> usize {
        self.ends.len()
    }

    /// Returns the values of a chunk; none beyond the last chunk.
    pub(super) fn chunk(&self, chunk: usize) -> &[(u16, i16)] {
        let start = chunk.checked_sub(1).map_or(Some(0), |before| self.ends.get(before).copied());
        match (start, self.ends.get(chunk)) {
            (Some(start), Some(&end)) => &self.values[start as usize..end as usize],
            _ => &[],
        }
    }

    /// Returns the sum of the squares of all values.
    pub(super) fn energy(&self) -> u64 {
        self.values.iter().map(|&(_, value)| i64::from(value).pow(2).unsigned_abs()).sum()
    }
}
