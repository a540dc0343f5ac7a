//! Compresses tensors: selects the largest values of each chunk, and quantizes them.
//!
//! Error feedback is added in the pass that reads the values for selection, so memory is read once. Threads
//! take pieces of tensors. The result does not depend on the number of threads. Besides the tensors and the
//! result, the memory needed is that of the selected values, plus a few hundred KiB per thread. Only tensors
//! of up to [`TOGETHER`] values are compressed at a time, which bounds the former.

use super::{SparseSpec, SparseTensor};
use crate::{
    chunks::Geometry,
    quantize::quantize_on,
    select::{self, Selector, Simd},
    threads::for_each,
};
use std::{
    ops::Range,
    sync::atomic::{AtomicBool, Ordering},
};

/// The most values of tensors that are compressed together. Their selected values take 4 MiB when
/// 64 of 4096 are sent.
const TOGETHER: usize = 64 << 20;

/// Values per piece, the work of one thread: 2 MiB, so that there are many pieces. A piece is one
/// row of chunks if that is more.
const PIECE: usize = 512 << 10;

/// The input of compression: the values of all tensors, one tensor after the other.
#[derive(Debug)]
pub enum Source<'a> {
    /// Plain values.
    Values(&'a [f32]),
    /// The error feedback, to which a window's pseudo-gradient is added first:
    /// `e = beta e + delta`.
    Feedback {
        /// The values not sent before. Compression replaces them with the sum.
        error: &'a mut [f32],
        /// The pseudo-gradient.
        pseudo_gradient: &'a [f32],
    },
}

/// An error from compressing a tensor.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CompressError {
    /// A value is infinite or NaN: training has diverged.
    #[error("the value at {coordinate} is not finite: training has diverged")]
    NotFinite {
        /// The place of the value in the tensor.
        coordinate: usize,
    },
    /// The values are so large that their quantized form is not finite.
    #[error("values of magnitude up to {largest} are too large to quantize: training has diverged")]
    TooLarge {
        /// The largest magnitude, as text so that the error can be compared.
        largest: String,
    },
    /// The number of values is not that of the tensor.
    #[error("{found} values are given for a tensor of {expected}")]
    Length {
        /// Values given.
        found: usize,
        /// Values of the tensor.
        expected: usize,
    },
}

/// An error from compressing several tensors: the first tensor that failed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("tensor {tensor}")]
pub struct CompressAllError {
    /// The number of the tensor.
    pub tensor: usize,
    /// The reason.
    pub source: CompressError,
}

/// Selects and quantizes the sent values of a tensor (its error feedback, in SparseLoCo), on one thread.
///
/// # Errors
/// Fails if a value is not finite, or so large that its quantized form would not be.
pub fn compress(
    values: &[f32],
    geometry: &Geometry,
    spec: &SparseSpec,
) -> Result<SparseTensor, CompressError> {
    check_length(values.len(), geometry.len())?;
    let mut made = Vec::with_capacity(1);
    compress_together(Source::Values(values), &[*geometry], spec, 1, &mut made)
        .map_err(|error| error.source)?;
    Ok(made.remove(0))
}

/// Selects and quantizes the sent values of all tensors with these geometries, on `threads`
/// threads. The result is the same for any number of threads. With [`Source::Feedback`], this is
/// all that a miner does between training and encoding.
///
/// # Errors
/// Fails if a value is not finite, or so large that its quantized form would not be. Fails if the
/// number of values is not that of the tensors. After an error, do not use the error feedback: only
/// a part of the pseudo-gradient was added.
pub fn compress_all(
    source: Source<'_>,
    tensors: &[Geometry],
    spec: &SparseSpec,
    threads: usize,
) -> Result<Vec<SparseTensor>, CompressAllError> {
    let expected = tensors.iter().map(Geometry::len).sum();
    source.lengths().into_iter().try_for_each(|found| {
        check_length(found, expected).map_err(|source| CompressAllError { tensor: 0, source })
    })?;
    let mut made = Vec::with_capacity(tensors.len());
    let mut rest = source;
    while made.len() < tensors.len() {
        let tensors = together(&tensors[made.len()..]);
        let now;
        (now, rest) = rest.split(tensors.iter().map(Geometry::len).sum());
        compress_together(now, tensors, spec, threads, &mut made)?;
    }
    Ok(made)
}

