//! Computes the outer step: applies the accepted submissions of a window to the shared parameters,
//! with the same bits on every machine.
//!
//! For each coordinate that was sent, the step sums `value x clip factor` over the accepted
//! submissions, in the order of hotkey bytes. It divides the sum by the [rule's](Aggregation)
//! divisor, multiplies it by the outer rate, and subtracts it from the parameter. Every operation
//! is IEEE f32, rounded once and never fused. A coordinate that was not sent is not written. If the
//! result is not finite, the parameter stays. Neither the number of threads nor the order of
//! arrival of submissions affects the result. A machine with different arithmetic (flushed
//! denormals, another rounding) is detected before anything is written.
//!
//! ```
//! use base::{Hotkey, Height, NeuronId};
//! use codec::{aggregate::{Update, step_tensor}, chunks::Geometry, sparse::*};
//! # let spec = SparseSpec { chunk: 4096, topk: 64, codec: Codec::Halving, quantizer: Quantizer::Templar,
//! #     beta: 0.95, outer_lr: 0.5, aggregation: Aggregation::Mean, clip_growth: 1.1 };
//! let geometry = Geometry::new(&[4], spec.edge())?;
//! let sent = compress(&[1.0, 1.0, 1.0, 1.0], &geometry, &spec)?;
//! let neuron = NeuronId { hotkey: Hotkey([1; 32]), registered: Height(0) };
//! let mut parameters = [3.0; 4];
//! step_tensor(&mut parameters, &geometry, &spec, &[Update { neuron, tensor: &sent }], None, 2)?;
//! assert_eq!(parameters, [2.5; 4]);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod apply;
mod arithmetic;
mod clip;
mod sent;
#[cfg(test)]
mod tests;
mod trial;

pub use arithmetic::check_arithmetic;
pub use clip::{Medians, factor, lower_median, norm, reference};
pub use trial::{Undo, trial_step};

#[cfg(doc)]
use crate::sparse::Aggregation;
use crate::{
    chunks::Geometry,
    sparse::{SparseSpec, SparseTensor},
    submission::{GroupBuffer, Submission, SubmissionError},
};
use apply::{Clipped, Updates};
use base::{Hotkey, NeuronId};
use sent::Encoded;

/// The values that one accepted submission sent of a tensor.
#[derive(Clone, Copy, Debug)]
pub struct Update<'a> {
    /// The sender.
    pub neuron: NeuronId,
    /// The sent values.
    pub tensor: &'a SparseTensor,
}

/// An error in the outer step.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AggregateError {
    /// One hotkey has two submissions, so the order of the sum is not defined.
    #[error("{0} has two submissions in the accepted set")]
    Twice(Hotkey),
    /// The parameters are not those of the model.
    #[error("{found} {what} are given: the model has {expected}")]
    Parameters {
        /// The counted thing: tensors, values, chunks or medians.
        what: &'static str,
        /// The number given.
        found: usize,
        /// The number required.
        expected: usize,
    },
    /// A submission is of another model or spec.
    #[error("the submission of {0} does not have this run's layout")]
    Layout(Hotkey),
    /// A submission no longer decodes.
    #[error("the submission of {hotkey}: {source}")]
    Submission {
        /// The hotkey of the sender.
        hotkey: Hotkey,
        /// The error in the submission.
        source: SubmissionError,
    },
    /// A thread's arithmetic is not IEEE's default.
    #[error(
        "this thread's floating-point arithmetic differs from IEEE's default ({0}): the outer step would differ"
    )]
    Arithmetic(&'static str),
}

