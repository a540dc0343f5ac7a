//! Clips updates: no submission moves a tensor further than the median submission does. Weighs them by work.

use super::{AggregateError, check_count};
use crate::submission::{Submission, SubmissionLayout, TensorLayout};
use base::wire::{Reader, WireError, Writer};

/// The norms of an outer step, one of each kind per tensor. The clipping of the next outer step needs them,
/// and trial steps are clipped to the references.
///
/// They follow from the accepted sets of all windows until then, as the parameters do.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct StepNorms {
    /// The lower medians of the accepted updates' norms. A norm counts as after a whole training.
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

/// The work of a whole window's training.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct FullWork {
    /// The sum of the learning rates of a window's inner steps. It bounds the norm of a tensor that has no
    /// last reference.
    ///
    /// An Adam step moves a parameter by about the learning rate at most (Kingma and Ba 2015, section 2.1).
    /// So the norm of an update is at most about this sum, times the root of the number of values sent.
    pub travel: f64,
    /// The number of sequences, at least 1.
    pub samples: u64,
}

impl FullWork {
    /// The weight of an update of a whole window's training.
    pub const WHOLE: u16 = 256;

    /// Returns the weight of an update that was trained on this number of sequences: its share of a whole
    /// training in 256ths, rounded down. It is 1 at least and [`Self::WHOLE`] at most. Sums of some thousand
    /// weights are exact in f32.
    #[must_use]
    #[expect(clippy::cast_possible_truncation, reason = "the quotient is at most 256")]
    pub fn weight(&self, samples: u64) -> u16 {
        let full = u128::from(self.samples.max(1));
        let share = u128::from(samples).min(full) * u128::from(Self::WHOLE) / full;
        share.max(1) as u16
    }

    /// Returns the norm that an update would have after a whole training, if it grows with the number of
    /// sequences.
    fn whole_norm(&self, norm: f64, samples: u64) -> f64 {
        let whole = norm * f64::from(Self::WHOLE) / f64::from(self.weight(samples));
        whole.min(f64::MAX)
    }
}

/// The values that bound the clipping of a window. They are known before any update of the window is.
#[derive(Clone, Copy, Debug)]
pub struct ClipBounds<'a> {
    /// The norms of the last outer step. `None` before the first.
    pub last: Option<&'a StepNorms>,
    /// The work of a whole window's training.
    pub full: FullWork,
}

impl ClipBounds<'_> {
    /// Returns the reference of the last outer step. Without one, returns the bound.
    fn last_reference(&self, number: usize, tensor: &TensorLayout) -> f64 {
        match self.last.map(|last| last.references[number]) {
            Some(reference) if reference > 0.0 => reference,
            _ => self.first_reference(tensor),
        }
    }

    /// Returns the largest norm to expect of a tensor that no update was applied to.
    #[expect(clippy::cast_precision_loss, reason = "a tensor sends fewer than 2^53 values")]
    fn first_reference(&self, tensor: &TensorLayout) -> f64 {
        let sent = tensor.geometry().chunks() * tensor.sent();
        (self.full.travel * (sent as f64).sqrt()).min(f64::MAX)
    }

    /// Checks that the last norms are of a model with this layout.
    fn check(&self, layout: &SubmissionLayout) -> Result<(), AggregateError> {
        self.last.map_or(Ok(()), |last| last.check(layout.tensors().len()))
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
    /// Returns the clipping of these submissions. Without submissions the last norms stay as they are.
    ///
    /// # Errors
    /// Fails if the submissions or the norms are of different models, or if a norm is not the same on all
    /// machines.
    pub fn of<'a, B: AsRef<[u8]> + 'a>(
        submissions: impl IntoIterator<Item = &'a Submission<B>>,
        bounds: ClipBounds<'_>,
    ) -> Result<Self, AggregateError> {
        let mut layout = None;
        let (mut norms, mut samples) = (Vec::new(), Vec::new());
        for submission in submissions {
            if *layout.get_or_insert(submission.layout()) != submission.layout() {
                return Err(AggregateError::Layout(submission.header().neuron.hotkey));
            }
            norms.push(submission.norms()?);
            samples.push(submission.header().samples);
        }
        let Some(layout) = layout else {
            return Ok(Self { norms: bounds.last.cloned().unwrap_or_default(), ..Self::default() });
        };
        bounds.check(layout)?;
        let median = |number| {
            let whole = |(norms, samples): (&&[f64], &u64)| bounds.full.whole_norm(norms[number], *samples);
            lower_median(norms.iter().zip(&samples).map(whole))
        };
        let medians: Vec<f64> = (0..layout.tensors().len()).map(median).collect();
        let growth = layout.spec().clip_growth;
        let reference = |((number, tensor), &median)| {
            let last = bounds.last.map(|last| last.of(number));
            reference(median, last, bounds.first_reference(tensor), growth)
        };
        let references: Vec<f64> = layout.tensors().iter().enumerate().zip(&medians).map(reference).collect();
        let factors = |norms: &[f64]| norms.iter().zip(&references).map(|(&n, &r)| factor(n, r)).collect();
        let factors = norms.into_iter().map(factors).collect();
        Ok(Self { norms: StepNorms { medians, references }, factors })
    }
}

/// Returns the factor of each tensor of one submission that is clipped alone: to the references of the last
/// outer step. Without one it is clipped to the bounds. Other miners' claims have no influence on it.
///
/// # Errors
/// Fails if the norms are of another model, or if a norm is not the same on all machines.
pub fn clip_alone<B: AsRef<[u8]>>(
    submission: &Submission<B>,
    bounds: ClipBounds<'_>,
) -> Result<Vec<f32>, AggregateError> {
    let (norms, layout) = (submission.norms()?, submission.layout());
    bounds.check(layout)?;
    let tensors = layout.tensors().iter().enumerate().zip(norms);
    Ok(tensors.map(|((number, tensor), &norm)| factor(norm, bounds.last_reference(number, tensor))).collect())
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
/// `first` bounds a tensor that has no last reference: otherwise a majority of inflated updates would set it.
fn reference(median: f64, last: Option<(f64, f64)>, first: f64, growth: f64) -> f64 {
    match last {
        Some((last_median, last)) if last > 0.0 => {
            median.clamp(last / growth, growth * last.max(last_median))
        }
        // If most updates do not change the tensor, the others are still bounded.
        _ if median > 0.0 => median.min(first),
        _ => first,
    }
}

/// Returns the factor for the values of an update, rounded once.
fn factor(norm: f64, reference: f64) -> f32 {
    if norm == 0.0 { 1.0 } else { (reference / norm).min(1.0) as f32 }
}

#[cfg(test)]
mod tests;