/// Returns the positions of the values of largest magnitude of each chunk, `topk` or all. This is the
/// selection of [`compress_all`] alone, with these vectors and on `threads` threads. For measurements.
///
/// # Panics
/// Panics if the number of values is not that of a tensor of this geometry.
#[must_use]
pub fn select(values: &[f32], tensor: &Geometry, topk: usize, simd: Simd, threads: usize) -> Vec<u16> {
    assert_eq!(values.len(), tensor.len(), "values have the shape of their tensor");
    let sent = tensor.sent(topk);
    let mut chosen = Chosen::none(tensor, sent);
    let pieces = Piece::all(*tensor, sent, Source::Values(values), &mut chosen);
    for_each(
        pieces.into_iter(),
        threads,
        || Selector::new(simd),
        |selector, piece| {
            piece.choose(selector, 0.0);
        },
    );
    chosen.positions
}

fn check_length(found: usize, expected: usize) -> Result<(), CompressError> {
    if found == expected { Ok(()) } else { Err(CompressError::Length { found, expected }) }
}

/// Returns the first tensors that have no more than [`TOGETHER`] values together, at least one tensor.
fn together(tensors: &[Geometry]) -> &[Geometry] {
    let mut values = 0;
    let fits = tensors.iter().take_while(|tensor| {
        values += tensor.len();
        values <= TOGETHER
    });
    &tensors[..fits.count().max(1)]
}

/// The selected values of a tensor.
struct Chosen {
    positions: Vec<u16>,
    values: Vec<f32>,
}

impl Chosen {
    /// Creates room for `sent` values of each chunk.
    fn none(tensor: &Geometry, sent: usize) -> Self {
        let count = tensor.chunks() * sent;
        Self { positions: vec![0; count], values: vec![0.0; count] }
    }
}

/// Some rows of chunks of a tensor, with room for their selected values.
struct Piece<'a> {
    geometry: Geometry,
    source: Source<'a>,
    /// Values sent per chunk.
    sent: usize,
    positions: &'a mut [u16],
    values: &'a mut [f32],
}

/// Compresses tensors and appends the results to `made`.
fn compress_together(
    mut source: Source<'_>,
    tensors: &[Geometry],
    spec: &SparseSpec,
    threads: usize,
    made: &mut Vec<SparseTensor>,
) -> Result<(), CompressAllError> {
    let first = made.len();
    let failed = |tensor, source| CompressAllError { tensor: first + tensor, source };
    let sent = |tensor: &Geometry| tensor.sent(spec.topk as usize);
    let mut chosen: Vec<_> = tensors.iter().map(|tensor| Chosen::none(tensor, sent(tensor))).collect();
    let mut rest = source.reborrow();
    let mut pieces = Vec::new();
    for (tensor, chosen) in tensors.iter().zip(&mut chosen) {
        let now;
        (now, rest) = rest.split(tensor.len());
        pieces.extend(Piece::all(*tensor, sent(tensor), now, chosen));
    }
    let finite = AtomicBool::new(true);
    for_each(pieces.into_iter(), threads, Selector::default, |selector, piece: Piece<'_>| {
        if !piece.choose(selector, spec.beta) {
            finite.store(false, Ordering::Relaxed);
        }
    });
    if !finite.into_inner() {
        let (tensor, coordinate) = not_finite(source.values(), tensors);
        return Err(failed(tensor, CompressError::NotFinite { coordinate }));
    }
    for (number, (tensor, Chosen { positions, values: chosen })) in tensors.iter().zip(chosen).enumerate() {
        let sent = sent(tensor);
        let values = quantize_on(threads, spec.quantizer, sent, &chosen);
        if values.check(tensor.chunks()).is_err() {
            return Err(failed(number, CompressError::TooLarge { largest: largest(&chosen) }));
        }
        made.push(SparseTensor { sent, positions, values });
    }
    Ok(())
}

impl<'a> Source<'a> {
    /// Returns the number of values, and of the pseudo-gradient's values.
    fn lengths(&self) -> [usize; 2] {
        match self {
            Self::Values(values) => [values.len(); 2],
            Self::Feedback { error, pseudo_gradient } => [error.len(), pseudo_gradient.len()],
        }
    }

    /// Returns the values.
    fn values(&self) -> &[f32] {
        match self {
            Self::Values(values) => values,
            Self::Feedback { error, .. } => error,
        }
    }

    /// Reborrows the source for a shorter lifetime.
    fn reborrow(&mut self) -> Source<'_> {
        match self {
            Self::Values(values) => Source::Values(values),
            Self::Feedback { error, pseudo_gradient } => Source::Feedback { error, pseudo_gradient },
        }
    }

    /// Splits the source into the first `at` values and the others.
    fn split(self, at: usize) -> (Self, Self) {
        match self {
            Self::Values(values) => {
                let (first, rest) = values.split_at(at);
                (Self::Values(first), Self::Values(rest))
            }
            Self::Feedback { error, pseudo_gradient } => {
                let (error, errors) = error.split_at_mut(at);
                let (delta, deltas) = pseudo_gradient.split_at(at);
                let feedback = |error, pseudo_gradient| Self::Feedback { error, pseudo_gradient };
                (feedback(error, delta), feedback(errors, deltas))
            }
        }
    }

    /// Returns the source for a selector that starts at a place.
    fn from(&mut self, place: usize, beta: f32) -> select::Source<'_> {
        match self {
            Self::Values(values) => select::Source::Values(&values[place..]),
            Self::Feedback { error, pseudo_gradient } => select::Source::Feedback {
                error: &mut error[place..],
                pseudo_gradient: &pseudo_gradient[place..],
                beta,
            },
        }
    }
}

