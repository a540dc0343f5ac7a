//! Computes the outer step: applies the accepted submissions of a window to the shared parameters,
//! with the same bits on every machine.
//!
//! For each coordinate that was sent, the step sums `value x clip factor x weight` over the accepted
//! submissions, in the order of hotkey bytes. The [weight](FullWork::weight) is the share of a whole
//! training. It divides the sum by the [rule's](Aggregation)
//! divisor, multiplies it by the outer rate, and subtracts it from the parameter. Every operation
//! is IEEE f32, rounded once and never fused. A coordinate that was not sent is not written. If the
//! result is not finite, the parameter stays. Neither the number of threads nor the order of
//! arrival of submissions affects the result. A machine with different arithmetic (flushed
//! denormals, another rounding) is detected before anything is written.
//!
//! ```
//! use codec::{aggregate::{ClipBounds, FullWork, outer_step}, sparse::*, submission::*};
//! # use base::{Height, NeuronId, Window, digest::*, signature::SigningKey, tensor::*};
//! # use std::sync::Arc;
//! # let spec = SparseSpec { chunk: 4096, topk: 64, codec: Codec::Halving, quantizer: Quantizer::Templar,
//! #     beta: 0.95, outer_lr: 0.5, aggregation: Aggregation::Mean, clip_growth: 1.1 };
//! # let tensor = TensorSpec { name: "gain".to_owned(), shape: vec![4], role: TensorRole::Norm };
//! # let key = SigningKey::from_seed(&[1; 32]);
//! # let neuron = NeuronId { hotkey: key.hotkey(), registered: Height(0) };
//! # let run = RunHash([7; 32]);
//! # let expected = Expected { run, spec: run, neuron, window: Window(0), base: State([0; 32]),
//! #     least_samples: 1, sealed: false };
//! let layout = Arc::new(SubmissionLayout::new(&[tensor], &spec)?);
//! let sent = compress(&[1.0, 1.0, 1.0, 1.0], layout.tensors()[0].geometry(), &spec)?;
//! let bytes = encode(&layout, &Header::new(&expected, 1, &layout), &[sent], &key)?;
//! let accepted = [Submission::open(bytes, Arc::clone(&layout), &expected)?];
//! let mut parameters = [3.0; 4];
//! let bounds = ClipBounds { last: None, full: FullWork { travel: 1.0, samples: 1 } };
//! outer_step(&mut [&mut parameters], &accepted, bounds, 2)?;
//! assert_eq!(parameters, [2.5; 4]);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod apply;
mod arithmetic;
mod clip;
#[cfg(test)]
mod tests;
mod update;

pub use arithmetic::check_arithmetic;
pub use clip::{Clip, ClipBounds, FullWork, StepNorms, clip_alone};

#[cfg(doc)]
use crate::sparse::Aggregation;
use crate::submission::{Submission, SubmissionError};
use apply::{Updates, Weights};
use base::Hotkey;
use update::Update;

/// An error in the outer step.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AggregateError {
    /// One hotkey has two submissions, so the order of the sum is not defined.
    #[error("{0} has two submissions in the accepted set")]
    Twice(Hotkey),
    /// The parameters are not those of the model.
    #[error("{found} {what} are given: the model has {expected}")]
    Parameters {
        /// The counted thing: tensors, values, chunks, medians or references.
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
    #[error("the submission of {hotkey}")]
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
    /// A submission was opened on a thread whose arithmetic is not IEEE's default.
    #[error(
        "the thread that opened the submission of {0} has floating-point arithmetic other than IEEE's default: its norms would differ"
    )]
    Norms(Hotkey),
}

/// Applies the outer step to all tensors, in the order of the layout. Returns the norms,
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
    bounds: ClipBounds<'_>,
    threads: usize,
) -> Result<StepNorms, AggregateError> {
    check_arithmetic()?;
    let Some(first) = accepted.first() else {
        return Ok(bounds.last.cloned().unwrap_or_else(|| StepNorms::zeros(parameters.len())));
    };
    let layout = first.layout();
    let tensors = layout.tensors();
    check_count("tensors", parameters.len(), tensors.len())?;
    for (tensor, values) in tensors.iter().zip(parameters.iter()) {
        check_count("values", values.len(), tensor.geometry().len())?;
    }
    let mut accepted: Vec<&Submission<B>> = accepted.iter().collect();
    accepted.sort_unstable_by_key(|submission| submission.header().neuron);
    check_order(accepted.iter().map(|submission| submission.header().neuron.hotkey))?;
    let clip = Clip::of(accepted.iter().copied(), bounds)?;
    let weights: Vec<_> =
        accepted.iter().map(|submission| bounds.full.weight(submission.header().samples)).collect();
    let weights = Weights::new(&weights);
    for (number, (tensor, values)) in tensors.iter().zip(parameters).enumerate() {
        let updates = accepted.iter().zip(&clip.factors).zip(&weights.counts);
        let updates = updates.map(|((submission, factors), count)| {
            Update::new(submission, number, factors[number] * (*count as f32 / weights.unit), *count)
        });
        let updates: Vec<Update<'_>> = updates.collect::<Result<_, _>>()?;
        let chunks_per_group = tensor.chunks_per_group();
        let updates = Updates { of_tensor: &updates, chunks_per_group, unit: weights.unit };
        apply::apply(values, tensor.geometry(), layout.spec(), &updates, threads)?;
    }
    Ok(clip.norms)
}

/// Checks that a count is the expected one.
fn check_count(what: &'static str, found: usize, expected: usize) -> Result<(), AggregateError> {
    if found == expected { Ok(()) } else { Err(AggregateError::Parameters { what, found, expected }) }
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
