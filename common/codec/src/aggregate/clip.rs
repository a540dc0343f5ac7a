//! Clips updates: no submission moves a tensor further than the median submission does.

use super::{AggregateError, check_count};
use crate::submission::Submission;
use base::wire::{Reader, WireError, Writer};

/// The norms of an outer step, one of each kind per tensor. The clipping of the next outer step needs them,
/// and trial steps are clipped to the references.
///
/// They follow from the accepted sets of all windows until then, as the parameters do.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct StepNorms {
    /// The lower medians of the accepted updates' norms.
    pub medians: Vec<f64>,
    /// The norms that the updates were clipped to.
    pub references: Vec<f64>,
}

impl StepNorms {
    /// Creates norms for tensors that no update was applied to.
    #[must_use]
    pub fn zeros(tensors: usize) -> Self {
        Self { medians: vec![0.0; tensors], references: vec![0.0; tensors] }
    }

    /// Returns median and reference of a tensor.
    fn of(&self, tensor: usize) -> (f64, f64) {
        (self.medians[tensor], self.references[tensor])
    }

    /// Checks that there are norms of each tensor.
    fn check(&self, tensors: usize) -> Result<(), AggregateError> {
        check_count("medians", self.medians.len(), tensors)?;
        check_count("references", self.references.len(), tensors)
    }

    /// Appends the number of tensors, the bits of the medians and the bits of the references.
    pub fn write(&self, to: &mut Writer) {
        to.u32(self.medians.len().try_into().expect("a model has fewer tensors than 2^32"));
        self.medians.iter().chain(&self.references).for_each(|&norm| {
            to.f64(norm);
        });
    }

    /// Reads the norms of `tensors` tensors.
    ///
    /// # Errors
    /// Fails if there are more or fewer tensors, or if a number is not a norm.
    pub fn read(from: &mut Reader<'_>, tensors: usize) -> Result<Self, WireError> {
        let what = "the number of norms";
        let offset = from.offset();
        let count = from.u32(what)?;
        if count as usize != tensors {
            let expected = "there is one for each tensor of the model";
            return Err(WireError::Value { what, offset, found: count.into(), expected });
        }
        let mut norms =
            |what: &'static str| (0..tensors).map(|_| read_norm(from, what)).collect::<Result<Vec<_>, _>>();
        Ok(Self { medians: norms("a median")?, references: norms("a reference")? })
    }
}

fn read_norm(from: &mut Reader<'_>, what: &'static str) -> Result<f64, WireError> {
    let offset = from.offset();
    match from.f64(what)? {
        norm if norm.is_finite() && norm.is_sign_positive() => Ok(norm),
        norm => {
            let expected = "a norm is finite and not negative";
            Err(WireError::Value { what, offset, found: norm.to_bits(), expected })
        }
    }
}

/// The clipping of some submissions of a window, by the norms of all of them.
///
/// Every node clips the accepted submissions in the outer step. The norms were computed when the submissions
/// were opened, so this takes no decoding.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Clip {
    /// The medians, and the references that the updates are clipped to.
    pub norms: StepNorms,
    /// The factor for the values of each submission, tensor by tensor. The submissions have the given order.
    pub factors: Vec<Vec<f32>>,
}

impl Clip {
    /// Returns the clipping of these submissions. `last` are the norms of the last outer step. Without
    /// submissions they stay as they are.
    ///
    /// # Errors
    /// Fails if the submissions or the norms are of different models, or if a norm is not the same on all
    /// machines.
    pub fn of<'a, B: AsRef<[u8]> + 'a>(
        submissions: impl IntoIterator<Item = &'a Submission<B>>,
        last: Option<&StepNorms>,
    ) -> Result<Self, AggregateError> {
        let mut layout = None;
        let mut norms = Vec::new();
        for submission in submissions {
            if *layout.get_or_insert(submission.layout()) != submission.layout() {
                return Err(AggregateError::Layout(submission.header().neuron.hotkey));
            }
            norms.push(submission.norms()?);
        }
        let Some(layout) = layout else {
            return Ok(Self { norms: last.cloned().unwrap_or_default(), ..Self::default() });
        };
        let tensors = layout.tensors().len();
        if let Some(last) = last {
            last.check(tensors)?;
        }
        let median = |tensor| lower_median(norms.iter().map(|norms: &&[f64]| norms[tensor]));
        let medians: Vec<f64> = (0..tensors).map(median).collect();
        let growth = layout.spec().clip_growth;
        let reference = |(tensor, &median)| reference(median, last.map(|last| last.of(tensor)), growth);
        let references: Vec<f64> = medians.iter().enumerate().map(reference).collect();
        let factors = |norms: &[f64]| norms.iter().zip(&references).map(|(&n, &r)| factor(n, r)).collect();
        let factors = norms.into_iter().map(factors).collect();
        Ok(Self { norms: StepNorms { medians, references }, factors })
    }
}

/// Returns the factor of each tensor of one submission that is clipped alone: to the references of the last
/// outer step. Other miners' claims have no influence on it. Without references it is not clipped.
///
/// # Errors
/// Fails if the norms are of another model, or if a norm is not the same on all machines.
pub fn clip_alone<B: AsRef<[u8]>>(
    submission: &Submission<B>,
    last: Option<&StepNorms>,
) -> Result<Vec<f32>, AggregateError> {
    let norms = submission.norms()?;
    let Some(last) = last else { return Ok(vec![1.0; norms.len()]) };
    last.check(norms.len())?;
    Ok(norms.iter().zip(&last.references).map(|(&norm, &reference)| factor(norm, reference)).collect())
}

/// Returns the median of the norms, the lower one of two, or 0 if there are no norms.
fn lower_median(norms: impl Iterator<Item = f64>) -> f64 {
    let mut sorted: Vec<f64> = norms.collect();
    sorted.sort_unstable_by(f64::total_cmp);
    sorted.get(sorted.len().saturating_sub(1) / 2).copied().unwrap_or_default()
}

/// Returns the reference that norms are clipped to: the median, within bounds. `last` are median and
/// reference of the last outer step.
///
/// * It falls by at most the factor `growth` from the last reference. So updates that are almost zero cannot
///   pull it to nothing, not even if they are the majority in some windows.
/// * It grows by at most `growth` from the last median or reference, the larger one. The last median counts
///   because norms may grow for many windows, as in a warm-up. With the last reference alone, one step of
///   tiny updates at the beginning of a run would hold it down for a long time.
///
/// The first outer step has no bounds.
fn reference(median: f64, last: Option<(f64, f64)>, growth: f64) -> f64 {
    match last {
        Some((last_median, last)) if last > 0.0 => {
            median.clamp(last / growth, growth * last.max(last_median))
        }
        _ => median,
    }
}

/// Returns the factor for the values of an update, rounded once.
fn factor(norm: f64, reference: f64) -> f32 {
    if norm == 0.0 || reference == 0.0 { 1.0 } else { (reference / norm).min(1.0) as f32 }
}

#[cfg(test)]
mod tests;