impl<'a> Piece<'a> {
    /// Splits a tensor into pieces.
    fn all(geometry: Geometry, sent: usize, source: Source<'a>, chosen: &'a mut Chosen) -> Vec<Self> {
        let bands = (PIECE / geometry.band().max(1)).max(1);
        let share = (bands * geometry.across() * sent).max(1);
        let mut rest = Some(source);
        let slots = chosen.positions.chunks_mut(share).zip(chosen.values.chunks_mut(share));
        let piece = |(positions, values): (&'a mut [u16], &'a mut [f32])| {
            let source = rest.take()?;
            let size = positions.len() / sent * geometry.size();
            let (now, later) = source.split(size);
            rest = Some(later);
            Some(Self { geometry, source: now, sent, positions, values })
        };
        slots.filter_map(piece).collect()
    }

    /// Selects the sent values of the piece. Returns whether all its values are finite.
    fn choose(mut self, selector: &mut Selector, beta: f32) -> bool {
        let Self { geometry, sent, .. } = self;
        let chunks = self.positions.len() / sent;
        let mut slots = self.positions.chunks_exact_mut(sent).zip(self.values.chunks_exact_mut(sent));
        let mut runs = runs(chunks, &geometry).peekable();
        let run_of = |run: &Range<usize>| (geometry.origin(run.start), geometry.run(run.len()));
        let mut finite = true;
        if let Some((place, run)) = runs.peek().map(run_of) {
            finite &= selector.read(self.source.from(place, beta), run);
        }
        while let Some(run) = runs.next() {
            let next = runs.peek().map(run_of).map(|(place, run)| (self.source.from(place, beta), run));
            finite &= selector.choose(slots.by_ref().take(run.len()), next);
        }
        finite
    }
}

/// Returns the ranges of chunks that are read together. The chunks of a range lie side by side.
fn runs(chunks: usize, geometry: &Geometry) -> impl Iterator<Item = Range<usize>> + use<> {
    let across = geometry.across();
    let together = Selector::together(geometry.size());
    let mut start = 0;
    std::iter::from_fn(move || {
        let end = (start + together).min(start - start % across.max(1) + across).min(chunks);
        let run = start..end;
        start = end;
        (!run.is_empty()).then_some(run)
    })
}

/// Returns the tensor and the place of the first value that is not finite.
fn not_finite(values: &[f32], tensors: &[Geometry]) -> (usize, usize) {
    let mut from = values.iter().position(|value| !value.is_finite()).unwrap_or_default();
    for (number, tensor) in tensors.iter().enumerate() {
        if from < tensor.len() {
            return (number, from);
        }
        from -= tensor.len();
    }
    (0, from)
}

