//! Clips updates: no submission moves a tensor further than the median submission does.

use super::{AggregateError, check_count};
use crate::submission::Submission;
use base::wire::{Reader, WireError, Writer};

/// The lower median of the accepted updates' norms, one per tensor. The next window's clipping
/// needs them. They follow from the accepted set alone, so a node that joins later computes them
/// from the last accepted set.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Medians(pub Vec<f64>);

impl Medians {
    /// Appends their number and their bits.
    pub fn write(&self, to: &mut Writer) {
        to.u32(self.0.len().try_into().expect("a model has fewer tensors than 2^32"));
        self.0.iter().for_each(|&median| {
            to.f64(median);
        });
    }

    /// Reads the medians of `tensors` tensors.
    ///
    /// # Errors
    /// Fails if there are more or fewer medians, or if one is not a norm.
    pub fn read(from: &mut Reader<'_>, tensors: usize) -> Result<Self, WireError> {
        let what = "the number of medians";
        let offset = from.offset();
        let count = from.u32(what)?;
        if count as usize != tensors {
            let expected = "there is one for each tensor of the model";
            return Err(WireError::Value { what, offset, found: count.into(), expected });
        }
        let median = |_| {
            let what = "a median";
            let offset = from.offset();
            match from.f64(what)? {
                median if median.is_finite() && median.is_sign_positive() => Ok(median),
                median => {
                    let expected = "a norm is finite and not negative";
                    Err(WireError::Value { what, offset, found: median.to_bits(), expected })
                }
            }
        };
        (0..count).map(median).collect::<Result<_, _>>().map(Self)
    }
}

/// The clipping of some submissions of a window, by the norms of all of them.
///
/// Every node clips the accepted submissions in the outer step. The norms were computed when the submissions
/// were opened, so this takes no decoding.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Clip {
    /// The median norm of each tensor.
    pub medians: Medians,
    /// The norm that the updates of each tensor are clipped to.
    pub references: Vec<f64>,
    /// The factor for the values of each submission, tensor by tensor. The submissions have the given order.
    pub factors: Vec<Vec<f32>>,
}

impl Clip {
    /// Returns the clipping of these submissions. `last` are the medians of the accepted set of the window
    /// before. Without submissions there are no references, and the medians stay those of `last`.
    ///
    /// # Errors
    /// Fails if the submissions or the medians are of different models, or if a norm is not the same on all
    /// machines.
    pub fn of<'a, B: AsRef<[u8]> + 'a>(
        submissions: impl IntoIterator<Item = &'a Submission<B>>,
        last: Option<&Medians>,
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
            return Ok(Self { medians: last.cloned().unwrap_or_default(), ..Self::default() });
        };
        let tensors = layout.tensors().len();
        if let Some(last) = last {
            check_count("medians", last.0.len(), tensors)?;
        }
        let median = |tensor| lower_median(norms.iter().map(|norms: &&[f64]| norms[tensor]));
        let medians: Vec<f64> = (0..tensors).map(median).collect();
        let growth = layout.spec().clip_growth;
        let reference = |(tensor, &median)| reference(median, last.map(|last| last.0[tensor]), growth);
        let references: Vec<f64> = medians.iter().enumerate().map(reference).collect();
        let factors = |norms: &[f64]| norms.iter().zip(&references).map(|(&n, &r)| factor(n, r)).collect();
        let factors = norms.into_iter().map(factors).collect();
        Ok(Self { medians: Medians(medians), references, factors })
    }
}

/// Returns the factor of each tensor of one submission that is clipped alone: to the medians of the last
/// accepted set. Other miners' claims have no influence on it. Without medians it is not clipped.
///
/// # Errors
/// Fails if the medians are of another model, or if a norm is not the same on all machines.
pub fn clip_alone<B: AsRef<[u8]>>(
    submission: &Submission<B>,
    last: Option<&Medians>,
) -> Result<Vec<f32>, AggregateError> {
    let norms = submission.norms()?;
    let Some(Medians(references)) = last else { return Ok(vec![1.0; norms.len()]) };
    check_count("medians", references.len(), norms.len())?;
    Ok(norms.iter().zip(references).map(|(&norm, &reference)| factor(norm, reference)).collect())
}

/// Returns the median of the norms, the lower one of two, or 0 if there are no norms.
fn lower_median(norms: impl Iterator<Item = f64>) -> f64 {
    let mut sorted: Vec<f64> = norms.collect();
    sorted.sort_unstable_by(f64::total_cmp);
    sorted.get(sorted.len().saturating_sub(1) / 2).copied().unwrap_or_default()
}

/// Returns the reference that norms are clipped to: the median, but at most `growth` times the last
/// window's median. `last` is the median itself, not the reference of that window. Thus one window
/// of small updates limits only the next window, not all later ones.
fn reference(median: f64, last: Option<f64>, growth: f64) -> f64 {
    match last {
        Some(last) if last > 0.0 => median.min(growth * last),
        _ => median,
    }
}

/// Returns the factor for the values of an update, rounded once.
fn factor(norm: f64, reference: f64) -> f32 {
    if norm == 0.0 || reference == 0.0 { 1.0 } else { (reference / norm).min(1.0) as f32 }
}

#[cfg(test)]
mod tests;