/// Applies the outer step to all tensors, in the order of the layout. Returns the median norms,
/// which the next window's clipping needs.
///
/// If the accepted set or the parameters do not fit, nothing was written. After any other error, do
/// not use the parameters.
///
/// # Errors
/// Fails if the accepted set or the parameters do not fit the layout, if a submission no longer
/// decodes, or if this machine's arithmetic is not IEEE's default.
pub fn outer_step<B: AsRef<[u8]> + Sync>(
    parameters: &mut [&mut [f32]],
    accepted: &[Submission<B>],
    last: Option<&Medians>,
    threads: usize,
) -> Result<Medians, AggregateError> {
    check_arithmetic()?;
    let Some(first) = accepted.first() else {
        return Ok(last.cloned().unwrap_or_else(|| Medians(vec![0.0; parameters.len()])));
    };
    let layout = first.layout();
    let tensors = layout.tensors();
    check_count("tensors", parameters.len(), tensors.len())?;
    if let Some(last) = last {
        check_count("medians", last.0.len(), tensors.len())?;
    }
    for (tensor, values) in tensors.iter().zip(parameters.iter()) {
        check_count("values", values.len(), tensor.geometry().len())?;
    }
    if let Some(other) = accepted.iter().find(|submission| submission.layout() != layout) {
        return Err(AggregateError::Layout(other.header().neuron.hotkey));
    }
    let mut accepted: Vec<&Submission<B>> = accepted.iter().collect();
    accepted.sort_unstable_by_key(|submission| submission.header().neuron);
    check_order(accepted.iter().map(|submission| submission.header().neuron.hotkey))?;
    let mut medians = Vec::with_capacity(tensors.len());
    for (number, (tensor, values)) in tensors.iter().zip(parameters).enumerate() {
        let encoded = accepted
            .iter()
            .map(|submission| Encoded::new(submission.header().neuron.hotkey, submission.reader(number)));
        let encoded: Vec<Encoded<'_>> = encoded.collect::<Result<_, _>>()?;
        let norms = norms(&encoded, threads)?;
        let (factors, median) = factors(&norms, last.map(|medians| medians.0[number]), layout.spec());
        let clipped: Vec<_> =
            encoded.into_iter().zip(factors).map(|(sent, factor)| Clipped { sent, factor }).collect();
        let updates = Updates { clipped: &clipped, chunks_per_group: tensor.chunks_per_group() };
        apply::apply(values, tensor.geometry(), layout.spec(), &updates, threads)?;
        medians.push(median);
    }
    Ok(Medians(medians))
}

/// Applies the outer step to one tensor. Returns the median of the updates' norms.
///
/// # Errors
/// Fails as [`outer_step`] does.
pub fn step_tensor(
    parameters: &mut [f32],
    geometry: &Geometry,
    spec: &SparseSpec,
    updates: &[Update<'_>],
    last: Option<f64>,
    threads: usize,
) -> Result<f64, AggregateError> {
    check_count("values", parameters.len(), geometry.len())?;
    let mut updates = updates.to_vec();
    updates.sort_unstable_by_key(|update| update.neuron);
    check_order(updates.iter().map(|update| update.neuron.hotkey))?;
    for update in &updates {
        check_count("chunks", update.tensor.positions().len(), geometry.chunks() * update.tensor.sent())?;
        if update.tensor.sent() > geometry.size() {
            return Err(AggregateError::Layout(update.neuron.hotkey));
        }
    }
    let norms: Vec<f64> = updates.iter().map(|update| norm(update.tensor)).collect();
    let (factors, median) = factors(&norms, last, spec);
    let clipped: Vec<_> =
        updates.iter().zip(factors).map(|(update, factor)| Clipped { sent: update.tensor, factor }).collect();
    let updates = Updates { clipped: &clipped, chunks_per_group: geometry.chunks().max(1) };
    apply::apply(parameters, geometry, spec, &updates, threads)?;
    Ok(median)
}

/// Returns the clip factors of the updates of a tensor, and the median of their norms.
fn factors(norms: &[f64], last: Option<f64>, spec: &SparseSpec) -> (Vec<f32>, f64) {
    let median = lower_median(norms);
    let reference = reference(median, last, spec.clip_growth);
    (norms.iter().map(|&norm| factor(norm, reference)).collect(), median)
}

/// Returns the norms of the submissions' updates of a tensor, in order, computed on `threads` threads.
fn norms(encoded: &[Encoded<'_>], threads: usize) -> Result<Vec<f64>, AggregateError> {
    let part = |part: &[Encoded<'_>]| {
        let mut buffer = GroupBuffer::default();
        part.iter().map(|encoded| encoded.norm(&mut buffer)).collect::<Result<Vec<_>, _>>()
    };
    let share = encoded.len().div_ceil(threads.max(1)).max(1);
    if share >= encoded.len() {
        return part(encoded);
    }
    std::thread::scope(|scope| {
        let parts: Vec<_> = encoded.chunks(share).map(|some| scope.spawn(move || part(some))).collect();
        let mut all = Vec::with_capacity(encoded.len());
        for part in parts {
            all.extend(part.join().expect("decoding does not panic")?);
        }
        Ok(all)
    })
}

/// Checks that a count is the expected one.
fn check_count(what: &'static str, found: usize, expected: usize) -> Result<(), AggregateError> {
    match found == expected {
        true => Ok(()),
        false => Err(AggregateError::Parameters { what, found, expected }),
    }
}

/// Checks that no hotkey occurs twice in an ordered sequence of hotkeys.
fn check_order(hotkeys: impl Iterator<Item = Hotkey>) -> Result<(), AggregateError> {
    let mut last = None;
    for hotkey in hotkeys {
        if last.replace(hotkey) == Some(hotkey) {
            return Err(AggregateError::Twice(hotkey));
        }
    }
    Ok(())
}