/// Returns the largest magnitude as text.
fn largest(values: &[f32]) -> String {
    format!("{:e}", values.iter().fold(0.0f32, |most, value| most.max(value.abs())))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        feedback,
        sparse::{Quantizer, tests::tiny},
    };
    use proptest::prelude::*;

    fn spec(quantizer: Quantizer) -> SparseSpec {
        SparseSpec { quantizer, chunk: 64, topk: 8, ..tiny() }
    }

    #[test]
    fn what_cannot_be_sent_is_named() {
        let geometry = Geometry::new(&[8, 16], 8).unwrap();
        let mut values = vec![1.0; 128];
        values[77] = f32::NAN;
        let refused = compress(&values, &geometry, &spec(Quantizer::Templar)).unwrap_err();
        assert_eq!(refused.to_string(), "the value at 77 is not finite: training has diverged");
        values.fill(f32::MAX);
        values[3] = f32::MIN;
        let refused = compress(&values, &geometry, &spec(Quantizer::Templar)).unwrap_err();
        assert!(refused.to_string().contains("3.4028235e38"), "{refused}");
        let refused = compress(&values[1..], &geometry, &spec(Quantizer::Templar)).unwrap_err();
        assert_eq!(refused.to_string(), "127 values are given for a tensor of 128");
    }

    #[test]
    fn of_many_tensors_the_first_that_cannot_be_sent_is_named() {
        let tensors = [Geometry::new(&[8, 16], 8).unwrap(), Geometry::new(&[24], 8).unwrap()];
        let (mut error, mut delta) = (vec![0.5; 152], vec![0.5; 152]);
        delta[128 + 3] = f32::INFINITY;
        let compress = |error: &mut [f32]| {
            let source = Source::Feedback { error, pseudo_gradient: &delta };
            base::ErrorChain(&compress_all(source, &tensors, &spec(Quantizer::F32), 2).unwrap_err())
                .to_string()
        };
        let refused = compress(&mut error);
        assert_eq!(refused, "tensor 1: the value at 3 is not finite: training has diverged");
        assert_eq!(compress(&mut error[1..]), "tensor 0: 151 values are given for a tensor of 152");
    }

    /// Checks that each value is examined in any chunk: values are read along with the tile before them.
    #[test]
    fn what_is_not_finite_is_found_in_any_chunk() {
        let geometry = Geometry::new(&[128, 640], 64).unwrap();
        let spec = SparseSpec { quantizer: Quantizer::Sign, ..tiny() };
        for chunk in 0..geometry.chunks() {
            let coordinate = geometry.coordinate(geometry.origin(chunk), 1000);
            let (mut error, mut delta) = (vec![0.5; geometry.len()], vec![0.5; geometry.len()]);
            delta[coordinate] = f32::NAN;
            let source = Source::Feedback { error: &mut error, pseudo_gradient: &delta };
            let refused = compress_all(source, &[geometry], &spec, 1).unwrap_err();
            assert_eq!(
                refused,
                CompressAllError { tensor: 0, source: CompressError::NotFinite { coordinate } }
            );
            assert_eq!(compress(&delta, &geometry, &spec), Err(CompressError::NotFinite { coordinate }));
        }
    }

    #[test]
    fn a_tensor_without_values_sends_none() {
        let geometry = Geometry::new(&[0, 64], 64).unwrap();
        for quantizer in Quantizer::ALL {
            assert!(compress(&[], &geometry, &spec(quantizer)).unwrap().positions().is_empty());
        }
    }

    /// Returns values of which many are equal, and some are denormal.
    fn noise(seed: u64, count: usize) -> Vec<f32> {
        let mut state = seed | 1;
        let mut draw = || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 48) as f32
        };
        (0..count)
            .map(|at| match at / 4096 % 3 {
                0 => (draw() - 32_768.0) * 1e-6,
                1 => (draw() / 8192.0).floor() - 4.0,
                _ => (draw() - 32_768.0) * 1e-44,
            })
            .collect()
    }

    #[test]
    fn any_number_of_threads_makes_the_same_as_one_step_after_the_other() {
        let shapes: [&[usize]; 5] = [&[128, 640], &[192], &[100, 260], &[0, 64], &[1024, 1024]];
        let tensors = shapes.map(|shape| Geometry::new(shape, 64).unwrap());
        let count = tensors.iter().map(Geometry::len).sum();
        let (start, delta) = (noise(1, count), noise(2, count));
        for quantizer in Quantizer::ALL {
            let spec = SparseSpec { quantizer, ..tiny() };
            let mut sum = start.clone();
            feedback::accumulate(&mut sum, &delta, spec.beta);
            let mut from = 0;
            let expected: Vec<_> = tensors
                .iter()
                .map(|tensor| {
                    from += tensor.len();
                    compress(&sum[from - tensor.len()..from], tensor, &spec).unwrap()
                })
                .collect();
            for threads in [1, 2, 3, 8] {
                let mut error = start.clone();
                let source = Source::Feedback { error: &mut error, pseudo_gradient: &delta };
                assert_eq!(compress_all(source, &tensors, &spec, threads).unwrap(), expected);
                assert!(error.iter().zip(&sum).all(|(a, b)| a.to_bits() == b.to_bits()));
                assert_eq!(compress_all(Source::Values(&sum), &tensors, &spec, threads).unwrap(), expected);
            }
        }
    }

    proptest! {
        #[test]
        fn what_is_sent_is_a_sparse_tensor(values in proptest::collection::vec(-1e30f32..1e30, 128)) {
            let geometry = Geometry::new(&[8, 16], 8).unwrap();
            for quantizer in Quantizer::ALL {
                let sent = compress(&values, &geometry, &spec(quantizer)).unwrap();
                let again =
                    SparseTensor::new(&geometry, 8, sent.positions().to_vec(), sent.values().clone()).unwrap();
                prop_assert_eq!(&again, &sent);
                if quantizer == Quantizer::F32 {
                    sent.for_each(&geometry, |coordinate, value| assert_eq!(value, values[coordinate]));
                }
            }
        }
    }
}
